"""The attention layer: project to queries, keys and values, attend, project back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..functional import attention, split_heads
from .cache import LayerCache
from .layers import Linear, RMSNorm, subkey

Rotate = Callable[[Any], Any]
"""A rotation of queries or keys (B, T, H, D) by their positions; see `nn.positions`."""


class CausalSelfAttention:
    """Multi-head self-attention in which no position sees a later one.

    There are `heads` heads of queries and `key_heads` of keys and values, which divides it, each
    `head_width` wide: by default as many, and their share of `width`. `qk_norm` makes the norm of
    queries and keys, for a head's width. `window`, `scale` and `soft_cap` are those of the op.
    """

    def __init__(self, width: int, heads: int, rng: np.random.Generator | None, *,
                 key_heads: int | None = None, head_width: int | None = None, bias: bool = True,
                 out_bias: bool | None = None, qk_norm: Callable[[int], RMSNorm] | None = None,
                 window: int | None = None, scale: float | None = None,
                 soft_cap: float | None = None, dropout: float = 0.0,
                 residual_std: float = 0.02) -> None:
        self.heads, self.key_heads = heads, key_heads or heads
        self.depth = head_width or width // heads
        self.window, self.scale, self.soft_cap, self.dropout = window, scale, soft_cap, dropout
        self.qkv = Linear(width, (heads + 2 * self.key_heads) * self.depth, rng, bias=bias)
        self.q_norm = self.k_norm = None
        if qk_norm is not None:
            self.q_norm, self.k_norm = qk_norm(self.depth), qk_norm(self.depth)
        self.out = Linear(heads * self.depth, width, rng, std=residual_std,
                          bias=bias if out_bias is None else out_bias)

    def __call__(self, x: Any, key: int | None = None, cache: LayerCache | None = None,
                 rotate: Rotate | None = None, documents: Any = None) -> Any:
        """Map (B, T, width) to (B, T, width); a key turns dropout of the probabilities on.

        With a cache, x are the next T positions, which see those that are kept there. `rotate`
        puts the positions into queries and keys. With `documents`, integers (B, T), positions of
        other documents are not seen.
        """
        q, k, v = self.heads_of(x, rotate)
        offset = None
        if cache is not None:
            k, v, offset = cache.extend(k, v)
        mixed = attention(q, k, v, offset=offset, window=self.window, scale=self.scale,
                          soft_cap=self.soft_cap, documents=documents, dropout=self.dropout,
                          key=subkey(key, 0))
        return self.out(mixed.reshape(*x.shape[:2], self.heads * self.depth))

    def heads_of(self, x: Any, rotate: Rotate | None = None) -> tuple[Any, Any, Any]:
        """Return queries (B, T, H, D), keys and values (B, T, G, D) of x (B, T, width)."""
        qkv = self.qkv(x)  # B, T, (H + 2 G) D
        counts = self.heads, self.key_heads, self.key_heads
        firsts = 0, self.heads, self.heads + self.key_heads
        q, k, v = (split_heads(qkv, first=first, count=count, depth=self.depth)
                   for first, count in zip(firsts, counts, strict=True))
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        return (q, k, v) if rotate is None else (rotate(q), rotate(k), v)
