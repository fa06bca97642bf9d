"""Llama and the models that grew from it: configuration, block and model, in the order data flows.

Beside GPT-2 (`gpt`): RMSNorm for layer norm, rotary for learnt positions, a gated MLP for one with
GELU, no biases, and queries that share keys. Llama 2 and 3, Mistral, Qwen 2 and 3, SmolLM2 and
Gemma 2 are configurations of it.

Sources: Touvron et al., "LLaMA", arXiv:2302.13971, section 2.2; "Llama 2", arXiv:2307.09288,
section 2.2 (grouped heads); Grattafiori et al., "The Llama 3 Herd of Models", arXiv:2407.21783,
section 3.2 (rotary scaling); Jiang et al., "Mistral 7B", arXiv:2310.06825, section 2 (window);
"Qwen2 Technical Report", arXiv:2407.10671, section 2.2 (biases, shared experts); "Qwen3 Technical
Report", arXiv:2505.09388, section 2 (norms of queries and keys, experts); Gemma Team, "Gemma 2",
arXiv:2408.00118, section 2 (soft caps, norms behind the sub-blocks, local and global layers).
An MLP of ReLU squared without a gate: So et al., "Primer", arXiv:2109.08668, section 3. Residual
branches that begin at zero, so that a deep model begins as the identity: Zhang, Dauphin, Ma, "Fixup
Initialization", arXiv:1901.09321, section 3; an output matrix that does: Yang et al., "Tensor
Programs V", arXiv:2203.03466, appendix D.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Any

import numpy as np

import autograd
from autograd import Tensor, checkpoint, fold_in, namespace
from autograd.backend import wider

from ..functional import (
    chunked_cross_entropy,
    linear,
    linear_cross_entropy,
    load_balance,
    softmax_cross_entropy,
)
from ..nn import (
    MLP,
    Cache,
    CausalSelfAttention,
    Embedding,
    GatedMLP,
    LayerCache,
    MixtureOfExperts,
    RMSNorm,
    Rotary,
    Rotate,
    drop,
    gated_inner,
    last_of,
    normal,
    places_of,
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
class LlamaConfig:
    """The sizes of a Llama, and its choices. Raises ValueError where they contradict each other."""

    vocab_size: int
    context: Annotated[int, "tokens that a prediction can look back on"] = 64
    layers: Annotated[int, "transformer layers"] = 4
    heads: Annotated[int, "attention heads; width must be a multiple"] = 4
    width: Annotated[int, "width of the residual stream"] = 128
    dropout: Annotated[float, "share of activations dropped in training"] = 0.0
    key_heads: Annotated[int, "heads of keys and values, a divisor of heads; 0 for as many"] = 0
    head_width: Annotated[int, "width of a head; 0 for width / heads"] = 0
    inner: Annotated[int, "columns of the MLP; 0 for 8/3 of width, without a gate 4"] = 0
    activation: Annotated[str, "of the gate: silu, gelu_tanh, gelu; relu_squared: no gate"] = "silu"
    norm_eps: Annotated[float, "RMSNorm's term against division by zero"] = 1e-5
    norm_offset: Annotated[float, "added to RMSNorm's weights: 1 in Gemma"] = 0.0
    theta: Annotated[float, "base of the rotary wavelengths"] = 10000.0
    rope_scaling: Annotated[str, "for longer texts, as 'linear factor=4'; see nn.positions"] = ""
    rotary_interleaved: Annotated[bool, "rotate neighbours, not halves of a head"] = False
    tied: Annotated[bool, "the output matrix is the token table"] = True
    zero_outputs: Annotated[bool, "what adds to the stream, and an untied head, begin at 0"] = False
    qkv_bias: Annotated[bool, "biases of queries, keys and values, as in Qwen 2"] = False
    out_bias: Annotated[bool, "a bias behind attention"] = False
    mlp_bias: Annotated[bool, "biases in the MLP"] = False
    qk_norm: Annotated[bool, "RMSNorm of queries and keys, as in Qwen 3"] = False
    window: Annotated[int, "keys that a query of a local layer sees; 0 for all"] = 0
    layer_pattern: Annotated[str, "local (L) and global (G) layers, repeated; with a window"] = "L"
    scale: Annotated[float, "factor of scores; 0 for 1 / sqrt(head width)"] = 0.0
    soft_cap: Annotated[float, "bound of scores, as in Gemma 2; 0 for none"] = 0.0
    logit_cap: Annotated[float, "bound of logits, as in Gemma 2; 0 for none"] = 0.0
    post_norms: Annotated[bool, "RMSNorm behind attention and MLP too, as in Gemma 2"] = False
    embed_scale: Annotated[float, "factor of the token table, in Gemma sqrt(width)"] = 1.0
    experts: Annotated[int, "experts in the place of the MLP; 0 for none"] = 0
    experts_per_token: Annotated[int, "experts that each token goes through"] = 2
    expert_inner: Annotated[int, "columns of an expert; 0 for inner / experts per token"] = 0
    shared_inner: Annotated[int, "columns of an expert that all tokens go through; 0: none"] = 0
    normalize_experts: Annotated[bool, "weights of a token's experts sum to 1"] = True
    balance: Annotated[float, "factor of the load-balancing loss in training"] = 0.01

    def __post_init__(self) -> None:
        require_at_least(1, self, "vocab_size", "context", "layers", "heads", "width")
        require_at_least(0, self, "key_heads", "head_width", "inner", "norm_eps", "window", "scale",
                         "soft_cap", "logit_cap", "experts", "expert_inner", "shared_inner",
                         "balance")
        require_share(self, "dropout")
        if not self.embed_scale > 0:
            raise ValueError(f"embed_scale must lie above 0, got {self.embed_scale}; 1 leaves the "
                             f"token table as it is")
        require_one_of(("silu", "gelu_tanh", "gelu", "relu_squared"), self, "activation")
        if not self.head_width:
            require_heads_that_divide(self.width, self.heads)
        if self.heads % self.groups:
            raise ValueError(f"key_heads must divide heads, got {self.key_heads} and {self.heads}")
        if not self.layer_pattern or set(self.layer_pattern) - {"L", "G"}:
            raise ValueError(f"layer_pattern must be letters L (local) and G (global), got "
                             f"{self.layer_pattern!r}")
        if {*self.layer_pattern} == {"L", "G"} and not self.window:
            raise ValueError(f"layer_pattern says which layers have a window; give the window, or "
                             f"leave {self.layer_pattern!r} out")
        self._check_experts()
        self.rotary()

    def _check_experts(self) -> None:
        if self.experts and self.mlp_bias:
            raise ValueError("experts have no biases; leave mlp_bias out")
        if self.experts and not self.gated:
            raise ValueError(f"experts are gated, and {self.activation} is without a gate; choose "
                             f"another activation")
        for name in ("experts_per_token", "expert_inner", "shared_inner", "normalize_experts"):
            value = getattr(self, name)
            if not self.experts and value != getattr(LlamaConfig, name):
                raise ValueError(f"{name} is of models with experts; give the number of experts, "
                                 f"or leave {name} = {value} out")
        if self.experts and not 1 <= self.experts_per_token <= self.experts:
            raise ValueError(f"experts_per_token must lie in [1, {self.experts}], the number of "
                             f"experts, got {self.experts_per_token}")

    @property
    def groups(self) -> int:
        """The heads of keys and values."""
        return self.key_heads or self.heads

    @property
    def depth(self) -> int:
        """The width of a head."""
        return self.head_width or self.width // self.heads

    @property
    def gated(self) -> bool:
        """Whether the MLP has a gate."""
        return self.activation != "relu_squared"

    @property
    def columns(self) -> int:
        """The columns of the MLP."""
        return self.inner or (gated_inner(self.width) if self.gated else 4 * self.width)

    @property
    def residual_std(self) -> float:
        """The deviation of the weights whose results are added to the stream, at initialisation."""
        return 0.0 if self.zero_outputs else 0.02 / sqrt(2 * self.layers)

    def rotary(self) -> Rotary:
        """Return the rotation of queries and keys.

        Raises ValueError for heads of an odd width and an unknown scaling.
        """
        return Rotary(self.depth, self.theta, self.rope_scaling, context=self.context,
                      interleaved=self.rotary_interleaved)

    def new_norm(self, width: int) -> RMSNorm:
        """Return a fresh norm."""
        return RMSNorm(width, eps=self.norm_eps, offset=self.norm_offset)

    def is_local(self, layer: int) -> bool:
        """Whether the queries of a layer see a window only."""
        pattern = self.layer_pattern
        return self.window > 0 and pattern[layer % len(pattern)] == "L"


class LlamaBlock:
    """One layer: attention and MLP or experts, each added to the stream that runs past them."""

    def __init__(self, config: LlamaConfig, layer: int, rng: np.random.Generator | None) -> None:
        self.dropout = config.dropout
        norm = config.new_norm
        self.norm_1 = norm(config.width)
        self.attn = CausalSelfAttention(
            config.width, config.heads, rng, key_heads=config.groups, head_width=config.depth,
            bias=config.qkv_bias, out_bias=config.out_bias,
            qk_norm=norm if config.qk_norm else None,
            window=config.window if config.is_local(layer) else None, scale=config.scale or None,
            soft_cap=config.soft_cap or None, dropout=config.dropout,
            residual_std=config.residual_std)
        self.post_attn = norm(config.width) if config.post_norms else _unchanged
        self.norm_2 = norm(config.width)
        self.mlp = _feed_forward(config, rng)
        self.post_mlp = norm(config.width) if config.post_norms else _unchanged

    def __call__(self, x: Any, key: int | None = None, cache: LayerCache | None = None,
                 rotate: Rotate | None = None, documents: Any = None,
                 routed: bool = False) -> Any:
        """Map (B, T, C) to (B, T, C); with a cache, x are the positions behind those kept there.

        If `routed`, return also what the router of the experts says and chooses, if there is one.
        """
        y = self.attn(self.norm_1(x), subkey(key, 0), cache, rotate, documents)
        x = x + drop(self.post_attn(y), self.dropout, subkey(key, 1))
        n = self.norm_2(x)
        y, route = (self.mlp(n, True) if routed and not isinstance(self.mlp, (MLP, GatedMLP)) else
                    (self.mlp(n), None))
        x = x + drop(self.post_mlp(y), self.dropout, subkey(key, 2))
        return x if route is None else (x, route)


def _unchanged(x: Any) -> Any:
    return x


def _feed_forward(config: LlamaConfig, rng: np.random.Generator | None
                  ) -> MLP | GatedMLP | MixtureOfExperts:
    options: dict[str, Any] = {"activation": config.activation, "residual_std": config.residual_std}
    if config.experts:
        inner = config.expert_inner or max(1, config.columns // config.experts_per_token)
        return MixtureOfExperts(config.width, inner, config.experts, config.experts_per_token, rng,
                                normalize=config.normalize_experts,
                                shared_inner=config.shared_inner, **options)
    kind = GatedMLP if config.gated else MLP
    return kind(config.width, config.columns, rng, bias=config.mlp_bias, **options)


def balance_of(routes: list[tuple[Any, Any]]) -> Any:
    """Return the load-balancing loss of the routers' probabilities and choices in all layers."""
    p = autograd.concatenate([p for p, _ in routes])
    xp = namespace(routes[0][1])
    return load_balance(p, chosen=xp.concatenate([chosen for _, chosen in routes]))


