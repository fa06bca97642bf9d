"""Ops that rearrange elements; each gradient is the inverse rearrangement."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from ..backend import Array, Shape, namespace
from ..primitive import composite, primitive
from ..tensor import values

__all__ = [
    "concatenate", "expand_dims", "pad", "reshape", "split", "squeeze", "stack", "swapaxes",
    "transpose",
]


@primitive
def reshape(x: Array, /, shape: int | Shape) -> Array:
    """Return the same elements in the same order (C order) under another shape; -1 is inferred."""
    return namespace(x).reshape(x, shape)


@reshape.vjp
def _(g: Any, shapes: tuple[Shape, ...]) -> Any:
    return reshape(g, shapes[0])


@primitive
def transpose(x: Array, /, axes: Sequence[int] | None = None) -> Array:
    """Return x with its axes permuted; reversed if `axes` is None."""
    return namespace(x).transpose(x, axes)


@transpose.vjp
def _(g: Any, axes: Sequence[int] | None) -> Any:
    if axes is None:
        return transpose(g)
    return transpose(g, tuple(int(i) for i in np.argsort([a % len(axes) for a in axes])))


@primitive
def swapaxes(x: Array, /, axis1: int, axis2: int) -> Array:
    """Return x with two axes exchanged."""
    return namespace(x).swapaxes(x, axis1, axis2)


swapaxes.vjp(lambda g, axis1, axis2: swapaxes(g, axis1, axis2))


@primitive
def expand_dims(x: Array, /, axis: int | tuple[int, ...]) -> Array:
    """Return x with new axes of length 1 at the given positions."""
    return namespace(x).expand_dims(x, axis)


@expand_dims.vjp
def _(g: Any, shapes: tuple[Shape, ...]) -> Any:
    return reshape(g, shapes[0])


@primitive
def squeeze(x: Array, /, axis: int | tuple[int, ...] | None = None) -> Array:
    """Return x without the given axes of length 1; without all of them if `axis` is None."""
    return namespace(x).squeeze(x, axis)


@squeeze.vjp
def _(g: Any, shapes: tuple[Shape, ...]) -> Any:
    return reshape(g, shapes[0])


@primitive
def concatenate(*xs: Array, axis: int | None = 0) -> Array:
    """Return the arrays (a sequence of them) joined along an axis; flattened first if None."""
    return namespace(*xs).concatenate(xs, axis=axis)


@concatenate.vjp
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
def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Return arrays of one shape joined along a new axis."""
    shapes = {tuple(getattr(x, "shape", ())) for x in arrays}
    if len(shapes) != 1:
        raise ValueError(f"expected arrays of one shape, got {sorted(shapes)}")
    return concatenate([expand_dims(x, axis) for x in arrays], axis=axis)


@composite
def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """Return the list of pieces of x: that many equal ones, or cut before the given indices."""
    length = x.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        sections = int(indices_or_sections)
        if sections < 1 or length % sections:
            raise ValueError(f"axis {axis} of length {length} does not split into {sections} equal "
                             f"pieces; pass the indices to cut at instead")
        cuts = list(range(length // sections, length, length // sections)) if length else (
            [0] * (sections - 1))
    else:
        cuts = list(indices_or_sections)
    before = (slice(None),) * (axis % x.ndim)
    return [x[(*before, slice(start, stop))]
            for start, stop in zip([0, *cuts], [*cuts, length], strict=True)]


@primitive
def _pad(x: Array, /, widths: tuple[tuple[int, int], ...], value: Any) -> Array:
    return namespace(x).pad(x, widths, mode="constant", constant_values=value)


@_pad.vjp
def _(g: Any, shape: Shape, widths: tuple[tuple[int, int], ...]) -> Any:
    return g[tuple(slice(before, before + n)
                   for (before, _), n in zip(widths, shape, strict=True))]


@composite
def pad(x: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Any:
    """Return x with margins: of a constant, or ('edge', 'reflect', 'symmetric', 'wrap') of itself.

    `pad_width` is a number, one `(before, after)` for all axes, or one for each axis.
    """
    widths = tuple((int(a), int(b)) for a, b in
                   np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)))
    if mode == "constant":
        return _pad(x, widths, constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f"mode {mode!r} is not one of 'constant', 'edge', 'reflect', 'symmetric', "
                         f"'wrap'")
    for axis, width in enumerate(widths):
        if any(width):
            source = np.pad(np.arange(x.shape[axis]), width, mode=mode)  # type: ignore[call-overload]
            source = namespace(values(x)).asarray(source)
            x = x[(*(slice(None),) * axis, source)]
    return x
