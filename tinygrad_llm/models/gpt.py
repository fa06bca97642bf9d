"""GPT-2: configuration, block and model, in the order data flows.

Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.3:
layer norm before each sub-block and after the last, residual projections initialised smaller by
1 / sqrt(number of residual layers), here sqrt(2 layers); the output matrix is the token table.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Any

import numpy as np

from autograd import Tensor, fold_in

from ..functional import linear, linear_cross_entropy
from ..nn import MLP, Cache, CausalSelfAttention, Embedding, LayerCache, LayerNorm, drop, subkey


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a GPT. Raises ValueError where they contradict each other.

    What is annotated with a help text is a setting of a run; see `registry`.
    """

    vocab_size: int
    context: Annotated[int, "tokens that a prediction can look back on"] = 64
    layers: Annotated[int, "transformer layers"] = 4
    heads: Annotated[int, "attention heads; width must be a multiple"] = 4
    width: Annotated[int, "width of the residual stream"] = 128
    dropout: Annotated[float, "share of activations dropped in training"] = 0.0
    bias: Annotated[bool, "biases in linear maps and layer norms, as in GPT-2"] = True

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "layers", "heads", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got width {self.width} and "
                             f"heads {self.heads}; {self.width - self.width % self.heads} and "
                             f"{self.width + self.heads - self.width % self.heads} would be")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")


class Block:
    """One layer: attention and MLP, each added to the stream that runs past them."""

    def __init__(self, config: GPTConfig, rng: np.random.Generator) -> None:
        self.dropout = config.dropout
        residual_std = 0.02 / sqrt(2 * config.layers)
        self.ln_1 = LayerNorm(config.width, bias=config.bias)
        self.attn = CausalSelfAttention(config.width, config.heads, rng, bias=config.bias,
                                        dropout=config.dropout, residual_std=residual_std)
        self.ln_2 = LayerNorm(config.width, bias=config.bias)
        self.mlp = MLP(config.width, rng, bias=config.bias, residual_std=residual_std)

    def __call__(self, x: Any, key: int | None = None, cache: LayerCache | None = None) -> Any:
        """Map (B, T, C) to (B, T, C); with a cache, x are the positions behind those kept there."""
        y = self.attn(self.ln_1(x), subkey(key, 0), cache)
        x = x + drop(y, self.dropout, subkey(key, 1))
        return x + drop(self.mlp(self.ln_2(x)), self.dropout, subkey(key, 2))


class GPT:
    """A decoder-only transformer with learnt positions; its parameters are drawn from `seed`."""

    def __init__(self, config: GPTConfig, seed: int = 0) -> None:
        rng = np.random.Generator(np.random.Philox(fold_in(seed, 0)))
        self.config = config
        self.wte = Embedding(config.vocab_size, config.width, rng)
        self.wpe = Embedding(config.context, config.width, rng)
        self.h = [Block(config, rng) for _ in range(config.layers)]
        self.ln_f = LayerNorm(config.width, bias=config.bias)
        self.head = self.wte.weight  # tied: one Tensor, whose gradient sums both uses

    def hidden(self, ids: Any, key: int | None = None, cache: Cache | None = None) -> Any:
        """Return the last layer's output (B, T, C) for token ids (B, T).

        A key turns dropout on. With a cache, the ids are those behind the ones whose keys and
        values are kept there, and theirs are added. Raises ValueError for more tokens than the
        context holds.
        """
        start = 0 if cache is None else cache.length
        if ids.ndim != 2 or start + ids.shape[1] > self.config.context:
            raise ValueError(f"GPT: expected ids (B, T) with T at most the context of "
                             f"{self.config.context}, got {tuple(ids.shape)}"
                             + (f" after {start} that are cached" if start else ""))
        x = self.wte(ids) + self.wpe.weight[start : start + ids.shape[1]]  # B, T, C
        x = drop(x, self.config.dropout, subkey(key, 0))
        for i, block in enumerate(self.h):
            x = block(x, subkey(key, i + 1), None if cache is None else cache.layers[i])
        return self.ln_f(x)

    def __call__(self, ids: Any, key: int | None = None, cache: Cache | None = None) -> Any:
        """Return the logits (B, T, V) of the token that follows each position."""
        return linear(self.hidden(ids, key, cache), self.head)

    def cache(self) -> Cache:
        """Return an empty cache for `hidden`, with room for the context."""
        return Cache(self.config.layers, self.config.context)

    def loss(self, ids: Any, targets: Any, key: int | None = None) -> Tensor:
        """Return the mean cross-entropy of `targets` (B, T), in nats a token."""
        x = self.hidden(ids, key)
        return linear_cross_entropy(x, self.head, targets)  # type: ignore[no-any-return]

    def next_logits(self, ids: Any, cache: Cache | None = None) -> Any:
        """Return the logits (B, V) of the token that follows the last position."""
        return linear(self.hidden(ids, cache=cache)[:, -1], self.head)
