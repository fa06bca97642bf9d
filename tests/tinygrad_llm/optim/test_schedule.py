"""The learning rate over a run."""

from __future__ import annotations

import itertools

import pytest

from tinygrad_llm.optim import cosine_with_warmup


def test_up_in_a_line_and_down_a_cosine() -> None:
    rates = [cosine_with_warmup(s, peak=1.0, final=0.1, warmup=4, steps=24) for s in range(26)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[14] == pytest.approx(0.55) and rates[24] == rates[25] == 0.1
    assert rates[9] == pytest.approx(0.1 + 0.45 * (1 + 2**-0.5))
    assert all(a > b for a, b in itertools.pairwise(rates[4:25]))


@pytest.mark.parametrize("step, expected", [(0, 1.0), (1, 0.5), (2, 0.0), (9, 0.0)])
def test_without_warmup(step: int, expected: float) -> None:
    assert cosine_with_warmup(step, peak=1.0, final=0.0, warmup=0, steps=2) == pytest.approx(
        expected)


def test_runs_of_one_step_and_runs_that_are_all_warmup() -> None:
    assert cosine_with_warmup(0, peak=1.0, final=0.0, warmup=0, steps=1) == 1.0
    rates = [cosine_with_warmup(s, peak=1.0, final=0.1, warmup=3, steps=3) for s in range(4)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 0.1])
