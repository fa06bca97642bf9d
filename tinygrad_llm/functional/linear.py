r"""An affine map of the last axis.

$$Y = X W^\top + b, \qquad Y_{no} = \sum_i X_{ni} W_{oi} + b_o$$

with the leading axes of x flattened to one, n = 1..N. Kept: X and W, because the gradient of a
product needs the other factor; b is not needed.

The differential is $dY = dX\,W^\top + X\,dW^\top + \mathbf 1\,db^\top$. Its inner product with the
incoming gradient G is
$G \cdot dY = G W \cdot dX + G^\top X \cdot dW + G^\top \mathbf 1 \cdot db$, so

$$\bar X = G W, \qquad \bar W = G^\top X, \qquad \bar b = \textstyle\sum_n G_n .$$

Trap: $\bar W$ sums over every leading axis, batch and time alike; flattening them first makes it
one matrix product instead of B small ones and a sum.
"""

from __future__ import annotations

from math import prod
from typing import Any

from autograd import fused
from autograd.backend import Array


def reference(x: Any, w: Any, b: Any = None, /) -> Any:
    """The definition, in primitives."""
    y = x @ w.T
    return y if b is None else y + b


@fused(reference)
def linear(x: Array, w: Array, b: Array | None = None, /) -> Any:
    """Return $x W^\\top + b$: x of shape (..., I), w (O, I), b (O,) or None, result (..., O).

    Raises ValueError where the shapes do not fit.
    """
    rows = x.reshape(prod(x.shape[:-1]), x.shape[-1])  # N, I
    y = rows @ w.T  # N, O
    y = y if b is None else y + b
    return y.reshape(*x.shape[:-1], len(w)), (rows, w, b is not None, x.shape)


@linear.vjp
def backward(g: Array, saved: Any) -> tuple[Any, ...]:
    """Return the gradients of x, w and b."""
    rows, w, has_bias, shape = saved
    g = g.reshape(len(rows), len(w))  # N, O
    dx = (g @ w).reshape(shape)
    return dx, g.T @ rows, g.sum(0) if has_bias else None


@linear.check
def check(x: Array, w: Array, b: Array | None = None, /) -> None:
    """Raise ValueError unless the shapes fit."""
    outputs, inputs = w.shape if w.ndim == 2 else (0, -1)
    if not x.ndim or x.shape[-1] != inputs or (b is not None and b.shape != (outputs,)):
        raise ValueError(
            f"linear: expected x (..., I), w (O, I) and b (O,), got x {x.shape}, w {w.shape}, "
            f"b {None if b is None else b.shape}; w holds one row for each output"
        )
