"""Batches that are left out: the weights are those of a run that never had them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from small_runs import DOCUMENTS, Killed, silent, small, weights, write_shards, write_text

from tinygrad_llm.data.batches.epochs import EpochBatches
from tinygrad_llm.data.batches.random_windows import Batches
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.train import loop, resume_run, start_run, train
from tinygrad_llm.train.folder.checkpoint import read_state
from tinygrad_llm.train.log import read_metrics
from tinygrad_llm.train.objective import Diverged

PLAIN: dict[str, Any] = {"dropout": 0.0, "eval_every": 0, "final_eval_batches": 0, "steps": 8,
                         "sample_every": 0, "checkpoint_every": 3, "log_every": 1,
                         "spike_window": 2}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path)


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the loss of some batches NaN, or ten times what it is; do something before others."""
    step = loop.train_step

    def make(run: Any, batches: Collection[int], kind: str, before: dict[int, Any] | None = None
             ) -> None:
        def poisoned(*args: Any, before_update: Any, **options: Any) -> Any:
            action = (before or {}).pop(run.batch, None)
            if action:
                action()
            if kind == "nonfinite" and run.batch in batches:
                raise Diverged("the loss is nan")
            times = 10 if run.batch in batches else 1
            return step(*args, before_update=lambda loss, norm: before_update(times * loss, norm),
                        **options)

        monkeypatch.setattr(loop, "train_step", poisoned)

    return make


