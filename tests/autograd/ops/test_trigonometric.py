"""Angles at the edges of domains, and the derivatives of sinc near 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import check_grads, grad


def slope(f: Any, *xs: Any) -> Any:
    """Return the gradients of the sum of what f returns, as lists."""
    y, pull = ag.vjp(f, *[np.array(x, dtype=float) for x in xs])
    found = pull(np.ones(y.shape))
    return [g.tolist() for g in found] if len(xs) > 1 else found[0].tolist()


def test_slopes_near_the_edges_of_the_domain_are_precise() -> None:
    d = 2.0**-40  # 1 - d is exact, 1 - (1 - d)^2 = 2d - d^2
    expected = 1 / math.sqrt(2 * d - d * d)
    assert slope(ag.arcsin, [1 - d]) == pytest.approx([expected], rel=1e-15)
    assert slope(ag.arccos, [d - 1]) == pytest.approx([-expected], rel=1e-15)
    assert slope(ag.arctanh, [1 - d]) == pytest.approx([1 / (2 * d - d * d)], rel=1e-15)
    assert slope(ag.arccosh, [1 + d]) == pytest.approx([1 / math.sqrt(2 * d + d * d)], rel=1e-15)


def test_large_arguments_do_not_overflow() -> None:
    assert slope(ag.arctan, [1e200, -1e150]) == pytest.approx([0, 1e-300], rel=1e-14)
    assert slope(ag.arcsinh, [1e200]) == slope(ag.arccosh, [1e200]) == pytest.approx([1e-200])
    assert slope(ag.tanh, [-800.0, 800.0]) == [0, 0]


def test_the_angle_of_the_origin_and_of_all_quadrants() -> None:
    assert slope(ag.arctan2, 0.0, 0.0) == [0, 0]
    for a in (-1.0, 1.0):
        for b in (-1.0, 1.0, 0.0):
            check_grads(ag.arctan2, a, b, order=3)


def test_the_derivatives_of_sinc_near_zero() -> None:
    """sinc(x) = 1 - (pi x)^2 / 3! + (pi x)^4 / 5! - ...: no digit is lost to cancellation."""
    p = math.pi
    for x in (0.0, 1e-12, -1e-7, 1e-4, 0.01):
        series = [sum((-1) ** k * p ** (2 * k) * x ** (2 * k - n) * math.perm(2 * k, n)
                      / math.factorial(2 * k + 1) for k in range((n + 1) // 2, 12))
                  for n in range(5)]
        f: Any = ag.sinc
        for n in range(5):
            assert float(f(x)) == pytest.approx(series[n], rel=1e-14, abs=1e-300)
            f = grad(f)


def test_the_derivatives_of_sinc_join_where_the_formula_changes() -> None:
    edge = 2 / math.pi
    for x in (edge, np.nextafter(edge, 0), -edge, 3 / math.pi):
        check_grads(ag.sinc, x, order=3)


def test_unwrap_of_turns() -> None:
    turns = np.linspace(0, 20, 9)
    wrapped = (turns + np.pi) % (2 * np.pi) - np.pi
    assert np.allclose(ag.unwrap(wrapped), turns)
    check_grads(ag.unwrap, wrapped)
