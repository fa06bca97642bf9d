"""Twin of `geglu`, in one walk over blocks of rows that stay in a core's cache, in place.

Kept: the factors u f and a, one behind the other, so that the rows of each are dense: a pass over
the halves of packed rows takes twice as long.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from autograd.backend import Array

from ...host.threads import over_rows
from ..geglu import geglu
from .gelu import FORMS


def forward(x: Array, /, *, approximate: str = "tanh") -> Any:
    """Return what `geglu` does."""
    return gated(x, FORMS[approximate])


def gated(x: Array, compute: Callable[[Array, Array, Array], None]) -> Any:
    """Return y = a u and the factors of the backward pass; `compute(z, a, f)` writes a and f."""
    shape, width = x.shape, x.shape[-1] // 2
    x = x.astype(np.result_type(x, np.float32), copy=False)  # of integers too
    x = x.reshape(prod(shape[:-1]), 2 * width)  # N, 2 F
    y, factors = np.empty((len(x), width), x.dtype), np.empty((2, len(x), width), x.dtype)

    def gate(rows: slice) -> None:
        (uf, a), u = factors[:, rows], x[rows, width:]
        compute(x[rows, :width], a, uf)
        np.multiply(a, u, out=y[rows])
        uf *= u

    over_rows(gate, x)
    return y.reshape(*shape[:-1], width), factors


def backward(g: Array, factors: Array) -> Array:
    """Return the gradient of x."""
    *lead, width = g.shape
    g = g.reshape(factors.shape[1:])
    dx = np.empty((len(g), 2, width), g.dtype)
    halves = dx.swapaxes(0, 1)

    def pull(rows: slice) -> None:
        np.multiply(g[rows], factors[:, rows], out=halves[:, rows])

    over_rows(pull, dx)
    return dx.reshape(*lead, 2 * width)


geglu.twin("numpy", forward, backward)
