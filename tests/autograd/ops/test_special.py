"""The precision of the special functions, and their values at poles and infinities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import grad

inf, nan = np.inf, np.nan


def slope(f: Any, *xs: Any) -> Any:
    """Return the gradients of the sum of what f returns, as lists."""
    y, pull = ag.vjp(f, *[np.array(x, dtype=float) for x in xs])
    found = pull(np.ones(y.shape))
    return [g.tolist() for g in found] if len(xs) > 1 else found[0].tolist()


def test_erf_is_that_of_the_c_library_to_one_unit_in_the_last_place() -> None:
    x = np.concatenate([np.linspace(-8, 8, 40_001), np.logspace(-300, 0, 500),
                        [0.0, 1.0, -1.0, 5.99, 6.0, 6.01, 30.0, np.inf, -np.inf]])
    expected = np.array([math.erf(v) for v in x])
    error = np.abs(ag.erf(x) - expected) / np.spacing(np.abs(expected))
    assert error.max() <= 1
    assert np.isnan(ag.erf(np.array(np.nan)))
    assert ag.erf(np.array([0, 1, -2])).tolist() == [math.erf(v) for v in (0, 1, -2)]
    assert ag.erf(np.float32([0.3])).dtype == np.float32
    assert math.copysign(1, float(ag.erf(np.array(-0.0)))) == -1


def test_derivatives_of_erf_at_zero() -> None:
    first = grad(ag.erf)
    values = []
    for _ in range(5):
        values.append(float(first(0.0)))
        first = grad(first)
    assert values == pytest.approx([c * 2 / math.sqrt(math.pi) for c in (1, 0, -2, 0, 12)])


def test_erfc_keeps_its_digits_in_the_tail() -> None:
    x = np.concatenate([np.linspace(-6, 26, 10_001), [0.5, np.nextafter(0.5, 0), 1e-300]])
    expected = np.array([math.erfc(v) for v in x])
    assert np.abs(ag.erfc(x) / expected - 1).max() < 1e-15
    assert ag.erfc(np.array([-inf, inf, 30.0])).tolist() == [2, 0, 0] and np.isnan(ag.erfc(nan))
    assert ag.erfc(np.float32([9.0])).dtype == np.float32
    assert float(ag.erfc(np.float32([9.0]))[0]) == pytest.approx(math.erfc(9), rel=1e-6)
    assert slope(ag.erfc, [10.0]) == pytest.approx([-2 / math.sqrt(math.pi) * math.exp(-100)])


def test_erfinv_undoes_erf() -> None:
    y = np.linspace(-3, 3, 2001)
    x = ag.erf(y)
    blur = np.spacing(np.abs(x)) * math.sqrt(math.pi) / 2 * np.exp(y * y)  # of x, seen in y
    assert (np.abs(ag.erfinv(x) - y) <= 2 * blur + 1e-15 * np.abs(y)).all()
    assert ag.erfinv(np.array([-1.0, 0.0, 1.0])).tolist() == [-inf, 0, inf]
    assert np.isnan(ag.erfinv(np.array([1.5, -2.0, nan]))).all()
    assert float(ag.erfinv(1e-300)) == pytest.approx(1e-300 * math.sqrt(math.pi) / 2)
    # from 40 digits; 1 - 2^-53 and 2^-53 - 1 are the last numbers within
    assert float(ag.erfinv(1 - 2.0**-53)) == pytest.approx(5.86358474875516792720, rel=1e-15)
    assert float(ag.erfinv(0.999)) == pytest.approx(2.32675376551352467, rel=1e-15)
    assert ag.erfinv(np.float32([0.25])).dtype == np.float32


def test_the_normal_distribution() -> None:
    assert float(ag.ndtr(-37.0)) == pytest.approx(5.7255712225245775e-300, rel=1e-12)
    assert float(grad(ag.ndtr)(0.0)) == pytest.approx(1 / math.sqrt(2 * math.pi))


def test_the_gamma_function_against_the_c_library() -> None:
    x = np.concatenate([np.linspace(0.01, 30, 2000), -np.linspace(0.01, 9.98, 777),
                        [1e-300, 1e10, 1e300, 171.5]])
    expected = np.array([math.lgamma(v) for v in x])
    assert (np.abs(ag.gammaln(x) - expected) <= 2e-14 * np.maximum(1, np.abs(expected))).all()
    assert ag.gammaln(np.array([0.0, -1.0, -2.0, inf])).tolist() == [inf] * 4
    whole = ag.gammaln(np.array([1, 2, 5])).tolist()
    assert whole == pytest.approx([0, 0, math.log(24)], abs=1e-14)


def test_polygamma_at_known_places() -> None:
    euler, apery = 0.57721566490153286061, 1.20205690315959428540
    known = {(0, 1.0): -euler, (0, 0.5): -euler - 2 * math.log(2), (1, 1.0): math.pi**2 / 6,
             (1, 0.5): math.pi**2 / 2, (2, 1.0): -2 * apery, (3, 1.0): math.pi**4 / 15,
             (0, -0.5): 2 - euler - 2 * math.log(2), (1, -0.5): math.pi**2 / 2 + 4,
             (0, 1e10): math.log(1e10) - 0.5e-10}
    for (n, x), value in known.items():
        assert float(ag.polygamma(n, x)) == pytest.approx(value, rel=1e-14), (n, x)
    assert np.isnan(ag.digamma(np.array([0.0, -1.0]))).all()
    assert ag.digamma(np.array([inf])).tolist() == [inf]
    assert float(grad(ag.gammaln)(1.0)) == pytest.approx(-euler)


def test_polygamma_wants_a_whole_order() -> None:
    with pytest.raises(ValueError, match="n must be 0 or a positive integer"):
        ag.polygamma(-1, 2.0)
    with pytest.raises(TypeError):
        ag.polygamma(0.5, 2.0)


def test_logit_in_both_tails() -> None:
    assert float(ag.logit(1e-300)) == pytest.approx(-300 * math.log(10))
    assert slope(ag.logit, [1e-300, 0.5]) == pytest.approx([1e300, 4])
