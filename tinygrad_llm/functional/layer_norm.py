r"""Layer normalisation over the last axis.

$$y = w \odot n + b, \qquad n = (x - \mu)\,r, \qquad \mu = \tfrac1C \textstyle\sum_c x_c, \qquad
r = \bigl(\tfrac1C \sum_c (x_c - \mu)^2 + \epsilon\bigr)^{-1/2}$$

Kept: n, r (one number a row) and w; the first derivative does not need x itself.

The differential. With $\delta = dx - \overline{dx}$ (a bar over a vector: its mean) and
$\overline{n\,\delta} = \overline{n\,dx}$ because n has mean 0,
$dr = -r^3\,\overline{(x-\mu)\,\delta} = -r^2\,\overline{n\,dx}$, so

$$dn = r\,\delta + (x-\mu)\,dr = r\,(dx - \overline{dx} - n\,\overline{n\,dx}), \qquad
dy = w \odot dn + n \odot dw + db .$$

The map $dx \mapsto dn$ is symmetric, so it is its own adjoint. With $h = g \odot w$:

$$\bar x = r\,(h - \bar h - n\,\overline{h\,n}), \qquad \bar w = \textstyle\sum g \odot n, \qquad
\bar b = \sum g ,$$

the sums over all rows. Trap: $\epsilon$ stays inside r; $\overline{n^2}$ is then a little below 1,
and nowhere above was it taken to be 1. With a single column n = 0, so $\bar x$ = 0 as it must.

Source: Ba, Kiros, Hinton, "Layer Normalization", arXiv:1607.06450, equations 3 and 4.
"""

from __future__ import annotations

from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array


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
    if not x.ndim or w.shape != x.shape[-1:] or (b is not None and b.shape != w.shape):
        raise ValueError(f"layer_norm: expected x (..., C), w (C,) and b (C,), got x {x.shape}, "
                         f"w {w.shape}, b {None if b is None else b.shape}")
    xp = namespace(x)
    n = x - x.mean(axis=-1, keepdims=True)
    r = xp.einsum("...c,...c->...", n, n)[..., None]
    r = 1 / xp.sqrt(r / x.shape[-1] + eps)
    n *= r
    y = n * w
    if b is not None:
        y += b
    return y, (n, r, w, b is not None)


@layer_norm.vjp
def _(g: Array, saved: Any) -> tuple[Any, ...]:
    n, r, w, has_bias = saved
    xp, columns = namespace(g), n.shape[-1]
    dw = xp.einsum("nc,nc->c", g.reshape(-1, columns), n.reshape(-1, columns))
    db = g.reshape(-1, columns).sum(axis=0) if has_bias else None
    dx = g * w  # h
    hn = xp.einsum("...c,...c->...", dx, n)[..., None] / columns
    dx -= dx.mean(axis=-1, keepdims=True)
    dx -= n * hn
    dx *= r
    return dx, dw, db
