r"""Rows of a table, looked up by number.

$$Y_{nc} = W_{i_n c} = \sum_v E_{nv} W_{vc}, \qquad E_{nv} = [i_n = v]$$

so a lookup is the product with a one-hot matrix E that is never made. Kept: the numbers i only.

By the product rule $\bar W = E^\top G$: row v receives the sum of the gradients of all places where
v was looked up, and a row that was not looked up receives zero. The numbers are discrete and have
no gradient.

Trap: a number that occurs twice must receive both gradients: `dw[ids] += g` keeps only the last.
For a small table the product with E, made after all, is faster than adding row by row: on a CPU
`add.at` takes some 300 times as long for one of N C numbers as BLAS for one of N V C products.
For a large one no array of its size is made: the rows are added to the gradient itself.
"""

from __future__ import annotations

from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array
from autograd.deferred import Deferred

_SMALL_TABLE = 256  # rows; up to here E is small enough to be multiplied with


def reference(ids: Any, w: Any, /) -> Any:
    """The definition, in primitives."""
    return autograd.getitem(w, ids)


@fused(reference)
def embedding(ids: Array, w: Array, /) -> Any:
    """Return w[ids]: ids of shape (...) integers in [0, V), w (V, C), result (..., C).

    Raises TypeError for ids that are not integers, IndexError for ids out of range (on the CPU).
    """
    if ids.dtype.kind not in "iu":
        raise TypeError(f"embedding: expected integer ids, got {ids.dtype}{list(ids.shape)}")
    if w.ndim != 2:
        raise ValueError(f"embedding: expected a table (V, C), got shape {w.shape}")
    check_range("embedding", ids, w.shape[0])
    return w[ids], (ids, w)


@embedding.vjp
def _(g: Array, saved: Any) -> tuple[None, Any]:
    ids, w = saved
    xp = namespace(g)
    ids, g = ids.reshape(-1), g.reshape(ids.size, w.shape[1])
    if len(w) <= _SMALL_TABLE:
        one_hot = (ids[:, None] == xp.arange(len(w))).astype(g.dtype)  # N, V
        return None, one_hot.T @ g

    def write(dw: Array, add: bool) -> None:
        if not add:
            dw[...] = 0
        xp.add.at(dw, ids, g)

    return None, Deferred(w, write, sparse=True)


def check_range(op: str, ids: Array, size: int) -> None:
    """Raise IndexError for ids outside [0, size); on the host only: a GPU would have to wait."""
    if namespace(ids).__name__ == "numpy" and ids.size:
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= size:
            raise IndexError(f"{op}: ids must lie in [0, {size}), got {low} to {high}")
