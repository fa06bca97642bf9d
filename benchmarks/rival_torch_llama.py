"""Llama in PyTorch, as one would write it there to be fast: the rival and the oracle.

Module names are those of `tinygrad_llm.models.Llama`, and what is packed there is packed here, so
that weights go by name. `scaled_dot_product_attention` takes grouped heads itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, key_heads: int) -> None:
        super().__init__()
        self.heads, self.key_heads, self.depth = heads, key_heads, width // heads
        self.qkv = nn.Linear(width, (heads + 2 * key_heads) * self.depth, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, time, width = x.shape
        rows = self.qkv(x).view(batch, time, -1, self.depth).transpose(1, 2)  # B, H + 2G, T, D
        q, k, v = rows.split((self.heads, self.key_heads, self.key_heads), dim=1)
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True,
                                           enable_gqa=self.heads != self.key_heads)
        return self.out(o.transpose(1, 2).reshape(batch, time, width))


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class GatedMLP(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, key_heads: int, inner: int) -> None:
        super().__init__()
        self.norm_1 = nn.RMSNorm(width, eps=1e-5)
        self.attn = Attention(width, heads, key_heads)
        self.norm_2 = nn.RMSNorm(width, eps=1e-5)
        self.mlp = GatedMLP(width, inner)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attn(self.norm_1(x), cos, sin)
        return x + self.mlp(self.norm_2(x))


class TorchLlama(nn.Module):
    """A Llama with a tied head; its parameters have the names of `tinygrad_llm.models.Llama`'s."""

    def __init__(self, vocab_size: int, context: int, layers: int, heads: int, width: int,
                 key_heads: int, inner: int) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocab_size, width)
        self.h = nn.ModuleList(Block(width, heads, key_heads, inner) for _ in range(layers))
        self.norm_f = nn.RMSNorm(width, eps=1e-5)
        self.head = nn.Linear(width, vocab_size, bias=False)
        self.head.weight = self.wte.weight
        pairs = torch.arange(width // heads // 2, dtype=torch.float64)
        angles = torch.outer(torch.arange(context, dtype=torch.float64),
                             10000.0 ** (-2 * pairs / (width // heads)))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (B, T, V)."""
        x, time = self.wte(ids), ids.shape[1]
        cos, sin = self.cos[:time].to(x.dtype), self.sin[:time].to(x.dtype)
        for block in self.h:
            x = block(x, cos, sin)
        return self.head(self.norm_f(x))

    def loss(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy; targets of -100 are ignored."""
        return F.cross_entropy(self(ids).flatten(0, 1), targets.flatten())
