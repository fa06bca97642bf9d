r"""Root mean square normalisation over the last axis: layer norm without the mean and the shift.

$$y = w \odot n, \qquad n = r\,x, \qquad r = \bigl(\langle x^2 \rangle + \epsilon\bigr)^{-1/2}$$

with $\langle x \rangle = \tfrac1C \sum_c x_c$ the mean over the last axis; $\epsilon$ is `eps`.
Without w, y = n. The last axis may be a head's, of x (B, T, H, D) with w (D,): that is QK-norm.
Kept: r, one number a row; x and w, which the engine keeps in any case.

The differential. $dr = -r^3\,\langle x\,dx \rangle = -r^2\,\langle n\,dx \rangle$, so

$$dn = r\,dx + x\,dr = r\,(dx - n\,\langle n\,dx \rangle), \qquad dy = w \odot dn + n \odot dw .$$

The map $dx \mapsto dn$ is symmetric, so it is its own adjoint. With $h = g \odot w$:

$$\bar x = r\,(h - n\,\langle h \odot n \rangle), \qquad \bar w = \textstyle\sum g \odot n ,$$

the sum over all rows. w is broadcast over the rows, so it is the engine that sums.

Trap: $\epsilon$ stays inside r; $\langle n^2 \rangle$ is then a little below 1, and nowhere above
was it taken to be 1. Squares overflow long before their root does, 300 in float16 and 1e20 in
float32: half precision is computed in float32 and rounded once, huge rows are scaled first.

Source: Zhang, Sennrich, "Root Mean Square Layer Normalization", arXiv:1910.07467, equation 4;
on queries and keys: Henry, Dachapally, Pawar, Chen, "Query-Key Normalization for Transformers",
arXiv:2010.04245, section 3.
"""

from __future__ import annotations

from typing import Any

from autograd import fused, namespace
from autograd.backend import Array, wide
from autograd.ops.reduce import root_mean_square


def reference(x: Any, w: Any = None, /, *, eps: float = 1e-5) -> Any:
    """The definition, in primitives."""
    n = x / root_mean_square(x, eps, -1)
    return n if w is None else w * n


@fused(reference)
def rms_norm(x: Array, w: Array | None = None, /, *, eps: float = 1e-5) -> Any:
    """Return x divided by the root of the mean of its squares over the last axis, then scaled.

    x of shape (..., C), w (C,) or None; the result has the shape of x. Raises ValueError where the
    shapes do not fit.
    """
    xp = namespace(x)
    r = 1 / root_mean_square(x.astype(xp.result_type(x, xp.float32), copy=False), eps, -1)
    n = x * r
    y = n if w is None else w * n
    dtype = x.dtype if w is None else xp.result_type(x, w)
    return y if wide(dtype) is dtype else y.astype(dtype), (x, r, w)


@rms_norm.vjp
def backward(g: Array, saved: Any) -> tuple[Any, ...]:
    """Return the gradients of x and w; that of a w which is not there, nothing asks for."""
    x, r, w = saved
    n = x * r
    h = g if w is None else g * w
    dx = r * (h - n * (h * n).mean(-1, keepdims=True))
    return dx, g * n


@rms_norm.check
def check(x: Array, w: Array | None = None, /, **_: Any) -> None:
    """Raise ValueError unless the shapes fit."""
    if not x.ndim or (w is not None and w.shape != x.shape[-1:]):
        raise ValueError(f"rms_norm: expected x (..., C) and w (C,) or None, got x {x.shape} and "
                         f"w {None if w is None else w.shape}")
