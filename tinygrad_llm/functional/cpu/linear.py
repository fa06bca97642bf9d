"""Twin of `linear`: products on several threads, a weight's gradient written where it belongs.

In a batch that stays whole, one sequence of GPT-2 say, the products are all that there is to share
out. And the gradients of weights are the largest arrays of a step, though nothing happens to them
but that they are added up: so they are deferred.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from autograd.backend import Array
from autograd.deferred import Deferred

from ...host.threads import matmul, write_product
from ..linear import linear


def forward(x: Array, w: Array, b: Array | None = None, /) -> Any:
    """Return what `linear` does."""
    rows = x.reshape(prod(x.shape[:-1]), x.shape[-1])  # N, I
    y = matmul(rows, w.T)  # N, O
    if b is not None:
        y = y + b if b.dtype != y.dtype else np.add(y, b, out=y)
    return y.reshape(*x.shape[:-1], len(w)), (rows, w, b is not None, x.shape)


def backward(g: Array, saved: Any) -> tuple[Any, ...]:
    """Return the gradients of x, w and b."""
    rows, w, has_bias, shape = saved
    g = g.reshape(len(rows), len(w))  # N, O
    dx = matmul(g, w).reshape(shape)
    dw = Deferred(w, partial(write_product, g.T, rows))
    db = np.ones(len(g), g.dtype) @ g if has_bias else None  # BLAS adds rows fastest
    return dx, dw, db


linear.twin("numpy", forward, backward)
