"""Attention of packed queries, keys and values, under its names of version 0.1."""

from __future__ import annotations

from typing import Any

import autograd

from .attention import attention
from .split import split_heads


def causal_attention(qkv: Any, /, *, heads: int, dropout: float = 0.0,
                     key: int | None = None) -> Any:
    """Return the attention of each position to itself and those before it.

    qkv of shape (B, T, 3 C) holds queries, keys and values side by side, each C = heads * D wide;
    the result is (B, T, C). Raises ValueError where the last axis is not 3 * heads * D.
    """
    if qkv.ndim != 3 or heads < 1 or not qkv.shape[2] or qkv.shape[2] % (3 * heads):
        raise ValueError(f"causal_attention: expected qkv (B, T, 3 * heads * D), got {qkv.shape} "
                         f"with heads={heads}; the width must be a multiple of 3 * {heads}")
    depth = qkv.shape[2] // (3 * heads)
    q, k, v = (split_heads(qkv, first=n * heads, count=heads, depth=depth) for n in range(3))
    o = attention(q, k, v, dropout=dropout, key=key)
    return autograd.reshape(o, (*qkv.shape[:2], heads * depth))


flash_attention = causal_attention  # whether probabilities are kept is a choice inside now
