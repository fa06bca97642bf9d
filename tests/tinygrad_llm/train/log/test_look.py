"""A look says what a step did, against direct computations; and it changes no bit."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import silent, small, weights, write_text

from autograd import no_grad
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import AdamW, Arena
from tinygrad_llm.train import next_token, start_run, train, train_step
from tinygrad_llm.train.log import Look, look, read_metrics
from tinygrad_llm.train.objective import Objective


@pytest.fixture
def model() -> GPT:
    made = GPT(GPTConfig(vocab_size=13, context=8, layers=3, heads=2, width=8, dropout=0.5))
    draw = np.random.default_rng(1)
    for p in parameters(made).values():  # natural scale, biases too
        p.data = (p.data + 0.4 * draw.standard_normal(p.shape)).astype(np.float32)
    return made


BATCH = tuple(np.random.default_rng(2).integers(0, 13, (2, 40, 8)))


def rms(x: Any) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=float))))


def looked(model: GPT, clip: float = 0.0) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Return the record of a step, the weights before it, and the optimizer."""
    optimizer = AdamW(Arena(parameters(model)))
    before = {name: p.data.copy() for name, p in optimizer.parameters.items()}
    made = Look(optimizer)
    _, norm = train_step(model, optimizer, next_token, BATCH, lr=0.01, clip=clip, key=3, slices=2)
    return made.after(model, next_token, BATCH, norm), before, optimizer


def test_norms_and_ratios_by_part(model: GPT) -> None:
    record, before, optimizer = looked(model, clip=0.1)
    part = ("h.1.mlp.up.weight", "h.1.mlp.up.bias")
    joined = {kind: np.concatenate([of[name].astype(float).ravel() for name in part])
              for kind, of in (("w", before), ("g", optimizer.gradients),
                               ("now", {n: p.data for n, p in optimizer.parameters.items()}))}
    norm = np.linalg.norm
    assert record["weight_norm"]["h.1.mlp.up"] == pytest.approx(norm(joined["w"]), rel=1e-3)
    assert record["gradient_norm"]["h.1.mlp.up"] == pytest.approx(norm(joined["g"]), rel=1e-3)
    assert record["update_ratio"]["h.1.mlp.up"] == pytest.approx(
        norm(joined["now"] - joined["w"]) / norm(joined["w"]), rel=1e-3)
    assert list(record["weight_norm"]) == list(record["gradient_norm"]) == list(
        record["update_ratio"])
    assert {"wte", "wpe", "ln_f", "h.0.ln_1", "h.2.attn.qkv"} < set(record["weight_norm"])
    total = sqrt(sum(n * n for n in record["weight_norm"].values()))
    assert total == pytest.approx(norm([norm(w) for w in before.values()]), rel=1e-3)


def test_gradients_of_a_scaled_loss_are_those_without_the_scale(model: GPT) -> None:
    record, _, optimizer = looked(model)
    norm = sqrt(sum(float(np.sum(np.square(g, dtype=float))) for g in optimizer.gradients.values()))
    for g in optimizer.gradients.values():
        g *= 1024
    again = Look(optimizer).after(model, next_token, BATCH, norm)
    assert again["gradient_norm"] == pytest.approx(record["gradient_norm"], rel=1e-3)


def test_activations_are_those_of_the_model_without_dropout(model: GPT) -> None:
    record, _, _ = looked(model)
    ids = BATCH[0][:32]  # 256 tokens, of contexts of 8
    with no_grad():
        x = model.wte(ids).data + model.wpe.weight.data[:8]
        streams, attention, mlp = [rms(x)], [], []
        for block in model.h:
            y = block.attn(block.ln_1(x)).data
            z = block.mlp(block.ln_2(x + y)).data
            x = x + y + z
            streams.append(rms(x))
            attention.append(rms(y))
            mlp.append(rms(z))
    assert record["stream"] == pytest.approx(streams, rel=1e-3)
    assert record["attention"] == pytest.approx(attention, rel=1e-3)
    assert record["mlp"] == pytest.approx(mlp, rel=1e-3)


