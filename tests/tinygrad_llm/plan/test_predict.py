"""Predictions, against what is counted and what is measured."""

from __future__ import annotations

import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import ROOT
from small_runs import TEXT

from tinygrad_llm.host.machine import Memory, keep_freed_memory
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import OPTIMIZERS
from tinygrad_llm.plan import predict
from tinygrad_llm.plan.predict import at_once, by_group, longest
from tinygrad_llm.train import PRESETS, TrainConfig, make_config
from tinygrad_llm.train.folder.checkpoint import Saving
from tinygrad_llm.train.run import start_run, with_slices


def test_all_parameters_are_in_a_group(config: TrainConfig) -> None:
    model = config.new_model(11)
    assert sum(by_group(model).values()) == sum(p.size for p in parameters(model).values())
    assert set(by_group(model)) <= {"embeddings", "norms", "attention", "feed-forward", "other"}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_parameters_of_each_preset(preset: str) -> None:
    config = make_config({"preset": preset})
    layers, width, context, vocab = (config.model["layers"], config.model["width"],
                                     config.context, 75)
    found = by_group(config.new_model(vocab, seed=None))
    if config.arch == "gpt":
        assert found == {"embeddings": (vocab + context) * width,
                         "norms": (4 * layers + 2) * width,
                         "attention": layers * (4 * width**2 + 4 * width),
                         "feed-forward": layers * (8 * width**2 + 5 * width)}
    else:
        model, depth = config.model, width // config.model["heads"]
        inner = 4 * width if model["activation"] == "relu_squared" else -(-8 * width // 24) * 8
        expected = {"embeddings": vocab * width,
                    "norms": (2 * layers + 1) * width + 2 * layers * depth * model["qk_norm"],
                    "attention": layers * 4 * width**2,
                    "feed-forward": layers * (2 if inner == 4 * width else 3) * width * inner}
        assert found == expected | ({} if model["tied"] else {"other": vocab * width})


def test_memory_adds_up() -> None:
    config = with_slices(make_config({"batch": 6, "slices": 3, "layers": 3, "context": 16,
                                      "steps": 10, "eval_every": 0, "final_eval_batches": 0}))
    plan = predict(config, 11, before=Memory(1000, 2000), threads=2, seconds=0.1)
    size = 4 * sum(plan.parameters.values())
    assert [plan.memory[name] for name in ("program and data", "weights", "gradients",
                                           "averages")] == [1000, size, size, 2 * size]
    kept = sum(op.count * op.kept for op in plan.measured.ops)
    assert plan.memory["activations"] == kept * 4 // plan.measured.rows
    largest = 4 * 4 * 128 * 128
    assert plan.memory["working memory"] > largest, "a gradient waits"
    assert plan.peak == sum(plan.memory.values()) and plan.evaluation_seconds == 0
    large = predict(config, 11, before=Memory(1000, 2**40), threads=2, seconds=0)
    assert large.peak == 2**40, "reading the text took more than training will"
    assert predict(config, 11, before=Memory(1000, 0), threads=1, seconds=0).peak < plan.peak


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_averages_are_those_of_the_optimizer_and_of_the_weights(name: str) -> None:
    for ema in (0.0, 0.99):
        config = with_slices(make_config({
            "optimizer": name, "ema": ema, "batch": 2, "layers": 3, "width": 32, "context": 8,
            "groups": "h.2.*: lr=0.5",  # a layer that a folded model lacks
            **({"squares": "h.2.attn.qkv*"} if name == "muon" else {})}))
        plan = predict(config, 11, before=Memory(0, 0), threads=1, seconds=0)
        size = 4 * sum(plan.parameters.values())
        kept = plan.memory["averages"] - size * (ema > 0)
        share = {"adamw": 2.0, "sgd": 1.0, "lion": 1.0}.get(name)
        if share is not None:
            assert kept == share * size
        assert (0 if name == "adafactor" else size) < kept + 1 < {
            "adafactor": 0.15, "muon": 1.05}.get(name, 2.1) * size, kept / size


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_a_step_in_16_bits_has_copies_and_is_measured_in_its_type(name: str) -> None:
    plans = [predict(with_slices(make_config({
        "batch": 4, "layers": 3, "width": 32, "context": 64, "precision": precision})), 11,
        before=Memory(0, 0), threads=1, seconds=0) for precision in ("float32", name)]
    size = 4 * sum(plans[0].parameters.values())
    assert "copies of 16 bits" not in plans[0].memory
    assert plans[1].memory["copies of 16 bits"] == size // 2
    assert [plan.memory["weights"] for plan in plans] == [size, size]
    first, second = (plan.memory["activations"] for plan in plans)
    assert first != second, "it is measured in that type"


@pytest.mark.parametrize("given", [{}, {"ema": 0.99}, {"optimizer": "lion"}])
def test_the_copy_for_a_checkpoint_is_what_settling_takes(given: dict[str, Any], tmp_path: Path
                                                          ) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    config = make_config({"layers": 2, "context": 16, "steps": 5, "checkpoint_every": 2,
                          "data": str(tmp_path / "text.txt"), **given})
    run = start_run(config, tmp_path / "run")
    plan = predict(run.config, run.data.tokenizer.vocab_size, before=Memory(0, 0), threads=1,
                   seconds=0)
    saving = Saving(tmp_path / "run" / "checkpoint", run.model, run, 1)
    tracemalloc.start()
    try:
        saving.settle()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    small = 0.05 * plan.memory["copy for a checkpoint"]  # arrays that are copied at once
    assert plan.memory["copy for a checkpoint"] == pytest.approx(taken, abs=small)


@pytest.mark.parametrize("given, copies", [
    ({}, True), ({"checkpoint_every": 0}, False), ({"checkpoint_every": 5}, False),
    ({"checkpoint_every": 5, "on_nonfinite": "rollback"}, True),
    ({"checkpoint_in_background": False}, False), ({"offload_moments": True}, False)])
def test_a_copy_is_made_where_a_step_comes_while_a_checkpoint_is_written(
        given: dict[str, Any], copies: bool) -> None:
    config = with_slices(make_config({"layers": 1, "width": 16, "heads": 2, "context": 8,
                                      "steps": 5, "checkpoint_every": 2, "batch": 2, **given}))
    plan = predict(config, 11, before=Memory(0, 0), threads=1, seconds=0)
    assert ("copy for a checkpoint" in plan.memory) == copies


def test_threads_take_slices_in_turns() -> None:
    assert longest([1, 2, 1, 2, 1, 2, 1, 2], threads=2) == 7
    assert longest([3, 1, 1, 1], threads=2) == 3 and longest([2, 2, 2], threads=1) == 6
    assert at_once([1, 2, 1, 2], threads=2) == 4 and at_once([1, 2], threads=8) == 3


def test_a_step_takes_what_the_busiest_thread_does() -> None:
    config = with_slices(make_config({"batch": 6, "slices": 2, "layers": 1, "context": 16}))
    plan = predict(config, 11, before=Memory(0, 0), threads=2, seconds=0)
    measured = replace(plan.measured, seconds=2.0 * plan.measured.rows, update=1e-3)
    update = 1e-3 * sum(plan.parameters.values())
    assert replace(plan, measured=measured).step_seconds == pytest.approx(3 * 2 + update)
    assert replace(plan, measured=measured, threads=1).step_seconds == pytest.approx(12 + update)


def test_a_model_that_no_machine_holds_is_planned() -> None:
    """Its layers are not made but for two, and weights are counted from their shapes."""
    config = with_slices(make_config({"layers": 1000, "width": 512, "context": 16, "batch": 2}))
    plan = predict(config, 11, before=Memory(0, 0), threads=1, seconds=0)
    assert plan.memory["weights"] > 12e9 and plan.peak > 48e9


@pytest.mark.skipif(not keep_freed_memory(), reason="other C libraries give freed memory back")
@pytest.mark.parametrize("arch", ["gpt", pytest.param("llama", marks=pytest.mark.long)])
def test_memory_is_within_a_tenth_of_what_a_run_takes(tmp_path: Path, arch: str) -> None:
    (tmp_path / "text.txt").write_text(TEXT * 20)
    found = subprocess.run(
        [sys.executable, "-m", "tinygrad_llm", "train", "--data", "text.txt", "--arch", arch,
         "--batch", "64", "--layers", "2", "--context", "64", "--steps", "2", "--eval-every", "0",
         "--final-eval-batches", "0", "--threads", "2", "--warmup", "1"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True)
    line = next(line for line in found.stdout.splitlines() if line.startswith("predicted"))
    ratio = float(re.findall(r"\((\d\.\d\d)\)", line)[1])
    assert 0.9 <= ratio <= 1.1, line
    assert float(re.findall(r"/ ([\d.]+) MiB", line)[0]) > 100, "activations are the most of it"
