"""The learning rate over a run."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.optim import Schedule
from tinygrad_llm.optim.schedule import SCHEDULES


def rates(name: str, steps: range, *numbers: float, warmup: int = 4, whole: int = 24,
          cooldown: float = 0.25) -> list[float]:
    schedule = Schedule(name, *numbers or (1.0, 0.1), warmup, whole, cooldown)
    return [schedule.rate(step) for step in steps]


def test_up_in_a_line_and_down_a_cosine() -> None:
    found = rates("cosine", range(26))
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[14] == pytest.approx(0.55) and found[24] == found[25] == 0.1
    assert found[9] == pytest.approx(0.1 + 0.45 * (1 + 2**-0.5))
    assert all(a > b for a, b in itertools.pairwise(found[4:25]))


def test_down_in_a_line() -> None:
    found = rates("linear", range(3, 27))
    assert found[:2] == pytest.approx([0.8, 1.0]) and found[11] == pytest.approx(0.55)
    assert [a - b for a, b in itertools.pairwise(found[1:22])] == pytest.approx([0.045] * 20)
    assert found[-3:] == [0.1, 0.1, 0.1]


def test_warmup_stable_decay() -> None:
    found = rates("wsd", range(26))
    assert found[3] == pytest.approx(0.8) and found[4:19] == [1.0] * 15  # a quarter of 24 is left
    assert found[19:] == pytest.approx([0.85, 0.7, 0.55, 0.4, 0.25, 0.1, 0.1])
    assert rates("wsd", range(18)) == rates("wsd", range(18), whole=1000)
    assert rates("wsd", range(8), warmup=4, whole=8, cooldown=1.0) == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 1.0, 0.775, 0.55, 0.325])


def test_by_the_root_of_the_steps() -> None:
    found = rates("inverse_sqrt", range(200), whole=200)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert [found[19], found[44], found[124], found[199]] == pytest.approx(
        [0.5, 1 / 3, 0.2, 0.025**0.5])
    assert rates("inverse_sqrt", range(199, 200), 1.0, 0.3, whole=200) == [0.3]


def test_constant() -> None:
    assert rates("constant", range(3, 30)) == [0.8] + [1.0] * 26


@pytest.mark.parametrize("step, expected", [(0, 1.0), (1, 0.5), (2, 0.0), (9, 0.0)])
def test_without_warmup(step: int, expected: float) -> None:
    for name in ("cosine", "linear"):
        assert Schedule(name, 1.0, 0.0, 0, 2).rate(step) == pytest.approx(expected)


def test_runs_of_one_step_and_runs_that_are_all_warmup() -> None:
    for name in ("cosine", "linear", "wsd"):
        assert rates(name, range(1), 1.0, 0.0, warmup=0, whole=1) == [1.0]
        assert rates(name, range(4), warmup=3, whole=3) == pytest.approx([0.25, 0.5, 0.75, 0.1])


@given(st.sampled_from([*SCHEDULES]), st.integers(0, 50), st.integers(1, 60), st.floats(0.01, 1),
       st.floats(0, 1))
def test_every_rate_lies_below_the_peak_and_behind_the_warmup_above_the_end(
        name: str, warmup: int, steps: int, cooldown: float, final: float) -> None:
    schedule = Schedule(name, 1.0, final, warmup, steps, cooldown)
    found = [schedule.rate(step) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in found)
    assert all(rate >= final - 1e-12 for rate in found[warmup:])
    assert found[:warmup] == sorted(found[:warmup])
    assert all(a >= b for a, b in itertools.pairwise(found[warmup:]))
    if warmup < steps:
        assert found[warmup] == 1


def test_an_unknown_schedule() -> None:
    with pytest.raises(UserError, match="unknown schedule 'cosin'; did you mean 'cosine'?"):
        Schedule("cosin", 1.0, 0.1, 4, 24).rate(0)
