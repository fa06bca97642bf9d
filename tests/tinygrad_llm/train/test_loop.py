"""Whole runs, small: what they leave behind, how they stop, and how they go on."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.nn import parameters
from tinygrad_llm.train import TrainConfig, load_model, loop, resume_run, start_run, train
from tinygrad_llm.train.log import MetricsLog, read_metrics

TEXT = "".join(f"A sheep says number {i * i}.\nThe dog {i}: no!\n" for i in range(60))
SMALL: dict[str, Any] = {
    "layers": 1, "heads": 2, "width": 8, "context": 8, "batch": 2, "steps": 6, "warmup": 2,
    "dropout": 0.1, "log_every": 2, "eval_every": 3, "eval_batches": 2, "final_eval_batches": 3,
    "sample_every": 4, "sample_tokens": 5, "checkpoint_every": 3,
}


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return str(path)


def small(text: str, **changes: Any) -> TrainConfig:
    return TrainConfig(**{**SMALL, "data": text, **changes})


def weights(folder: Path) -> dict[str, bytes]:
    model, _, _ = load_model(folder)
    return {name: p.data.tobytes() for name, p in parameters(model).items()}


def silent(line: str) -> None:
    pass


def test_what_a_run_leaves(text: str, tmp_path: Path) -> None:
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
        text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    said: list[str] = []
    train(start_run(small(text, steps=1), tmp_path / "run"), said.append)
    assert [s for s in said if "plot" in s] == [
        'no loss.png: for the picture, pip install "tinygrad_llm[plot]"']
    assert not (tmp_path / "run" / "loss.png").exists()


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_resuming_equals_not_stopping(text: str, tmp_path: Path, stop_at: int,
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


def test_a_crash_after_the_checkpoint_is_repeated_not_doubled(text: str, tmp_path: Path) -> None:
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


def test_resuming_with_more_steps_and_not_with_another_model(text: str, tmp_path: Path) -> None:
    train(start_run(small(text), tmp_path / "run"), silent)
    with pytest.raises(UserError, match="has width = 8, which cannot become 16"):
        resume_run(tmp_path / "run", {"width": 16})
    run = resume_run(tmp_path / "run", {"steps": 8})
    assert run.step == 6
    train(run, silent)
    assert resume_run(tmp_path / "run", {}).config.steps == 8


def test_a_second_run_in_the_same_folder_is_refused(text: str, tmp_path: Path) -> None:
    start_run(small(text), tmp_path / "run")
    with pytest.raises(UserError, match=r"already holds a run; go on with it with --resume"):
        start_run(small(text), tmp_path / "run")
    with pytest.raises(UserError, match=r"is a file; name a folder"):
        start_run(small(text), Path(text))
    with pytest.raises(UserError, match=r"there is no run to resume"):
        resume_run(tmp_path / "elsewhere", {})


def test_bad_data_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("")
    with pytest.raises(UserError, match="no text"):
        start_run(small(str(tmp_path / "text.txt")), tmp_path / "run")
    (tmp_path / "text.txt").write_text("short.")
    with pytest.raises(UserError, match=r"6 tokens, too few: .* context 8 .*need 9; give more"):
        start_run(small(str(tmp_path / "text.txt")), tmp_path / "run")
    with pytest.raises(UserError, match="cannot read .*No such file"):
        start_run(small(str(tmp_path / "absent.txt")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_shortest_text_trains_without_validation(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("ninechars")
    said: list[str] = []
    run = start_run(small(str(tmp_path / "text.txt")), tmp_path / "run")
    assert train(run, said.append)
    assert "the text is too short to keep a part of it back: no validation loss" in said
    assert not any("val_loss" in r for r in read_metrics(tmp_path / "run" / "metrics.jsonl"))


@pytest.mark.parametrize("poison", ["weight", "gradient"])
def test_a_loss_that_is_not_finite_stops_before_the_update(
        text: str, tmp_path: Path, poison: str, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_seed_determines_the_run(text: str, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(start_run(small(text, seed=seed), tmp_path / name), silent)
    assert weights(tmp_path / "a") == weights(tmp_path / "b") != weights(tmp_path / "c")


def test_the_validation_loss_is_that_of_its_definition(text: str, tmp_path: Path) -> None:
    run = start_run(small(text), tmp_path / "run")
    assert run.data.validation is not None
    assert loop.validation_loss(run, 2) == loop.validation_loss(run, 2)
    from tinygrad_llm.data import Batches

    batches = Batches(run.data.validation, 2, 8, loop.fold_in(1337, 2))
    losses = []
    for i in range(2):
        x, y = batches.at(i)
        z = run.model(x).data
        p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
        losses.append(-np.log(np.take_along_axis(p, y[..., None], -1)).mean())
    assert loop.validation_loss(run, 2) == pytest.approx(np.mean(losses), rel=1e-5)


def test_evaluation_and_samples_record_nothing(text: str, tmp_path: Path) -> None:
    run = start_run(small(text), tmp_path / "run")
    loop.validation_loss(run, 1)
    loop.sample_text(run)
    assert all(isinstance(p, Tensor) and p.grad is None for p in parameters(run.model).values())


def test_a_prepared_folder_serves_several_runs(text: str, tmp_path: Path) -> None:
    from tinygrad_llm.data.prepared import prepare

    prepare(TEXT, tmp_path / "ready", context=1)
    run = start_run(small(str(tmp_path / "ready")), tmp_path / "run")
    assert not (tmp_path / "run" / "data").exists()
    direct = start_run(small(text), tmp_path / "direct")
    assert np.array_equal(run.data.train, direct.data.train)
    (tmp_path / "ready" / "train.bin").write_bytes(b"12345")
    with pytest.raises(UserError, match="no whole token file"):
        start_run(small(str(tmp_path / "ready")), tmp_path / "other")


def test_metrics_drop_the_future_and_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 5, "loss": 1.0}\n{"step": 6, "lo')
    log = MetricsLog(path, 3)
    log.write(step=4, loss=1.5)
    log.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 4]


def test_slices_are_written_down_and_follow_the_batch(text: str, tmp_path: Path) -> None:
    run = start_run(small(text, batch=40), tmp_path / "run")
    assert run.config.slices == 2
    train(run, silent)
    assert resume_run(tmp_path / "run", {}).config.slices == 2
    assert resume_run(tmp_path / "run", {"batch": 1}).config.slices == 1
    assert resume_run(tmp_path / "run", {"batch": 9, "slices": 3}).config.slices == 3
