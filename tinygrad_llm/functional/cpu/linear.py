"""Twin of `linear`: products on several threads, a weight's gradient written where it belongs.

In a batch that stays whole, one sequence of GPT-2 say, the products are all that there is to share
out. And the gradients of weights are the largest arrays of a step, though nothing happens to them
but that they are added up: so they are deferred.

A matrix W of half precision is not copied to float32 whole: blocks of its rows are, which fit a
core's cache, so that it costs memory for its own bytes only.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from autograd.backend import Array, narrowed, wide, wider
from autograd.deferred import Deferred

from ...host.threads import BLOCK_BYTES, each, matmul, write_product
from ..linear import linear


def forward(x: Array, w: Array, b: Array | None = None, /) -> Any:
    """Return what `linear` does."""
    rows = x.reshape(prod(x.shape[:-1]), x.shape[-1])  # N, I
    y = times_rows(rows, w)  # N, O
    if b is not None:
        y = y + b if b.dtype != y.dtype else np.add(y, b, out=y)
    y = narrowed(y, x, w, b).reshape(*x.shape[:-1], len(w))
    return y, (rows, w, b is not None, x.shape)


def backward(g: Array, saved: Any) -> tuple[Any, ...]:
    """Return the gradients of x, w and b."""
    rows, w, has_bias, shape = saved
    g = g.reshape(len(rows), len(w))  # N, O
    dx = matmul(g, wider(w)).reshape(shape)
    dw = Deferred(w, partial(write_product, g.T, wider(rows)))
    db = np.ones(len(g), g.dtype) @ g if has_bias else None  # BLAS adds rows fastest
    return dx, dw, db


def times_rows(x: Array, w: Array) -> Array:
    """Return x @ w.T for x (N, I) and w (O, I), in float32 where they have half precision."""
    x = wider(x)
    if wide(w.dtype) is w.dtype:
        return matmul(x, w.T)
    y = np.empty((len(x), len(w)), np.result_type(x, np.float32))
    step = max(1, BLOCK_BYTES // (4 * max(1, w.shape[1])))

    def piece(i: int) -> None:
        part = slice(i * step, (i + 1) * step)
        np.matmul(x, wider(w[part]).T, out=y[:, part])

    each(-(-len(w) // step), piece)
    return y


linear.twin("numpy", forward, backward, half=True)
