"""Where the tensors of Hugging Face's models lie in ours: whole, or rows of a packed parameter.

    model.layers.0.self_attn.k_proj.weight    rows H D to (H + G) D of h.0.attn.qkv.weight
    transformer.h.0.attn.c_attn.weight        h.0.attn.qkv.weight, turned over: (inputs, outputs)

A place is a view, so a tensor is read into it and written out of it without a copy beside. Only
where our rotary pairs are neighbours, queries and keys are written in another order, as copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd import Tensor
from autograd.backend import Array

from ..models import GPTConfig

WHOLE = ...
KINDS = ("weight", "bias")
EXPERT = {"mlp.": ("gate_proj", "up_proj", "down_proj"), "block_sparse_moe.": ("w1", "w3", "w2")}
"""The names of an expert's gate, of what that multiplies, and of the way back."""


@dataclass(frozen=True)
class Place:
    """A part of one of our parameters: an index into it, and whether it is turned over."""

    parameter: str
    index: Any = WHOLE
    turned: bool = False

    def view(self, array: Array) -> Array:
        """Return the part of the parameter's array, in the shape that its tensor has."""
        part = array[self.index]
        return part.T if self.turned else part


def places(config: Any, own: Mapping[str, Tensor], experts_as: str = "mlp") -> dict[str, Place]:
    """Return the place of each tensor of a model whose parameters are `own`, by its name in files.

    They come in the order that their modules have in transformers. `experts_as` is "mlp", or
    "block_sparse_moe" for Mixtral.
    """
    if isinstance(config, GPTConfig):
        return dict(_gpt2(config))  # all of them: biases that ours does without are zeros there
    return {name: place for name, place in _llama(config, own, experts_as)
            if place.parameter in own}


def _gpt2(config: GPTConfig) -> Iterator[tuple[str, Place]]:
    for name in ("wte", "wpe"):
        yield f"transformer.{name}.weight", Place(f"{name}.weight")
    blocks = {"ln_1": "ln_1", "attn.c_attn": "attn.qkv", "attn.c_proj": "attn.out",
              "ln_2": "ln_2", "mlp.c_fc": "mlp.up", "mlp.c_proj": "mlp.down"}
    for i in range(config.layers):
        for theirs, ours in blocks.items():
            for kind in KINDS:
                yield f"transformer.h.{i}.{theirs}.{kind}", Place(
                    f"h.{i}.{ours}.{kind}", turned=".c_" in theirs and kind == "weight")
    for kind in KINDS:
        yield f"transformer.ln_f.{kind}", Place(f"ln_f.{kind}")


def _llama(config: Any, own: Mapping[str, Tensor], experts_as: str) -> Iterator[tuple[str, Place]]:
    yield "model.embed_tokens.weight", Place("wte.weight")
    for i in range(config.layers):
        for theirs, place in _block(config, f"h.{i}.", own, experts_as):
            yield f"model.layers.{i}.{theirs}", place
    yield "model.norm.weight", Place("norm_f.weight")
    yield "lm_head.weight", Place("head")


def _block(config: Any, h: str, own: Mapping[str, Tensor], experts_as: str
           ) -> Iterator[tuple[str, Place]]:
    q, k = config.heads * config.depth, config.groups * config.depth
    rows: dict[str, Any] = {"q": slice(0, q), "k": slice(q, q + k), "v": slice(q + k, q + 2 * k)}
    half_split: Any = WHOLE
    if config.rotary_interleaved:  # pairs 2d, 2d + 1, where files have d, d + D / 2
        half_split = np.arange(config.depth).reshape(-1, 2).T.ravel()
        heads = np.arange(0, q + k, config.depth)[:, None] + half_split
        rows |= {"q": heads[:config.heads].ravel(), "k": heads[config.heads:].ravel()}
    for name, part in rows.items():
        for kind in KINDS:
            yield f"self_attn.{name}_proj.{kind}", Place(f"{h}attn.qkv.{kind}", part)
    for kind in KINDS:
        yield f"self_attn.o_proj.{kind}", Place(f"{h}attn.out.{kind}")
    for name in ("q_norm", "k_norm"):
        yield f"self_attn.{name}.weight", Place(f"{h}attn.{name}.weight", half_split)
    yield from _mlp("mlp.", f"{h}mlp.", own)
    if config.experts:
        yield from _experts(config, f"{experts_as}.", f"{h}mlp.", own)
    behind = ("post_attn", "norm_2", "post_mlp") if config.post_norms else ("norm_2",)
    names = ("post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    for theirs, ours in zip(("input_layernorm", *names), ("norm_1", *behind), strict=False):
        yield f"{theirs}.weight", Place(f"{h}{ours}.weight")


def _mlp(theirs: str, ours: str, own: Mapping[str, Tensor]) -> Iterator[tuple[str, Place]]:
    """Yield the parts of a gated MLP, if there is one."""
    if f"{ours}gate_up.weight" not in own:
        return
    inner = own[f"{ours}gate_up.weight"].shape[0] // 2
    for name, part in (("gate", slice(0, inner)), ("up", slice(inner, None))):
        for kind in KINDS:
            yield f"{theirs}{name}_proj.{kind}", Place(f"{ours}gate_up.{kind}", part)
    for kind in KINDS:
        yield f"{theirs}down_proj.{kind}", Place(f"{ours}down.{kind}")


def _experts(config: Any, theirs: str, ours: str, own: Mapping[str, Tensor]
             ) -> Iterator[tuple[str, Place]]:
    yield f"{theirs}gate.weight", Place(f"{ours}router.weight")
    inner = own[f"{ours}gate_up"].shape[1] // 2
    gate, up, down = EXPERT[theirs]
    for e in range(config.experts):
        yield f"{theirs}experts.{e}.{gate}.weight", Place(f"{ours}gate_up", (e, slice(0, inner)))
        yield f"{theirs}experts.{e}.{up}.weight", Place(f"{ours}gate_up", (e, slice(inner, None)))
    for e in range(config.experts):
        yield f"{theirs}experts.{e}.{down}.weight", Place(f"{ours}down", e)
    yield from _mlp(f"{theirs}shared_expert.", f"{ours}shared.", own)
    yield f"{theirs}shared_expert_gate.weight", Place(f"{ours}shared_gate.weight")
