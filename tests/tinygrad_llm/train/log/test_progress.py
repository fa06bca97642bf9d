"""The line in the terminal: its pace, its time left, its losses; and no broken characters."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.train.log import Progress, progress
from tinygrad_llm.train.log.progress import BARS, sparkline
from tinygrad_llm.train.settings import RunSettings


class Clock:
    """Stands in for time.perf_counter."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


SETTINGS = RunSettings(steps=100, eval_every=30, eval_batches=4, final_eval_batches=10,
                       sample_every=50, sample_tokens=100, checkpoint_every=40, look_every=25)


def test_the_pace_is_that_of_the_steps_alone(clock: Clock) -> None:
    made = Progress(SETTINGS, 0, 100, True)
    for step in (1, 2, 3):
        clock.now += 0.5
        made.step(step, 2.0)
        with made.doing("save"):
            clock.now += 10
    assert made.tokens_per_second() == 200.0
    clock.now += 4
    made.step(4, 2.0)
    assert made.tokens_per_second() == 25.0, "since the last question"


def test_a_clock_that_stands_still_is_no_division_by_zero(clock: Clock) -> None:
    made = Progress(SETTINGS, 0, 100, True)
    made.step(1, 2.0)
    assert made.tokens_per_second() > 0 and made.left() == 0


COSTS = {"validation": 0.2, "sample": 0.005, "save": 0.25, "look": 0.04}


def run(clock: Clock, settings: RunSettings, evaluates: bool = True) -> dict[int, float | None]:
    """Do a run of steps of half a second on the clock; return the error of its time left."""
    made, at, s = Progress(settings, 0, 100, evaluates), dict[int, tuple[float | None, float]](), \
        settings
    for step in range(1, s.steps + 1):
        clock.now += 2.5 if step == 1 else 0.5  # the first takes longer
        made.step(step, 2.0)
        at[step] = made.left(), clock.now
        last = step == s.steps
        for kind, due, count in (("look", step % s.look_every == 0, 1),
                                 ("save", last or step % s.checkpoint_every == 0, 1),
                                 ("validation", evaluates and step % s.eval_every == 0
                                  and not last, s.eval_batches),
                                 ("sample", step % s.sample_every == 0 and not last,
                                  s.sample_tokens),
                                 ("validation", evaluates and last, s.final_eval_batches)):
            if due:
                with made.doing(kind, count):
                    clock.now += COSTS[kind] * count
    return {step: None if left is None else left / (clock.now - then)
            for step, (left, then) in at.items() if clock.now > then}


@pytest.mark.parametrize("evaluates", [True, False])
def test_the_time_left_is_that_of_all_that_is_left(clock: Clock, evaluates: bool) -> None:
    ratios = run(clock, SETTINGS, evaluates)
    assert ratios[2] == pytest.approx(1, abs=0.1), "from the second step on, by guesses"
    for step in range(51, 95):  # one of each kind was seen
        assert ratios[step] == pytest.approx(1, abs=0.02), step


def test_before_the_first_step_nothing_is_known(clock: Clock) -> None:
    made = Progress(SETTINGS, 10, 100, True)
    assert made.left() is None
    clock.now += 1
    made.step(11, 2.0)
    assert (left := made.left()) is not None and left > 89


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400))
def test_a_sparkline_has_a_bar_for_twenty_losses(losses: list[float]) -> None:
    line = sparkline(losses)
    assert len(line) == -(-len(losses) // 20) and set(line) <= set(BARS)
    assert BARS[0] in line


def test_a_sparkline_falls_with_the_loss() -> None:
    falling = sparkline([3 - i / 200 for i in range(320)])
    assert falling == "".join(sorted(falling, reverse=True)) and (
        falling[0], falling[-1], len(falling)) == ("█", "▁", 16)


class Terminal(io.TextIOWrapper):
    """A terminal of an encoding, 100 columns wide."""

    def __init__(self, encoding: str) -> None:
        self.raw_bytes = io.BytesIO()
        super().__init__(self.raw_bytes, encoding=encoding, write_through=True)

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252", "koi8-r"])
def test_what_a_terminal_shows(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    terminal = Terminal(encoding)
    monkeypatch.setattr(sys, "stderr", terminal)
    made = Progress(SETTINGS, 0, 100, True)
    made.bar.mininterval = 0
    for step in range(1, 61):
        made.step(step, 4 - step / 60)
    made.bar.close()
    shown = terminal.raw_bytes.getvalue().decode(encoding)  # raises for what it cannot show
    last = shown.rpartition("\r")[2]
    assert "60/100" in last and "loss 3.000" in last and " left" in last and "?" not in last
    assert ("█▄▁" in last) == (encoding == "utf-8")


def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    made = Progress(SETTINGS, 0, 100, True)
    made.step(1, 4.0)
    made.bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("training: step 1 of 100, ") and lines[-1].endswith(
        " left, loss 4.000") and not set(lines[-1]) & set(BARS)


def test_a_stream_without_an_encoding_gets_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    stream: Any = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert not progress._can_show(BARS)
