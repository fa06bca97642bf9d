"""The checker must catch wrong gradients, and must not cry over right ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd import check_grads, exp, fused, primitive, tanh

pytestmark = pytest.mark.usefixtures("clean_registry")


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

    with pytest.raises(ValueError, match="read-only"):
        check_grads(with_rule(careless), POINTS, order=1)


def test_scale_does_not_matter() -> None:
    for scale in (1e-6, 1.0, 1e6):
        check_grads(lambda x, s=scale: s * tanh(x), POINTS)
        with pytest.raises(AssertionError):
            check_grads(lambda x, s=scale: s * with_rule(
                lambda g, x: 1.0001 * g * np.cos(x))(x), POINTS, order=1)


def test_order_must_be_positive() -> None:
    with pytest.raises(ValueError, match="order must be at least 1"):
        check_grads(tanh, 1.0, order=0)
