r"""The Gaussian error linear unit, exactly and in its tanh approximation.

Exactly, with the normal distribution's function $\Phi$ and density $\varphi$:

$$y = x\,\Phi(x), \qquad \Phi(x) = \tfrac12\bigl(1 + \operatorname{erf}(x/\sqrt2)\bigr), \qquad
\frac{dy}{dx} = \Phi(x) + x\,\varphi(x), \qquad \varphi(x) = \tfrac{1}{\sqrt{2\pi}} e^{-x^2/2}$$

The approximation, which GPT-2 was trained with, replaces $\Phi$ by
$\tfrac12(1 + \tanh u)$ with $u = \sqrt{2/\pi}\,(x + 0.044715\,x^3)$. Because
$\tfrac12(1 + \tanh u) = \sigma(2u)$, one exponential suffices:

$$y = x\,s, \qquad s = \sigma(2u), \qquad \frac{dy}{dx} = s + x\,s\,(1 - s)\,2u', \qquad
u' = \sqrt{2/\pi}\,(1 + 3 \cdot 0.044715\,x^2)$$

Each element stands by itself, so $\bar x = g\,\frac{dy}{dx}$. Kept: x and $\Phi$ or s, so that the
backward pass of the approximation has no transcendental function. Trap: far out $x^3$ and
$e^{-2u}$ overflow, where s has long been 0 or 1; so u is computed from x clipped to [-10, 10].

Source: Hendrycks, Gimpel, "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415, section 2.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array

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
    xp = namespace(x)
    if approximate == "none":
        s = 0.5 * (1 + autograd.erf(x * sqrt(0.5)))
    elif approximate == "tanh":
        near = xp.clip(x, -_FAR, _FAR)
        s = xp.empty_like(x)
        xp.multiply(near, near, out=s)
        s *= -2 * _ROOT * _CUBIC
        s -= 2 * _ROOT
        s *= near  # -2u
        xp.exp(s, out=s)
        s += 1
        xp.divide(1, s, out=s)
    else:
        raise ValueError(f"gelu: approximate must be 'tanh' or 'none', got {approximate!r}")
    return x * s, (x, s, approximate)


@gelu.vjp
def _(g: Array, saved: Any) -> Any:
    x, s, approximate = saved
    if approximate == "none":
        near = namespace(x).clip(x, -_FAR_EXACT, _FAR_EXACT)
        dx = namespace(x).exp(near * near * -0.5)
        dx *= 1 / sqrt(2 * pi)
        dx *= near
    else:
        near = namespace(x).clip(x, -_FAR, _FAR)
        dx = near * near
        dx *= 6 * _ROOT * _CUBIC
        dx += 2 * _ROOT  # 2u'
        dx *= near
        dx *= s
        dx *= 1 - s
    dx += s
    dx *= g
    return dx
