"""Whole runs, small: what they leave behind, how they stop, and how they go on."""

from __future__ import annotations

import errno
import io
import math
import os
import signal
import sys
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from small_runs import DOCUMENTS, silent, small, weights, write_shards, write_text

from autograd import fold_in
from tinygrad_llm.data.batches.epochs import EpochBatches
from tinygrad_llm.data.batches.random_windows import Batches
from tinygrad_llm.host import files
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.stop_signals import NAMES
from tinygrad_llm.nn import parameters
from tinygrad_llm.train import load_model, loop, loss_scale, resume_run, start_run, train
from tinygrad_llm.train.evaluation import validation_loss
from tinygrad_llm.train.folder import arrays, checkpoint
from tinygrad_llm.train.folder.checkpoint import read_state, save_checkpoint
from tinygrad_llm.train.log import read_metrics
from tinygrad_llm.train.objective import Skipped
from tinygrad_llm.train.run import WarmStart, holds_run, lock, open_run


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path)


@pytest.fixture(params=["char", "bpe"])
def shards(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", request.param)


@pytest.mark.usefixtures("picture")
def test_what_a_run_leaves(text: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = start_run(small(text), tmp_path / "run")
    assert train(run, said.append)
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names >= {"config.toml", "metrics.jsonl", "tokenizer.json", "checkpoint", "data"}
    records = read_metrics(tmp_path / "run" / "metrics.jsonl")
    steps = [r for r in records if "loss" in r]
    assert [r["step"] for r in steps] == [1, 2, 4, 6]
    assert all(r.keys() == {"step", "loss", "lr", "grad_norm", "tokens_per_s", "tokens",
                          "seconds", "memory"} for r in steps)
    assert [(r["step"], r["batches"]) for r in records if "val_loss" in r] == [(3, 2), (6, 3)]
    assert steps[-1]["loss"] < steps[0]["loss"] < 4.5
    assert any("validation loss" in line for line in said)
    assert any("sample after 4 steps" in line for line in said)
    pytest.importorskip("matplotlib")
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("picture")
def test_without_matplotlib_there_is_one_line_of_advice(
        text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    said: list[str] = []
    train(start_run(small(text, steps=1), tmp_path / "run"), said.append)
    assert [s for s in said if "plot" in s] == [
        'no loss.png: for the picture, pip install "tinygrad_llm[plot]"']
    assert not (tmp_path / "run" / "loss.png").exists()


SAVING: dict[str, Any] = {"batch": 4, "slices": 4, "accumulate": 2, "recompute": True,
                          "loss_chunk": 5, "offload_moments": True, "dropout": 0.1}
EVERYTHING: dict[str, Any] = {**SAVING, "precision": "float16", "ema": 0.9, "on_spike": "skip",
                              "spike_factor": 1.01, "spike_window": 2, "most_faults": 99,
                              "groups": "*.bias: lr=2", "look_every": 2}


@pytest.mark.parametrize(("stop_at", "given"), [(1, {}), (3, {}), (5, {}), (3, SAVING)])
def test_resuming_equals_not_stopping(text: Path, tmp_path: Path, stop_at: int,
                                      given: dict[str, Any],
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    train(start_run(small(text, **given), tmp_path / "whole"), silent)
    step = loop.train_step

    def interrupting(*args: Any, **options: Any) -> Any:
        result = step(*args, **options)
        if interrupted.step + 1 == stop_at:
            os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C in the middle of a step
        return result

    interrupted = start_run(small(text, **given), tmp_path / "parts")
    monkeypatch.setattr(loop, "train_step", interrupting)
    assert not train(interrupted, silent) and interrupted.step == stop_at
    monkeypatch.setattr(loop, "train_step", step)
    resumed = resume_run(tmp_path / "parts", {})
    assert resumed.step == stop_at
    assert train(resumed, silent)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert facts(tmp_path / "parts") == facts(tmp_path / "whole")


def test_what_saves_memory_changes_no_bit(text: Path, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """But chunks, which change the order of a sum, and parts of one slice."""
    monkeypatch.setattr(files, "_SMALL", 0)  # all averages lie in files
    expected = {"slices": 4, "batch": 4, "dropout": 0.1}
    train(start_run(small(text, **expected), tmp_path / "plain"), silent)
    train(start_run(small(text, **{**SAVING, "loss_chunk": 0}), tmp_path / "saving"), silent)
    assert weights(tmp_path / "saving") == weights(tmp_path / "plain")
    assert not list((tmp_path / "saving").glob("moments*")) or os.name != "posix"


@pytest.mark.parametrize("changes", [
    {"optimizer": "sgd", "schedule": "linear", "ema": 0.9},
    {"optimizer": "lion", "schedule": "inverse_sqrt"},
    {"optimizer": "adafactor", "schedule": "constant", "groups": "h.*: lr=0.5"},
    {"optimizer": "muon", "schedule": "wsd", "cooldown": 0.5, "ema": 0.5},
    {"optimizer": "adamw", **EVERYTHING},
    {"optimizer": "muon", "schedule": "wsd", **EVERYTHING},
], ids=lambda changes: changes["optimizer"] + (", everything" if "precision" in changes else ""))
def test_resuming_equals_not_stopping_with_every_optimizer(
        text: Path, tmp_path: Path, changes: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_scale, "FIRST", 2.0**24)  # so that float16 overflows
    whole = start_run(small(text, **changes), tmp_path / "whole")
    train(whole, silent)
    parts, step = start_run(small(text, **changes), tmp_path / "parts"), loop.train_step

    def stopping(*args: Any, **options: Any) -> Any:
        if parts.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_step", stopping)
        assert not train(parts, silent) and parts.step == 4
    resumed = resume_run(tmp_path / "parts", {})
    assert train(resumed, silent)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert {name: array.tobytes() for name, array in resumed.state().items()} == {
        name: array.tobytes() for name, array in whole.state().items()}
    assert (whole.loss_scale.size < 2.0**24) == ("precision" in changes)


def test_averaged_weights_are_validated_saved_and_read(text: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = start_run(small(text, ema=0.9, dropout=0.0), tmp_path / "run")
    average, updates = {name: 0.0 * p.data for name, p in parameters(run.model).items()}, 0
    with pytest.MonkeyPatch.context() as patch:
        step = loop.train_step

        def averaging(*args: Any, **options: Any) -> Any:
            nonlocal updates
            result, updates = step(*args, **options), updates + 1
            for name, p in parameters(run.model).items():
                average[name] += (p.data - average[name]) * 0.1 / (1 - 0.9**updates)
            return result

        patch.setattr(loop, "train_step", averaging)
        train(run, said.append)
    found, _, _ = load_model(tmp_path / "run", "ema")
    for name, p in parameters(found).items():
        np.testing.assert_allclose(p.data, average[name], rtol=1e-5, atol=1e-7)
    assert weights(tmp_path / "run") != {n: p.data.tobytes() for n, p in parameters(found).items()}
    last = [r for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if "val_loss" in r][-1]
    looked_at = open_run(tmp_path / "run", "ema")
    assert validation_loss(looked_at, 3) == last["val_loss_ema"] != last["val_loss"]
    assert validation_loss(open_run(tmp_path / "run"), 3) == last["val_loss"]
    assert f", with averaged weights {last['val_loss_ema']:.4f}" in " ".join(said)
    with pytest.raises(UserError, match="ema has averaged weights, with which no run goes on"):
        resume_run(tmp_path / "run", {}, "ema")
    with pytest.raises(UserError, match="has ema = 0.9, which cannot become 0.5"):
        resume_run(tmp_path / "run", {"ema": 0.5})
    begun = start_run(small(text, dropout=0.0), tmp_path / "next",
                      init=WarmStart(tmp_path / "run", "ema"))
    assert {n: p.data.tobytes() for n, p in parameters(begun.model).items()} == {
        n: p.data.tobytes() for n, p in parameters(found).items()}
    train(start_run(small(text, keep=3), tmp_path / "without"), silent)
    with pytest.raises(UserError, match="holds no average of the weights; train with --ema 0.999, "
                                        "or leave --checkpoint ema out$"):
        load_model(tmp_path / "without", "ema")


def test_before_the_first_update_the_averaged_weights_are_those_that_were_drawn(
        text: Path, tmp_path: Path) -> None:
    run = start_run(small(text, ema=0.9), tmp_path / "run")
    save_checkpoint(run.folder / "checkpoint", run.model, run, 0)
    found, _, _ = load_model(run.folder, "ema")
    assert {n: p.data.tobytes() for n, p in parameters(found).items()} == weights(run.folder)


def test_a_step_that_is_skipped_is_in_no_average(text: Path, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    run, step = start_run(small(text, ema=0.9), tmp_path / "run"), loop.train_step

    def skipping(*args: Any, **options: Any) -> Any:
        if run.batch in (0, 3):
            raise Skipped("for the test")
        return step(*args, **options)

    monkeypatch.setattr(loop, "train_step", skipping)
    assert train(run, silent) and run.batch == 8
    assert run.ema is not None and int(run.ema.steps) == 6
    assert {int(t) for t in run.optimizer.steps.values()} == {6}


def test_a_crash_after_the_checkpoint_is_repeated_not_doubled(text: Path, tmp_path: Path) -> None:
    train(start_run(small(text), tmp_path / "whole"), silent)
    run = start_run(small(text, steps=3), tmp_path / "crash")
    run.config = small(text)  # the same schedule, but the process dies in step 5

    class Crash(BaseException):
        """As kill -9: nothing is saved after it."""

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
                                        r"before the update.*--learning-rate.*of step 3 is in"):
        train(run, silent)
    assert {int(t) for t in run.optimizer.steps.values()} == {4}
    assert resume_run(tmp_path / "run", {}).step == 3, "the last checkpoint is whole"


def test_the_seed_determines_the_run(text: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(start_run(small(text, seed=seed), tmp_path / name), silent)
    assert weights(tmp_path / "a") == weights(tmp_path / "b") != weights(tmp_path / "c")


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


SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


@pytest.mark.parametrize("numbers", [[number] for number in SIGNALS] + [
    [signal.SIGINT] * 2, [signal.SIGTERM, signal.SIGINT, signal.SIGINT]])
def test_signals_save_however_many_come(text: Path, tmp_path: Path, numbers: list[int],
                                        monkeypatch: pytest.MonkeyPatch,
                                        capfd: pytest.CaptureFixture[str]) -> None:
    train(start_run(small(text), tmp_path / "whole"), silent)
    step = loop.train_step

    def interrupting(*args: Any, **options: Any) -> Any:
        if run.step + 1 == 5:
            for number in numbers:
                os.kill(os.getpid(), number)
        return step(*args, **options)

    run = start_run(small(text), tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", interrupting)
        assert not train(run, silent)
    assert (run.step, run.stopped_by) == (5, numbers[0])
    said = capfd.readouterr().err
    assert f"{signal.Signals(numbers[0]).name}: stopping after this step, then saving" in said
    assert said.count("still saving") == len(numbers) - 1
    resumed = resume_run(tmp_path / "run", {})
    assert resumed.step == 5 and train(resumed, silent)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_a_signal_in_the_final_evaluation_costs_nothing(text: Path, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    train(start_run(small(text), tmp_path / "whole"), silent)
    run = start_run(small(text), tmp_path / "run")
    real = loop.validation_losses

    def interrupting(run: Any, count: int, stop: Any) -> Any:
        if count == run.config.run.final_eval_batches:
            assert read_state(run.folder / "checkpoint")["step"] == 6, "saved before"
            os.kill(os.getpid(), signal.SIGTERM)
        return real(run, count, stop)

    monkeypatch.setattr(loop, "validation_losses", interrupting)
    assert not train(run, silent) and run.step == 6
    monkeypatch.setattr(loop, "validation_losses", real)
    resumed = resume_run(tmp_path / "run", {})
    assert loop.left_to_do(resumed) and train(resumed, silent)
    assert not loop.left_to_do(resume_run(tmp_path / "run", {}))
    assert facts(tmp_path / "run") == facts(tmp_path / "whole")
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def facts(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k not in ("tokens_per_s", "seconds", "memory")}
            for record in read_metrics(folder / "metrics.jsonl")]


class Fault(Exception):
    pass


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate"), Fault("a bug")])
def test_an_error_does_not_cost_the_steps_before_it(text: Path, tmp_path: Path, error: Exception,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    train(start_run(small(text), tmp_path / "whole"), silent)
    run, step = start_run(small(text), tmp_path / "run"), loop.train_step

    def failing(*args: Any, **options: Any) -> Any:
        if run.step == 5:
            raise error
        return step(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", failing)
        with pytest.raises((UserError, Fault), match="memory ran out .*--batch|a bug"):
            train(run, silent)
    assert resume_run(tmp_path / "run", {}).step == 5
    train(resume_run(tmp_path / "run", {}), silent)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_an_update_that_was_cut_in_half_is_not_saved(text: Path, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(small(text), tmp_path / "run")
    update = run.optimizer.update

    def half(lr: float, scale: float = 1.0) -> None:
        update(lr, scale)
        if run.step == 4:
            raise Fault

    monkeypatch.setattr(run.optimizer, "update", half)
    with pytest.raises(Fault):
        train(run, silent)
    assert resume_run(tmp_path / "run", {}).step == 3


def test_output_that_has_no_reader_does_not_end_a_run(text: Path, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, line: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Gone())
    assert train(start_run(small(text), tmp_path / "run"))
    assert load_model(tmp_path / "run")


def test_the_best_checkpoint_is_kept_and_losses_may_be_beyond_all_bounds(
        text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = {2: 3.0, 4: 1e5, 6: 2.0, 8: math.nan, 10: 2.5, 12: 2.4}
    run = start_run(small(text, steps=12, eval_every=2, checkpoint_every=12), tmp_path / "run")

    def given(run: Any, count: int, stop: Any) -> Any:
        return [[losses[run.step]]] * 2 + [[0.0]] * (count - 2)  # the final one counts 3

    monkeypatch.setattr(loop, "validation_losses", given)
    said: list[str] = []
    assert train(run, said.append)
    assert any("100000.0000 over 2 batches (perplexity inf)" in line for line in said)
    assert [one.step for one in read_state(run.folder / "checkpoint")["checkpoints"]] == [12, 6]
    assert resume_run(run.folder, {"steps": 20}, "best").step == 6
    assert resume_run(run.folder, {}, "6").step == 6
    with pytest.raises(UserError, match="no checkpoint '8' in .*; there are last, best and"):
        load_model(run.folder, "8")
    assert load_model(run.folder, "best")
    records = [r for r in read_metrics(run.folder / "metrics.jsonl") if "val_loss" in r]
    assert [r["val_loss"] for r in records[:4]] == [3.0, 1e5, 2.0, None]


def test_without_checkpoints_on_the_way_there_is_one_at_the_end(text: Path,
                                                                tmp_path: Path) -> None:
    run = start_run(small(text, checkpoint_every=0, eval_every=1), tmp_path / "run")
    assert train(run, silent)
    (only,) = read_state(run.folder / "checkpoint")["checkpoints"]
    assert only.step == 6 and only.measured == "2 x 2" and only.val_loss is not None


def test_going_on_from_an_earlier_checkpoint_is_that_run_again(text: Path, tmp_path: Path) -> None:
    train(start_run(small(text), tmp_path / "run"), silent)
    before, records = weights(tmp_path / "run"), facts(tmp_path / "run")
    assert [one.step for one in read_state(tmp_path / "run/checkpoint")["checkpoints"]] == [6, 3]
    run = resume_run(tmp_path / "run", {}, "3")
    assert run.step == 3 and train(run, silent)
    assert weights(tmp_path / "run") == before and facts(tmp_path / "run") == records


def test_going_on_from_an_earlier_checkpoint_otherwise_is_saved(text: Path,
                                                                tmp_path: Path) -> None:
    """Its last step is that of the checkpoint that was given up, and its weights are not."""
    train(start_run(small(text), tmp_path / "run"), silent)
    before = weights(tmp_path / "run")
    run = resume_run(tmp_path / "run", {"learning_rate": 5e-3}, "3")
    assert train(run, silent)
    assert weights(tmp_path / "run") != before
    assert weights(tmp_path / "run") == {
        name: p.data.tobytes() for name, p in parameters(run.model).items()}


def test_a_run_that_went_on_elsewhere_is_not_overwritten(text: Path, tmp_path: Path) -> None:
    start_run(small(text), tmp_path / "run")
    first, second = (resume_run(tmp_path / "run", {}) for _ in range(2))
    with lock(tmp_path / "run"), pytest.raises(UserError, match="process .* is at work in"):
        train(first, silent)
    assert train(first, silent)
    before = weights(tmp_path / "run")
    with pytest.raises(UserError, match="newest checkpoint is now of step 6, and was of None"):
        train(second, silent)
    assert weights(tmp_path / "run") == before and not (tmp_path / "run" / "lock").exists()


@pytest.mark.usefixtures("picture")
def test_a_picture_that_cannot_be_written_ends_nothing(text: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = start_run(small(text), tmp_path / "run")
    (run.folder / "loss.png").mkdir()
    said: list[str] = []
    assert train(run, said.append)
    assert any(line.startswith("no loss.png: ") for line in said)


def test_before_the_first_checkpoint_there_is_none_to_name(
        text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(small(text), tmp_path / "run")
    run.model.h[0].mlp.down.bias.data[0] = np.nan
    with pytest.raises(UserError, match="step 1: the loss is nan.*; nothing was saved before it"):
        train(run, silent)
    assert not (run.folder / "checkpoint").exists()


def test_a_full_disk_under_the_metrics_is_said_and_the_steps_are_saved(
        text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(small(text), tmp_path / "run")

    class Full(io.StringIO):
        name = "metrics.jsonl"

        def write(self, line: str) -> int:
            if '"step": 4' in line:
                raise OSError(errno.ENOSPC, "No space left on device")
            return len(line)

        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    real = loop.MetricsLog

    def log(*args: Any) -> Any:
        made = real(*args)
        made.close()
        made._file = Full()
        return made

    monkeypatch.setattr(loop, "MetricsLog", log)
    with pytest.raises(UserError, match="cannot write .*metrics.jsonl: No space left"):
        train(run, silent)
    assert read_state(run.folder / "checkpoint")["step"] == 4


@pytest.mark.parametrize("background", [pytest.param(True, marks=pytest.mark.long), False])
def test_wherever_the_disk_becomes_full_nothing_is_lost_or_half_written(
        text: Path, tmp_path: Path, background: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each flush of a file or a folder, from the first on; then there is room again."""
    settings = {"checkpoint_in_background": background, "ema": 0.9, "keep": 2}
    assert train(start_run(small(text, **settings), tmp_path / "whole"), silent)
    fsync, room = files.os.fsync, [0]

    def flush(handle: int) -> None:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        fsync(handle)

    def go_on(folder: Path) -> Any:
        return (resume_run(folder, {}) if holds_run(folder)
                else start_run(small(text, **settings), folder))

    for number in count():
        folder = tmp_path / str(number)
        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", flush)
            room[0] = number
            try:
                train(go_on(folder), silent)
                break
            except UserError as error:
                assert "No space left on device" in str(error)
        left = [path.name for path in folder.rglob("*") if path.suffix == ".tmp"]
        assert not left, f"after {number} flushes"
        if (folder / "checkpoint" / "state.json").exists():
            for saved in read_state(folder / "checkpoint")["checkpoints"]:
                assert {n: files.sha256_of(folder / "checkpoint" / n) for n in saved.files
                        } == saved.sha256
        assert train(go_on(folder), silent)
        assert weights(folder) == weights(tmp_path / "whole"), number
    assert number > 20


def test_a_step_that_is_skipped_uses_its_batch_up_and_nothing_else(
        text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are those of a run whose batches lack that one; a resume goes on so."""
    step, at, seen = loop.train_step, Batches.at, []

    def refusing(*args: Any, **options: Any) -> Any:
        if seen[-1] in (0, 4, 5):
            raise Skipped("overflow")
        return step(*args, **options)

    def noted(self: Any, number: int) -> Any:
        seen.append(number)
        return at(self, number)

    monkeypatch.setattr(Batches, "at", noted)
    run = start_run(small(text, dropout=0.0, eval_every=0, final_eval_batches=0),
                    tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", refusing)
        assert train(run, silent)
    assert seen == [*range(9)] and (run.step, run.batch) == (6, 9)
    assert {int(t) for t in run.optimizer.steps.values()} == {6}
    assert [(r["step"], r["batch"]) for r in read_metrics(run.folder / "metrics.jsonl")
            if "skipped" in r] == [(0, 0), (3, 4), (3, 5)]
    without = [number for number in range(9) if number not in (0, 4, 5)]
    monkeypatch.setattr(Batches, "at", lambda self, number: at(self, without[number]))
    train(start_run(small(text, dropout=0.0, eval_every=0, final_eval_batches=0),
                    tmp_path / "other"), silent)
    assert weights(tmp_path / "run") == weights(tmp_path / "other")
    monkeypatch.setattr(Batches, "at", noted)
    seen.clear()
    train(resume_run(run.folder, {"steps": 8}), silent)
    assert seen == [9, 10]


def test_checkpoints_in_the_background_are_those_that_are_waited_for(
        text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread is held back until the next step is about to change what it writes."""
    monkeypatch.setattr(arrays, "SMALL", 0)
    for name, background in (("background", True), ("waiting", False)):
        run = start_run(small(text, keep=9, checkpoint_every=1, eval_every=0,
                              checkpoint_in_background=background), tmp_path / name)
        settled = Event()
        write, settle = checkpoint.write_in_one_step, run.background.settle

        def held(path: Path, parts: Any, write: Any = write, settled: Any = settled,
                 last: Any = lambda run=run: run.step == 6) -> None:
            assert last() or settled.wait(30)
            write(path, parts)

        def released(settle: Any = settle, settled: Any = settled) -> None:
            settle()
            settled.set()

        with monkeypatch.context() as patch:
            if background:
                patch.setattr(checkpoint, "write_in_one_step", held)
                patch.setattr(run.background, "settle", released)
            assert train(run, silent)
    for one in read_state(run.folder / "checkpoint")["checkpoints"]:
        for file in one.files:
            assert (tmp_path / "background/checkpoint" / file).read_bytes() == (
                run.folder / "checkpoint" / file).read_bytes()
    assert one.step == 1


@pytest.mark.parametrize("background", [True, False])
def test_a_disk_that_is_full_for_one_checkpoint(text: Path, tmp_path: Path, background: bool,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes up in the next step at the latest, and the run can be gone on with."""
    run = start_run(small(text, checkpoint_in_background=background, keep=1), tmp_path / "run")
    write = checkpoint.write_in_one_step

    def full(path: Path, parts: Any) -> None:
        if path.name == "optimizer-0000003.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, parts)

    monkeypatch.setattr(checkpoint, "write_in_one_step", full)
    said: list[str] = []
    with pytest.raises(UserError, match="cannot save the checkpoint of step 3 .*No space left"):
        train(run, said.append)
    assert not any("saved after" in line for line in said)
    assert not [*(run.folder / "checkpoint").iterdir()]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_in_one_step", write)
        assert train(resume_run(run.folder, {}), silent)
