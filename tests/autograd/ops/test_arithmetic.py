"""Where the gradient suite does not go: kinks, limits, extremes, dtypes."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, grad


def slope(f: object, x: object) -> list[float]:
    return grad(lambda x: f(x).sum())(np.array(x, dtype=float)).tolist()  # type: ignore[operator]


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


def test_the_gradient_at_kinks() -> None:
    assert slope(abs, [-2.0, 0.0, 3.0]) == [-1, 0, 1]
    assert slope(ag.sign, [-2.0, 0.0, 3.0]) == [0, 0, 0]
    a, b = np.array([1.0, 2.0, 5.0]), np.array([1.0, 3.0, 4.0])
    for op, da in ((ag.maximum, [0.5, 0, 1]), (ag.minimum, [0.5, 1, 0])):
        got = grad(lambda a, b, op=op: op(a, b).sum(), (0, 1))(a, b)
        assert got[0].tolist() == da and got[1].tolist() == [1 - v for v in da]
    for op, dx in ((ag.max, [0, 0.5, 0.5]), (ag.min, [1, 0, 0])):
        assert slope(op, [1.0, 4.0, 4.0]) == dx
    rows = np.array([[1.0, 1.0], [0.0, 2.0]])
    assert grad(lambda x: ag.max(x, 1).sum())(rows).tolist() == [[0.5, 0.5], [0, 1]]


def test_where_does_not_let_the_other_branch_in() -> None:
    x = np.array([0.0, 4.0])
    assert slope(lambda x: ag.where(x > 0, x * x, 3 * x), x) == [3, 8]


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


@pytest.mark.parametrize("name, values", [
    ("tanh", [-800.0, 800.0]), ("exp", [-800.0]), ("erf", [-1e200, 1e200]),
])
def test_saturation_has_slope_zero(name: str, values: list[float]) -> None:
    assert slope(ag.registry[name], values) == [0.0] * len(values)
