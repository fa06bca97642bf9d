r"""Rotary position embedding: pairs of numbers are turned by angles that grow with the position.

A pair $x = (a, b)$ of a head's numbers, where $a$ is the first and b is the second, becomes

$$y = M x = \begin{pmatrix} c & -s \\ s & c \end{pmatrix} \begin{pmatrix} a \\ b \end{pmatrix}
= \begin{pmatrix} c\,a - s\,b \\ s\,a + c\,b \end{pmatrix}$$

where $M$ is the matrix of the turn, with c from `cos` and s from `sin`, the cosine and sine of the
pair's angle at this position. Of a head's D numbers, the first R make pairs: $x_d$ with
$x_{d + R/2}$, or, if `interleaved`, $x_{2d}$ with $x_{2d+1}$, for $d = 0..R/2-1$. The rest stay as
they are. Kept: c and s.

$dy = M\,dx$, as c and s are constants, so

$$\bar x = M^\top g = \begin{pmatrix} c & s \\ -s & c \end{pmatrix} g ,$$

the same turn by the opposite angle: s changes its sign. The rest of $\bar x$ is the rest of g.

Where $\theta$ is the pair's frequency, the angle at position i is $i\,\theta$, and
$M_i^\top M_j = M_{j-i}$: the product of a turned query and a turned key depends on how far apart
they stand, not on where.

Trap: YaRN's cosines and sines are multiplied by a factor. Turning by the opposite angle is then no
inverse any more, but still the adjoint: nothing is to be divided by the factor.

Sources: Su et al., "RoFormer", arXiv:2104.09864, equations 14 to 16 and 34 (interleaved);
Black et al., "GPT-NeoX-20B", arXiv:2204.06745, section 2.1.1 (a part R of D; its code has halves).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd
from autograd import fused
from autograd.backend import Array


def reference(x: Any, /, *, cos: Array, sin: Array, interleaved: bool = False) -> Any:
    """The definition, in primitives."""
    (c, s), turned = by_head(x, cos, sin), 2 * cos.shape[-1]
    a, b = (x[..., part] for part in pairs(cos, interleaved))
    y = autograd.stack([c * a - s * b, s * a + c * b], -1 if interleaved else -2)
    y = autograd.reshape(y, (*y.shape[:-2], turned))
    return autograd.concatenate([y, x[..., turned:]], -1)


@fused(reference)
def rotary(x: Array, /, *, cos: Array, sin: Array, interleaved: bool = False) -> Any:
    """Return x (B, T, H, D) with pairs of each head turned by the angles of their positions.

    cos and sin (T, R/2), or (B, T, R/2) where each sequence has positions of its own, are
    constants; the first R of a head's D numbers are turned. The result has the dtype of x. Raises
    ValueError where the shapes do not fit.
    """
    return turn(x, cos, sin, interleaved), (cos, sin, interleaved)


@rotary.vjp
def backward(g: Array, saved: Any) -> Array:
    """Return the gradient of x."""
    cos, sin, interleaved = saved
    return turn(g, cos, -sin, interleaved)


def turn(x: Array, cos: Array, sin: Array, interleaved: bool) -> Array:
    """Return x with its pairs turned."""
    c, s = by_head(x, cos, sin)
    first, second = pairs(cos, interleaved)
    a, b, y = x[..., first], x[..., second], x.astype(c.dtype)  # a copy, with the rest in place
    y[..., first] = c * a - s * b
    y[..., second] = s * a + c * b
    return y


def pairs(cos: Array, interleaved: bool) -> tuple[slice, slice]:
    """Return where the first and the second numbers of all pairs lie in a head."""
    count = cos.shape[-1]
    if interleaved:
        return slice(0, 2 * count, 2), slice(1, 2 * count, 2)
    return slice(count), slice(count, 2 * count)


def by_head(x: Array, cos: Array, sin: Array) -> tuple[Array, Array]:
    """Return c and s (..., T, 1, R/2), the same for all heads, in the dtype of x."""
    dtype = np.result_type(x.dtype, np.float16)  # of integers, a floating one
    return cos[..., None, :].astype(dtype), sin[..., None, :].astype(dtype)


@rotary.check
def check(x: Array, /, *, cos: Array, sin: Array, **_: Any) -> None:
    """Raise ValueError unless the shapes fit."""
    shapes = [getattr(a, "shape", ()) for a in (cos, sin)]
    (*lead, half), same = shapes[0] or (0,), shapes[0] == shapes[1] != ()
    fits = same and x.ndim == 4 and tuple(lead) in (x.shape[1:2], x.shape[:2])
    if not fits or 2 * half > x.shape[3]:
        raise ValueError(
            f"rotary: expected x (B, T, H, D), cos and sin (T, R/2) or (B, T, R/2) with R at most "
            f"D, got x {x.shape}, cos {shapes[0]} and sin {shapes[1]}")
