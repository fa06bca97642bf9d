"""Each check catches a mistake that all the others miss."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import composite, fused, nondifferentiable, primitive
from autograd.primitive import Op
from autograd.testing import GradientError, OpCase, arrays, check, check_op, gradcheck

X = np.array([[0.3, -1.2, 0.7], [2.0, 0.9, -0.4]])


def sine(rule: Callable[..., Any], forward: Callable[..., Any] = np.sin) -> Op:
    op = primitive(lambda x, /: forward(x))
    op.vjp(rule)
    return op


def values(x: Any) -> Any:
    return getattr(x, "data", x) if isinstance(x, ag.Tensor) else x


def off_the_tape() -> Op:
    """The right number, which does not remember that it came from x."""
    return sine(lambda g, x: g * np.cos(values(x)))


def clipping() -> Op:
    return sine(lambda g, x: ag.minimum(ag.maximum(g, -2.0), 2.0) * ag.cos(x))


def deaf() -> Op:
    """Right for this g, but the record does not know that the result depends on g."""
    return sine(lambda g, x: values(g) * ag.cos(x))


def restless() -> Op:
    calls = count()
    return sine(lambda g, x: g * ag.cos(x), lambda x: np.sin(x) * (1 + 1e-15 * (next(calls) % 11)))


def nearly() -> Op:
    return sine(lambda g, x: g * ag.cos(x) * (1 + 2e-11))


def leaking_rule() -> Op:
    return sine(lambda g, x: g * ag.cos(x) * np.float64(1))


def leaking_value() -> Op:
    return sine(lambda g, x: g * ag.cos(x), lambda x: np.sin(x) * np.float64(1))


def product(rule: Callable[..., Any]) -> Op:
    op = primitive(lambda a, b, /: a * b)
    op.vjp(rule)
    return op


def selfish() -> Op:
    """Right where both gradients are asked for, wrong where one is."""
    return product(lambda g, a, b, wanted: (
        g * b if wanted[0] else None, g * a * (1 if wanted[0] else 2) if wanted[1] else None))


def square(reference: Callable[..., Any]) -> Op:
    op = fused(reference)(lambda x, /: (x * x, x))
    op.vjp(lambda g, x: 2 * g * x)
    return op


@pytest.mark.parametrize("silenced, make, inputs, message", [
    (["check_linear"], clipping, [X], "linearity"),
    (["check_tangents", "check_adjoint"], deaf, [X], "differences along a random direction"),
    (["check_tangents"], deaf, [X], "the dot-product test"),
    (["check_repeatable"], restless, [X], "the same call again: the value"),
    (["check_complex_step"], nearly, [X], "the complex step"),
    (["check_alone"], selfish, [X, X + 1], "argument 1.*all gradients together, but alone"),
    (["check_dtype"], leaking_rule, [X], "a gradient from its rule is float64"),
    (["check_dtype"], leaking_value, [X], "a result is float64"),
])
def test_only_one_check_sees_it(silenced: list[str], make: Callable[[], Op], inputs: list[Any],
                                message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    if message != "the dot-product test":
        with pytest.raises(GradientError, match=message):
            gradcheck(make(), *inputs)
    for name in silenced:
        module = check if hasattr(check, name) else sys.modules["autograd.testing.gradcheck"]
        monkeypatch.setattr(module, name, lambda *_: None)
    if message == "the dot-product test":
        with pytest.raises(GradientError, match=message):
            gradcheck(make(), *inputs)
    else:
        gradcheck(make(), *inputs)


@pytest.mark.parametrize("rule", [
    lambda g, x: -g * ag.cos(x),
    lambda g, x: g * ag.cos(x) * 1.0001,
    lambda g, x: g * (ag.cos(x) + 1e-8),
    lambda g, x: g * ag.where(ag.greater(x, 1.9), 0, ag.cos(x)),
    lambda g, x: g * np.nan * x,
    lambda g, x: g,
])
def test_differences_see_a_wrong_rule(rule: Callable[..., Any]) -> None:
    with pytest.raises(GradientError, match="order 1, argument 0, element .* central differences"):
        gradcheck(sine(rule), X)


def test_the_second_order_is_checked_by_itself() -> None:
    gradcheck(off_the_tape(), X, order=1)
    with pytest.raises(GradientError, match="order 2, argument 0, element .* central differences"):
        gradcheck(off_the_tape(), X)


def test_a_wrong_reference_is_seen() -> None:
    gradcheck(square(lambda x, /: x * x), X)
    gradcheck(square(lambda x, /: x * x * 1.5), X, order=1)
    with pytest.raises(GradientError, match="by the plain backward pass, but by the recorded one"):
        gradcheck(square(lambda x, /: x * x * 1.5), X)


def test_writing_into_what_was_given_is_seen() -> None:
    def careless(g: Any, x: Any) -> Any:
        g *= np.cos(x)
        return g

    with pytest.raises(GradientError, match="writes into an array it was given"):
        gradcheck(sine(careless), X, order=1)
    with pytest.raises(GradientError, match="writes into an array it was given"):
        gradcheck(sine(lambda g, x: g, lambda x: np.sin(x, out=x)), X, order=1)


def test_values_are_held_against_the_oracle() -> None:
    right = sine(lambda g, x: g * ag.cos(x))
    check_op(right, inputs=arrays(), oracle=np.sin)
    with pytest.raises(GradientError, match="its oracle"):
        check_op(right, inputs=arrays(), oracle=np.tan)
    with pytest.raises(GradientError, match=r"expected float32\[\], got float64\[\]"):
        check_op(right, inputs=arrays(()), oracle=lambda x: np.sin(x).astype(np.float32))
    with pytest.raises(GradientError, match=r"expected 2 results, got 1"):
        check_op(right, inputs=arrays(()), oracle=lambda x: (x, x))


def test_what_has_no_derivative_must_leave_the_tape() -> None:
    check_op(nondifferentiable(lambda x, /: np.sign(x)), inputs=arrays(), oracle=np.sign)
    with pytest.raises(GradientError, match="returns plain arrays"):
        check_op(nondifferentiable(lambda x, /: ag.Tensor(x)), inputs=arrays())


def test_nothing_is_recorded_without_need() -> None:
    def stubborn(x: Any, /) -> Any:
        with ag.tensor.recording(True):
            return ag.tanh(x)

    with pytest.raises(GradientError, match="recorded all the same"):
        check_op(composite(stubborn))


def test_stated_edges_are_held() -> None:
    right = (np.array([0.0]),), {}, np.array([1.0]), [np.array([0.0])]
    wrong = (np.array([0.0]),), {}, np.array([1.0]), [np.array([0.5])]
    away = arrays((2,), away_from=[0.0]).map(lambda x: ((x,), {}))
    check_op(ag.absolute, OpCase(away, np.absolute, edges=(right,)))
    with pytest.raises(GradientError, match="a stated edge"):
        check_op(ag.absolute, OpCase(away, np.absolute, edges=(wrong,)))


def test_checks_do_not_cry_over_right_gradients() -> None:
    ill = np.array([1e-8, 1e-3, 1.0, 1e8])
    gradcheck(lambda x: ag.log(x) * ag.sqrt(x), ill)
    gradcheck(lambda x: x * 1e6 - x * 1e6, X)
    gradcheck(lambda x: ag.sum(x) * 0, X)
    gradcheck(lambda x: ag.exp(10 * x), X)
    gradcheck(lambda x: (x + 1e8) - 1e8, X)
