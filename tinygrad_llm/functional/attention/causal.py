r"""Causal multi-head self-attention, from packed queries, keys and values.

For each head, with rows $q_i, k_j, v_j$ of length D for the positions i, j = 1..T:

$$s_{ij} = \tfrac{1}{\sqrt D}\, q_i \cdot k_j \;\; (j \le i), \qquad
p_{ij} = \frac{e^{s_{ij}}}{\sum_{l \le i} e^{s_{il}}}, \qquad o_i = \sum_{j \le i} p_{ij}\,v_j$$

and $p_{ij} = 0$ for j > i: position i sees nothing later than itself. With dropout, p is
multiplied by its mask m before the last sum; below, $\tilde p = m \odot p$.

The differentials, and their adjoints in the reverse order:

1. $do = d\tilde p\,V + \tilde p\,dV$, so $\bar V = \tilde p^\top G$ and
   $\bar p = m \odot (G V^\top)$.
2. Softmax: $dp_{ij} = p_{ij}(ds_{ij} - \sum_l p_{il}\,ds_{il})$, so
   $\bar s_{ij} = p_{ij}(\bar p_{ij} - \delta_i)$ with
   $\delta_i = \sum_l p_{il}\,\bar p_{il} = \sum_l \tilde p_{il}\,G_i \cdot v_l = G_i \cdot o_i$:
   D products in place of T.
3. $ds = \tfrac{1}{\sqrt D}(dQ\,K^\top + Q\,dK^\top)$, so $\bar Q = \tfrac{1}{\sqrt D}\,\bar s K$
   and $\bar K = \tfrac{1}{\sqrt D}\,\bar s^\top Q$.

Rows of D numbers are divided by the sums of the exponentials, never rows of T: with
$e_{ij} = e^{s_{ij} - \max_l s_{il}}$ and $z_i = \sum_j e_{ij}$ it is
$o_i = \sum_j \tilde e_{ij} v_j / z_i$, and with $g_i = G_i / z_i$ in place of $G_i$, e stands for p
in all of the above. Kept: the input, e, z, m and o. Scores are computed by blocks of queries, which
leave out most later keys, see `attention_blocks`; $\bar V$ and $\bar K$ are sums over blocks.

Where p is exactly 0 so is $\bar s$: the gradient with respect to a later token is exactly zero.
Trap: the mask must be in s before the maximum is taken, or a large hidden score makes every
visible exponential underflow.

Source: Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, section 3.2; $\delta$ from
Dao et al., "FlashAttention", arXiv:2205.14135, appendix B.2.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array
from autograd.tensor import values

from ...host.threads import each
from ..dropout import keep_mask
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


def reference(qkv: Any, /, *, heads: int, dropout: float = 0.0, key: int | None = None) -> Any:
    """The definition, in primitives."""
    batch, time, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    q, k, v = autograd.transpose(  # each B, H, T, D
        autograd.reshape(qkv, (batch, time, 3, heads, width // heads)), (2, 0, 3, 1, 4))
    xp = namespace(values(qkv))
    future = xp.triu(xp.ones((time, time), dtype=bool), 1)
    s = q @ autograd.swapaxes(k, -1, -2) / sqrt(width // heads)
    s = autograd.where(future, -xp.inf, s)
    p = autograd.exp(s - autograd.logsumexp(s, -1, keepdims=True))
    if dropout and key is not None:
        p = p * keep_mask(p.shape, dropout, key, values(p))
    return autograd.reshape(autograd.transpose(p @ v, (0, 2, 1, 3)), (batch, time, width))


@fused(reference)
def causal_attention(qkv: Array, /, *, heads: int, dropout: float = 0.0,
                     key: int | None = None) -> Any:
    """Return the attention of each position to itself and those before it.

    qkv of shape (B, T, 3 C) holds queries, keys and values side by side, each C = heads * D wide;
    the result is (B, T, C). `dropout` acts on the probabilities where a `key` is given. Raises
    ValueError where the last axis is not 3 * heads * D.
    """
    check_packed("causal_attention", qkv, heads)
    xp = namespace(qkv)
    q, k, v = split_heads(qkv, heads)  # each B, H, T, D
    batch, _, time, depth = q.shape
    o = xp.empty((batch, time, heads, depth), dtype=qkv.dtype)
    z = xp.empty((batch, heads, time, 1), dtype=qkv.dtype)
    cut, hidden, ones = pieces(q), future(q), xp.ones((time, 1), dtype=qkv.dtype)

    def attend(n: int) -> list[Any]:
        qn, kn, vn, on, zn = (x[cut[n]] for x in (q, k, v, o.transpose(0, 2, 1, 3), z))
        qn = qn * (1 / sqrt(depth))
        kept = []
        for i, j in blocks(time):
            room = xp.empty(qn[:, :, i:j, 0].size * j, dtype=qkv.dtype)
            e, _ = exponentials(qn[:, :, i:j], kn[:, :, :j], hidden, room)
            xp.matmul(e, ones[:j], out=zn[:, :, i:j])  # a product sums rows fastest
            mask = block_mask(q, cut[n], (i, j), dropout, key)
            xp.matmul(e if mask is None else e * mask, vn[:, :, :j], out=on[:, :, i:j])
            kept.append((i, j, e, mask))
        on /= zn
        return kept

    kept = each(len(cut), attend)
    return o.reshape(batch, time, heads * depth), (qkv, o, z, cut, kept)


@causal_attention.vjp
def _(g: Array, saved: Any) -> Any:
    qkv, o, z, cut, kept = saved
    xp, (heads, depth) = namespace(qkv), o.shape[2:]
    dqkv = xp.empty_like(qkv)
    dheads = split_heads(dqkv, heads)
    g, o = (x.reshape(o.shape).transpose(0, 2, 1, 3) for x in (g, o))  # B, H, T, D
    whole = (*split_heads(qkv, heads), g, o, z)

    def pull(n: int) -> None:
        q, k, v, gn, on, zn = (x[cut[n]] for x in whole)
        (room,) = scratch(k, 1)
        dq, dk, dv = part = dheads[(slice(None), *cut[n])]
        term = xp.empty(k.size, dtype=qkv.dtype)
        gn = gn / zn
        delta = xp.einsum("bhid,bhid->bhi", gn, on)[..., None]
        for i, j, e, mask in reversed(kept[n]):  # the last block sees all keys
            gi = gn[:, :, i:j]
            p = e if mask is None else e * mask
            add_product(p.swapaxes(-1, -2), gi, dv, term)
            ds = product(gi, v[:, :, :j].swapaxes(-1, -2), room)  # b, h, R, j
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
