"""Whole runs, small: what they leave behind, how they stop, and how they go on."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import DOCUMENTS, silent, small, weights, write_shards, write_text

from autograd import Tensor, fold_in
from tinygrad_llm.data import Batches
from tinygrad_llm.data.batches.epochs import EpochBatches
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.nn import parameters
from tinygrad_llm.train import load_model, loop, resume_run, start_run, train
from tinygrad_llm.train.log import read_metrics


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path)


@pytest.fixture(params=["char", "bpe"])
def shards(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", request.param)


def test_what_a_run_leaves(text: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = start_run(small(text), tmp_path / "run")
    assert train(run, said.append)
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names >= {"config.toml", "metrics.jsonl", "tokenizer.json", "checkpoint", "data"}
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    steps = [r for r in records if "loss" in r]
    assert [r["step"] for r in steps] == [1, 2, 4, 6]
    assert all(r.keys() == {"step", "loss", "lr", "grad_norm", "tokens_per_s"} for r in steps)
    assert [(r["step"], r["batches"]) for r in records if "val_loss" in r] == [(3, 2), (6, 3)]
    assert steps[-1]["loss"] < steps[0]["loss"] < 4.5
    assert any("validation loss" in line for line in said)
    assert any("sample after 4 steps" in line for line in said)
    pytest.importorskip("matplotlib")
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_is_one_line_of_advice(
        text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    said: list[str] = []
    train(start_run(small(text, steps=1), tmp_path / "run"), said.append)
    assert [s for s in said if "plot" in s] == [
        'no loss.png: for the picture, pip install "tinygrad_llm[plot]"']
    assert not (tmp_path / "run" / "loss.png").exists()


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_resuming_equals_not_stopping(text: Path, tmp_path: Path, stop_at: int,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    train(start_run(small(text), tmp_path / "whole"), silent)
    step = loop.train_step

    def interrupting(*args: Any, **options: Any) -> Any:
        result = step(*args, **options)
        if interrupted.step + 1 == stop_at:
            os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C in the middle of a step
        return result

    interrupted = start_run(small(text), tmp_path / "parts")
    monkeypatch.setattr(loop, "train_step", interrupting)
    assert not train(interrupted, silent) and interrupted.step == stop_at
    monkeypatch.setattr(loop, "train_step", step)
    resumed = resume_run(tmp_path / "parts", {})
    assert resumed.step == stop_at
    assert train(resumed, silent)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")

    def facts(folder: str) -> list[dict[str, Any]]:
        records = read_metrics(tmp_path / folder / "metrics.jsonl")
        return [{k: v for k, v in r.items() if k != "tokens_per_s"} for r in records]

    assert facts("parts") == facts("whole")


def test_a_crash_after_the_checkpoint_is_repeated_not_doubled(text: Path, tmp_path: Path) -> None:
    train(start_run(small(text), tmp_path / "whole"), silent)
    run = start_run(small(text, steps=3), tmp_path / "crash")
    run.config = small(text)  # the same schedule, but the process dies in step 5

    class Crash(Exception):
        pass

    def dying(line: str) -> None:
        if "sample after 4" in line:
            raise Crash

    with pytest.raises(Crash):
        train(run, dying)
    resumed = resume_run(tmp_path / "crash", {"steps": 6})
    assert resumed.step == 3
    train(resumed, silent)
    assert weights(tmp_path / "crash") == weights(tmp_path / "whole")
    steps = [r["step"] for r in read_metrics(tmp_path / "crash" / "metrics.jsonl") if "loss" in r]
    assert steps == [1, 2, 4, 6]


def test_the_shortest_text_trains_without_validation(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("ninechars")
    said: list[str] = []
    run = start_run(small(str(tmp_path / "text.txt")), tmp_path / "run")
    assert train(run, said.append)
    assert "the text is too short to keep a part of it back: no validation loss" in said
    assert not any("val_loss" in r for r in read_metrics(tmp_path / "run" / "metrics.jsonl"))


@pytest.mark.parametrize("poison", ["weight", "gradient"])
def test_a_loss_that_is_not_finite_stops_before_the_update(
        text: Path, tmp_path: Path, poison: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(small(text), tmp_path / "run")
    step = loop.train_step
    bias = run.model.h[0].mlp.down.bias

    def poisoned(model: Any, *args: Any, **options: Any) -> Any:
        if run.step == 4 and poison == "weight":
            bias.data[0] = np.nan
        if run.step == 4 and poison == "gradient":
            bias.register_hook(lambda g: g + np.inf)
        return step(model, *args, **options)

    monkeypatch.setattr(loop, "train_step", poisoned)
    with pytest.raises(UserError, match=r"step 5: the (loss|gradient's norm) is (nan|inf); stopped "
                                        r"before the update.*--learning-rate"):
        train(run, silent)
    assert {int(t) for t in run.optimizer.steps.values()} == {4}
    assert resume_run(tmp_path / "run", {}).step == 3, "the last checkpoint is whole"


def test_the_seed_determines_the_run(text: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(start_run(small(text, seed=seed), tmp_path / name), silent)
    assert weights(tmp_path / "a") == weights(tmp_path / "b") != weights(tmp_path / "c")


def test_the_validation_loss_is_that_of_its_definition(text: Path, tmp_path: Path) -> None:
    run = start_run(small(text), tmp_path / "run")
    assert run.data.validation is not None
    assert loop.validation_loss(run, 2) == loop.validation_loss(run, 2)
    batches = Batches(run.data.validation, 2, 8, fold_in(1337, 2))
    losses = []
    for i in range(2):
        x, y = batches.at(i)
        z = run.model(x).data
        p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
        losses.append(-np.log(np.take_along_axis(p, y[..., None], -1)).mean())
    assert loop.validation_loss(run, 2) == pytest.approx(np.mean(losses), rel=1e-5)


def test_evaluation_and_samples_record_nothing(text: Path, tmp_path: Path) -> None:
    run = start_run(small(text), tmp_path / "run")
    loop.validation_loss(run, 1)
    loop.sample_text(run)
    assert all(isinstance(p, Tensor) and p.grad is None for p in parameters(run.model).values())


def test_a_run_trains_on_shards(shards: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = start_run(small(shards, steps=30), tmp_path / "run")
    assert train(run, said.append)
    assert (tmp_path / "run" / "tokenizer.json").read_bytes() == (
        shards / "tokenizer.json").read_bytes()
    losses = [r["loss"] for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if "loss" in r]
    assert losses[-1] < losses[0]
    assert any("validation loss" in line for line in said)
    assert any("sample after 4 steps" in line for line in said)
    model, tokenizer, _ = load_model(tmp_path / "run")
    assert model.config.vocab_size == tokenizer.vocab_size == run.data.tokenizer.vocab_size
    again = "".join(map(str, run.data.tokenizer.encode(DOCUMENTS[0])))
    assert "".join(map(str, tokenizer.encode(DOCUMENTS[0]))) == again


def test_the_steps_are_those_of_the_epochs(shards: Path, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(small(shards), tmp_path / "run")
    seen = []
    step = loop.train_step

    def watched(model: Any, optimizer: Any, objective: Any, batch: Any, **others: Any) -> Any:
        seen.append(batch)
        return step(model, optimizer, objective, batch, **others)

    monkeypatch.setattr(loop, "train_step", watched)
    train(run, silent)
    batches = EpochBatches(run.data.train, 2, 8, fold_in(run.config.run.seed, 1))
    assert len(seen) == 6
    for number, pair in enumerate(seen):
        assert all(map(np.array_equal, pair, batches.at(number)))
