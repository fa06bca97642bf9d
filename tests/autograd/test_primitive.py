"""Ops of one's own, and the errors where they or their arguments are wrong."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd
from autograd import Tensor, check_grads, grad, primitive, registry


def test_an_op_with_a_joint_rule() -> None:
    @primitive
    def scaled(a: Any, b: Any) -> Any:
        return a * b

    @scaled.vjp
    def _(g: Any, a: Any, b: Any) -> Any:
        return g * b, g * a

    assert registry["scaled"] is scaled
    check_grads(scaled, np.random.default_rng(0).normal(size=(2, 3)), np.ones((3,)), order=3)
    assert float(grad(lambda x: scaled(x, 3.0))(2.0)) == 3


def test_an_op_with_options_by_name_and_by_position() -> None:
    @primitive
    def tilted(x: Any, /, slope: float = 2.0, *, lift: float = 0.0) -> Any:
        return slope * x + lift

    tilted.vjp(lambda g, slope: g * slope)
    assert float(grad(tilted)(1.0)) == 2 and float(grad(tilted)(1.0, 5.0)) == 5
    assert float(grad(lambda x: tilted(x, slope=3.0, lift=1.0))(1.0)) == 3
    with pytest.raises(TypeError, match="two values for 'slope'"):
        tilted(1.0, 2.0, slope=3.0)
    with pytest.raises(TypeError, match="at most 1 option"):
        tilted(1.0, 2.0, 3.0)


def test_arguments_and_options_may_have_the_names_of_residuals() -> None:
    @primitive
    def product(x: Any, y: Any) -> Any:
        return x * y

    product.vjp(lambda g, y: g * y, lambda g, x: g * x)
    check_grads(product, np.array([0.5, 2.0]), np.array([1.5, -1.0]), order=3)

    @primitive
    def grown(x: Any, /, shape: float) -> Any:
        return x * shape

    grown.vjp(lambda g, shape: g * shape)
    assert float(grad(grown)(1.0, 4.0)) == 4


def test_an_op_may_return_a_number_but_nothing_else() -> None:
    @primitive
    def rounded(x: Any, /) -> Any:
        return float(x) + 1

    with pytest.raises(TypeError, match="rounded: has no derivative rule"):
        grad(rounded)(1.0)
    rounded.vjp(lambda g: g)
    assert float(grad(rounded)(1.0)) == 1

    @primitive
    def split_up(x: Any, /) -> Any:
        return [x, x]

    with pytest.raises(TypeError, match="split_up: an op must return an array, got list"):
        grad(split_up)(1.0)


def wrong_op(rule: Callable[..., Any]) -> Callable[..., Any]:
    @primitive
    def doubtful(a: Any, b: Any) -> Any:
        return np.add(a, b)

    doubtful.vjp(rule)
    return doubtful


@pytest.mark.parametrize("rule, words", [
    (lambda g, a: g, "doubtful: its rule must return a tuple of 2"),
    (lambda g, a: (g,), "doubtful: its rule must return a tuple of 2.*got 1"),
    (lambda g, a: (g, g[:1]), r"doubtful: its rule returned a gradient of shape \(1,\)"),
    (lambda g, a: (g, 1.0), "doubtful: its rule returned a gradient of float 1.0"),
])
def test_what_a_rule_returns_is_checked(rule: Callable[..., Any], words: str) -> None:
    f = wrong_op(rule)
    with pytest.raises(TypeError, match=words):
        grad(lambda b: f(np.ones(3), b).sum())(np.ones(3))


@pytest.mark.parametrize("rule", [lambda g, c: (g, g), lambda x, a: (x, x), lambda: None])
def test_a_rule_may_only_name_residuals_that_exist(rule: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="doubtful: a rule's first parameter is g"):
        wrong_op(rule)


def test_the_number_of_rules_is_checked() -> None:
    @primitive
    def three(a: Any, b: Any, c: Any) -> Any:
        return a + b + c

    with pytest.raises(TypeError, match="expected one rule, or one for each of"):
        three.vjp(lambda g: g, lambda g: g)


x23 = Tensor(np.ones((2, 3)), requires_grad=True)


@pytest.mark.parametrize("call, error, words", [
    (lambda: x23 @ np.ones((2, 3)), ValueError,
     r"matmul: inner axes differ: \(2, 3\) @ \(2, 3\); transpose one operand"),
    (lambda: x23 @ 2.0, (ValueError, TypeError), "matmul"),
    (lambda: x23 + np.ones(2), ValueError, r"add: .*float64\[2, 3\], float64\[2\]"),
    (lambda: x23.sum(2), IndexError, "sum: .*axis=2"),
    (lambda: x23.reshape(4, 2), ValueError, r"reshape: .*shape=\(4, 2\)"),
    (lambda: x23[5], IndexError, "getitem: .*out of bounds"),
    (lambda: autograd.concatenate([x23, np.ones((3, 2))]), ValueError, "concatenate"),
    (lambda: autograd.stack([x23, np.ones(3)]), ValueError, r"stack: expected arrays of one shape"),
    (lambda: autograd.split(x23, 2, axis=1), ValueError, "split: axis 1 of length 3"),
    (lambda: autograd.einsum("ij,jk->ik", x23), ValueError, "names 2 operand"),
    (lambda: autograd.einsum("ijk->k", x23), ValueError, "does not fit an operand with 2 axes"),
    (lambda: autograd.pad(x23, 1, mode="mirror"), ValueError, "mode 'mirror' is not one of"),
    (lambda: autograd.take(x23, np.array([0.5])), TypeError, "indices must be integers"),
    (lambda: autograd.sum_to(x23, (3, 3)), ValueError, r"sum_to: \(3, 3\) does not broadcast"),
])
def test_wrong_arguments(call: Callable[[], Any], error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_a_tensor_is_no_option() -> None:
    @primitive
    def tilted(x: Any, /, slope: Any = 2.0) -> Any:
        return slope * x

    x, slope = (Tensor(v, requires_grad=True) for v in (3.0, 2.0))
    for form in (slope, [slope], (1.0, {"a": slope})):
        for argument in (x, 3.0):
            with pytest.raises(TypeError, match="tilted: the option slope is a constant, and a Te"):
                tilted(argument, slope=form)
    assert float(tilted(3.0, slope.detach())) == 6 and float(tilted(x, slope=slope.detach())) == 6
    with autograd.no_grad():
        assert float(tilted(x, slope)) == 6
    assert tilted(np.ones(2, np.float32), slope.detach()).dtype == np.float32


def test_a_composite_computes_with_floats_and_takes_the_rest_as_constants() -> None:
    @autograd.composite
    def leaky(x: Any, slope: float = 0.1, times: int = 1) -> Any:
        return autograd.where(x > 0, x, slope * x) * times

    x, v = np.array([-2.0, 1.0]), Tensor(2.0, requires_grad=True)
    assert float(grad(lambda s: leaky(x, s).sum())(0.5)) == -2
    for call in (lambda: leaky(x, 0.1, v), lambda: leaky(x, times=v), lambda: leaky(x, times=[v])):
        with pytest.raises(TypeError, match="leaky: the option times is a constant"):
            call()
    assert leaky(x, 0.5, Tensor(2)).tolist() == [-2, 2]


def test_signatures_that_cannot_be_ops_are_refused_at_once() -> None:
    for function in (lambda x, /, *rest: x, lambda x, /, **options: x):
        with pytest.raises(TypeError, match="positional-only parameters or its \\*args, not both"):
            primitive(function)
    for function in (autograd.tanh, functools.partial(np.add, 1)):
        with pytest.raises(TypeError, match="made of a function that was defined"):
            primitive(function)
    op = primitive(lambda a, b, /: a + b)
    with pytest.raises(TypeError, match="a rule's first parameter is g"):
        op.vjp(lambda g, *, y: g, None)
    op.vjp(None)
    assert autograd.grad(lambda x: op(x, x) * x)(3.0) == 6


def test_complex_results_are_refused() -> None:
    with pytest.raises(TypeError, match="multiply: the result is complex.*not supported"):
        Tensor(np.ones(2), requires_grad=True) * 1j


def test_other_kinds_of_arrays_are_refused_or_made_plain() -> None:
    x = Tensor(np.ones((2, 2)), requires_grad=True)
    for other in (np.ma.masked_array(np.ones((2, 2)), False), np.ones((2, 2)).view(np.matrix)):
        with pytest.raises(TypeError, match=r"rules of its own.*pass np\.asarray"):
            x * other

    class Mine(np.ndarray):
        pass

    (x * np.full((2, 2), 3.0).view(Mine)).sum().backward()
    assert type(x.grad) is np.ndarray and (x.grad == 3).all()


def test_ops_are_pickled_and_copied_by_name() -> None:
    assert pickle.loads(pickle.dumps(autograd.tanh)) is autograd.tanh
    assert copy.deepcopy(autograd.matmul) is autograd.matmul
