"""Twin of `swiglu`: `geglu`'s, with SiLU for GELU.

Kept: the factors u f and a, so that the backward pass is free of exponentials. With s in their
place, which is half as large, both passes take a tenth longer, and as long as GELU's of 4 C.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd.backend import Array

from ..swiglu import swiglu
from .geglu import backward, gated


def forward(x: Array, /) -> Any:
    """Return what `swiglu` does."""
    return gated(x, _silu)


def _silu(z: Array, a: Array, f: Array) -> None:
    """Write a = z s and the slope f = s + a (1 - s), and over z, which is not used again."""
    s = np.negative(z, out=f)
    with np.errstate(over="ignore"):  # 1 / infinity is the 0 that s is there
        np.exp(s, out=s)
    s += 1
    np.divide(1, s, out=s)
    np.multiply(z, s, out=a)
    rest = np.subtract(1, s, out=z)
    rest *= a
    f += rest


swiglu.twin("numpy", forward, backward)
