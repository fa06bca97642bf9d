"""Fused ops: the pair in ordinary passes, the reference in recorded ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd
from autograd import check_grads, fused, grad


def test_fused_pair_in_the_first_order_reference_in_the_second() -> None:
    calls = []

    def reference(x: Any, /) -> Any:
        calls.append("reference")
        return x * x * x

    @fused(reference)
    def cube(x: Any, /) -> Any:
        calls.append("forward")
        return x**3, x

    @cube.vjp
    def _(g: Any, x: Any) -> Any:
        calls.append("backward")
        return 3 * g * x**2

    assert float(grad(cube)(2.0)) == 12 and calls == ["forward", "backward"]
    calls.clear()
    assert float(grad(grad(cube))(2.0)) == 12 and calls == ["forward", "reference"]
    check_grads(cube, np.array([0.5, -2.0]), order=3)


def test_a_fused_op_of_dependent_arguments() -> None:
    """One argument computed from the other: the recorded pass must end at both."""
    @fused(lambda a, b, /: a * b)
    def product(a: Any, b: Any, /) -> Any:
        return a * b, (a, b)

    @product.vjp
    def _(g: Any, saved: Any) -> Any:
        a, b = saved
        return g * b, g * a

    check_grads(lambda x: product(x, x * x), np.array([1.5]), order=3)
    check_grads(lambda x: product(x, x), np.array([1.5]), order=3)


def test_a_fused_rule_with_the_wrong_count_is_named() -> None:
    @fused(lambda a, b, /: a * b)
    def product(a: Any, b: Any, /) -> Any:
        return a * b, (a, b)

    with pytest.raises(TypeError, match="product: has no backward rule"):
        grad(lambda x: product(x, 2.0))(1.0)
    product.vjp(lambda g, saved: g)
    with pytest.raises(TypeError, match="product: its rule must return 2 gradients"):
        grad(lambda x: product(x, 2.0))(1.0)


def test_a_reference_is_differentiated_inside_a_transform() -> None:
    @autograd.fused(lambda x, /: x * autograd.grad(lambda y: x * y)(2.0))
    def squared(x: Any, /) -> Any:
        return x * x, x

    squared.vjp(lambda g, x: 2 * g * x)
    assert float(autograd.jvp(squared, 3.0, 1.0)[1]) == 6
