r"""Causal multi-head self-attention in memory linear in T: probabilities are computed twice.

The map is that of `causal_attention`, whose file derives it:

$$s_{ij} = \tfrac{1}{\sqrt D}\, q_i \cdot k_j \;\; (j \le i), \qquad
e_{ij} = e^{s_{ij} - t_i}, \qquad t_i = \max_{j \le i} s_{ij}, \qquad
z_i = \sum_{j \le i} e_{ij}, \qquad o_i = \frac{1}{z_i} \sum_{j \le i} e_{ij}\,v_j$$

Kept: the input, o, t and z. Row i of e would be i numbers, but it is a function of $q_i$, K and one
number, $t_i$; so the backward pass computes e again, at the cost of one more matrix product beside
four, and of one more exponential.

Queries are taken a block of R at a time, with all the keys that they see: R T scores exist at once,
never T T, and as their rows are complete no running maximum is needed. With $g_i = G_i / z_i$ and
the dropout mask m, $\tilde e = m \odot e$, each block adds

$$\bar V \mathrel{+}= \tilde e^\top g, \qquad
\bar s_{ij} = e_{ij}\,(m_{ij}\,g_i \cdot v_j - g_i \cdot o_i), \qquad
\bar Q_i = \tfrac{1}{\sqrt D}\,\bar s_i K, \qquad
\bar K \mathrel{+}= \tfrac{1}{\sqrt D}\,\bar s^\top Q$$

The mask is drawn again from its key, a block's rows only. The sums begin with the last block,
because that one has all the keys.

Trap: one may keep $t_i + \ln z_i$ alone. Where scores are large, that sum swallows the logarithm
and p is off by a factor; with t and z apart each $e_{ij}$ is the same, bit for bit, as before.

Source: Dao, Fu, Ermon, Rudra, Ré, "FlashAttention", arXiv:2205.14135, algorithm 4; Dao,
"FlashAttention-2", arXiv:2307.08691, section 3.2, for work that is divided by queries.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from autograd import fused, namespace
from autograd.backend import Array

from ...host.threads import each
from .blocks import (
    add_product,
    block_mask,
    blocks,
    check_packed,
    exponentials,
    future,
    pieces,
    product,
    scratch,
    split_heads,
)
from .causal import reference


@fused(reference)
def flash_attention(qkv: Array, /, *, heads: int, dropout: float = 0.0,
                    key: int | None = None) -> Any:
    """Return the attention of each position to itself and those before it.

    qkv of shape (B, T, 3 C) holds queries, keys and values side by side, each C = heads * D wide;
    the result is (B, T, C), the same as that of `causal_attention`, and so is the dropout of a
    `key`. Raises ValueError where the last axis is not 3 * heads * D.
    """
    check_packed("flash_attention", qkv, heads)
    xp = namespace(qkv)
    q, k, v = split_heads(qkv, heads)  # each B, H, T, D
    batch, _, time, depth = q.shape
    o = xp.empty((batch, time, heads, depth), dtype=qkv.dtype)
    t, z = xp.empty((2, batch, heads, time, 1), dtype=qkv.dtype)
    cut, hidden, ones = pieces(q), future(q), xp.ones((time, 1), dtype=qkv.dtype)

    def attend(n: int) -> None:
        qn, kn, vn, on, tn, zn = (x[cut[n]] for x in (q, k, v, o.transpose(0, 2, 1, 3), t, z))
        (room,) = scratch(qn, 1)
        qn = qn * (1 / sqrt(depth))
        for i, j in blocks(time):
            e, tn[:, :, i:j] = exponentials(qn[:, :, i:j], kn[:, :, :j], hidden, room)
            xp.matmul(e, ones[:j], out=zn[:, :, i:j])  # a product sums rows fastest
            mask = block_mask(q, cut[n], (i, j), dropout, key)
            if mask is not None:
                e *= mask
            xp.matmul(e, vn[:, :, :j], out=on[:, :, i:j])
        on /= zn

    each(len(cut), attend)
    return o.reshape(batch, time, heads * depth), (qkv, o, t, z, cut, hidden, dropout, key)


@flash_attention.vjp
def _(g: Array, saved: Any) -> Any:
    qkv, o, t, z, cut, hidden, dropout, key = saved
    xp, (_, time, heads, depth) = namespace(qkv), o.shape
    dqkv = xp.empty_like(qkv)
    dheads = split_heads(dqkv, heads)
    g, o = (x.reshape(o.shape).transpose(0, 2, 1, 3) for x in (g, o))  # B, H, T, D
    whole = (*split_heads(qkv, heads), g, o, t, z)

    def pull(n: int) -> None:
        q, k, v, gn, on, tn, zn = (x[cut[n]] for x in whole)
        room, second = scratch(k, 2)
        dq, dk, dv = part = dheads[(slice(None), *cut[n])]
        term = xp.empty(k.size, dtype=qkv.dtype)
        gn = gn / zn
        delta = xp.einsum("bhid,bhid->bhi", gn, on)[..., None]
        scaled = q * (1 / sqrt(depth))
        for i, j in reversed(blocks(time)):  # the last block sees all keys
            mask = block_mask(whole[0], cut[n], (i, j), dropout, key)
            e, _ = exponentials(scaled[:, :, i:j], k[:, :, :j], hidden, room, tn[:, :, i:j])
            gi = gn[:, :, i:j]
            p = e if mask is None else e * mask
            add_product(p.swapaxes(-1, -2), gi, dv, term)
            ds = product(gi, v[:, :, :j].swapaxes(-1, -2), second)  # b, h, R, j
            if mask is not None:
                ds *= mask
            ds -= delta[:, :, i:j]
            ds *= e
            xp.matmul(ds, k[:, :, :j], out=dq[:, :, i:j])
            add_product(ds.swapaxes(-1, -2), q[:, :, i:j], dk, term)
        dqk = part[:2]
        dqk *= 1 / sqrt(depth)

    each(len(cut), pull)
    return dqkv
