"""The attention layer: project to queries, keys and values, attend, project back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..functional import attention, split_heads
from .cache import LayerCache
from .layers import Linear, subkey


class CausalSelfAttention:
    """Multi-head self-attention in which no position sees a later one."""

    def __init__(self, width: int, heads: int, rng: np.random.Generator, *, bias: bool = True,
                 dropout: float = 0.0, residual_std: float = 0.02) -> None:
        self.heads = heads
        self.dropout = dropout
        self.qkv = Linear(width, 3 * width, rng, bias=bias)
        self.out = Linear(width, width, rng, bias=bias, std=residual_std)

    def __call__(self, x: Any, key: int | None = None, cache: LayerCache | None = None) -> Any:
        """Map (B, T, width) to (B, T, width); a key turns dropout of the probabilities on.

        With a cache, x are the next T positions, which see those that are kept there.
        """
        heads, depth = self.heads, x.shape[2] // self.heads
        qkv = self.qkv(x)  # B, T, 3 width
        q, k, v = (split_heads(qkv, first=n * heads, count=heads, depth=depth) for n in range(3))
        if cache is not None:
            k, v = cache.extend(k, v)
        mixed = attention(q, k, v, dropout=self.dropout, key=subkey(key, 0))
        return self.out(mixed.reshape(x.shape))
