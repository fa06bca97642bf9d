"""Configurations out of GGUF metadata."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_files import write
from gguf_models import gpt2, llama, llama_tensors, write_llama

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.pretrained.gguf.configs import read_config
from tinygrad_llm.pretrained.gguf.file import open_gguf


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def read(path: Path) -> Any:
    return read_config(open_gguf(path))


def test_defaults_of_what_is_not_given(path: Path) -> None:
    given = dict.fromkeys(["attention.head_count_kv", "attention.key_length", "rope.freq_base",
                           "feed_forward_length"])
    write_llama(path, "llama", {f"llama.{key}": None for key in given})
    config = read(path)
    assert (config.key_heads, config.depth, config.theta, config.inner) == (2, 6, 10000, 20)


def test_sizes_given_for_each_layer(path: Path) -> None:
    write_llama(path, "llama", {"llama.attention.head_count_kv": [2, 2],
                                "llama.feed_forward_length": [20, 20]})
    assert read(path).key_heads == 2
    write_llama(path, "llama", {"llama.attention.head_count_kv": [2, 4]})
    with pytest.raises(UserError, match=r"llama.attention.head_count_kv is \[2, 4\]; only one"):
        read(path)


def test_gemma_2_of_27b_has_another_scale(path: Path) -> None:
    assert write_llama(path, "gemma2").config.scale == read(path).scale == 0
    expected = 24 / 4
    _, model = llama("gemma2")
    layers = {key.replace("blk.1", f"blk.{i}"): array for i in range(2, 46)
              for key, array in llama_tensors("gemma2", model).items() if "blk.1" in key}
    write_llama(path, "gemma2", {"gemma2.block_count": 46}, layers)
    assert read(path).scale == expected**-0.5


def test_gemma_2_without_its_particulars_has_those_of_its_release(path: Path) -> None:
    write_llama(path, "gemma2", {f"gemma2.{key}": None for key in (
        "attention.sliding_window", "attn_logit_softcapping", "final_logit_softcapping")})
    config = read(path)
    assert (config.window, config.soft_cap, config.logit_cap) == (4096, 50, 30)


def rope_factors(theta: float, depth: int, factor: float) -> np.ndarray:
    """Return the factors that llama.cpp's converter writes for Llama 3's rule."""
    found = []
    for d in range(0, depth, 2):
        wavelength = 2 * np.pi * theta ** (d / depth)
        smooth = (8192 / wavelength - 1) / 3
        found.append(1 if wavelength < 2048 else factor if wavelength > 8192 else
                     1 / ((1 - smooth) / factor + smooth))
    return np.array(found, np.float32)


@pytest.mark.parametrize(("theta", "factor"), [(500000.0, 8.0), (500000.0, 32.0), (9000.0, 8.0)])
def test_the_scaled_rotary_of_llama_3(path: Path, theta: float, factor: float) -> None:
    """With a base of 9,000 no wavelength is so long that its factor is the whole one."""
    factors = rope_factors(theta, 6, factor)
    assert (factors.max() < factor) == (theta == 9000)
    write_llama(path, "llama", {"llama.rope.freq_base": theta}, {"rope_freqs.weight": factors})
    assert read(path).rope_scaling == (
        f"llama3 factor={factor:.0f} low=1 high=4 original=8192")


def test_factors_of_1_scale_nothing(path: Path) -> None:
    write_llama(path, "llama", {}, {"rope_freqs.weight": np.ones(3)})
    assert read(path).rope_scaling == ""


@pytest.mark.parametrize(("entries", "expected"), [
    ({"factor": 4.0}, "linear factor=4"), ({"type": "linear", "factor": 2.5}, "linear factor=2.5"),
    ({"type": "none", "factor": 4.0}, ""), ({"type": "linear", "factor": 1.0}, ""),
    ({"type": "yarn", "factor": 4.0, "original_context_length": 8},
     "yarn factor=4 original=8"),
    ({"type": "yarn", "factor": 4.0, "original_context_length": 8, "yarn_beta_fast": 16.0,
      "yarn_beta_slow": 2.0}, "yarn factor=4 original=8 beta_fast=16 beta_slow=2")])
def test_rotary_scaling(path: Path, entries: dict[str, Any], expected: str) -> None:
    write_llama(path, "llama", {f"llama.rope.scaling.{key}": v for key, v in entries.items()})
    assert read(path).rope_scaling == expected


FAULTS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("llama", {"general.architecture": "lama"}, {}, "'lama', .*did you mean 'llama'"),
    ("llama", {"general.architecture": "mamba"}, {}, "'mamba', which is not read here"),
    ("llama", {"general.architecture": None}, {}, "lack 'general.architecture'"),
    ("llama", {"general.type": "adapter"}, {}, "'general.type' is 'adapter'; only 'model'"),
    ("llama", {"split.count": 2}, {}, "'split.count' is 2; only 1"),
    ("llama", {"general.quantization_version": 1}, {}, "'general.quantization_version' is 1"),
    ("llama", {"llama.logit_scale": 0.5}, {}, "'llama.logit_scale', 0.5: no such entry"),
    ("qwen2", {"qwen2.attention.sliding_window": 5}, {}, "'qwen2.attention.sliding_window', 5"),
    ("llama", {"llama.attention.causal": False}, {}, "llama.attention.causal is False; only True"),
    ("llama", {"llama.tensor_data_layout": "reference"}, {}, "'reference'; only 'Meta AI"),
    ("llama", {"llama.block_count": 2**31 - 1}, {}, "are not those of 2147483647 layers"),
    ("llama", {"llama.block_count": 0}, {}, "are not those of 0 layers"),
    ("llama", {"llama.block_count": "2"}, {}, "'llama.block_count' must be a whole number"),
    ("llama", {"llama.block_count": None}, {}, "lack 'llama.block_count'"),
    ("llama", {"llama.attention.head_count": 0}, {}, "of 0 heads"),
    ("llama", {"llama.attention.head_count": 5}, {}, "have 24 and 12 rows, .* of 5 heads"),
    ("llama", {"llama.attention.head_count": 8, "llama.attention.key_length": 3,
               "llama.attention.head_count_kv": 4}, {}, "must be even"),
    ("llama", {"llama.attention.head_count": 2**30, "llama.attention.key_length": None,
               "llama.attention.head_count_kv": None}, {}, "not those of 1073741824 heads"),
    ("llama", {"llama.attention.head_count_kv": 3}, {}, "head_count_kv is 3; only 2"),
    ("llama", {"llama.embedding_length": 32}, {}, "embedding_length is 32; only 24"),
    ("llama", {"llama.feed_forward_length": 24}, {}, "feed_forward_length is 24; only 20"),
    ("llama", {"llama.vocab_size": 12}, {}, "vocab_size is 12; only 11"),
    ("llama", {"llama.context_length": 0}, {}, "context"),
    ("llama", {"llama.rope.dimension_count": 4}, {}, "rope.dimension_count is 4; only 6"),
    ("llama", {"llama.rope.freq_base": float("nan")}, {}, "must be a finite number"),
    ("llama", {"llama.rope.scaling.type": "longrope"}, {}, "'longrope'; only none, linear"),
    ("llama", {"llama.rope.scaling.factor": 0.0}, {}, "factor is a number above 0"),
    ("llama", {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 2.0}, {},
     "lack 'llama.rope.scaling.original_context_length'"),
    ("llama", {"llama.rope.scaling.factor": 2.0}, {"rope_freqs.weight": np.ones(3)},
     "only one of them"),
    ("llama", {}, {"rope_freqs.weight": np.full(3, 2.0)}, "3 factors up to 2, are not those of"),
    ("llama", {}, {"rope_freqs.weight": np.ones(4)}, "4 factors up to 1, are not those of"),
    ("llama", {}, {"rope_freqs.weight": np.array([1, 1, np.nan])}, "are not those of"),
    ("llama", {}, {"rope_freqs.weight": np.array([1, 1, 0])}, "are not those of"),
    ("llama", {"llama.rope.freq_base": 5e5}, {"rope_freqs.weight": np.array([1, 5, 8])},
     "3 factors up to 8, are not those of"),
    ("llama", {"llama.attention.head_count_kv": None},
     {"blk.0.attn_k.weight": np.zeros((8, 24))}, "have 24 and 8 rows"),
    ("llama", {}, {"token_embd.weight": None}, "no tensor token_embd.weight"),
    ("llama", {}, {"token_embd.weight": np.ones(24)}, "no tensor token_embd.weight of two axes"),
    ("llama, experts", {"llama.expert_count": 4}, {}, "expert_count is 4; only 3"),
    ("llama, experts", {"llama.expert_used_count": 4}, {}, "experts_per_token"),
    ("llama, experts", {"llama.expert_gating_func": 2}, {}, "expert_gating_func is 2; only 1"),
    ("qwen2moe", {"qwen2moe.expert_shared_feed_forward_length": 3}, {}, "is 3; only 14"),
]

@pytest.mark.parametrize("place", range(len(FAULTS)))
def test_each_fault_is_named(path: Path, place: int) -> None:
    case, metadata, tensors, message = FAULTS[place]
    write_llama(path, case, metadata, tensors)
    with pytest.raises(ValueError, match=message):
        read(path)


def test_faults_of_gpt2(path: Path) -> None:
    _, metadata, tensors = gpt2()
    for changes, message in [
            ({"gpt2.context_length": 17}, "context_length is 17; only 16"),
            ({"gpt2.feed_forward_length": 24}, "feed_forward_length is 24; only 96"),
            ({"gpt2.attention.layer_norm_epsilon": 1e-6}, "epsilon is 1e-06; only 1e-05"),
            ({"gpt2.attention.head_count_kv": 2}, "head_count_kv is 2; only 4"),
            ({"gpt2.attention.head_count": 5}, "width must be a multiple of heads")]:
        write(path, metadata | changes, tensors)
        with pytest.raises(ValueError, match=message):
            read(path)
