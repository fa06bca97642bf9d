"""Derivatives by differences, with tolerances that hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd.testing.differences import EPS, derivative, noise, rounding


def true_error(s: Callable[[float], Any], slope: float, size: float) -> tuple[float, float]:
    value, tolerance = derivative(s, s(0.0), size)
    return abs(value - slope), float(tolerance)


@pytest.mark.parametrize("s, slope, size", [
    (math.sin, 1.0, 1.0),
    (lambda t: math.exp(3 + 2 * t), 2 * math.exp(3), math.exp(3)),
    (lambda t: 7.0, 0.0, 7.0),
    (lambda t: 1e6 + t, 1.0, 1e6),
    (lambda t: 1e-8 * t, 1e-8, 1e-8),
    (lambda t: np.log(1e-3 + t), 1e3, 7.0),
    (lambda t: 1 / (1e-4 + t), -1e8, 1e4),
    (lambda t: math.tanh(1e4 * t), 1e4, 1.0),
    (lambda t: np.power(t + 1e-6, 1.5), 1.5e-3, 1e-9),
])
def test_the_error_is_within_the_tolerance(s: Callable[[float], Any], slope: float,
                                           size: float) -> None:
    error, tolerance = true_error(s, slope, size)
    assert error <= tolerance < 1e-3 * (1 + abs(slope))


def test_a_smooth_function_is_known_to_ten_digits() -> None:
    error, tolerance = true_error(math.sin, 1.0, 1.0)
    assert error < 1e-12 and tolerance < 1e-10


@pytest.mark.parametrize("s", [
    abs, lambda t: abs(t) + t, lambda t: math.copysign(1.0, t), lambda t: 1 / t if t else math.inf,
    lambda t: math.nan, lambda t: math.sqrt(t) if t >= 0 else math.nan, lambda t: abs(t) ** 0.5])
def test_where_there_is_no_derivative_nothing_is_trusted(s: Callable[[float], float]) -> None:
    assert derivative(s, s(0.0), 1.0)[1] == math.inf


def test_elements_are_judged_one_by_one() -> None:
    def s(t: float) -> Any:
        return np.array([math.sin(t), abs(t), math.log(1e-5 + t) if t > -1e-5 else math.nan])

    value, tolerance = derivative(s, s(0.0), np.array([1.0, 1.0, 12.0]))
    assert abs(value[0] - 1) < 1e-11 and abs(value[2] - 1e5) <= tolerance[2] < 1e-1
    assert tolerance[1] == math.inf and np.isfinite(tolerance[[0, 2]]).all()


def test_rounding_grows_with_the_terms() -> None:
    assert rounding(0.0) > 0 and rounding(1e6) == pytest.approx(1e6 * rounding(1.0), rel=0.01)
    assert 50 * EPS < rounding(1.0) < 1e-9


@pytest.mark.parametrize("size", [1e-12, 1e-9, 1e-6])
def test_noise_is_estimated_within_a_factor(size: float) -> None:
    rng = np.random.default_rng(0)
    found = [noise(lambda t: np.array(math.sin(t) + rng.normal() * size), np.array(0.0))
             for _ in range(100)]
    assert size / 3 < np.median(found) < 3 * size


@pytest.mark.parametrize("s", [
    math.sin, lambda t: 1e8 * math.exp(t), lambda t: abs(t), lambda t: math.sqrt(abs(t))])
def test_a_curve_a_kink_and_a_singularity_are_no_noise(s: Callable[[float], float]) -> None:
    assert noise(lambda t: np.array(s(t)), np.array(s(0.0))) <= 1e-6 * (1 + abs(s(0.0)))


def test_rounding_hidden_by_cancelling_terms_is_noise() -> None:
    assert noise(lambda t: np.array((1.3 + t + 1e8) - 1e8), np.array(1.3)) > 1e-9