def test_of_large_parameters_the_ratio_is_of_elements_from_everywhere(
        model: GPT, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _, _ = looked(model)
    monkeypatch.setattr(look, "SAMPLED", 40)
    sampled = look._some(np.arange(24 * 8).reshape(24, 8))
    assert len(sampled) <= 40 and set(sampled % 8) == set(range(8))
    made = Look(AdamW(Arena(parameters(model))))
    assert max(a.size for a in made.before.values()) <= 40
    for p in parameters(model).values():
        p.data *= 1.01
    record = made.after(model, next_token, BATCH, 1.0)
    assert all(ratio == pytest.approx(0.01, rel=1e-3) for ratio in record["update_ratio"].values())
    assert set(record["update_ratio"]) == set(whole["update_ratio"])


def test_parts_of_zeros_have_no_ratio(model: GPT) -> None:
    model.ln_f.bias.data[...] = model.ln_f.weight.data[...] = 0
    record, _, _ = looked(model)
    assert record["update_ratio"]["ln_f"] is None and record["weight_norm"]["ln_f"] == 0


def test_a_model_of_another_kind_has_no_layers_to_show() -> None:
    assert look.activations(object(), next_token, BATCH) == {}


@pytest.mark.parametrize("arch", [{}, {"arch": "llama", "experts": 3, "experts_per_token": 2}])
def test_a_run_has_the_same_bits_whether_one_looks(tmp_path: Path, arch: dict[str, Any]) -> None:
    text = write_text(tmp_path)
    for name, every in (("without", 0), ("with", 1)):
        config = small(text, look_every=every, **({"dropout": 0.0} if arch else {}) | arch)
        assert train(start_run(config, tmp_path / name), silent, threads=2)
    records = read_metrics(tmp_path / "with" / "metrics.jsonl")
    assert sum("update_ratio" in record for record in records) == 6
    assert not any("stream" in record for record in
                   read_metrics(tmp_path / "without" / "metrics.jsonl"))
    assert weights(tmp_path / "with") == weights(tmp_path / "without")
    losses = [[r["loss"] for r in read_metrics(tmp_path / name / "metrics.jsonl") if "loss" in r]
              for name in ("with", "without")]
    assert losses[0] == losses[1]


def test_of_experts_the_layers_results_are_looked_at_and_not_their_routes() -> None:
    """With an objective whose loss asks for the routes, and that has no other to measure with."""
    model = Llama(LlamaConfig(13, 8, 2, 2, 8, experts=4))
    record = look.activations(model, Objective(next_token.loss, next_token.count), BATCH)
    assert record == look.activations(model, next_token, BATCH) and len(record["mlp"]) == 2


@pytest.mark.parametrize("settings", [
    {"precision": "bfloat16"}, {"precision": "float16"}, {"ema": 0.9}, {"recompute": True}],
    ids=lambda settings: "-".join(map(str, settings.values())))
def test_a_look_is_at_the_float32_weights_whatever_the_step_computes_with(
        tmp_path: Path, settings: dict[str, Any]) -> None:
    text, seen = write_text(tmp_path), []
    for name, others in (("plain", {}), ("other", settings)):
        assert train(start_run(small(text, look_every=6, dropout=0.0, **others), tmp_path / name),
                     silent, threads=1)
        seen.append(next(r for r in read_metrics(tmp_path / name / "metrics.jsonl")
                         if "update_ratio" in r))
    for quantity in ("update_ratio", "weight_norm", "gradient_norm"):  # as near as 8 bits allow
        assert seen[1][quantity] == pytest.approx(seen[0][quantity], rel=0.03), quantity
    assert seen[1]["weight_norm"] == pytest.approx(seen[0]["weight_norm"], rel=3e-3)
