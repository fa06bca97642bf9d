r"""The ops that the engine itself needs, to fit a gradient to the argument it belongs to.

Broadcasting repeats: $y_{ij} = x_j$. An element that is used several times receives the sum of the
gradients of its uses: $\bar x_j = \sum_i \bar y_{ij}$. So the rule of `broadcast_to` is `sum_to`.
Summing is $y_j = \sum_i x_{ij}$ with $\bar x_{ij} = \bar y_j$: the rule of `sum_to` is
`broadcast_to`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import Array, Shape, accumulated, namespace
from .primitive import primitive

__all__ = ["astype", "broadcast_to", "identity", "sum_to"]


@primitive
def identity(x: Array, /) -> Array:
    r"""Return x itself, as a new place in the record.

    $y = x$, so $dy = dx$ and $\bar x = \bar y$.
    """
    return namespace(x).asarray(x)


@identity.vjp
def _(g: Any) -> Any:
    return g


@primitive
def astype(x: Array, /, dtype: Any, copy: bool = True) -> Array:
    r"""Return x with its elements converted to `dtype`; integers and booleans end the tape.

    But for rounding $dy = dx$, so $\bar x = \bar y$, which the engine converts to the dtype of x.
    Without `copy` the result may share the memory of x, where that has the dtype already.
    """
    x = namespace(x).asarray(x)
    if x.dtype.kind == "c" and np.dtype(dtype).kind != "c":
        raise TypeError("complex numbers are not made real in silence; take their .real or .imag")
    return x.astype(dtype, copy=copy)


@astype.vjp
def _(g: Any) -> Any:
    return g  # the engine converts every gradient to the dtype of the argument it belongs to


@primitive
def broadcast_to(x: Array, /, shape: Shape) -> Array:
    r"""Return x repeated along new axes and along axes of length 1, without a copy (read-only).

    $y_{ji} = x_i$ for each repetition j, so $dy_{ji} = dx_i$ and $\bar x_i = \sum_j \bar y_{ji}$:
    `sum_to` is the adjoint.
    """
    return namespace(x).broadcast_to(x, shape)


@broadcast_to.vjp
def _(g: Any, shapes: tuple[Shape, ...]) -> Any:
    return sum_to(g, shapes[0])


@primitive
def sum_to(x: Array, /, shape: Shape) -> Array:
    r"""Return x summed over the axes that broadcasting `shape` to x's shape repeats.

    $y_i = \sum_j x_{ji}$ over the repetitions j, so $dy_i = \sum_j dx_{ji}$ and
    $\bar x_{ji} = \bar y_i$: `broadcast_to` is the adjoint.

    Raises ValueError where `shape` does not broadcast to the shape of x.
    """
    extra = x.ndim - len(shape)
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, x.shape[extra:], strict=True)):
        raise ValueError(f"sum_to: {tuple(shape)} does not broadcast to {x.shape}, so an array of "
                         f"the latter shape cannot be summed to the former")
    axes = tuple(range(extra)) + tuple(
        extra + i for i, n in enumerate(shape) if n == 1 and x.shape[extra + i] != 1
    )
    xp = namespace(x)
    return xp.reshape(accumulated(xp.sum, x, None, axis=axes) if axes else x, shape)


@sum_to.vjp
def _(g: Any, shapes: tuple[Shape, ...]) -> Any:
    return broadcast_to(g, shapes[0])
