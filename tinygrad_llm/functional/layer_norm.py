r"""Layer normalisation over the last axis.

$$y = w \odot n + b, \qquad n = (x - \mu)\,r, \qquad \mu = \langle x \rangle, \qquad
r = \bigl(\langle (x - \mu)^2 \rangle + \epsilon\bigr)^{-1/2}$$

with $\langle x \rangle = \tfrac1C \sum_c x_c$ the mean over the last axis; $\epsilon$ is `eps`.
Kept: n, r and w.

The differential. With $\delta = dx - \langle dx \rangle$, and $\langle n\,\delta \rangle =
\langle n\,dx \rangle$ because n has mean 0, $dr = -r^3\,\langle (x-\mu)\,\delta \rangle =
-r^2\,\langle n\,dx \rangle$, so

$$dn = r\,\delta + (x-\mu)\,dr = r\,(dx - \langle dx \rangle - n\,\langle n\,dx \rangle), \qquad
dy = w \odot dn + n \odot dw + db .$$

The map $dx \mapsto dn$ is symmetric, so it is its own adjoint. With $h = g \odot w$:

$$\bar x = r\,(h - \langle h \rangle - n\,\langle h \odot n \rangle), \qquad
\bar w = \textstyle\sum g \odot n, \qquad \bar b = \sum g ,$$

the sums over all rows. w and b are broadcast over the rows, so it is the engine that sums.

Trap: $\epsilon$ stays inside r; $\langle n^2 \rangle$ is then a little below 1, and nowhere above
was it taken to be 1. With a single column n = 0, so $\bar x$ = 0 as it must. And $\mu$ is rounded:
of a row far from 0 that error is as large as what the row varies by, so $x - \mu$ is centred again.

Source: Ba, Kiros, Hinton, "Layer Normalization", arXiv:1607.06450, equations 3 and 4.
"""

from __future__ import annotations

from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array
from autograd.ops.reduce import root_mean_square


def reference(x: Any, w: Any, b: Any = None, /, *, eps: float = 1e-5) -> Any:
    """The definition, in primitives."""
    mu = autograd.mean(x, -1, keepdims=True)
    r = (autograd.var(x, -1, keepdims=True) + eps) ** -0.5
    y = w * ((x - mu) * r)
    return y if b is None else y + b


@fused(reference)
def layer_norm(x: Array, w: Array, b: Array | None = None, /, *, eps: float = 1e-5) -> Any:
    """Return x normalised over its last axis, scaled and shifted.

    x of shape (..., C), w (C,), b (C,) or None; the result has the shape of x. Raises ValueError
    where the shapes do not fit.
    """
    xp = namespace(x)
    n = x.astype(xp.result_type(x, xp.float32))  # the squares of float16 overflow
    for _ in range(2):
        n -= n.mean(-1, keepdims=True)
    r = 1 / root_mean_square(n, eps, -1)
    n *= r
    n, r = n.astype(x.dtype, copy=False), r.astype(x.dtype, copy=False)
    y = w * n
    return y if b is None else y + b, (n, r, w, b is not None)


@layer_norm.vjp
def backward(g: Array, saved: Any) -> tuple[Any, ...]:
    """Return the gradients of x, w and b."""
    n, r, w, has_bias = saved
    h = g * w
    dx = r * (h - h.mean(-1, keepdims=True) - n * (h * n).mean(-1, keepdims=True))
    return dx, g * n, g if has_bias else None


@layer_norm.check
def check(x: Array, w: Array, b: Array | None, /, **_: Any) -> None:
    """Raise ValueError unless the shapes fit."""
    if not x.ndim or w.shape != x.shape[-1:] or (b is not None and b.shape != w.shape):
        raise ValueError(f"layer_norm: expected x (..., C), w (C,) and b (C,), got x {x.shape}, "
                         f"w {w.shape}, b {None if b is None else b.shape}")
