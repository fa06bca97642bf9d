r"""The Gaussian error linear unit, exactly and in its tanh approximation.

Exactly, with the normal distribution's function $\Phi$ and density $\varphi$:

$$y = x\,\Phi(x), \qquad \Phi(x) = \tfrac12\bigl(1 + \operatorname{erf}(x/\sqrt2)\bigr), \qquad
\varphi(x) = \tfrac{1}{\sqrt{2\pi}} e^{-x^2/2}, \qquad dy = (\Phi(x) + x\,\varphi(x))\,dx$$

The approximation, which GPT-2 was trained with, replaces $\Phi$ by
$\tfrac12(1 + \tanh u)$ with $u = \sqrt{2/\pi}\,(x + 0.044715\,x^3)$. Because
$\tfrac12(1 + \tanh u) = \sigma(2u)$, one exponential suffices:

$$y = x\,s, \qquad s = \sigma(2u), \qquad dy = (s + 2x\,s\,(1 - s)\,u')\,dx, \qquad
u' = \sqrt{2/\pi}\,(1 + 3 \cdot 0.044715\,x^2)$$

Each element stands by itself, so with the slope f

$$\bar x = g \odot f, \qquad f = \begin{cases} \Phi(x) + x\,\varphi(x) & \text{exactly} \\
s + 2x\,s\,(1 - s)\,u' & \text{approximately} \end{cases}$$

Kept: only the slope, which costs little while $\Phi$ or s is at hand; the backward pass is then one
product. Trap: far out powers and $e^{-2u}$ overflow, where s has long been 0 or 1. So s and the
slope are computed from z, x clipped to [-10, 10] (the density from x clipped to [-40, 40]), and
x s from x clipped at -10: there s is not 0 but $10^{-38}$, which a large x would lift again.

Source: Hendrycks, Gimpel, "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415, section 2.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array

ROOT = sqrt(2 / pi)
CUBIC = 0.044715
FAR = 10.0  # beyond, s is 0 or 1; up to there e^(-2u) is finite in float32
FAR_EXACT = 40.0  # beyond, the density is 0


def reference(x: Any, /, *, approximate: str = "tanh") -> Any:
    """The definition, in primitives."""
    if approximate == "none":
        return x * (0.5 * (1 + autograd.erf(x * sqrt(0.5))))
    return 0.5 * x * (1 + autograd.tanh(ROOT * (x + CUBIC * x**3)))


@fused(reference)
def gelu(x: Array, /, *, approximate: str = "tanh") -> Any:
    """Return the GELU of each element; `approximate` is "tanh" (as in GPT-2) or "none" (exact).

    Raises ValueError for another `approximate`.
    """
    xp = namespace(x)
    if approximate == "none":
        z = xp.clip(x, -FAR_EXACT, FAR_EXACT)
        phi = xp.exp(-0.5 * z * z) / sqrt(2 * pi)
        s = 0.5 * (1 + autograd.erf(x * sqrt(0.5)))
        return x * s, s + z * phi
    z = xp.clip(x, -FAR, FAR)
    u = ROOT * (z + CUBIC * z * z * z)
    s = 1 / (1 + xp.exp(-2 * u))
    du = ROOT * (1 + 3 * CUBIC * z * z)
    y = xp.maximum(x, -FAR) * s
    return y, s + z * s * (1 - s) * 2 * du


@gelu.vjp
def backward(g: Array, slope: Array) -> Any:
    """Return the gradient of x."""
    return g * slope


@gelu.check
def check(x: Array, /, *, approximate: str = "tanh") -> None:
    """Raise ValueError for an approximation that is not known."""
    if approximate not in ("tanh", "none"):
        raise ValueError(f"gelu: approximate must be 'tanh' or 'none', got {approximate!r}")
