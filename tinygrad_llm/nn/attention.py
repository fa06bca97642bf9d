"""The attention layer: project to queries, keys and values, attend, project back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..functional import causal_attention, flash_attention
from .layers import Linear, subkey


class CausalSelfAttention:
    """Multi-head self-attention in which no position sees a later one."""

    def __init__(self, width: int, heads: int, rng: np.random.Generator, *, bias: bool = True,
                 dropout: float = 0.0, residual_std: float = 0.02) -> None:
        self.heads = heads
        self.dropout = dropout
        self.qkv = Linear(width, 3 * width, rng, bias=bias)
        self.out = Linear(width, width, rng, bias=bias, std=residual_std)

    def __call__(self, x: Any, key: int | None = None) -> Any:
        """Map (B, T, width) to (B, T, width); a key turns dropout of the probabilities on."""
        qkv = self.qkv(x)  # B, T, 3 width
        # About T / 2 probabilities a query are kept, or computed again in a sixth more time: the
        # second where they are more than the 2 D numbers of its query and key.
        long = x.shape[1] > 4 * x.shape[2] // self.heads
        attention = flash_attention if long else causal_attention
        mixed = attention(qkv, heads=self.heads, dropout=self.dropout, key=subkey(key, 0))
        return self.out(mixed)
