"""The checker must catch wrong gradients, and must not cry over right ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd import check_grads, exp, fused, log, primitive, tanh
from autograd.testing import GradientError


def with_rule(rule: Callable[..., Any]) -> Callable[..., Any]:
    @primitive
    def sine(x: Any, /) -> Any:
        return np.sin(x)

    sine.vjp(rule)
    return sine


POINTS = np.array([[0.3, -1.2], [2.0, 0.9]])


def test_a_right_rule_passes() -> None:
    check_grads(with_rule(lambda g, x: g * np.cos(x)), POINTS, order=1)
    check_grads(lambda x, y: tanh(x) * exp(y), POINTS, 0.7, order=3)
    check_grads(lambda x: [x * 2, (x * x).sum()], POINTS)


@pytest.mark.parametrize("rule", [
    lambda g, x: -g * np.cos(x),
    lambda g, x: g * np.cos(x) * (1 + 1e-7),
    lambda g, x: g * np.cos(x) + 1e-8,
    lambda g, x: g * np.where(x > 1.9, 0, np.cos(x)),
    lambda g, x: np.cos(x) + 0 * g,
    lambda g, x: g * np.nan,
])
def test_a_wrong_rule_is_caught(rule: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match="order 1, argument 0, element"):
        check_grads(with_rule(rule), POINTS, order=1)


def test_a_rule_that_is_right_only_once_is_caught_in_the_second_order() -> None:
    @primitive
    def square(x: Any, /) -> Any:
        return x * x

    @square.vjp
    def _(g: Any, x: Any) -> Any:
        return g * 2.0 * (x.data if hasattr(x, "node") else x)  # a constant of the tape

    check_grads(square, POINTS, order=1)
    with pytest.raises(AssertionError, match="order 2"):
        check_grads(square, POINTS)


def test_a_reference_of_another_function_is_caught() -> None:
    """Differences of the recorded gradient alone would agree with its own derivative."""
    @fused(lambda x, /: x * x * 1.5)
    def square(x: Any, /) -> Any:
        return x * x, x

    square.vjp(lambda g, x: 2 * g * x)
    check_grads(square, POINTS, order=1)
    with pytest.raises(AssertionError, match="by the plain backward pass, but by the recorded one"):
        check_grads(square, POINTS, order=2)


def test_a_rule_that_writes_into_its_gradient_is_caught() -> None:
    def careless(g: Any, x: Any) -> Any:
        g *= np.cos(x)
        return g

    with pytest.raises(GradientError, match="read-only"):
        check_grads(with_rule(careless), POINTS, order=1)


def test_scale_does_not_matter() -> None:
    for scale in (1e-6, 1.0, 1e6):
        check_grads(lambda x, s=scale: s * tanh(x), POINTS)
        with pytest.raises(AssertionError):
            check_grads(lambda x, s=scale: s * with_rule(
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
        check_grads(lambda p: {"y": (p["a"], with_rule(lambda g, x: g)(p["b"]))},
                    {"a": POINTS, "b": 0.4}, order=1)


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
