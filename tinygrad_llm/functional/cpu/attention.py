r"""Twin of `attention`: by blocks of queries that leave out most keys that are not seen.

Rows of D numbers are divided by the sums of the exponentials, never rows of S. With
$e_{ij} = e^{s_{ij} - t_i}$, $t_i = \max_l s_{il}$, $z_i = \sum_j e_{ij}$ and $\tilde e = m \odot e$

$$o_i = \frac{1}{z_i} \sum_j \tilde e_{ij}\,v_j,$$

and with $g_i / z_i$ in place of $g_i$, e stands for p in all of the derivation. $\bar v$ and
$\bar k$ are sums over blocks.

The forward pass keeps e, about S / 2 numbers a query, or the backward pass computes it again, bit
for bit: row i is a function of $q_i$, k and one number, $t_i$. That is one more product beside
five, and one more exponential, so e is kept where it takes no more memory than the query and its
key, 2 D numbers: up to S = 4 D. Trap: one may keep $t_i + \ln z_i$ alone, but where scores are
large, that sum swallows the logarithm and p is off by a factor.

Sources: Dao, Fu, Ermon, Rudra, Ré, "FlashAttention", arXiv:2205.14135, algorithm 4; Dao,
"FlashAttention-2", arXiv:2307.08691, section 3.2, for work that is divided by queries. Here whole
rows of scores fit a cache, so no running maximum is needed.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from autograd.backend import Array

from ...host.threads import each
from ..attention import attention, by_group
from .attention_blocks import (
    Options,
    add_product,
    block_mask,
    blocks,
    exponentials,
    pieces,
    product,
    scratch,
)

FEW = 4  # times D: the probabilities of up to so many keys are kept


def forward(q: Array, k: Array, v: Array, /, *, offset: Any = None, window: int | None = None,
            documents: Array | None = None, scale: float | None = None,
            soft_cap: float | None = None, dropout: float = 0.0, key: int | None = None) -> Any:
    """Return what `attention` does."""
    (_, time, _, depth), (_, keys, groups, _) = q.shape, k.shape
    if not (time and q.dtype == k.dtype == v.dtype):
        return NotImplemented
    if getattr(offset, "ndim", 0) == 0:
        offset = keys - time if offset is None else int(offset)
    alpha = 1 / sqrt(depth) if scale is None else scale
    how = Options(offset, window, documents, alpha, soft_cap, dropout, key)
    result = np.empty(q.shape, np.result_type(q, k, v))
    q, k, v, o = (by_group(x, groups) for x in (q, k, v, result))  # each B, G, R, time, D
    t, z = np.empty((2, *o.shape[:-1], 1), o.dtype)
    cut, few, ones = pieces(q, keys), keys <= FEW * depth, np.ones((keys, 1), o.dtype)

    def attend(n: int) -> list[Any]:
        qn, kn, vn, on, tn, zn = (x[cut[n]] for x in (q, k, v, o, t, z))
        qn = qn * alpha
        room = None if few else scratch(qn, keys)[0]
        kept = []
        for block in blocks(time, how, cut[n][0]):
            i, j, low, high = block
            e, tn[..., i:j, :], slope = exponentials(qn, kn, block, how, cut[n], room)
            np.matmul(e, ones[low:high], out=zn[..., i:j, :])  # a product sums rows fastest
            m = block_mask((*q.shape[:-1], keys), cut[n], block, how, e)
            p = e if m is None else e * m
            np.matmul(p, vn[..., low:high, :], out=on[..., i:j, :])
            kept.append((block, (e, m, slope) if few else ()))
        on /= zn
        return kept

    kept = each(len(cut), attend)
    return result, (q, k, v, o, t, z, cut, how, kept)


def backward(g: Array, saved: Any) -> tuple[Array, ...]:
    """Return the gradients of q, k and v."""
    q, k, v, o, t, z, cut, how, kept = saved
    batch, groups, _, keys, depth = k.shape
    results = np.empty(g.shape, g.dtype), *np.empty((2, batch, keys, groups, depth), g.dtype)
    whole = *(by_group(x, groups) for x in (*results, g)), q, k, v, o, t, z

    def pull(n: int) -> None:
        dq, dk, dv, gn, qn, kn, vn, on, tn, zn = (x[cut[n]] for x in whole)
        room, second = scratch(qn, keys, 2)
        last = kept[n][-1][0]
        gn, scaled = gn / zn, qn * how.alpha
        delta = np.einsum("bgrid,bgrid->bgri", gn, on)[..., None]
        dk[..., : last.low, :] = dk[..., last.high :, :] = 0
        dv[..., : last.low, :] = dv[..., last.high :, :] = 0
        for block, found in reversed(kept[n]):
            i, j, low, high = block
            if found:
                e, m, slope = found
            else:
                e, _, slope = exponentials(scaled, kn, block, how, cut[n], room, tn[..., i:j, :])
                m = block_mask((*q.shape[:-1], keys), cut[n], block, how, e)
            gi, here = gn[..., i:j, :], (..., slice(low, high), slice(None))
            p = e if m is None else e * m
            add_product(p, gi, dv[here], fresh=block == last)
            ds = product(gi, vn[here].swapaxes(-1, -2), second)  # b, g, R, i..j, low..high
            if m is not None:
                ds *= m
            ds -= delta[..., i:j, :]
            ds *= e
            if slope is not None:
                ds *= slope
            np.matmul(ds, kn[here], out=dq[..., i:j, :])
            add_product(ds, qn[..., i:j, :], dk[here], fresh=block == last)
        dq *= how.alpha
        dk *= how.alpha

    each(len(cut), pull)
    return results


attention.twin("numpy", forward, backward)
