"""gradcheck and check_op in all their forms."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import autograd as ag
from autograd import Tensor, check_grads, primitive, sum, tanh
from autograd.primitive import Op
from autograd.testing import GradientError, arrays, check_op, gradcheck

X = np.array([[0.3, -1.2, 0.7], [2.0, 0.9, -0.4]])


def energy(x: Any, y: Any = 1.0, power: int = 2) -> Any:
    return sum(tanh(x) ** power) * y


def wrong(x: Any, /) -> Any:
    return np.sin(x)


@pytest.fixture
def bad() -> Op:
    op = primitive(wrong)
    op.vjp(lambda g, x: g * ag.where(ag.greater(x, 1.5), 0.5, ag.cos(x)))
    return op


def test_a_call_is_checked_and_returns_the_value(bad: Op) -> None:
    assert float(gradcheck(energy, X, 2.0)) == float(energy(X, 2.0))
    assert float(gradcheck(energy, X, power=3, order=3)) == float(energy(X, power=3))
    assert gradcheck(energy, Tensor(X)) is not None
    gradcheck(ag.take, X, np.array([0, 2]), axis=1)
    gradcheck(ag.getitem, X, (slice(None), [0, 0]))
    gradcheck(lambda p: {"y": p["x"] * p["k"]}, {"x": X, "k": 3})
    with pytest.raises(GradientError, match="order 1, argument 0, element"):
        gradcheck(bad, X)


def test_a_function_is_checked_at_each_call(bad: Op) -> None:
    @gradcheck(order=1)
    def f(x: Any) -> Any:
        return bad(x)

    assert f.__name__ == "f" and np.array_equal(f(X[0]), np.sin(X[0]))
    with pytest.raises(GradientError):
        f(X)
    assert gradcheck(energy)(X, power=1).shape == ()


@gradcheck(arrays((2, 3)), arrays((3,)))
def test_drawn_by_position(x: Any, y: Any) -> Any:
    """A test made by the decorator: pytest has to collect it."""
    return tanh(x) * y


@gradcheck(x=arrays(), n=st.integers(1, 3))
def test_drawn_by_name(x: Any, n: int) -> Any:
    return x**n


def test_a_drawn_test_can_be_collected() -> None:
    assert test_drawn_by_position.__name__ == "test_drawn_by_position"
    assert "pytest has to collect" in str(test_drawn_by_position.__doc__)
    assert not inspect.signature(test_drawn_by_position).parameters
    assert test_drawn_by_position.__module__ == __name__


def test_drawn_inputs_find_and_shrink(bad: Op) -> None:
    @gradcheck(arrays(low=-3, high=3), scale=st.sampled_from([1.0, 2.0]))
    def scaled(x: Any, scale: float) -> Any:
        return bad(x) * scale

    with pytest.raises(GradientError) as caught:
        scaled()
    assert caught.value.subject is not None
    assert caught.value.subject.inputs[0].size == 1, "the smallest shape, after shrinking"
    with pytest.raises(GradientError):
        gradcheck(bad, arrays((50,), 1, 3))


def test_ops_are_proved_in_one_line() -> None:
    @primitive
    def hypotenuse(a: Any, b: Any, /, *, scale: float = 1.0) -> Any:
        return np.sqrt(a * a + b * b) * scale

    hypotenuse.vjp(lambda g, a, y, scale: g * a / y * scale**2,
                   lambda g, b, y, scale: g * b / y * scale**2)
    check_op(hypotenuse)
    check_op("hypotenuse", oracle=np.hypot, order=3)
    check_op(hypotenuse, inputs=st.tuples(arrays((2, 1), 1, 2), arrays((3,), 1, 2)))
    check_op(hypotenuse, inputs=st.tuples(st.tuples(arrays((2,), 1, 2), arrays((2,), 1, 2)),
                                          st.just({"scale": 2.0})))
    check_op(energy)
    hypotenuse.vjp(lambda g, a, y, scale: g * a / y * scale**2,
                   lambda g, b, y, scale: g * b / y * scale)
    with pytest.raises(GradientError, match=r"argument 1.*\n(.*\n)*.*scale=0.5"):
        check_op(hypotenuse)
    check_op(hypotenuse, options={"scale": 1.0})
    with pytest.raises(GradientError, match=r"argument 1.*\n(.*\n)*.*scale=2.0"):
        check_op(hypotenuse, inputs=st.tuples(st.tuples(arrays((2,), 1, 2), arrays((2,), 1, 2)),
                                              st.just({"scale": 2.0})))


def test_an_op_whose_inputs_cannot_be_guessed_says_so() -> None:
    picky = primitive(lambda x, /: x.reshape(7, 11, 13))
    with pytest.raises(ValueError, match="pass inputs="):
        check_op(picky)


def test_calls_that_would_check_nothing_are_refused() -> None:
    with pytest.raises(TypeError, match="no number or array"):
        check_grads(tanh)
    with pytest.raises(ValueError, match="order must be at least 1"):
        gradcheck(tanh, 1.0, order=0)
    with pytest.raises(KeyError, match="no op is called 'tahn'"):
        check_op("tahn")
