"""Arithmetic where the gradient suite does not go: limits, extremes, dtypes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, check_grads, grad


def slope(f: Any, *xs: Any) -> Any:
    """Return the gradients of the sum of what f returns, as lists."""
    y, pull = ag.vjp(f, *[np.array(x, dtype=float) for x in xs])
    found = pull(np.ones(y.shape))
    return [g.tolist() for g in found] if len(xs) > 1 else found[0].tolist()


def test_powers_at_zero() -> None:
    assert slope(lambda x: x**2, [0.0, -3.0]) == [0, -6]
    assert slope(lambda x: x**1, [0.0]) == [1] and slope(lambda x: x**0, [0.0, 2.0]) == [0, 0]
    assert slope(lambda x: x ** np.array([0.0, 1.0, 3.0]), [0.0, 0.0, 0.0]) == [0, 1, 0]
    assert slope(lambda b: 0.0**b, [1.0, 2.0]) == [0, 0]
    second = grad(grad(lambda x: x**2))
    assert float(second(0.0)) == 2 and float(grad(second)(0.0)) == 0


def test_mixed_derivatives_of_powers() -> None:
    """The derivative by a and b is a^(b - 1) (1 + b ln a), also where b is 0."""
    for b in (0.0, 2.0):
        expected = 2.0 ** (b - 1) * (1 + b * math.log(2))
        assert float(grad(lambda b: grad(lambda a: a**b)(2.0))(b)) == pytest.approx(expected)
        assert float(grad(lambda a, b=b: grad(lambda b: a**b)(b))(2.0)) == pytest.approx(expected)


def test_a_plain_exponent_leaves_the_dtype_alone() -> None:
    seen = []
    original = ag.registry["power"].rules[0].function

    def spy(*args: object) -> object:
        parts = original(*args)
        seen.append(parts[0].dtype)
        return parts

    ag.registry["power"].rules[0].function, saved = spy, original
    try:
        grad(lambda x: (x**3).sum())(np.ones(2, np.float32))
    finally:
        ag.registry["power"].rules[0].function = saved
    assert seen == [np.float32]


def test_mixed_dtypes_and_numbers_promote_as_in_numpy() -> None:
    x32, x64 = np.float32([1.5]), np.array([2.5])
    for op in (np.add, np.multiply, np.subtract, np.divide, np.power, np.maximum):
        mine = ag.registry[op.__name__]
        for a, b in ((x32, x64), (x32, 2.0), (3, x32), (x32, np.float64(2)), (x32, 2)):
            t = mine(Tensor(a) if isinstance(a, np.ndarray) else a,
                     Tensor(b) if isinstance(b, np.ndarray) else b)
            assert t.dtype == op(a, b).dtype and np.array_equal(t.data, op(a, b))
    g32, g64 = grad(lambda a, b: (a * b).sum(), (0, 1))(x32, x64)
    assert g32.dtype == np.float32 and g64.dtype == np.float64


def test_float_power_computes_in_float64() -> None:
    for a, b in ((np.float32([2, 3]), np.float32([0.5, 2])), ([2, 3], -1), (2.0, np.int8([1]))):
        y = ag.float_power(a, b)
        assert y.dtype == np.float64 and np.array_equal(y, np.float_power(a, b))
    x = Tensor(np.float32([2.0]), requires_grad=True)
    ag.float_power(x, 2).backward(np.ones(1))
    assert x.grad.dtype == np.float32 and x.grad.tolist() == [4]
    check_grads(ag.float_power, np.array([0.5, 2.0]), np.array([1.5, -0.5]))


def test_large_and_small_numbers_do_not_overflow() -> None:
    big, small = 1e300, 1e-300
    assert slope(ag.hypot, [3 * big, 3 * small], [4 * big, 4 * small]) == pytest.approx(
        np.array([[0.6, 0.6], [0.8, 0.8]]))
    assert slope(ag.divide, [big], [big]) == [[1 / big], [-1 / big]]
    assert slope(ag.sqrt, [big])[0] == pytest.approx(0.5e-150)
    assert slope(ag.cbrt, [-8 * big])[0] == pytest.approx(1e-200 / 12)


def test_roots_are_steep_at_zero() -> None:
    with np.errstate(divide="ignore"):
        assert slope(ag.sqrt, [0.0]) == slope(ag.cbrt, [0.0]) == [math.inf]


@pytest.mark.parametrize("op", [ag.remainder, ag.fmod])
def test_whole_quotients_are_not_missed_by_rounding(op: Any) -> None:
    """0.3 / 0.1 is a little less than 3 as numbers go, but is rounded to 3."""
    for a, b in ((0.3, 0.1), (-0.3, 0.1), (1.0, 0.1), (7.5, -2.5), (1e15 + 0.5, 3.0)):
        da, db = slope(op, a, b)
        n = (a - float(op(a, b))) / b
        assert da == 1 and db == pytest.approx(-n) and db == round(db)


def test_aliases_are_the_same_ops() -> None:
    assert ag.mod is ag.remainder and ag.pow is ag.power and ag.true_divide is ag.divide
    assert ag.abs is ag.absolute and ag.fix is ag.trunc and ag.around is ag.round
    assert ag.amax is ag.max and ag.amin is ag.min and ag.lgamma is ag.gammaln
    assert ag.atan2 is ag.arctan2 and ag.degrees is ag.rad2deg and ag.radians is ag.deg2rad


def test_divmod_and_modf_give_two_results() -> None:
    x = Tensor(np.array([7.5, -7.5]), requires_grad=True)
    quotient, rest = ag.divmod(x, 2)
    fraction, whole = ag.modf(x)
    assert quotient.data.tolist() == [3, -4] and rest.data.tolist() == [1.5, 0.5]
    assert fraction.data.tolist() == [0.5, -0.5] and whole.data.tolist() == [7, -7]
    ag.sum(quotient + 2 * rest + 3 * fraction + 4 * whole).backward()
    assert x.grad.tolist() == [5, 5]


def test_wrong_input_is_reported_with_shapes() -> None:
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises(ValueError, match=r"hypot: .*float64\[2, 3\].*float64\[4\]"):
        ag.hypot(x, np.ones(4))
    with pytest.raises(TypeError, match="ldexp"):
        ag.ldexp(x, 0.5)
    with pytest.raises(TypeError, match="add"):
        x + "one"
