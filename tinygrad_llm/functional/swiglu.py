r"""SwiGLU: one half of each row, through SiLU, is the gate of the other half.

$$y = a \odot u, \qquad a = z\,s, \qquad s = \sigma(z)$$

of packed rows $x = [z,\; u]$, as one matrix product makes them: the gate z and, behind it, as many
numbers u. $\sigma(t) = 1 / (1 + e^{-t})$, and a is the SiLU (or swish) of z.

The differential. $ds = s\,(1 - s)\,dz$, so with the slope f of SiLU

$$da = f\,dz, \qquad f = s + a\,(1 - s), \qquad dy = u\,f\,dz + a\,du .$$

Each element stands by itself; the gradients of the halves lie side by side as the halves do:

$$\bar x = [\bar z,\; \bar u], \qquad \bar z = g \odot u \odot f, \qquad \bar u = g \odot a .$$

Kept: x, which the engine keeps in any case; s is computed again (the twin on NumPy, where that is
slow, keeps $u \odot f$ and a). Trap: of a large negative z, $e^{-z}$ overflows, where s is 0;
`sigmoid` computes with $e^{-|z|}$.

Source: Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202, equation 6; SiLU: Elfwing,
Uchibe, Doya, arXiv:1702.03118, equation 4.
"""

from __future__ import annotations

from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array


def reference(x: Any, /) -> Any:
    """The definition, in primitives."""
    z, u = autograd.split(x, 2, -1)
    return z * autograd.sigmoid(z) * u


@fused(reference)
def swiglu(x: Array, /) -> Any:
    """Return silu(gate) * up of the halves [gate | up] of each row.

    x of shape (..., 2F); the result is (..., F). Raises ValueError for rows that have no halves.
    """
    z, u = autograd.split(x, 2, -1)
    return z * autograd.sigmoid(z) * u, x


@swiglu.vjp
def backward(g: Array, x: Array) -> Array:
    """Return the gradient of x."""
    z, u = autograd.split(x, 2, -1)
    s = autograd.sigmoid(z)
    a = z * s
    f = s + a * (1 - s)
    return namespace(x).concatenate([g * f * u, g * a], -1)


@swiglu.check
def check(x: Array, /) -> None:
    """Raise ValueError unless each row has two halves."""
    if not x.ndim or x.shape[-1] % 2:
        raise ValueError(f"swiglu: expected x (..., 2F), a gate and as many numbers behind it, "
                         f"got x {x.shape}")
