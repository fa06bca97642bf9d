r"""Ops that pick elements out, and their adjoints, which put elements in.

Picking is linear: $y_k = x_{i(k)}$. Its adjoint sends each $\bar y_k$ back to place $i(k)$ and adds
where a place was picked more than once: $\bar x_j = \sum_{k:\,i(k) = j} \bar y_k$, a scattering of
$\bar y$ into zeros. Picking is in turn the adjoint of that scattering, so the pair differentiates
to any order.

A Tensor is never written into; `x.at[index].set(v)` is a new one, with v in these places.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..backend import Array, Shape, namespace, wide, widened, wider
from ..primitive import composite, nondifferentiable, primitive
from ..tensor import values
from .piecewise import equal, where
from .shape import array, broadcast_arrays, reshape, stack

__all__ = [
    "argwhere", "choose", "compress", "extract", "flatnonzero", "getitem", "masked_fill",
    "nonzero", "put_along_axis", "scatter_add", "scatter_max", "scatter_min", "scatter_set",
    "select", "take", "take_along_axis", "unravel_index",
]


# the pair


@primitive
def getitem(x: Array, /, index: Any) -> Array:
    r"""Return x[index] with all that NumPy's indexing knows: slices, integers, arrays, masks.

    $y_k = x_{i(k)}$, where element k of the result is element i(k) of x. $dy_k = dx_{i(k)}$, so
    $\bar x_j = \sum_{k:\,i(k) = j} \bar y_k$.
    """
    return x[_plain_index(index, x)]


@getitem.vjp
def _(g: Any, shape: Shape, index: Any) -> Any:
    return _scatter(g, index, shape)


@primitive
def _scatter(v: Array, /, index: Any, shape: Shape) -> Array:
    r"""Return zeros of that shape with v added at the places of the index: getitem's adjoint.

    $y_j = \sum_{k:\,i(k) = j} v_k$ with i(k) the place of element k, so
    $dy_j = \sum_{k:\,i(k) = j} dv_k$ and $\bar v_k = \bar y_{i(k)}$.
    """
    xp, index = namespace(v), _plain_index(index, v)
    if _picks_once(index):
        y = xp.zeros(shape, dtype=v.dtype)
        y[index] = v
        return y
    y = xp.zeros(shape, dtype=wide(v.dtype))
    xp.add.at(y, index, wider(v))
    return y.astype(v.dtype, copy=False)


_scatter.vjp(lambda g, index: getitem(g, index))


_BASIC = (int, slice, type(None), EllipsisType, np.integer)


def _is_basic(part: Any) -> bool:
    return isinstance(part, _BASIC) and part is not True and part is not False


def _plain_index(index: Any, x: Array) -> Any:
    """Return the index with lists, Tensors and host arrays in it as arrays of x's library."""
    if _is_basic(index):
        return index
    if isinstance(index, tuple):
        return tuple([part if _is_basic(part) else _plain_part(part, x) for part in index])
    return _plain_part(index, x)


def _plain_part(part: Any, x: Array) -> Any:
    part = values(array(part) if isinstance(part, (list, tuple)) else part)
    if hasattr(part, "dtype") and not part.size and part.dtype.kind == "f":
        part = part.astype(int)  # an empty list
    xp = namespace(x)
    return xp.asarray(part) if xp is not np and isinstance(part, np.ndarray) else part


