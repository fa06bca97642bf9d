r"""Ops that rearrange, join, cut and repeat elements.

Each is linear, $y_k = x_{i(k)}$: every element of y is one of x (or a constant). The adjoint sends
each $\bar y_k$ back to where its element came from, and adds where one was used several times:
$\bar x_i = \sum_{k:\,i(k) = i} \bar y_k$. Where nothing is repeated that is the inverse
rearrangement. All are defined for every x, and every derivative above the first is 0.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence, Sized
from itertools import accumulate, chain
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..backend import Array, DType, Shape, namespace, to_host, widened
from ..broadcast import astype, broadcast_to
from ..primitive import composite, nondifferentiable, primitive
from ..tensor import Tensor, values
from .piecewise import floor

__all__ = [
    "append", "array", "array_split", "asarray", "atleast_1d", "atleast_2d", "atleast_3d", "block",
    "broadcast_arrays", "column_stack", "concat", "concatenate", "delete", "diag", "diagflat",
    "diagonal", "diff", "dsplit", "dstack", "ediff1d", "expand_dims", "flip", "fliplr", "flipud",
    "full_like", "geomspace", "gradient", "hsplit", "hstack", "insert", "linspace", "logspace",
    "matrix_transpose", "meshgrid", "moveaxis", "ones_like", "pad", "permute_dims", "ravel",
    "repeat", "reshape", "roll", "rollaxis", "rot90", "split", "squeeze", "stack", "swapaxes",
    "tile", "trace", "transpose", "trapezoid", "tril", "triu", "unstack", "vsplit", "vstack",
    "zeros_like",
]

Axis = int | tuple[int, ...] | None


# the same elements, in the same order


@primitive
def reshape(x: Array, /, shape: int | Shape, order: str = "C") -> Array:
    r"""Return the same elements under another shape, in C order (last axis fastest) or "F" (first).

    One length may be -1, which is inferred. No element is lost or changed:
    $dy = \operatorname{reshape}(dx)$, so
    $\bar x = \operatorname{reshape}(\bar y, \text{shape of } x)$, in the same order.
    """
    if order not in ("C", "F"):
        raise ValueError(f"order must be 'C' or 'F', got {order!r}: no other is that of the "
                         f"gradient too, which may lie in memory otherwise")
    return namespace(x).reshape(x, shape, order)


@reshape.vjp
def _(g: Any, shapes: tuple[Shape, ...], order: str) -> Any:
    return reshape(g, shapes[0], order)


@composite
def ravel(x: Any, order: str = "C") -> Any:
    """Return the elements along one axis, in C order (last axis fastest) or "F" (first)."""
    return reshape(x, -1, order)


@primitive
def expand_dims(x: Array, /, axis: int | tuple[int, ...]) -> Array:
    r"""Return x with new axes of length 1, at these positions of the result.

    $dy = \operatorname{reshape}(dx)$, so
    $\bar x = \operatorname{reshape}(\bar y, \text{shape of } x)$.
    """
    return namespace(x).expand_dims(x, axis)


@expand_dims.vjp
def _(g: Any, shapes: tuple[Shape, ...]) -> Any:
    return reshape(g, shapes[0])


@primitive
def squeeze(x: Array, /, axis: Axis = None) -> Array:
    r"""Return x without the given axes of length 1; without all of them if `axis` is None.

    $dy = \operatorname{reshape}(dx)$, so
    $\bar x = \operatorname{reshape}(\bar y, \text{shape of } x)$.
    """
    return namespace(x).squeeze(x, axis)


@squeeze.vjp
def _(g: Any, shapes: tuple[Shape, ...]) -> Any:
    return reshape(g, shapes[0])


@composite
def atleast_1d(*xs: Any) -> Any:
    """Return x with one axis if it has none; of several a tuple."""
    return _one_or_all([reshape(x, 1) if x.ndim == 0 else x for x in as_arrays(xs)])


@composite
def atleast_2d(*xs: Any) -> Any:
    """Return x with at least two axes, new ones in front; of several a tuple."""
    return _one_or_all([reshape(x, (1,) * (2 - x.ndim) + x.shape) if x.ndim < 2 else x
                        for x in as_arrays(xs)])


@composite
def atleast_3d(*xs: Any) -> Any:
    """Return x with at least three axes, as (1, N, 1) or (M, N, 1); of several a tuple."""
    shapes: tuple[Any, ...] = (lambda: (1, 1, 1), lambda n: (1, n, 1), lambda m, n: (m, n, 1))
    return _one_or_all([reshape(x, shapes[x.ndim](*x.shape)) if x.ndim < 3 else x
                        for x in as_arrays(xs)])


def _one_or_all(xs: Sequence[Any]) -> Any:
    return xs[0] if len(xs) == 1 else tuple(xs)


# the axes, or the elements along them, in another order


@primitive
def transpose(x: Array, /, axes: Sequence[int] | None = None) -> Array:
    r"""Return x with its axes permuted; reversed if `axes` is None.

    Axis k of y is axis `axes[k]` of x: $dy = \operatorname{transpose}(dx, \text{axes})$. The
    adjoint of a permutation is its inverse, so
    $\bar x = \operatorname{transpose}(\bar y, \text{axes}^{-1})$.
    """
    return namespace(x).transpose(x, axes)


@transpose.vjp
def _(g: Any, axes: Sequence[int] | None) -> Any:
    if not isinstance(axes, Sized):  # None, or the only axis of a vector
        return transpose(g)
    return transpose(g, tuple(int(i) for i in np.argsort([a % len(axes) for a in axes])))


@primitive
def swapaxes(x: Array, /, axis1: int, axis2: int) -> Array:
    r"""Return x with two axes exchanged.

    $dy = \operatorname{swapaxes}(dx)$, which undoes itself:
    $\bar x = \operatorname{swapaxes}(\bar y)$ of the same two axes.
    """
    return namespace(x).swapaxes(x, axis1, axis2)


swapaxes.vjp(lambda g, axis1, axis2: swapaxes(g, axis1, axis2))


@composite
def matrix_transpose(x: Any) -> Any:
    """Return x with its last two axes exchanged."""
    x = _as_array(x)
    if x.ndim < 2:
        raise ValueError(f"expected at least two axes, got shape {x.shape}")
    return swapaxes(x, -1, -2)


@composite
def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Return x with the axes `source` at the positions `destination`, the others in order."""
    x = _as_array(x)
    old = normalize_axis_tuple(source, x.ndim, "source")
    new = normalize_axis_tuple(destination, x.ndim, "destination")
    if len(old) != len(new):
        raise ValueError(f"source and destination differ in length: {old} and {new}")
    order = [axis for axis in range(x.ndim) if axis not in old]
    for position, axis in sorted(zip(new, old, strict=True)):
        order.insert(position, axis)
    return transpose(x, tuple(order))


