"""The checker catches wrong gradients, each check some that all others miss; right ones pass."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import check_grads, exp, fused, log, logsumexp, primitive, softmax, tanh
from autograd.primitive import Op
from autograd.testing import GradientError, check, gradcheck

POINTS = np.array([[0.3, -1.2], [2.0, 0.9]])


def sine(rule: Callable[..., Any], forward: Callable[..., Any] = np.sin) -> Op:
    op = primitive(lambda x, /: forward(x))
    op.vjp(rule)
    return op


def values(x: Any) -> Any:
    return x.data if isinstance(x, ag.Tensor) else x


def test_a_right_rule_passes() -> None:
    check_grads(sine(lambda g, x: g * np.cos(x)), POINTS, order=1)
    check_grads(lambda x, y: tanh(x) * exp(y), POINTS, 0.7, order=3)
    check_grads(lambda x: [x * 2, (x * x).sum()], POINTS)


@pytest.mark.parametrize("rule", [
    lambda g, x: -g * ag.cos(x),
    lambda g, x: g * ag.cos(x) * (1 + 1e-7),
    lambda g, x: g * (ag.cos(x) + 1e-8),
    lambda g, x: g * ag.cos(x) + 1e-8,
    lambda g, x: g * ag.where(ag.greater(x, 1.9), 0, ag.cos(x)),
    lambda g, x: ag.cos(x) + 0 * g,
    lambda g, x: g * np.nan * x,
    lambda g, x: g,
])
def test_differences_see_a_wrong_rule(rule: Callable[..., Any]) -> None:
    with pytest.raises(GradientError, match="order 1, argument 0, element .* central differences"):
        check_grads(sine(rule), POINTS, order=1)


def off_the_tape() -> Op:
    """The right number, which does not remember that it came from x."""
    return sine(lambda g, x: g * np.cos(values(x)))


def test_the_second_order_is_checked_by_itself() -> None:
    check_grads(off_the_tape(), POINTS, order=1)
    with pytest.raises(GradientError, match="order 2, argument 0, element .* central differences"):
        check_grads(off_the_tape(), POINTS)


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


def selfish() -> Op:
    """Right where both gradients are asked for, wrong where one is."""
    op = primitive(lambda a, b, /: a * b)
    op.vjp(lambda g, a, b, wanted: (
        g * b if wanted[0] else None, g * a * (1 if wanted[0] else 2) if wanted[1] else None))
    return op


def in_order() -> Op:
    """Right for contiguous arrays, wrong for others of the same numbers."""
    return sine(lambda g, x: g * ag.cos(x) * (1 if values(g).flags.c_contiguous else 2))


X = np.array([[0.3, -1.2, 0.7], [2.0, 0.9, -0.4]])


@pytest.mark.parametrize("silenced, make, inputs, message", [
    (["check_linear"], clipping, [X], "linearity"),
    (["check_tangents", "check_adjoint"], deaf, [X], "differences along a random direction"),
    (["check_repeatable"], restless, [X], "the same call again: the value"),
    (["check_complex_step"], nearly, [X], "the complex step"),
    (["check_layouts", "check_layout"], in_order, [X], "the same numbers in C order"),
    (["check_alone"], selfish, [X, X + 1], "argument 1.*all gradients together, but alone"),
])
def test_only_one_check_sees_it(silenced: list[str], make: Callable[[], Op], inputs: list[Any],
                                message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GradientError, match=message):
        gradcheck(make(), *inputs)
    for name in silenced:
        monkeypatch.setattr(check, name, lambda *_: None)
    gradcheck(make(), *inputs)


def test_the_dot_product_sees_it_without_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "check_tangents", lambda *_: None)
    with pytest.raises(GradientError, match="the dot-product test"):
        gradcheck(deaf(), X)


def square(reference: Callable[..., Any]) -> Op:
    op = fused(reference)(lambda x, /: (x * x, x))
    op.vjp(lambda g, x: 2 * g * x)
    return op


def test_a_reference_of_another_function_is_caught() -> None:
    """Differences of the recorded gradient alone would agree with its own derivative."""
    check_grads(square(lambda x, /: x * x), POINTS)
    check_grads(square(lambda x, /: x * x * 1.5), POINTS, order=1)
    with pytest.raises(GradientError, match="by the plain backward pass, but by the recorded one"):
        check_grads(square(lambda x, /: x * x * 1.5), POINTS)


def test_writing_into_what_was_given_is_caught() -> None:
    def careless(g: Any, x: Any) -> Any:
        g *= np.cos(x)
        return g

    for op in (sine(careless), sine(lambda g, x: g, lambda x: np.sin(x, out=x))):
        with pytest.raises(GradientError, match="writes into an array it was given.*read-only"):
            check_grads(op, POINTS, order=1)


def test_scale_does_not_matter() -> None:
    for scale in (1e-6, 1.0, 1e6):
        check_grads(lambda x, s=scale: s * tanh(x), POINTS)
        with pytest.raises(AssertionError):
            check_grads(lambda x, s=scale: s * sine(
                lambda g, x: 1.0001 * g * np.cos(x))(x), POINTS, order=1)


def test_the_step_follows_the_function() -> None:
    check_grads(log, np.array([1e-8, 1e-3, 1.0, 1e8]))
    check_grads(lambda x: 1 / x + x**0.5, np.array([1e-5, 3e-4, 20.0]))
    check_grads(lambda x: tanh(1e6 * x), np.array([1e-7, -2e-6]))
    sharp = primitive(lambda x, /: np.log(x))
    sharp.vjp(lambda g, x: g / x * (1 + 1e-6))
    with pytest.raises(GradientError, match="central differences"):
        check_grads(sharp, np.array([1e-3]), order=1)


def test_containers_go_in_and_out() -> None:
    check_grads(lambda p, xs: {"a": p["w"] * xs[0], "n": 3, "b": [exp(xs[1][0])]},
                {"w": POINTS}, (POINTS, [0.5]))
    with pytest.raises(GradientError, match=r"argument 1, element \(\) = 1"):
        check_grads(lambda p: {"y": (p["a"], sine(lambda g, x: g)(p["b"]))},
                    {"a": POINTS, "b": 0.4}, order=1)


@pytest.mark.long
def test_large_inputs_cost_a_few_calls_and_still_name_the_element() -> None:
    calls = []

    @primitive
    def doubled(x: Any, /) -> Any:
        calls.append(1)
        return 2 * x

    doubled.vjp(lambda g: 2 * g)
    x = np.linspace(-1, 1, 100_000)
    check_grads(doubled, x, order=1)
    assert len(calls) < 60
    wrong = np.ones_like(x)
    wrong[77_777] = 1.001
    doubled.vjp(lambda g: 2 * g * wrong[: g.size])
    with pytest.raises(GradientError) as caught:
        check_grads(doubled, x, order=1)
    assert caught.value.index is not None


@pytest.mark.parametrize("f", [lambda x: None, lambda x: "text", lambda x: []])
def test_a_function_without_result_is_refused(f: Any) -> None:
    with pytest.raises(TypeError, match="must return the array"):
        check_grads(f, POINTS)


def test_order_must_be_positive() -> None:
    with pytest.raises(ValueError, match="order must be at least 1"):
        check_grads(tanh, 1.0, order=0)


def test_right_gradients_of_ill_scaled_functions_pass() -> None:
    gradcheck(lambda x: log(x) * ag.sqrt(x), np.array([1e-8, 1e-3, 1.0, 1e8]))
    gradcheck(lambda x: x * 1e6 - x * 1e6, X)
    gradcheck(lambda x: ag.sum(x) * 0, X)
    gradcheck(lambda x: exp(10 * x), X)
    gradcheck(lambda x: (x + 1e8) - 1e8, X)


def test_a_kink_is_called_a_kink() -> None:
    with pytest.raises(GradientError, match="f has no derivative here: it has a kink"):
        gradcheck(ag.absolute, np.array([1.0, 0.0]))
    gradcheck(ag.absolute, np.array([1e-5, -1e-6]))


@pytest.mark.parametrize("f, x, order", [
    (lambda x: (x + 1e8) - 1e8, [1.3, 0.7], 2),  # rounded to steps of 1.5e-8
    (lambda x: softmax(30 * x), [1.9, -1.7, 0.4, -0.2], 3),  # derivatives far smaller than terms
    (lambda x: logsumexp(100 * x), [0.3, 1.8, -0.5], 3),
    (lambda x: x * np.array([1e8, 1e-8]), [1e-8, 1e8], 2),  # moved by more than x is
    (lambda x: (x * x).mean() - x.mean() ** 2, [1e4, 1e4 + 0.5, 1e4 - 0.7], 2),
])
def test_no_false_alarm_where_terms_cancel(f: Any, x: list[float], order: int) -> None:
    for seed in range(5):
        check_grads(f, np.array(x), order=order, seed=seed)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_a_kink_is_not_taken_for_noise(offset: float) -> None:
    with pytest.raises(GradientError, match="it has a kink"):
        check_grads(lambda x: ag.absolute(x - 1) + offset, np.array([1.0]))


def test_a_function_that_sees_a_leaf_by_closure_is_checked_by_its_plain_rules() -> None:
    w = ag.Tensor(np.array([0.5, -1.0]), requires_grad=True)

    @fused(lambda x: x * x)
    def square(x, /):
        return x * x, x

    square.vjp(lambda g, x: 2 * g * x)
    x = np.array([0.3, 0.7])
    check_grads(lambda x: square(x) * w, x)
    square.vjp(lambda g, x: g * x)  # wrong; the reference, which a recorded pass takes, is not
    with pytest.raises(GradientError, match="central differences"):
        check_grads(lambda x: square(x) * w, x)


def test_the_inputs_are_checked_as_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    op = sine(lambda g, x: g * ag.cos(x) * (2 if x.strides == (80, 16) else 1))
    gradcheck(op, X, order=1)
    odd = np.zeros((2, 10))[:, :6:2]
    odd[:] = X
    with pytest.raises(GradientError, match="argument 0 .*is as it was given"):
        gradcheck(op, odd, order=1)


def test_the_complex_step_trusts_no_value_that_cancels() -> None:
    for seed in range(30):
        gradcheck(ag.sinc, np.array([10 ** np.random.default_rng(seed).uniform(-6, -3)]))