def _picks_once(index: Any) -> bool:
    """Whether no element can be picked twice: the index, a plain one, has no array of integers."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(_is_basic(part) or getattr(part, "dtype", None) in (None, bool) for part in parts)


# writing into a copy


@primitive
@widened
def scatter_add(x: Array, index: Any, v: Array, /) -> Array:
    r"""Return x with v added at `x[index]`; places that occur more than once receive each v.

    $y_j = x_j + \sum_{k:\,i(k) = j} v_k$ with i(k) the place of element k of v, so
    $dy_j = dx_j + \sum_{k:\,i(k) = j} dv_k$: $\bar x = \bar y$ and $\bar v_k = \bar y_{i(k)}$.
    """
    y, index, v = _prepared(x, index, v)
    if _picks_once(index):
        y[index] += v
    else:
        namespace(y).add.at(y, index, v)
    return y


@scatter_add.vjp
def _(g: Any, index: Any) -> tuple[Any, None, Any]:
    return g, None, getitem(g, index)


@primitive
def scatter_set(x: Array, index: Any, v: Array, /) -> Array:
    r"""Return x with v in place of `x[index]`; of places that occur more than once the last holds.

    i(k) is the place of element k of v, and $l_j$ the last k for which $i(k) = j$. There
    $dy_j = dv_{l_j}$, elsewhere $dy_j = dx_j$. So $\bar x_j = [\text{no } i(k) = j]\,\bar y_j$ and
    $\bar v_k = [k = l_{i(k)}]\,\bar y_{i(k)}$.
    """
    y, index, v = _prepared(x, index, v)
    if _picks_once(index):
        y[index] = v
        return y
    xp, last = namespace(y), _last_writes(y, index)
    return xp.where(last < 0, y, v.reshape(-1)[xp.maximum(last, 0)]) if v.size else y


@scatter_set.vjp
def _(g: Any, index: Any, wanted: tuple[bool, ...]) -> tuple[Any, None, Any]:
    dx = scatter_set(g, index, 0.0) if wanted[0] else None
    return dx, None, _to_last_writes(g, index) if wanted[2] else None


def _to_last_writes(g: Any, index: Any) -> Any:
    dv, plain = getitem(g, index), _plain_index(index, values(g))
    if _picks_once(plain):
        return dv
    last = _last_writes(values(g), plain)[plain]
    return where(equal(last, namespace(last).arange(last.size).reshape(last.shape)), dv, 0.0)


def _last_writes(y: Array, index: Any) -> Array:
    """Return for each place of y the number of the last write into it, and -1 if there is none."""
    xp = namespace(y)
    last = xp.full(y.shape, -1, dtype=xp.int64)
    shape = last[index].shape
    xp.maximum.at(last, index, xp.arange(int(np.prod(shape, dtype=int))).reshape(shape))
    return last


def _prepared(x: Array, index: Any, v: Array) -> tuple[Array, Any, Array]:
    """Return a copy of x that v fits into, the index in plain form, and v as large as x[index]."""
    xp = namespace(x, v)
    y = xp.array(x, dtype=xp.result_type(x, v))
    index = _plain_index(index, y)
    return y, index, xp.broadcast_to(xp.asarray(v, dtype=y.dtype), y[index].shape)


@primitive
def scatter_max(x: Array, index: Any, v: Array, /) -> Array:
    r"""Return x with, at `x[index]`, the largest of what was there and all v that go there.

    $y_j = \max(x_j, \max_{k:\,i(k) = j} v_k)$ with i(k) the place of element k of v. $dy_j$ is that
    of the largest; at the kink, where $c_j$ of them equal $y_j$, they share:
    $\bar x_j = [x_j = y_j]\,\bar y_j / c_j$ and
    $\bar v_k = [v_k = y_{i(k)}]\,\bar y_{i(k)} / c_{i(k)}$.
    """
    y, index, v = _prepared(x, index, v)
    namespace(y).maximum.at(y, index, v)
    return y


@primitive
def scatter_min(x: Array, index: Any, v: Array, /) -> Array:
    r"""Return x with, at `x[index]`, the smallest of what was there and all v that go there.

    $y_j = \min(x_j, \min_{k:\,i(k) = j} v_k)$ with i(k) the place of element k of v. $dy_j$ is that
    of the smallest; at the kink, where $c_j$ of them equal $y_j$, they share:
    $\bar x_j = [x_j = y_j]\,\bar y_j / c_j$ and
    $\bar v_k = [v_k = y_{i(k)}]\,\bar y_{i(k)} / c_{i(k)}$.
    """
    y, index, v = _prepared(x, index, v)
    namespace(y).minimum.at(y, index, v)
    return y


def _scatter_extreme_rule(g: Any, x: Any, index: Any, v: Any, y: Any) -> tuple[Any, None, Any]:
    g = wider(g)  # it is divided by a count
    x_hits = equal(x, y).astype(g.dtype)
    v_hits = equal(getitem(values(y), index), v).astype(g.dtype)
    share = g / scatter_add(x_hits, index, v_hits)
    return share * x_hits, None, getitem(share, index) * v_hits


scatter_max.vjp(_scatter_extreme_rule)
scatter_min.vjp(_scatter_extreme_rule)


class At:
    """`x.at`: to be followed by `[index]`, any that x itself takes."""

    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x

    def __getitem__(self, index: Any) -> Places:
        return Places(self.x, index)


class Places:
    """`x.at[index]`: its methods return x with these places changed; v broadcasts to x[index].

    Where a place occurs more than once, `add`, `min` and `max` let each v count; with `set` and
    `multiply` the last one holds, as in NumPy's `x[index] *= v`, and alone receives the gradient.
    """

    __slots__ = ("index", "x")

    def __init__(self, x: Any, index: Any) -> None:
        self.x, self.index = x, index

    def set(self, v: Any) -> Any:
        """Return x with v in these places."""
        return scatter_set(self.x, self.index, v)

    def add(self, v: Any) -> Any:
        """Return x with v added in these places."""
        return scatter_add(self.x, self.index, v)

    def multiply(self, v: Any) -> Any:
        """Return x with these places multiplied by v."""
        return scatter_set(self.x, self.index, getitem(self.x, self.index) * v)

    def min(self, v: Any) -> Any:
        """Return x with, in these places, the smaller of what was there and v."""
        return scatter_min(self.x, self.index, v)

    def max(self, v: Any) -> Any:
        """Return x with, in these places, the larger of what was there and v."""
        return scatter_max(self.x, self.index, v)


# picking along an axis


@composite
def take(x: Any, indices: Any, axis: int | None = None, *, mode: str = "raise") -> Any:
    """Return the elements of x at integer `indices` along an axis; of x flattened if it is None.

    Indices out of range raise IndexError; with `mode` "clip" they are moved to the nearest end
    (negative ones to 0), with "wrap" around.
    """
    x = array(x)
    indices = _integers(x, indices)
    if axis is None:
        x, axis = reshape(x, -1), 0
    axis = normalize_axis_index(axis, x.ndim)
    if mode not in ("raise", "clip", "wrap"):
        raise ValueError(f"mode must be 'raise', 'clip' or 'wrap', got {mode!r}")
    if mode != "raise":
        n = x.shape[axis]
        indices = indices % n if mode == "wrap" else namespace(indices).clip(indices, 0, n - 1)
    return getitem(x, (*(slice(None),) * axis, indices))


@composite
def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Any:
    """Return `x[.., indices[.., k, ..], ..]`: at each place along the axis, its own indices.

    Of x flattened, and by a vector of indices, if the axis is None.
    """
    x = array(x)
    indices = _integers(x, indices)
    if axis is None:
        return getitem(reshape(x, -1), _vector(indices))
    return getitem(x, _index_along(x, indices, axis))


@composite
def put_along_axis(x: Any, indices: Any, v: Any, axis: int | None = -1) -> Any:
    """Return x with v at `x[.., indices[.., k, ..], ..]`; a new array, unlike NumPy's function.

    v broadcasts to the indices. Of indices that occur more than once the last holds.
    """
    x = array(x)
    indices = _integers(x, indices)
    if axis is None:
        return reshape(scatter_set(reshape(x, -1), _vector(indices), v), x.shape)
    return scatter_set(x, _index_along(x, indices, axis), v)


def _vector(indices: Array) -> Array:
    if indices.ndim != 1:
        raise ValueError(f"without an axis the indices are a vector, got shape {indices.shape}; "
                         f"take(x, indices) takes any shape")
    return indices


def _index_along(x: Any, indices: Array, axis: int) -> tuple[Array, ...]:
    """Return the index of all axes that is `indices` on one, and its own place on the others."""
    axis = normalize_axis_index(axis, x.ndim)
    if indices.ndim != x.ndim:
        raise ValueError(f"expected indices with {x.ndim} axes as x has, got {indices.ndim}")
    xp = namespace(indices)
    grid = [xp.arange(n).reshape((1,) * i + (n,) + (1,) * (x.ndim - i - 1))
            for i, n in enumerate(x.shape)]
    grid[axis] = indices
    return tuple(grid)


def _integers(x: Any, indices: Any) -> Array:
    indices = namespace(values(x)).asarray(values(indices))
    if indices.dtype.kind not in "iu":
        if indices.size:
            raise TypeError(f"indices must be integers, got {indices.dtype}")
        indices = indices.astype(int)
    return indices


@composite
def compress(condition: Any, x: Any, axis: int | None = None) -> Any:
    """Return the slices of x along an axis for which the condition, a vector, holds.

    x is flattened if the axis is None. A condition on the host does not make it wait for a device.
    """
    condition = values(array(condition))
    if condition.ndim != 1:
        raise ValueError(f"expected a condition with one axis, got shape {condition.shape}; "
                         f"use extract, or x[condition]")
    return take(x, namespace(condition).flatnonzero(condition), axis)


@composite
def extract(condition: Any, x: Any) -> Any:
    """Return the elements of x, flattened, for which the condition, flattened, holds."""
    return compress(reshape(values(array(condition)), -1), x)


# choosing element by element


@composite
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Return, element by element, the choice whose condition is the first to hold, or the default.

    Only what was chosen receives a gradient.
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(f"expected as many conditions as choices and at least one, got "
                         f"{len(condlist)} and {len(choicelist)}")
    choices = [array(x) if isinstance(x, (list, tuple)) else x for x in (*choicelist, default)]
    known = [values(x) for x in choices]
    xp, y = namespace(*known), choices.pop()
    if isinstance(y, (int, float)):  # two numbers would settle on float64, whatever follows
        y = xp.asarray(y, dtype=xp.result_type(*known))
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        condition = values(array(condition))
        if condition.dtype != bool:
            raise TypeError(f"conditions must be boolean, got {condition.dtype}; compare first")
        y = where(condition, choice, y)
    return y


@composite
def choose(indices: Any, choices: Any) -> Any:
    """Return, element by element, the choice whose number is the index."""
    indices, *parts = broadcast_arrays(values(array(indices)), *choices)
    return take_along_axis(stack(tuple(parts)), indices[None], 0)[0]


@composite
def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    """Return x with the value where the mask holds; there x receives no gradient."""
    return where(mask, value, x)


@nondifferentiable
def nonzero(x: Array, /) -> Any:
    """Return the tuple of indices, one for each axis, of the elements that are not 0, in C order.

    `x[nonzero(x)]` are these elements. Raises ValueError for a number, which has no axis.
    """
    x = namespace(x).asarray(x)
    if not x.ndim:
        raise ValueError("expected at least one axis, got a number; use atleast_1d first")
    return namespace(x).nonzero(x)


where.form(1)(nonzero)  # where(condition) is where it holds


@nondifferentiable
def flatnonzero(x: Array, /) -> Array:
    """Return the indices of the elements of x, flattened, that are not 0."""
    return namespace(x).flatnonzero(x)


@nondifferentiable
def argwhere(x: Array, /) -> Array:
    """Return the indices of the elements that are not 0: one row for each, a column for an axis."""
    return namespace(x).argwhere(x)


@nondifferentiable
def unravel_index(indices: Array, /, shape: Shape) -> Any:
    """Return the tuple of indices, one for each axis, of elements numbered in C order."""
    return namespace(indices).unravel_index(indices, shape)
