"""Hand-derived pairs beside their definition, and faster twins of them, on ops made here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strict_cupy

import autograd
from autograd import Fused, Tensor, check_grads, fused, grad, plain_ops, to_host, vjp
from tinygrad_llm.functional import linear


def square_with_twin(calls: list[str], library: str = "numpy") -> Fused:
    """Return an op whose plain pair and twin save different things, and note when they compute."""
    @fused(lambda x, /: x * x)
    def square(x: Any, /) -> Any:
        r"""Return x * x; $\bar x = 2 g x$."""
        calls.append("plain forward")
        return x * x, x

    @square.vjp
    def backward(g: Any, x: Any) -> Any:
        calls.append("plain backward")
        return 2 * g * x

    def forward(x: Any, /) -> Any:
        calls.append("twin forward")
        return NotImplemented if getattr(x, "ndim", 0) > 1 else (x * x, [x + x])

    def twin_backward(g: Any, slope: Any) -> Any:
        calls.append("twin backward")
        return g * slope[0]

    square.twin(library, forward, twin_backward)
    return square


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
    def backward(g: Any, x: Any) -> Any:
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
    def backward(g: Any, saved: Any) -> Any:
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
    @fused(lambda x, /: x * autograd.grad(lambda y: x * y)(2.0))
    def squared(x: Any, /) -> Any:
        return x * x, x

    squared.vjp(lambda g, x: 2 * g * x)
    assert float(autograd.jvp(squared, 3.0, 1.0)[1]) == 6


def test_a_forward_pass_that_returns_no_pair_is_named() -> None:
    for result in (3.0, (3.0,), [3.0, None]):
        op = fused(lambda x, /: x)(lambda x, /, result=result: result)
        with pytest.raises(TypeError, match="a fused op's function returns a pair, the result"):
            op(1.0)


def test_the_check_comes_before_every_pair() -> None:
    calls: list[str] = []
    square = square_with_twin(calls)

    @square.check
    def check(x: Any, /) -> None:
        calls.append("check")
        if not x.ndim:
            raise ValueError("square: expected an axis")

    square(np.ones(2))
    with plain_ops():
        square(np.ones(2))
    assert calls == ["check", "twin forward", "check", "plain forward"]
    for x in (np.array(2.0), Tensor(2.0, requires_grad=True)):
        with pytest.raises(ValueError, match="square: expected an axis"):
            square(x)


def test_the_derivation_stands_above_the_op_or_in_its_docstring() -> None:
    square = square_with_twin([])
    assert square.derivation == r"Return x * x; $\bar x = 2 g x$."
    assert linear.derivation.startswith("An affine map of the last axis.")


# twins


def test_a_twin_computes_the_arrays_of_its_library() -> None:
    calls: list[str] = []
    square = square_with_twin(calls)
    y, pull = vjp(square, np.array([3.0, 4.0]))
    assert y.tolist() == [9, 16] and pull(np.ones(2))[0].tolist() == [6, 8]
    assert float(square(3.0)) == 9
    assert calls == ["twin forward", "twin backward", "twin forward"]
    calls.clear()
    with strict_cupy.no_sync():
        y, pull = vjp(square, strict_cupy.asarray(np.array([3.0])))
        dx = pull(strict_cupy.asarray(np.ones(1)))[0]
    assert to_host(y) == 9 and to_host(dx) == 6 and calls == ["plain forward", "plain backward"]


def test_another_library_may_have_a_twin() -> None:
    calls: list[str] = []
    square = square_with_twin(calls, "strict_cupy")
    square(np.ones(2))
    square(strict_cupy.asarray(np.ones(2)))
    with plain_ops():
        square(strict_cupy.asarray(np.ones(2)))
    assert calls == ["plain forward", "twin forward", "plain forward"]


def test_what_a_twin_leaves_to_the_plain_pair() -> None:
    calls: list[str] = []
    _, pull = vjp(square_with_twin(calls), np.ones((2, 3)))
    assert pull(np.ones((2, 3)))[0].tolist() == [[2.0] * 3] * 2
    assert calls == ["twin forward", "plain forward", "plain backward"]


def test_inside_plain_ops_twins_rest() -> None:
    calls: list[str] = []
    square = square_with_twin(calls)
    with plain_ops():
        with plain_ops():
            square(1.0)
        square(1.0)
    square(1.0)
    with pytest.raises(ZeroDivisionError), plain_ops():
        raise ZeroDivisionError
    square(1.0)
    assert calls == ["plain forward"] * 2 + ["twin forward"] * 2


def test_a_backward_pass_goes_with_its_forward_pass() -> None:
    calls: list[str] = []
    square, x = square_with_twin(calls), Tensor(3.0, requires_grad=True)
    y = square(x)
    with plain_ops():
        z = square(x)
        y.backward()
    z.backward()
    assert x.grad == 12
    assert calls == ["twin forward", "plain forward", "twin backward", "plain backward"]


def test_a_recorded_pass_differentiates_the_reference_of_a_twin_too() -> None:
    calls: list[str] = []
    square = square_with_twin(calls)
    check_grads(square, np.array([0.5, -2.0]), order=3)
    calls.clear()
    assert float(grad(grad(square))(3.0)) == 2 and calls == ["twin forward"]
