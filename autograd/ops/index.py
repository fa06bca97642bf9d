r"""Ops that pick elements out, and their adjoint, which adds elements in.

Picking is linear: $y_k = x_{i(k)}$. Its adjoint sends each $\bar y_k$ back to place $i(k)$ and adds
where a place was picked more than once: `scatter_add` into zeros. Picking is in turn the adjoint
of `scatter_add`, so the pair differentiates to any order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..backend import Array, Shape, namespace
from ..primitive import composite, primitive
from ..tensor import Tensor, values
from .shape import reshape

__all__ = ["getitem", "scatter_add", "take", "take_along_axis"]


@primitive
def getitem(x: Array, /, index: Any) -> Array:
    """Return x[index] with all that NumPy's indexing knows: slices, integers, arrays, masks."""
    return x[_plain_index(index)]


@getitem.vjp
def _(g: Any, shape: Shape, index: Any) -> Any:
    xp = namespace(values(g))
    return scatter_add(xp.zeros(shape, dtype=g.dtype), index, g)


@primitive
def scatter_add(x: Array, index: Any, v: Array, /) -> Array:
    """Return x with v added at `x[index]`; places that occur more than once receive each v."""
    xp = namespace(x, v)
    index = _plain_index(index)
    y = x.astype(xp.result_type(x, v))  # a copy
    if _is_basic(index):
        y[index] += v
    else:
        xp.add.at(y, index, v)
    return y


@scatter_add.vjp
def _(g: Any, index: Any, shapes: tuple[Shape, ...]) -> tuple[Any, None, Any]:
    return g, None, g[index]


def _plain_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_plain_index(i) for i in index)
    return values(index)


def _is_basic(index: Any) -> bool:
    """Whether the index picks each element at most once, as slices and integers do."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or (isinstance(part, (slice, int, np.integer))
        and not isinstance(part, bool))
        for part in parts
    )


@composite
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Return the elements of x at integer `indices` along an axis; of x flattened if it is None."""
    x = x if isinstance(x, Tensor) else namespace(x).asarray(x)
    indices = _integers(x, indices)
    if axis is None:
        return reshape(x, -1)[indices]
    return x[(*(slice(None),) * normalize_axis_index(axis, x.ndim), indices)]


@composite
def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Any:
    """Return `x[.., indices[.., k, ..], ..]`: at each place along the axis, its own indices."""
    x = x if isinstance(x, Tensor) else namespace(x).asarray(x)
    indices = _integers(x, indices)
    if axis is None:
        return reshape(x, -1)[indices]
    if indices.ndim != x.ndim:
        raise ValueError(f"expected indices with {x.ndim} axes as x has, got {indices.ndim}")
    xp, here = namespace(indices), normalize_axis_index(axis, x.ndim)
    grid = [xp.arange(n).reshape((1,) * i + (n,) + (1,) * (x.ndim - i - 1))
            for i, n in enumerate(x.shape)]
    grid[here] = indices
    return x[tuple(grid)]


def _integers(x: Any, indices: Any) -> Array:
    indices = namespace(values(x)).asarray(values(indices))
    if indices.dtype.kind not in "iu":
        if indices.size:
            raise TypeError(f"indices must be integers, got {indices.dtype}")
        indices = indices.astype(int)
    return indices
