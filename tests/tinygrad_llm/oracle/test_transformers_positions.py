"""Rotary angles under each scaling rule, and the turn, against transformers'.

transformers computes in float32: an angle at position i is off by up to i times a few roundings.
Where its own formulas are run in float64, the two agree to 1e-12.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from tinygrad_llm.functional import rotary
from tinygrad_llm.nn import Rotary
from tinygrad_llm.nn.positions import scaling_from_dict

torch = pytest.importorskip("torch")
rope = pytest.importorskip("transformers.modeling_rope_utils")
llama = pytest.importorskip("transformers.models.llama.modeling_llama")
pytestmark = pytest.mark.oracle

CONTEXT = 256

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
RULES: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 2.5},
    "dynamic": {"rope_type": "dynamic", "factor": 3.0},
    "dynamic 1": {"rope_type": "dynamic", "factor": 1},
    "yarn": YARN,
    "yarn without original": {"rope_type": "yarn", "factor": 4.0},
    "yarn without factor": {**YARN, "factor": None},
    "yarn attention_factor": {**YARN, "attention_factor": 0.9},
    "yarn betas": {**YARN, "beta_fast": 8, "beta_slow": 2.5},
    "yarn betas far": {**YARN, "beta_fast": 1000, "beta_slow": 0.001},
    "yarn betas equal": {**YARN, "beta_fast": 3, "beta_slow": 3, "truncate": False},
    "yarn mscale": {**YARN, "mscale": 0.707, "mscale_all_dim": 0.4},
    "yarn one mscale": {**YARN, "mscale": 0.707},
    "yarn mscale 0": {**YARN, "mscale": 1.0, "mscale_all_dim": 0},
    "yarn untruncated": {**YARN, "truncate": False},
    "yarn factor below 1": {**YARN, "factor": 0.5},
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
    "llama3 other": {"rope_type": "llama3", "factor": 32, "low_freq_factor": 0.5,
                     "high_freq_factor": 9.5, "original_max_position_embeddings": 128},
}


class Float64:
    """PyTorch, whose `float` and `float32` are float64."""

    float = float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextmanager
def in_float64() -> Iterator[None]:
    """Have transformers' formulas computed in float64, those of its forward pass too."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (rope, llama):
            patch.setattr(module, "torch", Float64())
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def both(parameters: dict[str, Any], width: int, theta: float) -> tuple[Rotary, Any]:
    """Return our angles and transformers'."""
    config = llama.LlamaConfig(
        hidden_size=3 * width, num_attention_heads=3, max_position_embeddings=CONTEXT,
        rope_parameters={**parameters, "rope_theta": theta})
    scaling = scaling_from_dict(parameters)
    context = CONTEXT * (parameters["factor"] if scaling.startswith("dynamic") else 1)
    return Rotary(width, theta, scaling, context), llama.LlamaRotaryEmbedding(config)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("width, theta", [(4, 20.0), (16, 10000.0), (128, 5e5)])
@pytest.mark.parametrize("name", RULES)
def test_angles(name: str, width: int, theta: float) -> None:
    for length in (5, CONTEXT, CONTEXT + 1, 4 * CONTEXT):
        positions = np.arange(length)
        with in_float64():
            ours, theirs = both(RULES[name], width, theta)
            exact = theirs(torch.zeros(1, dtype=torch.float64), torch.tensor(positions[None]))
        found = ours.at(positions, length, np.float64)
        for a, t in zip(found, exact, strict=True):
            np.testing.assert_allclose(a, t[0, :, : width // 2], rtol=0, atol=1e-12)
            np.testing.assert_array_equal(t[..., : width // 2], t[..., width // 2 :])
        ours, theirs = both(RULES[name], width, theta)
        rounded = theirs(torch.zeros(1), torch.tensor(positions[None]))
        for a, t in zip(found, rounded, strict=True):
            off = abs(a - t[0, :, : width // 2].numpy()).max(-1)
            assert (off <= 1e-6 + 4 * np.finfo(np.float32).eps * positions).all()


@pytest.mark.parametrize("name", ["default", "yarn", "llama3"])
def test_the_turn(name: str) -> None:
    rng = np.random.default_rng(1)
    q, k = rng.normal(size=(2, 2, 9, 3, 16))
    positions = rng.integers(0, CONTEXT, (2, 9))
    with in_float64():
        ours, theirs = both(RULES[name], 16, 10000.0)
        cos, sin = theirs(torch.zeros(1, dtype=torch.float64), torch.tensor(positions))
    expected = llama.apply_rotary_pos_emb(torch.tensor(q), torch.tensor(k), cos, sin, 2)
    cos, sin = ours.at(positions, CONTEXT, np.float64)
    for x, e in zip((q, k), expected, strict=True):
        np.testing.assert_allclose(rotary(x, cos=cos, sin=sin), e, rtol=0, atol=1e-12)
