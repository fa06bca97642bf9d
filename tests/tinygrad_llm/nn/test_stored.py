"""Weights of 16 bits: the numbers of the float32 model whose matrices were rounded."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16
from written_steps import VOCAB, asked, made, same

from autograd import no_grad
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import parameters, store_weights
from tinygrad_llm.sample.step import stepper

HALF = {"bfloat16": bfloat16, "float16": np.float16}
SIZES: dict[str, Any] = {"vocab_size": VOCAB, "context": 16, "layers": 2, "heads": 2, "width": 16}
MODELS = {
    "gpt": lambda: GPT(GPTConfig(**SIZES)),
    "gpt, sinusoidal": lambda: GPT(GPTConfig(**SIZES, positions="sinusoidal", mlp="geglu")),
    "llama": lambda: Llama(LlamaConfig(**SIZES, key_heads=1, qk_norm=True)),
    "gemma": lambda: Llama(LlamaConfig(**SIZES, logit_cap=5.0, soft_cap=5.0, norm_offset=1.0,
                                       embed_scale=4.0, post_norms=True)),
    "experts": lambda: Llama(LlamaConfig(**SIZES, experts=4, tied=False)),
}
IDS = np.random.default_rng(0).integers(0, VOCAB, (2, 9))


def both(kind: str, name: str) -> tuple[Any, Any]:
    """Return a model with stored weights, and the float32 model with the same numbers."""
    model = made(MODELS[kind](), np.float32)
    rounded = deepcopy(model)
    for p in parameters(rounded).values():
        if p.ndim > 1:
            p.data = p.data.astype(HALF[name]).astype(np.float32)
    store_weights(model, HALF[name])
    return model, rounded


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize("kind", MODELS)
def test_only_matrices_are_rounded_and_all_is_computed_in_float32(kind: str, name: str) -> None:
    model, rounded = both(kind, name)
    assert {(p.ndim > 1, p.dtype.name) for p in parameters(model).values()} == {
        (True, name), (False, "float32")}
    assert model.cache(1).layers[0].arrays[0].dtype == np.float32
    with no_grad():
        got, right = model(IDS).data, rounded(IDS).data
        losses = [float(one.loss(IDS[:, :-1], IDS[:, 1:])) for one in (model, rounded)]
    same(got, right, np.float32)
    assert np.abs(got - right).max() < 1e-5 * np.abs(right).max()
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    original = made(MODELS[kind](), np.float32)
    with no_grad():  # what rounding comes to is far larger than the difference above
        assert np.abs(original(IDS).data - right).max() > 1e-4 * np.abs(right).max()


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize("kind", MODELS)
def test_a_written_step_widens_block_by_block(kind: str, name: str, rows: int,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """With blocks of three rows at most, so that each matrix takes several, the last one less."""
    monkeypatch.setattr("tinygrad_llm.sample.step.room.BLOCK_BYTES", 4 * 16 * 3)
    model, rounded = both(kind, name)
    caches = [model.cache(rows), rounded.cache(rows)]
    step, rng = stepper(model, caches[0]), np.random.default_rng(1)
    assert step is not None
    prompts = {row: rng.integers(VOCAB, size=3) for row in range(rows)}
    step.read(prompts)
    with no_grad():
        rounded.hidden(np.stack([*prompts.values()]), cache=caches[1])
    for _ in range(10):
        tokens = rng.integers(VOCAB, size=rows)
        same(step(tokens), asked(rounded, tokens, caches[1]), np.float32)


def test_a_head_of_16_bits_is_not_laid_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_llm.sample.step.step.MANY", 2)
    model, _ = both("gpt", "bfloat16")
    step = stepper(model, model.cache(1))
    assert step is not None
    for token in (1, 2, 3):
        step([token])
    assert np.shares_memory(step.head, model.head.data)


def test_weights_beyond_the_range_are_refused() -> None:
    model = made(MODELS["gpt"](), np.float32)
    model.head.data[0, 0] = 70_000
    with pytest.raises(FloatingPointError):
        store_weights(model, np.float16)
    store_weights(model, bfloat16)
