r"""GeGLU: one half of each row, through GELU, is the gate of the other half.

$$y = a \odot u, \qquad a = \operatorname{gelu}(z)$$

of packed rows $x = [z,\; u]$, as one matrix product makes them: the gate z and, behind it, as many
numbers u. `gelu.py` has both forms of $\operatorname{gelu}$ and the slope f of each, $da = f\,dz$.

$dy = u\,f\,dz + a\,du$. Each element stands by itself; the gradients of the halves lie side by
side as the halves do:

$$\bar x = [\bar z,\; \bar u], \qquad \bar z = g \odot u \odot f, \qquad \bar u = g \odot a .$$

Kept: the factors $u \odot f$ and a, packed as x is, as GELU keeps its slope; the backward pass is
one product of each half. Trap: GELU's own, far out; `gelu.py` has it.

Source: Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202, equation 6.
"""

from __future__ import annotations

from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array

from .gelu import gelu


def reference(x: Any, /, *, approximate: str = "tanh") -> Any:
    """The definition, in primitives."""
    z, u = autograd.split(x, 2, -1)
    return gelu.reference(z, approximate=approximate) * u


@fused(reference)
def geglu(x: Array, /, *, approximate: str = "tanh") -> Any:
    """Return gelu(gate) * up of the halves [gate | up] of each row; `approximate` is `gelu`'s.

    x of shape (..., 2F); the result is (..., F). Raises ValueError for rows that have no halves,
    and for another `approximate`.
    """
    z, u = autograd.split(x, 2, -1)
    a, f = gelu.forward(z, approximate=approximate)
    return a * u, namespace(x).concatenate([u * f, a], -1)


@geglu.vjp
def backward(g: Array, factors: Array) -> Array:
    """Return the gradient of x."""
    return namespace(g).concatenate([g, g], -1) * factors


@geglu.check
def check(x: Array, /, *, approximate: str = "tanh") -> None:
    """Raise ValueError unless each row has two halves and the approximation is known."""
    if not x.ndim or x.shape[-1] % 2:
        raise ValueError(f"geglu: expected x (..., 2F), a gate and as many numbers behind it, "
                         f"got x {x.shape}")
    if approximate not in ("tanh", "none"):
        raise ValueError(f"geglu: approximate must be 'tanh' or 'none', got {approximate!r}")
