"""The law of sizes: known constants come back, and impossible points are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.sweep import PowerLaw, fit_power_law

SIZES = [4e3, 1e4, 3e4, 1e5, 3e5]


@given(E=st.floats(0, 3), A=st.floats(3, 300), a=st.floats(0.15, 1.0))
def test_the_constants_come_back(E: float, A: float, a: float) -> None:
    law = PowerLaw(E, A, a, 0.0)
    losses = [law.loss(n) for n in SIZES]
    found = fit_power_law(SIZES, losses)
    assert [found.a, found.A] == pytest.approx([a, A], rel=1e-2)
    assert abs(found.E - E) < 1e-3
    assert found.loss(1e6) == pytest.approx(law.loss(1e6), rel=1e-4)
    assert found.error < 1e-5


def test_it_is_the_least_of_the_relative_squares() -> None:
    """No other constants near it do better, where points do not lie on a law."""
    rng = np.random.default_rng(0)
    losses = PowerLaw(1.2, 60.0, 0.45, 0.0)
    measured = np.array([losses.loss(n) for n in SIZES]) * np.exp(0.01 * rng.standard_normal(5))
    found = fit_power_law(SIZES, measured.tolist())

    def error(E: float, A: float, a: float) -> float:
        return float((((E + A * np.array(SIZES) ** -a) / measured - 1) ** 2).sum())

    least = error(found.E, found.A, found.a)
    assert found.error == pytest.approx((least / 5) ** 0.5, rel=1e-9)
    for dE, dA, da in rng.standard_normal((200, 3)) * [0.02, 2.0, 0.01]:
        assert error(found.E + dE, found.A + dA, found.a + da) > least


def test_losses_that_fall_faster_than_any_law_have_no_floor_below_zero() -> None:
    found = fit_power_law(SIZES, [8.0, 5.0, 2.0, 0.5, 0.05])
    assert found.E == 0 and found.A > 0


def test_losses_that_do_not_fall_are_one_number() -> None:
    found = fit_power_law(SIZES, [2.0, 2.1, 2.1, 2.2, 2.3])
    assert found.A == 0 and found.loss(1e9) == found.E == pytest.approx(2.13, abs=0.02)


@pytest.mark.parametrize("sizes, losses, words", [
    ([1, 2, 3, 4], [1, 2, 3], "a loss for each size"),
    ([1, 2, 3, 3], [1, 2, 3, 3], "needs four sizes to be tested at all, got 3"),
    ([1, 2, 3, 0], [1, 2, 3, 4], "must be above 0"),
    ([1, 2, 3, 4], [1, 2, 3, float("nan")], "above 0 and finite"),
])
def test_points_that_no_law_goes_through(sizes: list[float], losses: list[float],
                                         words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit_power_law(sizes, losses)
