"""The places of files' tensors: together they are each parameter, once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hugging_face import CONFIGS, EXPERTS, GPT2, LLAMA, model_of

from tinygrad_llm.nn import parameters
from tinygrad_llm.pretrained.places import Place, places


@pytest.mark.parametrize("config", [
    *CONFIGS.values(), replace(LLAMA, tied=True, qk_norm=True, qkv_bias=True, out_bias=True,
                               mlp_bias=True), replace(EXPERTS, shared_inner=0)])
@pytest.mark.parametrize("experts_as", ["mlp", "block_sparse_moe"])
def test_places_cover_every_parameter_once(config: Any, experts_as: str) -> None:
    own = parameters(model_of(config))
    counts = {name: np.zeros(p.shape) for name, p in own.items()}
    for place in places(config, own, experts_as).values():
        place.view(counts[place.parameter])[...] += 1
    assert all((count == 1).all() for count in counts.values())


def test_a_place_is_a_view() -> None:
    table = np.arange(12).reshape(4, 3)
    assert Place("w").view(table).base is table.base
    assert (Place("w", slice(1, 3)).view(table) == table[1:3]).all()
    assert (Place("w", turned=True).view(table) == table.T).all()
    Place("w", slice(1, 3), turned=True).view(table)[2, 0] = 77
    assert table[1, 2] == 77


def test_packed_parameters_hold_queries_keys_values_and_gates_in_their_order() -> None:
    found = places(LLAMA, parameters(model_of(LLAMA)))
    rows = [found[f"model.layers.1.self_attn.{name}_proj.weight"] for name in "qkv"]
    assert {place.parameter for place in rows} == {"h.1.attn.qkv.weight"}
    assert [(place.index.start, place.index.stop) for place in rows] == [(0, 24), (24, 36),
                                                                         (36, 48)]
    gate, up = (found[f"model.layers.0.mlp.{name}_proj.weight"].index for name in ("gate", "up"))
    assert (gate, up) == (slice(0, 20), slice(20, None))


def test_conv1d_is_turned_over_and_nothing_else() -> None:
    turned = {name.split(".")[-2] for name, place in places(
        GPT2, parameters(model_of(GPT2))).items() if place.turned}
    assert turned == {"c_attn", "c_proj", "c_fc"}
