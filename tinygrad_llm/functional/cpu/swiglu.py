r"""Twin of `swiglu`, in one walk over blocks of rows that stay in a core's cache, in place.

Kept beside x: $s = \sigma(z)$, half as large as x, so that the backward pass is free of
exponentials. The halves of a row lie apart from those of the next: what is computed in several
passes is computed in arrays of its own, whose rows are dense, and written into its half at last.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from autograd.backend import Array

from ...host.threads import over_rows
from ..swiglu import swiglu


def forward(x: Array, /) -> Any:
    """Return what `swiglu` does."""
    shape, width = x.shape, x.shape[-1] // 2
    x = x.astype(np.result_type(x, np.float32), copy=False)  # of integers too
    x = x.reshape(prod(shape[:-1]), 2 * width)  # N, 2 F
    s, y = (np.empty((len(x), width), x.dtype) for _ in range(2))

    def gate(rows: slice) -> None:
        z, part = x[rows, :width], s[rows]
        np.negative(z, out=part)
        with np.errstate(over="ignore"):  # 1 / infinity is the 0 that s is there
            np.exp(part, out=part)
        part += 1
        np.divide(1, part, out=part)
        np.multiply(z, part, out=y[rows])
        y[rows] *= x[rows, width:]

    over_rows(gate, x)
    return y.reshape(*shape[:-1], width), (x, s)


def backward(g: Array, saved: Any) -> Array:
    """Return the gradient of x."""
    x, s = saved
    *lead, width = g.shape
    g = g.reshape(s.shape)
    dx = np.empty(x.shape, g.dtype)

    def pull(rows: slice) -> None:
        a = x[rows, :width] * s[rows]
        np.multiply(g[rows], a, out=dx[rows, width:])
        f = 1 - s[rows]
        f *= a
        f += s[rows]
        f *= x[rows, width:]
        np.multiply(g[rows], f, out=dx[rows, :width])

    over_rows(pull, x)
    return dx.reshape(*lead, 2 * width)


swiglu.twin("numpy", forward, backward)
