"""GPT-2: configuration, block and model, in the order data flows.

`norm`, `positions` and `mlp` put parts of later models into it, one at a time, so that each can be
compared with what it replaced; `llama` has them all.

Sources: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.3:
layer norm before each sub-block and after the last, residual projections initialised smaller by
1 / sqrt(number of residual layers), here sqrt(2 layers); the output matrix is the token table.
Sinusoidal positions, beside which the token table is scaled by sqrt(width): Vaswani et al.,
"Attention Is All You Need", arXiv:1706.03762, sections 3.4 and 3.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Any

import numpy as np

from autograd import Tensor, checkpoint, fold_in, namespace
from autograd.backend import wider
from autograd.tensor import values

from ..functional import chunked_cross_entropy, linear, linear_cross_entropy
from ..nn import (
    MLP,
    Cache,
    CausalSelfAttention,
    Embedding,
    GatedMLP,
    LayerCache,
    LayerNorm,
    RMSNorm,
    Rotary,
    Rotate,
    drop,
    gated_inner,
    last_of,
    places_of,
    sinusoidal,
    subkey,
)
from .checks import (
    check_ids,
    require_at_least,
    require_heads_that_divide,
    require_one_of,
    require_share,
)


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
    norm: Annotated[str, "layer or rms"] = "layer"
    positions: Annotated[str, "learnt, sinusoidal or rotary"] = "learnt"
    mlp: Annotated[str, "gelu, relu_squared, or gated, with fewer columns: swiglu, geglu"] = "gelu"

    def __post_init__(self) -> None:
        require_at_least(1, self, "vocab_size", "context", "layers", "heads", "width")
        require_heads_that_divide(self.width, self.heads)
        require_share(self, "dropout")
        require_one_of(("layer", "rms"), self, "norm")
        require_one_of(("learnt", "sinusoidal", "rotary"), self, "positions")
        require_one_of(("gelu", "relu_squared", *GATES), self, "mlp")
        if self.positions != "learnt" and self.width // self.heads % 2:
            raise ValueError(f"{self.positions} positions come in pairs: width / heads must be "
                             f"even, got {self.width} / {self.heads}")

    def new_norm(self) -> LayerNorm | RMSNorm:
        """Return a fresh norm of the residual stream."""
        return LayerNorm(self.width, bias=self.bias) if self.norm == "layer" else RMSNorm(
            self.width)


GATES = {"swiglu": "silu", "geglu": "gelu_tanh"}


class Block:
    """One layer: attention and MLP, each added to the stream that runs past them."""

    def __init__(self, config: GPTConfig, rng: np.random.Generator | None) -> None:
        self.dropout = config.dropout
        residual_std = 0.02 / sqrt(2 * config.layers)
        self.ln_1 = config.new_norm()
        self.attn = CausalSelfAttention(config.width, config.heads, rng, bias=config.bias,
                                        dropout=config.dropout, residual_std=residual_std)
        self.ln_2 = config.new_norm()
        self.mlp: MLP | GatedMLP = (
            GatedMLP(config.width, gated_inner(config.width), rng, bias=config.bias,
                     activation=GATES[config.mlp], residual_std=residual_std)
            if config.mlp in GATES else
            MLP(config.width, 4 * config.width, rng, bias=config.bias, activation=config.mlp,
                residual_std=residual_std))

    def __call__(self, x: Any, key: int | None = None, cache: LayerCache | None = None,
                 rotate: Rotate | None = None, documents: Any = None) -> Any:
        """Map (B, T, C) to (B, T, C); with a cache, x are the positions behind those kept there."""
        y = self.attn(self.ln_1(x), subkey(key, 0), cache, rotate, documents)
        x = x + drop(y, self.dropout, subkey(key, 1))
        return x + drop(self.mlp(self.ln_2(x)), self.dropout, subkey(key, 2))


class GPT:
    """A decoder-only transformer; its parameters are drawn from `seed`, or zeros without one.

    With `recompute`, a block's activations are computed again in the backward pass and not kept;
    with a `loss_chunk`, so many rows of logits are held at a time.
    """

    recompute, loss_chunk = False, 0

    def __init__(self, config: GPTConfig, seed: int | None = 0) -> None:
        rng = None if seed is None else np.random.Generator(np.random.Philox(fold_in(seed, 0)))
        self.config = config
        self.wte = Embedding(config.vocab_size, config.width, rng)
        self.wpe = (Embedding(config.context, config.width, rng)
                    if config.positions == "learnt" else None)
        self.rotary = (Rotary(config.width // config.heads) if config.positions == "rotary"
                       else None)
        self.h = [Block(config, rng) for _ in range(config.layers)]
        self.ln_f = config.new_norm()
        self.head = self.wte.weight  # tied: one Tensor, whose gradient sums both uses

    def hidden(self, ids: Any, key: int | None = None, cache: Cache | None = None,
               documents: Any = None) -> Any:
        """Return the last layer's output (B, T, C) for token ids (B, T).

        A key turns dropout on. With a cache of B rows, the ids are those behind the ones whose keys
        and values are kept there, and theirs are added; see `nn.cache`. With `documents`, integers
        (B, T), positions are counted in each document anew and see no other. Raises
        ValueError for more tokens than the context holds.
        """
        check_ids("GPT", ids, self.config.context, cache, documents)
        x, rotate = self._placed(ids, cache, documents)
        x = drop(x, self.config.dropout, subkey(key, 0))
        for i, block in enumerate(self.h):
            kept = None if cache is None else cache.layers[i]
            run = checkpoint(block) if self.recompute and kept is None else block
            x = run(x, subkey(key, i + 1), kept, rotate, documents)
        if cache is not None:
            cache.advance(ids.shape[1])
        return self.ln_f(x)

    def _placed(self, ids: Any, cache: Cache | None, documents: Any) -> tuple[Any, Rotate | None]:
        """Return the tokens' rows (B, T, C) with positions in them, or a rotation for later."""
        x, time = self.wte(ids), ids.shape[1]
        places, seen = places_of(ids, cache, documents)
        stop = time if documents is not None else int(np.max(places)) + 1
        if self.wpe is not None and places.ndim == 1:
            return x + self.wpe.weight[stop - time : stop], None
        if self.rotary is not None:
            return x, self.rotary.rotation(places, seen, x)
        places = namespace(values(x)).asarray(places)
        if self.wpe is not None:
            return x + self.wpe(places), None
        table = namespace(places).asarray(sinusoidal(stop, self.config.width, x.dtype))
        return x * sqrt(self.config.width) + table[places], None

    def __call__(self, ids: Any, key: int | None = None, cache: Cache | None = None) -> Any:
        """Return the logits (B, T, V) of the token that follows each position."""
        return linear(wider(self.hidden(ids, key, cache)), self.head)

    def cache(self, rows: int = 1, capacity: int | None = None, bits: int | None = None,
              rotate: bool = True) -> Cache:
        """Return an empty cache of so many texts, with room for the context unless `capacity` says.

        With bits=8 it holds integers; see `nn.cache`. GPT has no windows, so `rotate` is void.
        """
        config = self.config
        return Cache.of(self, [None] * config.layers, rows, capacity, bits, heads=config.heads,
                        depth=config.width // config.heads)

    def loss(self, ids: Any, targets: Any, key: int | None = None, documents: Any = None) -> Tensor:
        """Return the mean cross-entropy of `targets` (B, T), in nats a token."""
        x = self.hidden(ids, key, documents=documents)
        loss: Tensor = (
            chunked_cross_entropy(wider(x), self.head, targets, rows=self.loss_chunk)
            if self.loss_chunk else linear_cross_entropy(wider(x), self.head, targets))
        return loss

    training_loss = loss

    def next_logits(self, ids: Any, cache: Cache | None = None) -> Any:
        """Return the logits (B, V) of the token that follows the last position, without padding."""
        return linear(wider(last_of(self.hidden(ids, cache=cache), cache)), self.head)

    def lens(self, x: Any) -> Any:
        """Return the logits (..., V) of a residual stream (..., C), as if no layer followed."""
        return linear(wider(self.ln_f(x)), self.head)