def weights_with(batches: list[int], text: Path, folder: Path,
                 monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Return the weights of a run that takes these batches one after another."""
    at = Batches.at
    with monkeypatch.context() as patch:
        patch.setattr(Batches, "at", lambda self, number: at(self, batches[number]))
        patch.setattr(loop, "train_step", TRAIN_STEP)
        assert train(start_run(small(text, **PLAIN), folder), silent)
    return weights(folder)


TRAIN_STEP = loop.train_step
CASES = {  # the bad batches, and those that the steps take: 3, 6, ... are checkpoints' steps
    "skip": ([4, 7], [0, 1, 2, 3, 5, 6, 8, 9]),
    # Step 5 is bad: back to 3, without 3 and 4. Then 5 to 7 are steps 4 to 6, and 9 is step 8: back
    # to step 6, without 8 and 9.
    "rollback": ([4, 9], [0, 1, 2, 5, 6, 7, 10, 11]),
}


@pytest.mark.parametrize("kind, setting", [("nonfinite", "on_nonfinite"), ("spike", "on_spike")])
@pytest.mark.parametrize("action", CASES)
def test_the_weights_are_those_of_the_batches_that_are_left(
        text: Path, tmp_path: Path, bad: Any, kind: str, setting: str, action: str,
        monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(small(text, **PLAIN, **{setting: action}), tmp_path / "run")
    failing, taken = CASES[action]
    bad(run, failing, kind)
    said: list[str] = []
    assert train(run, said.append)
    assert (run.step, int(run.trouble.handled)) == (8, 2)
    assert weights(run.folder) == weights_with(taken, text, tmp_path / "other", monkeypatch)
    records = read_metrics(run.folder / "metrics.jsonl")
    assert [(r["action"], r["batch"]) for r in records if "fault" in r] == [
        (action, number) for number in failing]
    assert [r["step"] for r in records if "loss" in r] == [*range(1, 9)]
    words = "is left out" if action == "skip" else "batches 3 to 4 are left out"
    assert sum(words in line for line in said) == (2 if action == "skip" else 1)


def test_several_rollbacks_to_one_checkpoint_all_stay_on_record(text: Path, tmp_path: Path,
                                                               bad: Any) -> None:
    run = start_run(small(text, **PLAIN, on_nonfinite="rollback"), tmp_path / "run")
    bad(run, [4, 6, 7, 11], "nonfinite")  # steps 5, 5, 4 and 7
    assert train(run, silent)
    records = read_metrics(run.folder / "metrics.jsonl")
    assert [(r["step"], r["batch"]) for r in records if "fault" in r] == [
        (3, 4), (3, 6), (3, 7), (6, 11)]
    assert [r["step"] for r in records if "loss" in r] == [*range(1, 9)]


def test_a_run_that_went_on_from_an_earlier_checkpoint_rolls_back_to_none_of_later_steps(
        text: Path, tmp_path: Path, bad: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    settings = {**PLAIN, "on_nonfinite": "rollback", "keep": 9}
    assert train(start_run(small(text, **settings), folder), silent)
    run = resume_run(folder, {}, "3")
    bad(run, [4], "nonfinite")
    said: list[str] = []
    assert train(run, said.append)
    assert sum("back to the checkpoint of step 3, batches 3 to 4 are" in line for line in said) == 1
    assert weights(folder) == weights_with([0, 1, 2, 5, 6, 7, 8, 9], text, tmp_path / "other",
                                           monkeypatch)


@pytest.mark.parametrize("action", CASES)
@pytest.mark.parametrize("when", [0, 3, 4, 5, 8, 10])
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_run_that_is_interrupted_decides_the_same(
        text: Path, tmp_path: Path, bad: Any, action: str, when: int, how: str,
        monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        if how == "killed":
            raise Killed
        os.kill(os.getpid(), signal.SIGINT)

    failing, taken = CASES[action]
    run = start_run(small(text, **PLAIN, on_nonfinite=action, keep=1), tmp_path / "run")
    bad(run, failing, "nonfinite", {when: interrupt})
    try:
        done = train(run, silent)
    except Killed:
        done = False
    if not done:
        run = resume_run(run.folder, {})
        bad(run, failing, "nonfinite")
        assert train(run, silent)
    assert weights(run.folder) == weights_with(taken, text, tmp_path / "other", monkeypatch)
    assert int(run.trouble.handled) == 2
    assert len([r for r in read_metrics(run.folder / "metrics.jsonl") if "fault" in r]) == 2


@pytest.mark.parametrize("action", CASES)
def test_a_policy_that_does_not_help_stops(text: Path, tmp_path: Path, bad: Any,
                                           action: str) -> None:
    run = start_run(small(text, **PLAIN, on_nonfinite=action, most_faults=3), tmp_path / "run")
    bad(run, range(4, 100), "nonfinite")
    with pytest.raises(UserError, match=r"the loss is nan; stopped before the update, as "
                                        r"--most-faults 3 allows no more.*of step 3 is in"):
        train(run, silent)
    assert read_state(run.folder / "checkpoint")["step"] == 3
    again = resume_run(run.folder, {"most_faults": 5})
    bad(again, range(4, 8), "nonfinite")
    assert train(again, silent)


def test_a_spike_is_reported_with_its_documents_and_trained_on(text: Path, tmp_path: Path,
                                                               bad: Any) -> None:
    train(start_run(small(text, **PLAIN), tmp_path / "other"), silent)
    run = start_run(small(text, **PLAIN), tmp_path / "run")
    bad(run, [4], "spike")
    said: list[str] = []
    assert train(run, said.append)
    (line,) = [line for line in said if "times the median" in line]
    assert line.startswith("step 5: the loss ") and "of the last 2 steps" in line
    (record,) = [r for r in read_metrics(run.folder / "metrics.jsonl") if "fault" in r]
    assert (record["step"], record["batch"], record["action"]) == (4, 4, "report")
    ids, _ = run.batches(run.data.train, 1).at(4)
    assert [one["text"][:8] for one in record["documents"]] == [
        run.data.tokenizer.decode(row.tolist()) for row in ids]
    for one in record["documents"]:
        assert TEXT_OF(run)[one["token"]:].startswith(one["text"])


def TEXT_OF(run: Any) -> str:
    return str(run.data.tokenizer.decode(run.data.train[:].tolist()))


def test_of_shards_the_documents_have_numbers_and_offsets(tmp_path: Path, bad: Any) -> None:
    run = start_run(small(write_shards(tmp_path / "shards", "char"), **PLAIN), tmp_path / "run")
    bad(run, [5], "spike")
    train(run, silent)
    (record,) = [r for r in read_metrics(run.folder / "metrics.jsonl") if "fault" in r]
    batches = run.batches(run.data.train, 1)
    assert isinstance(batches, EpochBatches) and len(record["documents"]) == 2
    for one in record["documents"]:
        assert DOCUMENTS[one["document"]][one["offset"]:].startswith(one["text"].split("\n")[0])


def test_no_spike_before_the_window_is_full_nor_without_a_factor(text: Path, tmp_path: Path,
                                                                 bad: Any) -> None:
    for name, changes in (("window", {"spike_window": 6}), ("factor", {"spike_factor": 0.0})):
        run = start_run(small(text, **{**PLAIN, "on_spike": "skip", **changes}), tmp_path / name)
        bad(run, [5], "spike")
        train(run, silent)
        assert not int(run.trouble.left_out)


@pytest.mark.parametrize("name, value, words", [
    ("on_nonfinite", "report", "stop, skip or rollback"), ("on_spike", "stop", "report, skip or"),
    ("spike_factor", 1.0, "0 or above 1"), ("spike_window", 0, r"in \[1, 1024\]"),
    ("most_faults", -1, "at least 0")])
def test_settings_out_of_bounds(text: Path, name: str, value: Any, words: str) -> None:
    with pytest.raises(UserError, match=f"{name} must be {words}"):
        small(text, **{name: value})