@composite
def rollaxis(x: Any, axis: int, start: int = 0) -> Any:
    """Return x with one axis moved to stand before the axis that was at `start`."""
    x = _as_array(x)
    axis = normalize_axis_index(axis, x.ndim)
    start = start + x.ndim if start < 0 else start
    if not 0 <= start <= x.ndim:
        raise ValueError(f"start must be between {-x.ndim} and {x.ndim}, got {start}")
    return moveaxis(x, axis, start - (axis < start))


@primitive
def flip(x: Array, /, axis: Axis = None) -> Array:
    r"""Return x in reverse order along the axes (all if None).

    $dy = \operatorname{flip}(dx)$, which undoes itself: $\bar x = \operatorname{flip}(\bar y)$
    along the same axes.
    """
    return namespace(x).flip(x, axis)


flip.vjp(lambda g, axis: flip(g, axis))


@composite
def fliplr(x: Any) -> Any:
    """Return x in reverse order along the second axis."""
    return flip(x, 1)


@composite
def flipud(x: Any) -> Any:
    """Return x in reverse order along the first axis."""
    return flip(x, 0)


@primitive
def roll(x: Array, /, shift: int | Sequence[int], axis: Axis = None) -> Array:
    r"""Return x shifted along the axes, in a circle: $y_k = x_{(k - s) \bmod n}$.

    s is `shift`, and n the length of the axis; without an axis, of all elements in C order.
    $dy_k = dx_{(k - s) \bmod n}$, so $\bar x_k = \bar y_{(k + s) \bmod n}$: shifted back.
    """
    return namespace(x).roll(x, shift, axis)


@roll.vjp
def _(g: Any, shift: int | Sequence[int], axis: Axis) -> Any:
    back = tuple(-s for s in shift) if isinstance(shift, Sequence) else -shift
    return roll(g, back, axis)


