r"""Causal multi-head self-attention, from packed queries, keys and values.

For each head, with rows $q_i, k_j, v_j$ of length D for the positions i, j = 1..T:

$$s_{ij} = \tfrac{1}{\sqrt D}\, q_i \cdot k_j \;\; (j \le i), \qquad
p_{ij} = \frac{e^{s_{ij}}}{\sum_{l \le i} e^{s_{il}}}, \qquad o_i = \sum_{j \le i} p_{ij}\,v_j$$

and $p_{ij} = 0$ for j > i: position i sees nothing later than itself. With dropout, p is
multiplied by its mask m before the last sum; below, $\tilde p = m \odot p$.

Kept: the input, p and o. The differentials, and their adjoints in the reverse order:

1. $do = d\tilde p\,V + \tilde p\,dV$, so $\bar V = \tilde p^\top G$ and
   $\bar p = m \odot (G V^\top)$.
2. Softmax: $dp_{ij} = p_{ij}(ds_{ij} - \sum_l p_{il}\,ds_{il})$, so
   $\bar s_{ij} = p_{ij}(\bar p_{ij} - \delta_i)$ with
   $\delta_i = \sum_l p_{il}\,\bar p_{il} = \sum_l \tilde p_{il}\,G_i \cdot v_l = G_i \cdot o_i$:
   D products in place of T.
3. $ds = \tfrac{1}{\sqrt D}(dQ\,K^\top + Q\,dK^\top)$, so $\bar Q = \tfrac{1}{\sqrt D}\,\bar s K$
   and $\bar K = \tfrac{1}{\sqrt D}\,\bar s^\top Q$.

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

from .dropout import keep_mask


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
    if qkv.ndim != 3 or heads < 1 or not qkv.shape[2] or qkv.shape[2] % (3 * heads):
        raise ValueError(f"causal_attention: expected qkv (B, T, 3 * heads * D), got {qkv.shape} "
                         f"with heads={heads}; the width must be a multiple of 3 * {heads}")
    xp = namespace(qkv)
    batch, time, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    q, k, v = _heads(qkv, heads)  # each B, H, T, D
    p = xp.matmul(q * (1 / sqrt(width // heads)), k.swapaxes(-1, -2))  # B, H, T, T
    p += _future(xp, time, p.dtype)
    if time:
        p -= p.max(axis=-1, keepdims=True)
    p = xp.exp(p, out=p)
    p /= p.sum(axis=-1, keepdims=True)
    mask = keep_mask(p.shape, dropout, key, p) if dropout and key is not None else None
    o = xp.matmul(p if mask is None else p * mask, v)
    o = o.transpose(0, 2, 1, 3).reshape(batch, time, width)
    return o, (qkv, p, mask, o, heads)


@causal_attention.vjp
def _(g: Array, saved: Any) -> Any:
    qkv, p, mask, o, heads = saved
    xp = namespace(qkv)
    batch, time, width = o.shape
    q, k, v = _heads(qkv, heads)
    dqkv = xp.empty_like(qkv)
    dq, dk, dv = _heads(dqkv, heads)
    g, o = (x.reshape(batch, time, heads, width // heads) for x in (g, o))
    delta = xp.einsum("bthd,bthd->bht", g, o)[..., None]
    g = g.transpose(0, 2, 1, 3)  # B, H, T, D
    dv[...] = xp.matmul((p if mask is None else p * mask).swapaxes(-1, -2), g)
    ds = xp.matmul(g, v.swapaxes(-1, -2))
    if mask is not None:
        ds *= mask
    ds -= delta
    ds *= p
    ds *= 1 / sqrt(width // heads)
    dq[...] = xp.matmul(ds, k)
    dk[...] = xp.matmul(ds.swapaxes(-1, -2), q)
    return dqkv


def _heads(qkv: Array, heads: int) -> Any:
    """Return the packed array as views (3, B, H, T, D)."""
    batch, time, width = qkv.shape
    return qkv.reshape(batch, time, 3, heads, width // (3 * heads)).transpose(2, 0, 3, 1, 4)


def _future(xp: Any, time: int, dtype: Any) -> Array:
    """Return (T, T): minus infinity above the diagonal, 0 elsewhere."""
    return xp.triu(xp.full((time, time), -xp.inf, dtype=dtype), 1)