class Llama:
    """A decoder-only transformer; its parameters are drawn from `seed`, or zeros without one.

    With `recompute`, a block's activations are computed again in the backward pass and not kept;
    with a `loss_chunk`, so many rows of logits are held at a time, unless they have a cap.
    """

    recompute, loss_chunk = False, 0

    def __init__(self, config: LlamaConfig, seed: int | None = 0) -> None:
        rng = None if seed is None else np.random.Generator(np.random.Philox(fold_in(seed, 0)))
        self.config = config
        self.wte = Embedding(config.vocab_size, config.width, rng)
        self.rotary = config.rotary()
        self.h = [LlamaBlock(config, layer, rng) for layer in range(config.layers)]
        self.norm_f = config.new_norm(config.width)
        self.head = self.wte.weight if config.tied else normal(
            rng, (config.vocab_size, config.width), 0.0 if config.zero_outputs else 0.02)

    def hidden(self, ids: Any, key: int | None = None, cache: Cache | None = None,
               documents: Any = None, routes: list[Any] | None = None) -> Any:
        """Return the last layer's output (B, T, C) for token ids (B, T).

        A key turns dropout on. With a cache of B rows, the ids are those behind the ones whose keys
        and values are kept there, and theirs are added; see `nn.cache`. With `documents`, integers
        (B, T), positions are counted in each document anew and see no other. The choices of
        each layer's router are added to `routes`. Raises ValueError for more tokens than the
        context holds.
        """
        check_ids("Llama", ids, self.config.context, cache, documents)
        places, seen = places_of(ids, cache, documents)
        x = self.wte(ids)
        x = x if self.config.embed_scale == 1 else x * self.config.embed_scale
        rotate = self.rotary.rotation(places, seen, x)
        x = drop(x, self.config.dropout, subkey(key, 0))
        for i, block in enumerate(self.h):
            kept = None if cache is None else cache.layers[i]
            run = checkpoint(block) if self.recompute and kept is None else block
            y = run(x, subkey(key, i + 1), kept, rotate, documents, routes is not None)
            x, route = y if isinstance(y, tuple) else (y, None)
            if routes is not None and route is not None:
                routes.append(route)
        if cache is not None:
            cache.advance(ids.shape[1])
        return self.norm_f(x)

    def logits(self, x: Any) -> Any:
        """Return the logits (..., V) of the last layer's output (..., C), in float32 at least."""
        z, cap = linear(wider(x), self.head), self.config.logit_cap
        return cap * autograd.tanh(z / cap) if cap else z

    def __call__(self, ids: Any, key: int | None = None, cache: Cache | None = None) -> Any:
        """Return the logits (B, T, V) of the token that follows each position."""
        return self.logits(self.hidden(ids, key, cache))

    def cache(self, rows: int = 1, capacity: int | None = None, bits: int | None = None,
              rotate: bool = True) -> Cache:
        """Return an empty cache of so many texts, with room for the context unless `capacity` says.

        With bits=8 it holds integers; see `nn.cache`. Unless `rotate`, layers with a window keep
        all positions, and any can be truncated.
        """
        config = self.config
        windows = [config.window if rotate and config.is_local(layer) else None
                   for layer in range(config.layers)]
        return Cache.of(self, windows, rows, capacity, bits, heads=config.groups,
                        depth=config.depth)

    def loss(self, ids: Any, targets: Any, key: int | None = None, documents: Any = None,
             routes: list[Any] | None = None) -> Tensor:
        """Return the mean cross-entropy of `targets` (B, T), in nats a token."""
        x = self.hidden(ids, key, None, documents, routes)
        loss: Tensor = (
            softmax_cross_entropy(self.logits(x), targets) if self.config.logit_cap else
            chunked_cross_entropy(wider(x), self.head, targets, rows=self.loss_chunk)
            if self.loss_chunk else linear_cross_entropy(wider(x), self.head, targets))
        return loss

    def training_loss(self, ids: Any, targets: Any, key: int | None = None,
                      documents: Any = None) -> Tensor:
        """Return the cross-entropy plus `balance` times the load-balancing loss of all layers."""
        if not (self.config.experts and self.config.balance):
            return self.loss(ids, targets, key, documents)
        routes: list[Any] = []
        loss = self.loss(ids, targets, key, documents, routes)
        return loss + self.config.balance * balance_of(routes) if routes else loss

    def next_logits(self, ids: Any, cache: Cache | None = None) -> Any:
        """Return the logits (B, V) of the token that follows the last position, without padding."""
        return self.logits(last_of(self.hidden(ids, cache=cache), cache))

    def lens(self, x: Any) -> Any:
        """Return the logits (..., V) of a residual stream (..., C), as if no layer followed."""
        return self.logits(self.norm_f(x))
