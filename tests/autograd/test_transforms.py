from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograd import (
    Tensor,
    check_grads,
    exp,
    grad,
    no_grad,
    pull_back,
    tanh,
    value_and_grad,
    vjp,
)


def test_third_derivative_of_tanh() -> None:
    t = math.tanh(0.5)
    third = grad(grad(grad(tanh)))(0.5)
    assert isinstance(third, np.ndarray)
    assert float(third) == pytest.approx(-2 * (1 - t * t) * (1 - 3 * t * t), rel=1e-14)


@given(st.integers(0, 6), st.floats(-2, 2))
def test_nth_derivative_of_a_polynomial(n: int, x: float) -> None:
    coefficients = [3.0, -1.0, 2.0, 0.5, -2.0, 1.0]

    def f(x: Tensor) -> Tensor:
        y = 0 * x
        for c in coefficients[::-1]:
            y = y * x + c
        return y

    expected = np.polynomial.Polynomial(coefficients).deriv(n)(x) if n else f(x)
    for _ in range(n):
        f = grad(f)  # type: ignore[assignment]
    assert float(f(x)) == pytest.approx(float(expected), rel=1e-9, abs=1e-9)


def test_plain_values_give_plain_arrays_and_tensors_give_tensors() -> None:
    for x in (2.0, np.float64(2), np.array(2.0), np.array([2.0], np.float32)[0]):
        value, g = value_and_grad(lambda x: x * x)(x)
        assert type(value) is type(g) is np.ndarray and float(g) == 4
    value, g = value_and_grad(lambda x: x * x)(Tensor(2.0))
    assert isinstance(value, Tensor) and isinstance(g, Tensor) and float(g) == 4
    assert grad(lambda x: x * x)(np.float32(2)).dtype == np.float32


def test_results_of_tensors_go_on_recording() -> None:
    x = Tensor(3.0, requires_grad=True)
    g = grad(lambda x: x**3)(x)
    g.backward()
    assert float(x.grad) == 18


def test_nesting_sees_the_outer_variable() -> None:
    assert float(grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0)) == 1.0
    assert float(grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0)) == 6.0
    assert float(grad(lambda x: x * vjp(lambda y: x * y, 2.0)[1](1.0)[0])(3.0)) == 6.0
    same = grad(lambda x: grad(lambda y: x * y)(x) * x)
    assert float(same(3.0)) == 6.0


def test_argnums() -> None:
    def f(a: Tensor, b: Tensor, c: float = 2.0) -> Tensor:
        return (a * b * b).sum() * c

    a, b = np.array([1.0, 2]), np.array([3.0, 4])
    assert np.array_equal(grad(f, 1)(a, b, c=3.0), 6 * a * b)
    da, db = grad(f, (0, 1))(a, b)
    assert np.array_equal(da, 2 * b * b) and np.array_equal(db, 4 * a * b)
    assert np.array_equal(grad(f, -1)(a, b), 4 * a * b)


def test_independence_is_zero_not_an_error() -> None:
    assert np.array_equal(grad(lambda x: 3.0)(np.ones(2)), np.zeros(2))
    assert grad(lambda x, y: (x * x).sum(), 1)(np.ones(2), 5.0) == 0
    assert np.array_equal(vjp(lambda x: np.ones(3), np.ones(2))[1](np.ones(3))[0], np.zeros(2))


def test_vjp_may_be_pulled_many_times() -> None:
    y, pull = vjp(lambda a, b: a @ b, np.ones((2, 3)), np.arange(3.0))
    assert y.tolist() == [3, 3]
    for g in (np.array([1.0, 0]), np.array([0.0, 2])):
        da, db = pull(g)
        assert np.array_equal(da, np.outer(g, np.arange(3.0)))
        assert db.tolist() == [g.sum()] * 3


def test_transforms_work_inside_no_grad() -> None:
    with no_grad():
        assert float(grad(lambda x: x**3)(2.0)) == 12
        assert float(grad(grad(lambda x: x**3))(2.0)) == 12
        x = Tensor(2.0, requires_grad=True)
        value, slope = value_and_grad(lambda x: x**3)(x)
        assert not value.requires_grad and not slope.requires_grad
        assert not vjp(lambda x: x**3, x)[0].requires_grad


def test_results_share_no_memory() -> None:
    c = np.ones(3)
    a, b = grad(lambda a, b: ((a + b) * c).sum(), (0, 1))(c, c)
    a *= 10
    assert b.tolist() == [1, 1, 1]
    g = np.ones(3)
    (dx,) = vjp(lambda x: x + 1, c)[1](g)
    dx *= 10
    assert g.tolist() == [1, 1, 1]
    slope = grad(lambda x: x.sum())(c)
    slope += 1
    assert slope.tolist() == [2, 2, 2]


def test_pull_back_checks_its_cotangents() -> None:
    x = Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(ValueError, match=r"pull_back: .* of the result, \(3,\); got \(2, 3\)"):
        pull_back([x * 2], [np.ones((2, 3))], [x])
    assert pull_back([(x * 2).sum()], [None], [x])[0].tolist() == [2, 2, 2]


def test_a_tensor_given_by_keyword_is_recorded_too() -> None:
    w = Tensor(3.0, requires_grad=True)
    slope = grad(lambda x, w: x * x * w)(2.0, w=w)
    (w + slope).backward()
    assert float(w.grad) == 5


def test_a_gradient_penalty_reaches_the_parameters() -> None:
    """Differentiating by the input first and by the parameters then, as a Tensor is passed."""
    w = Tensor(np.array([0.5, -1.0]), requires_grad=True)
    x = Tensor(np.array([0.3, 0.7]))
    penalty = (grad(lambda x: tanh(w @ x))(x) ** 2).sum()
    penalty.backward()
    check_grads(lambda w: (grad(lambda x: tanh(w @ x))(x) ** 2).sum(), w)
    s = 1 - math.tanh(0.5 * 0.3 - 0.7) ** 2
    t = math.tanh(0.5 * 0.3 - 0.7)
    expected = 2 * s * s * w.data + (w.data @ w.data) * 2 * s * (-2 * t * s) * x.data
    assert np.allclose(w.grad, expected, rtol=1e-12)


def test_pull_back_of_several_results() -> None:
    x = Tensor(np.array([1.0, 2]), requires_grad=True)
    h = x * 3
    ys = [h.sum(), exp(h), h]
    gs = [2.0, np.array([1.0, 0]), np.array([0.0, 1])]
    dx, dh, none = pull_back(ys, [np.asarray(g) for g in gs], [x, h, Tensor(1.0)], retain=True)
    twice = pull_back([h, h], [np.array([1.0, 0])] * 2, [x])[0]
    assert twice.tolist() == [6, 0]
    expected = np.array([2 + math.exp(3), 2 + 1])
    assert np.allclose(dh, expected) and np.allclose(dx, 3 * expected) and none is None


@pytest.mark.parametrize("call, error, words", [
    (lambda: grad(tanh)(3), TypeError, "argument 0 is int64.*3.0 for 3"),
    (lambda: grad(tanh)(1j), TypeError, "complex gradients are not supported"),
    (lambda: grad(tanh)(np.ones(2)), ValueError, r"expected a scalar, got shape \(2,\)"),
    (lambda: grad(lambda x: None)(1.0), TypeError, "must return a Tensor or a number.* got None"),
    (lambda: grad(tanh, 1)(1.0), TypeError, r"argument 1 is to be differentiated.*1 positional"),
    (lambda: vjp(tanh, np.ones(2))[1](np.ones(3)), ValueError, "shape of the result"),
])
def test_wrong_calls(call: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()  # type: ignore[operator]
