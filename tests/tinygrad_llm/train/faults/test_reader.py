"""Reads that hang are said, and do not keep a run from stopping."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from small_runs import silent, small, weights, write_shards, write_text

from tinygrad_llm.data.tokens import stored
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.stop_signals import Stop
from tinygrad_llm.train import loop, resume_run, start_run, train
from tinygrad_llm.train.faults import reader
from tinygrad_llm.train.faults.reader import PatientReader, Stopped
from tinygrad_llm.train.folder.checkpoint import read_state

SMALL: dict[str, Any] = {"eval_every": 0, "final_eval_batches": 0, "sample_every": 0}


class Slow:
    """Batches that are there once `opened` is set."""

    def __init__(self) -> None:
        self.opened = Event()

    def at(self, number: int) -> int:
        assert self.opened.wait(30)
        return number


def test_a_batch_or_an_error_comes_through() -> None:
    class Batches:
        def at(self, number: int) -> int:
            return 10 // number

    patient = PatientReader(Batches(), 30, silent, None)
    assert patient.at(5) == 2
    with pytest.raises(ZeroDivisionError):
        patient.at(0)


def test_a_wait_is_said_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "POLL", 0.01)
    slow, said = Slow(), []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 3:
            slow.opened.set()

    assert PatientReader(slow, 0.02, say, None).at(7) == 7
    assert len(said) == 3 and all(line.startswith("waiting for a batch since 0 s; ")
                                  for line in said)


def test_a_signal_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "POLL", 0.01)
    slow, stop = Slow(), Stop()

    def say(line: str) -> None:
        stop.signal = 2

    with pytest.raises(Stopped):
        PatientReader(slow, 0.02, say, stop).at(7)
    slow.opened.set()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Let reads of train.bin hang once this is set, until the end of the test."""
    hangs, over, fill = Event(), Event(), stored._fill

    def late(file: Any, start: int, numbers: Any) -> bool:
        if hangs.is_set() and str(file.name).endswith("train.bin"):
            over.wait(30)
        return fill(file, start, numbers)

    monkeypatch.setattr(stored, "_fill", late)
    monkeypatch.setattr(reader, "POLL", 0.01)
    yield hangs
    over.set()


def test_a_run_whose_reader_hangs_names_the_file_saves_and_stops(
        tmp_path: Path, hanging: Event) -> None:
    text = write_text(tmp_path)
    train(start_run(small(text, **SMALL), tmp_path / "whole"), silent)
    run = start_run(small(text, **SMALL, reader_timeout=0.05), tmp_path / "run")
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        os.kill(os.getpid(), signal.SIGTERM)

    step = loop.train_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_step", lambda *args, **options: (
            run.step == 3 and hanging.set(), step(*args, **options))[1])
        assert not train(run, say)
    assert said and str(run.folder / "data" / "train.bin") in said[0]
    assert (run.step, run.stopped_by, read_state(run.folder / "checkpoint")["step"]) == (
        4, signal.SIGTERM, 4)
    hanging.clear()
    assert train(resume_run(run.folder, {}), silent)
    assert weights(run.folder) == weights(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["text", "shards"])
@pytest.mark.parametrize("change", ["gone", "cut", "rewritten"])
def test_a_file_of_data_that_is_not_there_any_more_stops_a_run_that_can_go_on(
        tmp_path: Path, kind: str, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_text(tmp_path) if kind == "text" else write_shards(tmp_path / "shards", "char")
    train(start_run(small(data, **SMALL), tmp_path / "whole"), silent)
    run = start_run(small(data, **SMALL), tmp_path / "run")
    files = ([run.folder / "data" / "train.bin"] if kind == "text"
             else sorted((tmp_path / "shards" / "train").glob("*.bin")))
    content, step = [path.read_bytes() for path in files], loop.train_step

    def changing(*args: Any, **options: Any) -> Any:
        if run.step == 3:
            for path in files:
                if change == "gone":
                    path.unlink()
                else:
                    os.truncate(path, 50 if change == "cut" else path.stat().st_size)
                    os.utime(path, (1, 1))
        return step(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", changing)
        said: list[str] = []
        with pytest.raises(UserError, match=r"\.bin.*go on with --resume"):
            train(run, said.append)
    assert "saved after step 4" in said
    for path, former in zip(files, content, strict=True):
        path.write_bytes(former)
    assert train(resume_run(run.folder, {}), silent)
    assert weights(run.folder) == weights(tmp_path / "whole")
