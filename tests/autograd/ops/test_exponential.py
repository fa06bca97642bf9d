"""Exponentials and logarithms of extremes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import grad

inf = np.inf


def slope(f: Any, *xs: Any) -> Any:
    """Return the gradients of the sum of what f returns, as lists."""
    y, pull = ag.vjp(f, *[np.array(x, dtype=float) for x in xs])
    found = pull(np.ones(y.shape))
    return [g.tolist() for g in found] if len(xs) > 1 else found[0].tolist()


def test_saturation_has_slope_zero() -> None:
    assert slope(ag.exp, [-800.0, -inf]) == slope(ag.exp2, [-1100.0, -inf]) == [0, 0]
    assert slope(ag.sigmoid, [-800.0, 800.0]) == [0, 0]


def test_the_slope_of_expm1_stays_precise_where_its_value_is_minus_one() -> None:
    assert slope(ag.expm1, [-50.0, 1e-20]) == pytest.approx([math.exp(-50), 1], rel=1e-15)


def test_the_shares_of_logaddexp_are_precise_in_both_tails() -> None:
    for a, b in ((0.0, 40.0), (1e8, 1e8 + 3), (-700.0, 0.0)):
        da, db = slope(ag.logaddexp, a, b)
        assert da == pytest.approx(1 / (1 + math.exp(b - a)), rel=1e-14)
        assert da + db == pytest.approx(1, rel=1e-15)
    assert slope(ag.logaddexp, 1e300, -1e300) == slope(ag.logaddexp2, 1e300, -1e300) == [1, 0]


@pytest.mark.parametrize("op", [ag.logaddexp, ag.logaddexp2])
def test_equal_infinities(op: Any) -> None:
    assert slope(op, [inf, -inf, inf, -inf], [inf, -inf, -inf, 0.0]) == [[0.5, 0, 1, 0],
                                                                       [0.5, 0, 0, 1]]
    for n, derivative in enumerate((0.5, 0.25, 0.0, -0.125)):
        f = grad(lambda x: op(x, 1.0))
        for _ in range(n):
            f = grad(f)
        scale = 1 if op is ag.logaddexp else math.log(2) ** n
        assert float(f(1.0)) == pytest.approx(derivative * scale, abs=1e-15)


def test_a_number_beside_float32_leaves_the_gradient_right() -> None:
    x = np.float32([2.0, 3.0])
    for f, expected in ((lambda x: ag.logaddexp(x, 2.0), [0.5, 1 / (1 + math.exp(-1))]),
                        (lambda x: ag.xlogy(x, 2.0), [math.log(2)] * 2),
                        (lambda x: 2.0**x, [4 * math.log(2), 8 * math.log(2)])):
        g = ag.vjp(f, x)[1](np.ones(2, np.float32))[0]
        assert g.dtype == np.float32 and g.tolist() == pytest.approx(expected, rel=1e-6)


def test_entropy_at_zero_probability() -> None:
    p = np.array([0.0, 0.25, 1.0])
    assert ag.xlogy(p, p).tolist() == [0, 0.25 * math.log(0.25), 0]
    assert np.isfinite(slope(lambda p: ag.xlogy(p, p), p)).all()
    assert np.isnan(ag.xlogy(np.array(0.0), np.nan))
    with np.errstate(divide="ignore"):
        assert slope(ag.xlogy, [2.0], [0.0]) == [[-inf], [inf]]
    mixed = grad(lambda a: grad(lambda b: ag.xlogy(a, b))(2.0))
    assert float(mixed(0.0)) == 0.5