@composite
def rot90(x: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """Return x turned k times by 90 degrees, in the plane and direction from `axes[0]` to [1]."""
    x = _as_array(x)
    first, second = normalize_axis_tuple(axes, x.ndim, "axes")
    k = operator.index(k) % 4
    if k == 2:
        return flip(x, (first, second))
    x = flip(x, second) if k == 1 else x
    x = swapaxes(x, first, second) if k else x
    return flip(x, second) if k == 3 else x


# repetitions


@composite
def tile(x: Any, reps: int | Sequence[int]) -> Any:
    r"""Return x laid side by side `reps` times along each axis.

    $y_{ji} = x_i$ in tile j, so $dy_{ji} = dx_i$ and $\bar x_i = \sum_j \bar y_{ji}$.
    """
    x = _as_array(x)
    counts = (reps,) if isinstance(reps, (int, np.integer)) else tuple(reps)
    counts = (1,) * (x.ndim - len(counts)) + counts
    shape = (1,) * (len(counts) - x.ndim) + x.shape
    apart = reshape(x, tuple(chain(*[(1, n) for n in shape])))
    tiled = broadcast_to(apart, tuple(chain(*zip(counts, shape, strict=True))))
    return reshape(tiled, tuple(count * n for count, n in zip(counts, shape, strict=True)))


@composite
def repeat(x: Any, repeats: int | Sequence[int], axis: int | None = None) -> Any:
    r"""Return x with each element repeated, or each its own number of times, along an axis.

    Without an axis x is flattened. $y_{ij} = x_i$ for each repetition j, so $dy_{ij} = dx_i$ and
    $\bar x_i = \sum_j \bar y_{ij}$.
    """
    x, counts = _as_array(x), to_host(values(repeats))
    if counts.dtype.kind not in "biu":
        raise TypeError(f"repeats must be integers, got {counts.dtype}")
    if axis is None or x.ndim == 0:
        x, axis = reshape(x, -1), axis or 0
    axis = normalize_axis_index(axis, x.ndim)
    if counts.size != 1:
        return _gathered(x, np.repeat(np.arange(x.shape[axis]), counts), axis)
    count, (before, (n, *after)) = int(counts.ravel()[0]), (x.shape[:axis], x.shape[axis:])
    apart = broadcast_to(reshape(x, (*before, n, 1, *after)), (*before, n, count, *after))
    return reshape(apart, (*before, n * count, *after))


def _gathered(x: Any, indices: np.ndarray, axis: int) -> Any:
    """Return x with the elements at these places of one axis, which the host knows."""
    return x[(*(slice(None),) * axis, namespace(values(x)).asarray(indices))]


@composite
def broadcast_arrays(*xs: Any) -> Any:
    """Return a tuple of the arrays, repeated to the shape that they have together."""
    arrays = as_arrays(xs)
    shape = np.broadcast_shapes(*[x.shape for x in arrays])
    return tuple(broadcast_to(x, shape) for x in arrays)


@composite
def meshgrid(*xs: Any, indexing: str = "xy", sparse: bool = False) -> Any:
    """Return a tuple of coordinate arrays: x_k repeated along the axes of all the others.

    Axis k belongs to x_k, but with indexing "xy" the first two are exchanged; "ij" leaves them.
    With `sparse` nothing is repeated: each has length 1 along the others' axes.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"indexing must be 'xy' or 'ij', got {indexing!r}")
    arrays, order = as_arrays(xs), list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        order[:2] = 1, 0
    grids = [reshape(x, tuple(x.size if k == own else 1 for k in order))
             for own, x in enumerate(arrays)]
    return tuple(grids) if sparse else broadcast_arrays(*grids)


# joining


@primitive
def _concatenate(*xs: Array, axis: int | None = 0) -> Array:
    r"""Return the arrays joined along an axis; flattened first if it is None.

    $y_{o_k + i} = x_{k,i}$ along the axis, where array k begins at $o_k$, the length of those
    before it. $dy_{o_k + i} = dx_{k,i}$, so $\bar x_{k,i} = \bar y_{o_k + i}$: each gets its own
    piece.
    """
    return namespace(*xs).concatenate(xs, axis=axis)


@_concatenate.vjp
def _(g: Any, shapes: tuple[Shape, ...], axis: int | None) -> list[Any]:
    if axis is None:
        lengths = [int(np.prod(shape)) for shape in shapes]
        return [reshape(part, shape)
                for part, shape in zip(_pieces(g, lengths, 0), shapes, strict=True)]
    return _pieces(g, [shape[axis] for shape in shapes], axis)


def _pieces(x: Any, lengths: Sequence[int], axis: int) -> list[Any]:
    ends = list(accumulate(lengths))
    before = (slice(None),) * (axis % x.ndim)
    return [x[(*before, slice(end - n, end))] for end, n in zip(ends, lengths, strict=True)]


@composite
def concatenate(*arrays: Any, axis: int | None = 0) -> Any:
    """Return the arrays, a sequence of them, joined along an axis; flattened first if it is None.

    The arrays may also be given one by one, and one array alone stands for its rows.
    """
    xs: Any = arrays
    if len(xs) == 2 and (xs[1] is None or isinstance(xs[1], (int, np.integer))):
        xs, axis = xs[:1], xs[1]
    return _concatenate(*as_arrays(xs[0] if len(xs) == 1 else xs), axis=axis)


@composite
def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Return arrays of one shape joined along a new axis."""
    parts = as_arrays(arrays)
    shapes = {x.shape for x in parts}
    if len(shapes) != 1:
        raise ValueError(f"expected arrays of one shape, got {sorted(shapes)}")
    axis = normalize_axis_index(axis, parts[0].ndim + 1)
    return _concatenate(*[expand_dims(x, axis) for x in parts], axis=axis)


@composite
def vstack(arrays: Sequence[Any]) -> Any:
    """Return the arrays joined along the first axis, arrays with one axis being rows."""
    return _concatenate(*[atleast_2d(x) for x in as_arrays(arrays)], axis=0)


@composite
def hstack(arrays: Sequence[Any]) -> Any:
    """Return the arrays joined along the second axis, or the first if they have only one."""
    parts = [atleast_1d(x) for x in as_arrays(arrays)]
    return _concatenate(*parts, axis=0 if parts and parts[0].ndim == 1 else 1)


@composite
def dstack(arrays: Sequence[Any]) -> Any:
    """Return the arrays joined along the third axis, shapes as `atleast_3d` makes them."""
    return _concatenate(*[atleast_3d(x) for x in as_arrays(arrays)], axis=2)


@composite
def column_stack(arrays: Sequence[Any]) -> Any:
    """Return the arrays joined along the second axis, arrays with one axis being columns."""
    return _concatenate(*[reshape(x, (-1, 1)) if x.ndim < 2 else x for x in as_arrays(arrays)],
                        axis=1)


@composite
def block(arrays: Any) -> Any:
    """Return arrays in lists of lists, joined as they stand: the innermost along the last axis."""
    depth = 0
    inner = arrays
    while isinstance(inner, list):
        depth, inner = depth + 1, inner[0] if inner else None
    leaves, ndim = _leaves(arrays, depth)
    ndim = max(depth, ndim)
    parts = iter([reshape(x, (1,) * (ndim - x.ndim) + x.shape) for x in as_arrays(leaves)])

    def joined(part: Any, axis: int) -> Any:
        if axis == 0:
            return next(parts)
        return _concatenate(*[joined(p, axis + 1) for p in part], axis=axis)

    return joined(arrays, -depth)


def _leaves(part: Any, depth: int) -> tuple[list[Any], int]:
    """Return what is in the lists, all as deep, and the number of axes that it has at most."""
    nested = isinstance(part, list)
    if isinstance(part, tuple):
        raise TypeError("expected arrays in lists, not in tuples")
    if nested != bool(depth) or (nested and not part):
        raise ValueError("expected lists of equal depth, none of them empty")
    if not depth:
        return [part], len(getattr(part, "shape", ()))
    found = [_leaves(p, depth - 1) for p in part]
    return list(chain(*[xs for xs, _ in found])), max(ndim for _, ndim in found)


@composite
def append(x: Any, values: Any, axis: int | None = None) -> Any:
    """Return x with values after it along an axis; both flattened if it is None."""
    return _concatenate(*as_arrays([x, values]), axis=axis)


@composite
def insert(x: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """Return x with values before the positions `obj` along an axis; flattened if it is None.

    The values are converted to the dtype of x, as in NumPy.
    """
    x, values = as_arrays([x, values])
    values = values if values.dtype == x.dtype else astype(values, x.dtype)
    if axis is None:
        x, axis = reshape(x, -1), 0
    axis, n = normalize_axis_index(axis, x.ndim), x.shape[axis]
    values = reshape(values, (1,) * (x.ndim - values.ndim) + values.shape)
    if isinstance(obj, (int, np.integer)):  # NumPy's rule: the values' first axis is then meant
        values = moveaxis(values, 0, axis)
    room = int((np.insert(np.arange(n), obj, -1) < 0).sum())
    room = values.shape[axis] if room == 1 else room
    values = broadcast_to(values, (*x.shape[:axis], room, *x.shape[axis + 1 :]))
    places = np.insert(np.arange(n), obj, n + np.arange(room))
    return _gathered(_concatenate(x, values, axis=axis), places, axis)


@composite
def delete(x: Any, obj: Any, axis: int | None = None) -> Any:
    """Return x without the positions `obj` along an axis; of x flattened if it is None."""
    x = _as_array(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    axis = normalize_axis_index(axis, x.ndim)
    return _gathered(x, np.delete(np.arange(x.shape[axis]), obj), axis)


# cutting


@composite
def array_split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Return the list of pieces of x: that many nearly equal ones, or cut before the indices."""
    x = _as_array(x)
    axis = normalize_axis_index(axis, x.ndim)
    length = x.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        sections = int(indices_or_sections)
        if sections < 1:
            raise ValueError(f"expected at least one piece, got {sections}")
        short, longer = divmod(length, sections)
        cuts = list(accumulate([short + 1] * longer + [short] * (sections - longer)))[:-1]
    else:
        cuts = [operator.index(i) for i in indices_or_sections]
    before = (slice(None),) * axis
    return [x[(*before, slice(start, stop))]
            for start, stop in zip([0, *cuts], [*cuts, length], strict=True)]


@composite
def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Return the list of pieces of x: that many equal ones, or cut before the given indices."""
    x = _as_array(x)
    length = x.shape[normalize_axis_index(axis, x.ndim)]
    if isinstance(indices_or_sections, (int, np.integer)) and (
            indices_or_sections < 1 or length % indices_or_sections):
        raise ValueError(f"axis {axis} of length {length} does not split into "
                         f"{indices_or_sections} equal pieces; pass the indices to cut at, or use "
                         f"array_split")
    return array_split(x, indices_or_sections, axis)  # type: ignore[no-any-return]


@composite
def vsplit(x: Any, indices_or_sections: int | Sequence[int]) -> Any:
    """Return the list of pieces of x along the first axis of at least two (see `split`)."""
    return _cut(x, indices_or_sections, 0, least=2)


@composite
def hsplit(x: Any, indices_or_sections: int | Sequence[int]) -> Any:
    """Return the list of pieces along the second axis (see `split`), or the only one."""
    return _cut(x, indices_or_sections, 1 if _as_array(x).ndim > 1 else 0, least=1)


@composite
def dsplit(x: Any, indices_or_sections: int | Sequence[int]) -> Any:
    """Return the list of pieces of x along the third axis (see `split`)."""
    return _cut(x, indices_or_sections, 2, least=3)


def _cut(x: Any, indices_or_sections: int | Sequence[int], axis: int, least: int) -> Any:
    x = _as_array(x)
    if x.ndim < least:
        raise ValueError(f"expected at least {least} axes, got shape {x.shape}")
    return split(x, indices_or_sections, axis)


@composite
def unstack(x: Any, axis: int = 0) -> Any:
    """Return the tuple of the slices of x along an axis, without that axis."""
    x = _as_array(x)
    before = (slice(None),) * normalize_axis_index(axis, x.ndim)
    return tuple(x[(*before, i)] for i in range(x.shape[axis]))


# margins and differences


@primitive
def _pad(x: Array, /, widths: tuple[tuple[int, int], ...], value: Any) -> Array:
    r"""Return x with margins of constants.

    $y_{b + i} = x_i$ behind a margin of b elements, so $dy_{b + i} = dx_i$ and
    $\bar x_i = \bar y_{b + i}$; the margins are constant.
    """
    return namespace(x).pad(x, widths, mode="constant", constant_values=value)


@_pad.vjp
def _(g: Any, shape: Shape, widths: tuple[tuple[int, int], ...]) -> Any:
    return g[tuple(slice(before, before + n)
                   for (before, _), n in zip(widths, shape, strict=True))]


_MODES = ("edge", "reflect", "symmetric", "wrap")


@composite
def pad(x: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Any:
    """Return x with margins: of constants, or ('edge', 'reflect', 'symmetric', 'wrap') of itself.

    `pad_width` is a number, one `(before, after)` for all axes, or one for each axis, and so are
    `constant_values`. What a margin repeats adds to the gradient of the element repeated.
    """
    x = _as_array(x)
    if not x.ndim:
        return x
    widths = tuple((operator.index(a), operator.index(b)) for a, b in
                   np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)))
    if any(width < 0 for pair in widths for width in pair):
        raise ValueError(f"pad_width must not be negative, got {pad_width}; cut with x[1:-1]")
    if mode == "constant" and isinstance(ends := array(constant_values), Tensor):
        return _padded_by(x, widths, broadcast_to(ends, (x.ndim, 2)))
    if mode == "constant":
        return _pad(x, widths, constant_values)
    if mode not in _MODES:
        raise ValueError(f"mode {mode!r} is not one of 'constant', {str(_MODES)[1:-1]}")
    for axis, width in enumerate(widths):
        if any(width):
            source = np.pad(np.arange(x.shape[axis]), width, mode=mode)  # type: ignore[call-overload]
            x = _gathered(x, source, axis)
    return x


def _padded_by(x: Any, widths: tuple[tuple[int, int], ...], ends: Any) -> Any:
    """Return x with margins of Tensors, `ends[axis]` being the one before and the one behind."""
    ends = astype(ends, x.dtype)
    for axis, width in enumerate(widths):
        before, after = (broadcast_to(end, (*x.shape[:axis], n, *x.shape[axis + 1 :]))
                         for end, n in zip(ends[axis], width, strict=True))
        x = _concatenate(before, x, after, axis=axis)
    return x


@composite
def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    r"""Return the n-th differences along an axis: once, $y_k = x_{k+1} - x_k$.

    `prepend` and `append` are joined to x before; a number stands for a slice of them. Booleans
    differ where they are not equal. $dy_k = dx_{k+1} - dx_k$, so
    $\bar x_k = \bar y_{k-1} - \bar y_k$, of which there is only one at the ends.
    """
    x = _as_array(x)
    if n < 0:
        raise ValueError(f"n must not be negative, got {n}")
    if n == 0:
        return x
    if x.ndim == 0:
        raise ValueError("expected at least one axis, got a number")
    axis = normalize_axis_index(axis, x.ndim)
    one = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    ends = [None if end is None else as_arrays([x, end])[1] for end in (prepend, append)]
    parts = [end if end is None or end.ndim else broadcast_to(end, one) for end in ends]
    parts = [part for part in (parts[0], x, parts[1]) if part is not None]
    x = _concatenate(*parts, axis=axis) if len(parts) > 1 else x
    for _ in range(n):
        after, before = _cut_ends(x, axis)
        x = after != before if x.dtype == bool else after - before
    return x


def _cut_ends(x: Any, axis: int) -> tuple[Any, Any]:
    """Return x without its first, and x without its last slice along an axis."""
    lead = (slice(None),) * axis
    return x[(*lead, slice(1, None))], x[(*lead, slice(None, -1))]


@composite
def ediff1d(x: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Return the differences of neighbours in x flattened, between `to_begin` and `to_end`.

    These are converted to the dtype of x, as in NumPy.
    """
    x = reshape(_as_array(x), -1)
    parts = []
    for end in (to_begin, to_end):
        (end,) = as_arrays([x[:0] if end is None else end])
        if not np.can_cast(end.dtype, x.dtype, "same_kind"):
            raise TypeError(f"the ends must be of the kind of x, {x.dtype}, got {end.dtype}")
        parts.append(astype(reshape(end, -1), x.dtype))
    return _concatenate(parts[0], diff(x), parts[1], axis=0)


@composite
@widened
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    r"""Return the integral of y over x, piecewise linear: $\sum_k d_k (y_k + y_{k+1}) / 2$.

    $d_k = x_{k+1} - x_k$, or `dx` if there is no x. x has the shape of y, or one axis.
    """
    y = _as_array(y)
    place = normalize_axis_index(axis, y.ndim)
    if x is not None:
        x = _as_array(x)
        along = (-1,) + (1,) * (y.ndim - place - 1)
        dx = diff(x, axis=axis) if x.ndim > 1 else reshape(diff(x), along)
    after, before = _cut_ends(y, place)
    return (dx * (after + before) / 2.0).sum(axis)  # of x too, which may have axes in front


@composite
@widened
def gradient(f: Any, *spacings: Any, axis: Axis = None, edge_order: int = 1) -> Any:
    r"""Return the slopes of f along its axes, by central differences; of several axes a tuple.

    `spacings` are none (1), one for all axes or one for each: a number, or the coordinates. With
    steps h before and H after a point $y = \frac{h^2 f_+ + (H^2 - h^2) f - H^2 f_-}{hH(h + H)}$,
    exact for parabolas; at the edges differences exact for lines, or parabolas if `edge_order` 2.
    """
    f = _as_array(f)
    f = astype(f, float) if f.dtype.kind in "biu" else f
    axes = tuple(range(f.ndim)) if axis is None else normalize_axis_tuple(axis, f.ndim)
    given = spacings or (1.0,)
    if edge_order not in (1, 2):
        raise ValueError(f"edge_order must be 1 or 2, got {edge_order}")
    if len(given) not in (1, len(axes)):
        raise TypeError(f"expected none, one or {len(axes)} spacings, got {len(given)}")
    given = given * len(axes) if len(given) == 1 else given
    return _one_or_all([swapaxes(_slopes(swapaxes(f, a, -1), h, edge_order), a, -1)
                        for a, h in zip(axes, given, strict=True)])


def _slopes(f: Any, spacing: Any, edge_order: int) -> Any:
    """Return the slopes along the last axis."""
    n = f.shape[-1]
    if n <= edge_order:
        raise ValueError(f"expected at least {edge_order + 1} points along each axis, got {n}")
    steps = as_arrays([f, spacing])[1]
    if steps.ndim and steps.shape != (n,):
        raise ValueError(f"expected {n} coordinates, got shape {steps.shape}")
    steps = astype(steps, f.dtype)
    steps = diff(steps) if steps.ndim else broadcast_to(steps, (n - 1,))
    rises = diff(f) / steps
    if n == 2:
        return _concatenate(rises, rises, axis=-1)
    h, later = steps[:-1], steps[1:]
    left, right = rises[..., :-1], rises[..., 1:]
    inner = (later * left + h * right) / (h + later)
    bends = (right - left) / (h + later)  # half the second derivative
    first, last = rises[..., :1], rises[..., -1:]
    if edge_order == 2:
        first, last = first - h[:1] * bends[..., :1], last + later[-1:] * bends[..., -1:]
    return _concatenate(first, inner, last, axis=-1)


# diagonals and triangles


@primitive
def tril(x: Array, /, k: int = 0) -> Array:
    r"""Return the matrices x with zeros above the k-th diagonal: $y = x \odot m$, m of 0 and 1.

    $dy = dx \odot m$, so $\bar x = \bar y \odot m$, which is `tril` again. A vector is repeated as
    the rows of a matrix.
    """
    return namespace(x).tril(x, k)


tril.vjp(lambda g, k: tril(g, k))


@primitive
def triu(x: Array, /, k: int = 0) -> Array:
    r"""Return the matrices x with zeros below the k-th diagonal: $y = x \odot m$, m of 0 and 1.

    $dy = dx \odot m$, so $\bar x = \bar y \odot m$, which is `triu` again. A vector is repeated as
    the rows of a matrix.
    """
    return namespace(x).triu(x, k)


triu.vjp(lambda g, k: triu(g, k))


@primitive
def diagonal(x: Array, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    r"""Return the diagonals of two axes as the last axis: $y_{\dots i} = x_{\dots,\,i,\,i + k}$.

    k is the offset; where it is negative $y_{\dots i}$ is $x_{\dots,\,i - k,\,i}$. All other
    elements are left out: $dy_{\dots i} = dx_{\dots,\,i,\,i + k}$, so
    $\bar x_{\dots i j} = [j = i + k]\,\bar y_{\dots,\,\min(i, j)}$.
    """
    return namespace(x).diagonal(x, offset, axis1, axis2)


@diagonal.vjp
def _(g: Any, shapes: tuple[Shape, ...], offset: int, axis1: int, axis2: int) -> Any:
    return _on_diagonal(g, shapes[0], offset, axis1, axis2)


@primitive
def _on_diagonal(x: Array, /, shape: Shape, offset: int, axis1: int, axis2: int) -> Array:
    r"""Return zeros of that shape but for their diagonals, which are x: the adjoint of `diagonal`.

    $dy_{\dots,\,i,\,i + k} = dx_{\dots i}$ with the offset k, the rest being constant, so
    $\bar x_{\dots i} = \bar y_{\dots,\,i + \max(0, -k),\,i + \max(0, k)}$.
    """
    xp = namespace(x)
    y, steps = xp.zeros(shape, dtype=x.dtype), xp.arange(x.shape[-1])
    matrices = xp.moveaxis(y, (axis1, axis2), (-2, -1))  # a view
    matrices[..., steps + max(-offset, 0), steps + max(offset, 0)] = x
    return y


@_on_diagonal.vjp
def _(g: Any, offset: int, axis1: int, axis2: int) -> Any:
    return diagonal(g, offset, axis1, axis2)


@composite
def diag(x: Any, k: int = 0) -> Any:
    """Return the k-th diagonal of a matrix, or the matrix whose k-th diagonal is a vector."""
    x = _as_array(x)
    if x.ndim not in (1, 2):
        raise ValueError(f"expected one or two axes, got shape {x.shape}; use diagonal for more")
    if x.ndim == 2:
        return diagonal(x, k)
    return _on_diagonal(x, (x.size + abs(k),) * 2, k, 0, 1)


@composite
def diagflat(x: Any, k: int = 0) -> Any:
    """Return the matrix whose k-th diagonal is x flattened."""
    return diag(reshape(_as_array(x), -1), k)


@composite
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    r"""Return the sum of a diagonal of two axes, $\sum_i x_{i,\,i + k}$, k being `offset`.

    $dy = \sum_i dx_{i,\,i + k}$, so $\bar x_{ij} = [j = i + k]\,\bar y$.
    """
    return diagonal(_as_array(x), offset, axis1, axis2).sum(-1)


# making arrays


@composite
def array(x: Any, dtype: DType = None) -> Any:
    """Return numbers, arrays and Tensors, in lists as deep as you like, as one array or Tensor.

    Without a Tensor among them the result is a plain array. What is one already is not copied.
    """
    x = _as_array(x)
    return x if dtype is None or x.dtype == dtype else astype(x, dtype)


def _as_array(x: Any) -> Any:
    if hasattr(x, "ndim"):
        return x
    return stack(tuple(x)) if _is_mixed(x) else np.asarray(x)


def _is_mixed(x: Any) -> bool:
    """Whether there is anything in the list that NumPy would not take for numbers."""
    if isinstance(x, (list, tuple)):
        return any(_is_mixed(part) for part in x)
    return isinstance(x, Tensor) or namespace(x) is not np


def as_arrays(xs: Any) -> list[Any]:
    """Return a list of arrays of one library: of a sequence its members, of an array its rows."""
    parts = [_as_array(x) if isinstance(x, (list, tuple)) else x for x in xs]
    if not parts:
        raise ValueError("expected at least one array, got none")
    xp = namespace(*[values(x) for x in parts])
    return [x if hasattr(x, "ndim") and not isinstance(x, np.generic) else xp.asarray(x)
            for x in parts]


@composite
def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False,
             dtype: DType = None, *, axis: int = 0) -> Any:
    r"""Return `num` equal steps from start to stop, or to before it, along a new axis.

    $y_k = (1 - t_k)\,a + t_k b$ from $a$ to b with $t_k = k / (n - 1)$, or $k / n$ without the
    endpoint; n is `num`. $dy_k = (1 - t_k)\,da + t_k\,db$, so $\bar a = \sum_k (1 - t_k)\,\bar y_k$
    and $\bar b = \sum_k t_k\,\bar y_k$. With `retstep` also the step, b - a by n - 1 or by n. An
    integer `dtype` rounds down.
    """
    start, stop = _ends(start, stop)
    t, count = _fractions(num, endpoint, start, stop)
    y = moveaxis(_in_dtype((1 - t) * start + t * stop, dtype), 0, axis)
    return (y, (stop - start) / count if count else (stop - start) * np.nan) if retstep else y


def _ends(*ends: Any) -> list[Any]:
    """Return numbers, lists, arrays or Tensors as arrays of one floating point type."""
    ends = tuple(_as_array(x) if isinstance(x, (list, tuple)) else x for x in ends)
    dtype = namespace(*map(values, ends)).result_type(*map(values, ends), 1.0)
    return [astype(x, dtype) for x in as_arrays(ends)]  # numbers widen nothing


def _fractions(num: int, endpoint: bool, *ends: Any) -> tuple[Array, int]:
    """Return k / (n - 1) or k / n for k = 0 ... num - 1, before the axes of the ends, and n."""
    num = operator.index(num)
    if num < 0:
        raise ValueError(f"num must be 0 or more, got {num}")
    xp, count = namespace(*map(values, ends)), num - bool(endpoint)
    t = (xp.arange(num) / max(count, 1)).astype(ends[0].dtype)
    return t.reshape((num,) + (1,) * max(x.ndim for x in ends)), max(count, 0)


def _in_dtype(y: Any, dtype: DType) -> Any:
    """Return y converted; whole numbers are the largest that are not above it."""
    if dtype is None:
        return y
    return astype(floor(y) if np.dtype(dtype).kind in "iu" else y, dtype)


@composite
def logspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0,
             dtype: DType = None, *, axis: int = 0) -> Any:
    r"""Return $y_k = c^{s_k}$ where c is `base` and s is the `linspace` from start to stop.

    $dy_k = y_k \ln c\,ds_k + s_k c^{s_k - 1}\,dc$, so $\bar s_k = \bar y_k\,y_k \ln c$ and
    $\bar c = \sum_k \bar y_k\,s_k c^{s_k - 1}$.
    """
    start, stop, base = broadcast_arrays(*_ends(start, stop, base))
    return moveaxis(_in_dtype(base ** linspace(start, stop, num, endpoint), dtype), 0, axis)


@composite
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: DType = None, *,
              axis: int = 0) -> Any:
    r"""Return `num` numbers from start to stop, or to before it, in equal ratios.

    $y_k = a^{1 - t_k}\,b^{t_k}$ from $a$ to b with the $t_k$ of `linspace`; of negative ends, minus
    that of their magnitudes. $dy_k = y_k ((1 - t_k)\,da / a + t_k\,db / b)$, so
    $\bar a = \sum_k (1 - t_k)\,y_k \bar y_k / a$ and $\bar b = \sum_k t_k\,y_k \bar y_k / b$.
    Raises ValueError where an end is 0 or only one is negative.
    """
    start, stop = _ends(start, stop)
    xp = namespace(values(start))
    sign = xp.sign(values(start))
    if xp is np and not bool((sign * values(stop) > 0).all()):  # a GPU would have to wait
        raise ValueError(f"expected ends other than 0 and of one sign, got {values(start)} and "
                         f"{values(stop)}; between others no real numbers have a common ratio")
    t, _ = _fractions(num, endpoint, start, stop)
    y = sign * (sign * start) ** (1 - t) * (sign * stop) ** t
    return moveaxis(_in_dtype(y, dtype), 0, axis)


@nondifferentiable
def zeros_like(x: Array, /, dtype: Any = None) -> Array:
    """Return an array of zeros, of the shape, dtype and library of x."""
    return namespace(x).zeros_like(x, dtype=dtype)


@nondifferentiable
def ones_like(x: Array, /, dtype: Any = None) -> Array:
    """Return an array of ones, of the shape, dtype and library of x."""
    return namespace(x).ones_like(x, dtype=dtype)


@composite
def full_like(x: Any, fill_value: Any, dtype: DType = None) -> Any:
    r"""Return an array filled with a number v, or an array, of the shape, dtype and library of x.

    $y_i = v$, so $dy_i = dv$ and $\bar v = \sum_i \bar y_i$; nothing flows to x. Of numbers the
    result is a plain array, of a Tensor a Tensor.
    """
    x, fill = as_arrays([values(_as_array(x)), fill_value])
    y = broadcast_to(astype(fill, x.dtype if dtype is None else dtype), x.shape)
    return y if isinstance(y, Tensor) else namespace(x).array(y)


asarray, concat, permute_dims = array, concatenate, transpose
