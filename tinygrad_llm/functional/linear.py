r"""An affine map of the last axis.

$$Y = X W^\top + b, \qquad Y_{no} = \sum_i X_{ni} W_{oi} + b_o$$

with the leading axes of x flattened to one, n = 1..N. Kept: X and W, because the gradient of a
product needs the other factor; b is not needed.

The differential is $dY = dX\,W^\top + X\,dW^\top + \mathbf 1\,db^\top$. Contracting it with the
incoming gradient G, $\langle G, dY \rangle = \langle G W, dX \rangle + \langle G^\top X, dW \rangle
+ \langle G^\top \mathbf 1, db \rangle$, so

$$\bar X = G W, \qquad \bar W = G^\top X, \qquad \bar b = \textstyle\sum_n G_n .$$

Trap: $\bar W$ sums over every leading axis, batch and time alike; flattening them first makes it
one matrix product instead of B small ones and a sum.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

from autograd import fused, namespace
from autograd.backend import Array
from autograd.deferred import Deferred

from ..host.threads import matmul, write_product


def reference(x: Any, w: Any, b: Any = None, /) -> Any:
    """The definition, in primitives."""
    y = x @ w.T
    return y if b is None else y + b


@fused(reference)
def linear(x: Array, w: Array, b: Array | None = None, /) -> Any:
    """Return $x W^\\top + b$: x of shape (..., I), w (O, I), b (O,) or None, result (..., O).

    Raises ValueError where the shapes do not fit.
    """
    outputs, inputs = w.shape if w.ndim == 2 else (0, -1)
    if not x.ndim or x.shape[-1] != inputs or (b is not None and b.shape != (outputs,)):
        raise ValueError(
            f"linear: expected x (..., I), w (O, I) and b (O,), got x {x.shape}, w {w.shape}, "
            f"b {None if b is None else b.shape}; w holds one row for each output"
        )
    rows = x.reshape(prod(x.shape[:-1]), inputs)  # N, I
    y = matmul(rows, w.T)  # N, O
    if b is not None:
        y = y + b if b.dtype != y.dtype else namespace(y).add(y, b, out=y)
    return y.reshape(*x.shape[:-1], outputs), (rows, w, b is not None, x.shape)


@linear.vjp
def _(g: Array, saved: Any) -> tuple[Any, ...]:
    rows, w, has_bias, shape = saved
    g = g.reshape(len(rows), w.shape[0])  # N, O
    dx = matmul(g, w).reshape(shape)
    dw = Deferred(w, partial(write_product, g.T, rows))
    db = namespace(g).ones(len(g), g.dtype) @ g if has_bias else None
    return dx, dw, db
