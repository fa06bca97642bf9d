r"""The Gaussian error linear unit, exactly and in its tanh approximation.

Exactly, with the normal distribution's function $\Phi$ and density $\varphi$:

$$y = x\,\Phi(x), \qquad \Phi(x) = \tfrac12\bigl(1 + \operatorname{erf}(x/\sqrt2)\bigr), \qquad
\frac{dy}{dx} = \Phi(x) + x\,\varphi(x), \qquad \varphi(x) = \tfrac{1}{\sqrt{2\pi}} e^{-x^2/2}$$

The approximation, which GPT-2 was trained with, replaces $\Phi$ by
$\tfrac12(1 + \tanh u)$ with $u = \sqrt{2/\pi}\,(x + 0.044715\,x^3)$. Because
$\tfrac12(1 + \tanh u) = \sigma(2u)$, one exponential suffices:

$$y = x\,s, \qquad s = \sigma(2u), \qquad \frac{dy}{dx} = s + x\,s\,(1 - s)\,2u', \qquad
u' = \sqrt{2/\pi}\,(1 + 3 \cdot 0.044715\,x^2)$$

Each element stands by itself, so $\bar x = g\,\frac{dy}{dx}$. Kept: only the slope
$\frac{dy}{dx}$, which costs little while $\Phi$ or s is at hand; the backward pass is then one
product. Trap: far out $x^3$ and $e^{-2u}$ overflow, where s has long been 0 or 1; so u is computed
from x clipped to [-10, 10].

Source: Hendrycks, Gimpel, "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415, section 2.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array

from ..host.threads import over_rows

_ROOT = sqrt(2 / pi)
_CUBIC = 0.044715
_FAR = 10.0  # beyond, s is 0 or 1; up to there e^(-2u) is finite in float32
_FAR_EXACT = 40.0  # beyond, the density is 0


def reference(x: Any, /, *, approximate: str = "tanh") -> Any:
    """The definition, in primitives."""
    if approximate == "none":
        return x * (0.5 * (1 + autograd.erf(x * sqrt(0.5))))
    return 0.5 * x * (1 + autograd.tanh(_ROOT * (x + _CUBIC * x**3)))


@fused(reference)
def gelu(x: Array, /, *, approximate: str = "tanh") -> Any:
    """Return the GELU of each element; `approximate` is "tanh" (as in GPT-2) or "none" (exact).

    Raises ValueError for another `approximate`.
    """
    if approximate not in ("tanh", "none"):
        raise ValueError(f"gelu: approximate must be 'tanh' or 'none', got {approximate!r}")
    xp = namespace(x)
    x = xp.asarray(x)
    flat = x.reshape(-1)
    y, slope = xp.empty_like(flat), xp.empty_like(flat)
    compute = _by_tanh if approximate == "tanh" else _exactly
    over_rows(lambda part: compute(xp, flat[part], y[part], slope[part]), flat)
    return y.reshape(x.shape), slope.reshape(x.shape)


def _by_tanh(xp: Any, x: Array, y: Array, slope: Array) -> None:
    """Write y = x s and the slope s + y (1 - s) 2u', with 2u' = -3 p - 4 root and p = -2u / x."""
    near = xp.clip(x, -_FAR, _FAR, out=y)
    p = xp.multiply(near, near, out=slope)
    p *= -2 * _ROOT * _CUBIC
    p -= 2 * _ROOT
    s = p * near  # -2u
    xp.exp(s, out=s)
    s += 1
    xp.divide(1, s, out=s)
    xp.maximum(x, -_FAR, out=y)  # further out s is 0 in truth, and not the 1e-38 of -10
    y *= s
    slope *= -3
    slope -= 4 * _ROOT
    slope *= 1 - s
    slope *= y
    slope += s


def _exactly(xp: Any, x: Array, y: Array, slope: Array) -> None:
    """Write y = x Phi and the slope Phi + x phi."""
    near = xp.clip(x, -_FAR_EXACT, _FAR_EXACT, out=y)
    xp.multiply(near, near, out=slope)
    slope *= -0.5
    xp.exp(slope, out=slope)
    slope *= 1 / sqrt(2 * pi)
    slope *= near
    s = autograd.erf(x * sqrt(0.5))
    s += 1
    s *= 0.5
    slope += s
    xp.multiply(x, s, out=y)


@gelu.vjp
def _(g: Array, slope: Array) -> Any:
    return g * slope
