r"""Layer normalisation over the last axis.

$$y = w \odot n + b, \qquad n = (x - \mu)\,r, \qquad \mu = \tfrac1C \textstyle\sum_c x_c, \qquad
r = \bigl(\tfrac1C \sum_c (x_c - \mu)^2 + \epsilon\bigr)^{-1/2}$$

Kept: x, which the engine keeps in any case, w, and two numbers a row, $\mu$ and r; n is made again.

The differential. With $\delta = dx - \overline{dx}$ (a bar over a vector: its mean) and
$\overline{n\,\delta} = \overline{n\,dx}$ because n has mean 0,
$dr = -r^3\,\overline{(x-\mu)\,\delta} = -r^2\,\overline{n\,dx}$, so

$$dn = r\,\delta + (x-\mu)\,dr = r\,(dx - \overline{dx} - n\,\overline{n\,dx}), \qquad
dy = w \odot dn + n \odot dw + db .$$

The map $dx \mapsto dn$ is symmetric, so it is its own adjoint. With $h = g \odot w$:

$$\bar x = r\,(h - \bar h - n\,\overline{h\,n}), \qquad \bar w = \textstyle\sum g \odot n, \qquad
\bar b = \sum g ,$$

the sums over all rows. In the code $c = x - \mu$ stands for $n = c\,r$: r is a number for each row
and can be left out of the long products, $n\,\overline{h\,n} = c\,r^2\,\overline{h\,c}$. Means and
sums are products with a vector, which BLAS does in a third of the time of a reduction.

Trap: $\epsilon$ stays inside r; $\overline{n^2}$ is then a little below 1, and nowhere above was it
taken to be 1. With a single column n = 0, so $\bar x$ = 0 as it must.

Source: Ba, Kiros, Hinton, "Layer Normalization", arXiv:1607.06450, equations 3 and 4.
"""

from __future__ import annotations

from math import prod
from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array

from ..host.threads import over_rows


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
    xp, columns = namespace(x), x.shape[-1]
    shape, x = x.shape, x.reshape(prod(x.shape[:-1]), columns)  # N, C
    y = xp.empty(x.shape, xp.result_type(*(a for a in (x, w, b) if a is not None)))
    work = xp.result_type(y, xp.float32)  # the squares of float16 overflow
    mu, r = xp.empty((2, len(x), 1), work)
    share = xp.full(columns, 1 / max(1, columns), work)

    def normalise(rows: slice) -> None:
        mu[rows, 0] = x[rows] @ share
        c = x[rows] - mu[rows]
        rest = (c @ share)[:, None]  # 1 / C is rounded, and so is the mean of a large offset
        c -= rest
        mu[rows] += rest
        v = xp.einsum("nc,nc->n", c, c)
        v /= max(1, columns)
        v += eps
        r[rows, 0] = 1 / xp.sqrt(v)
        part = xp.multiply(r[rows], w, out=y[rows])  # first, as it takes no pass over x
        part *= c
        if b is not None:
            part += b

    over_rows(normalise, x)
    return y.reshape(shape), (x, mu, r, w, b is not None)


@layer_norm.vjp
def _(g: Array, saved: Any) -> tuple[Any, ...]:
    x, mu, r, w, has_bias = saved
    xp, shape = namespace(g), g.shape
    g = g.reshape(x.shape)
    dx = xp.empty_like(g)
    share, ones = w / x.shape[1], xp.ones(len(x), g.dtype)

    def pull(rows: slice) -> tuple[Any, Any]:
        gs, part, rs = g[rows], dx[rows], r[rows, 0]
        c = x[rows] - mu[rows]
        gc = xp.multiply(gs, c, out=part)
        dw, db = rs @ gc, ones[rows] @ gs
        c *= ((gc @ share) * rs * rs)[:, None]
        c += (gs @ share)[:, None]
        xp.multiply(gs, w, out=part)  # h
        part -= c
        part *= r[rows]
        return dw, db

    sums = over_rows(pull, x)
    dw = sum(dw for dw, _ in sums)
    db = sum(db for _, db in sums) if has_bias else None
    return dx.reshape(shape), dw, db
