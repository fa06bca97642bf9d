"""Models of many kinds, to be planned."""

from __future__ import annotations

from typing import Any

import pytest

from tinygrad_llm.train import TrainConfig, make_config
from tinygrad_llm.train.run import with_slices

SMALL = {"context": 8, "width": 16, "heads": 2, "layers": 5, "batch": 4}
MODELS: dict[str, dict[str, Any]] = {
    "gpt": {}, "dropout": {"dropout": 0.1}, "no biases": {"bias": False},
    "one layer": {"layers": 1}, "long": {"context": 70, "layers": 2},
    "llama": {"arch": "llama"}, "grouped": {"arch": "llama", "heads": 4, "key_heads": 2},
    "untied": {"arch": "llama", "tied": False, "qk_norm": True, "post_norms": True},
    "local and global": {"arch": "llama", "window": 3, "layer_pattern": "LLG", "layers": 8},
    "caps": {"arch": "llama", "soft_cap": 5.0, "logit_cap": 3.0, "norm_offset": 1.0},
    "experts": {"arch": "llama", "experts": 4, "shared_inner": 8},
}


@pytest.fixture(params=MODELS)
def config(request: pytest.FixtureRequest) -> TrainConfig:
    return with_slices(make_config({**SMALL, **MODELS[request.param]}))
