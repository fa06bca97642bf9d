"""Sweeps that run: in processes, interrupted, and gone on with."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from small_runs import SMALL, small, weights, write_text

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.lock import locked
from tinygrad_llm.sweep import results, run_sweep
from tinygrad_llm.sweep.grid import Sweep, make_sweep
from tinygrad_llm.train import loop, start_run, train


@pytest.fixture(autouse=True)
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "plot_loss", lambda records, path: True)


def sweep_of(data: Path, seeds: list[int], base: dict[str, Any] | None = None,
             **lists: list[Any]) -> Sweep:
    settings = {**SMALL, "data": str(data), "sample_every": 0, **(base or {})}
    return make_sweep({k: v for k, v in settings.items() if k not in lists}, lists, seeds)


def when(true: Callable[[], bool], action: Callable[[], object]) -> threading.Thread:
    """Do something in a thread as soon as something is true."""
    def watch() -> None:
        end = monotonic() + 60
        while not true() and monotonic() < end:
            sleep(0.01)
        action()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.uncut  # in the sweep's own processes
def test_each_run_is_the_one_that_would_have_been_trained_alone(tmp_path: Path) -> None:
    text, out, lines = write_text(tmp_path), tmp_path / "out", list[str]()
    assert run_sweep(sweep_of(text, [1, 2], width=[8]), out, 2, 1, lines.append) == 0
    alone = start_run(small(text, width=8, seed=2, sample_every=0), tmp_path / "alone")
    train(alone, say=lines.append)
    assert weights(tmp_path / "alone") == weights(out / "width=8,seed=2")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    more = sweep_of(text, [1, 2, 3], width=[8])
    assert run_sweep(more, out, 2, 1, lines.append) == 0
    assert "2 of 3 runs are done already" in lines
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert [len(one.losses) for one in results(more, out)] == [3]
    assert not (out / "lock").exists()


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="Windows sends no signals")
def test_a_signal_saves_all_runs_and_the_sweep_goes_on(tmp_path: Path) -> None:
    text, out = write_text(tmp_path), tmp_path / "out"
    sweep = sweep_of(text, [1, 2], {"steps": 200, "eval_every": 0, "checkpoint_every": 20},
                     width=[8])
    begun = when(lambda: (out / sweep.trials[0].name / "checkpoint" / "state.json").exists(),
                 lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert run_sweep(sweep, out, 1, 1, lambda line: None) == signal.SIGTERM
    begun.join()
    (one,) = results(sweep, out)
    assert not one.losses and one.states[1:] == ("seed 2 not begun",)
    assert one.states[0].startswith("seed 1 at step ")
    assert run_sweep(sweep, out, 2, 1, lambda line: None) == 0
    assert len(results(sweep, out)[0].losses) == 2
    first = sweep.trials[0]
    train(start_run(first.config, tmp_path / "alone"), say=lambda line: None)
    assert weights(tmp_path / "alone") == weights(out / first.name)


def test_a_run_that_fails_keeps_no_other_from_its_end(tmp_path: Path) -> None:
    text, lines = write_text(tmp_path), list[str]()
    sweep = sweep_of(text, [1], context=[8, 5000])
    assert run_sweep(sweep, tmp_path / "out", 1, 1, lines.append) == 0
    (message,) = lines
    assert message.startswith("context=5000,seed=1 failed: ") and "smaller --context" in message
    best, failed = results(sweep, tmp_path / "out")
    assert best.point == {"context": 8} and failed.states == ("seed 1 failed",)
    assert run_sweep(sweep, tmp_path / "out", 1, 1, lines.append) == 0
    assert "1 of 2 runs are done already" in lines and lines.count(message) == 2


def test_the_same_sweep_twice_at_a_time(tmp_path: Path) -> None:
    sweep = sweep_of(write_text(tmp_path), [1], width=[8])
    with locked(tmp_path / "lock", ""), pytest.raises(UserError, match="at work in .*; wait until"):
        run_sweep(sweep, tmp_path, 1, 1)


def test_runs_of_other_settings_are_not_taken_for_its_own(tmp_path: Path) -> None:
    text = write_text(tmp_path)
    for trial in sweep_of(text, [1], {"steps": 2}, width=[8]).trials:
        start_run(trial.config, tmp_path / "out" / trial.name)
    other = sweep_of(text, [1], {"steps": 3}, width=[16, 8])
    with pytest.raises(UserError, match=r"width=8,seed=1 holds a run with steps 2, and .* wants 3"):
        run_sweep(other, tmp_path / "out", 1, 1)
    assert not (tmp_path / "out" / "width=16,seed=1").exists()
