r"""Rows of a table, looked up by number.

$$Y_{nc} = W_{i_n c} = \sum_v E_{nv} W_{vc}, \qquad E_{nv} = [i_n = v]$$

with the numbers $i_n$, so a lookup is the product $Y = E W$ with a one-hot matrix E that is never
made. Kept: the numbers i, and W for its shape.

$dY = E\,dW$, as the numbers are discrete and have no gradient. So

$$\bar W = E^\top G$$

with the incoming gradient G: row v receives the sum of the gradients of all places where v was
looked up, and a row that was not looked up receives zero.

Trap: a number that occurs twice must receive both gradients: `dw[ids] += g` keeps only the last.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd
from autograd import fused, namespace
from autograd.backend import Array, wide


def reference(ids: Any, w: Any, /) -> Any:
    """The definition, in primitives."""
    return autograd.getitem(w, ids)


@fused(reference, picks=True)
def embedding(ids: Array, w: Array, /) -> Any:
    """Return w[ids]: ids of shape (...) integers in [0, V), w (V, C), result (..., C).

    Raises TypeError for ids that are not integers, IndexError for ids out of range (on the CPU; a
    GPU would have to wait for the answer).
    """
    return w[ids], (ids, w)


@embedding.vjp
def backward(g: Array, saved: Any) -> tuple[None, Any]:
    """Return the gradient of w."""
    ids, w = saved
    xp = namespace(g)
    dw = xp.zeros(w.shape, wide(w.dtype))  # float16 would stop counting at 2048
    xp.add.at(dw, ids, g.astype(dw.dtype, copy=False))
    return None, dw


@embedding.check
def check(ids: Array, w: Array, /) -> None:
    """Raise unless ids are integers, w is a matrix, and, on the host, each id has a row."""
    if ids.dtype.kind not in "iu":
        raise TypeError(f"embedding: expected integer ids, got {ids.dtype}{list(ids.shape)}")
    if w.ndim != 2:
        raise ValueError(f"embedding: expected a table (V, C), got shape {w.shape}")
    if namespace(ids) is np and ids.size:
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= len(w):
            raise IndexError(f"embedding: ids must lie in [0, {len(w)}), got {low} to {high}")
