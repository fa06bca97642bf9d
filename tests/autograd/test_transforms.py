"""Transforms of functions: every one, nested, of containers, and what they refuse."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograd import (
    Tensor,
    argmax,
    check_grads,
    checkpoint,
    elementwise_grad,
    exp,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    layer_norm,
    no_grad,
    stack,
    tanh,
    value_and_grad,
    var,
    vjp,
)
from autograd.broadcast import identity


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


def _critic(w: Any) -> Any:
    return lambda x: (tanh(x * w) * w[0]).sum()


THROUGH_A_CLOSURE: dict[str, Any] = {
    "grad": lambda f, x: grad(f)(x),
    "grad of a grad": lambda f, x: grad(lambda z: (grad(f)(z) ** 2).sum())(x),
    "value_and_grad": lambda f, x: stack(value_and_grad(f)(x)[:1]),
    "its gradient": lambda f, x: value_and_grad(f)(x)[1],
    "aux": lambda f, x: grad(lambda z: ((z * z).sum(), f(z)), has_aux=True)(x)[1],
    "vjp": lambda f, x: vjp(f, x)[1](2.0)[0],
    "vjp's value": lambda f, x: vjp(f, x)[0],
    "jvp": lambda f, x: jvp(f, x, x + 1)[1],
    "elementwise_grad": lambda f, x: elementwise_grad(lambda z: f(z) * z)(x),
    "jacobian": lambda f, x: jacobian(lambda z: f(z) * z)(x),
    "hessian": lambda f, x: hessian(f)(x),
    "hvp": lambda f, x: hvp(f, x, np.array([1.0, -2.0, 0.5])),
    "a fused op": lambda f, x: grad(lambda z: f(layer_norm(z, np.ones(3), np.zeros(3))))(x),
    "checkpoint": lambda f, x: grad(checkpoint(f))(x),
    "inside a checkpoint": lambda f, x: checkpoint(lambda: grad(f)(x))(),
    "a dict": lambda f, x: grad(lambda d: f(d["x"]))({"x": x})["x"],
}


@pytest.mark.parametrize("name", THROUGH_A_CLOSURE)
def test_leaves_seen_by_closure_receive_their_part(name: str) -> None:
    """The derivative of a transform's result by w: plain x and w by closure, as in WGAN-GP."""
    transform, x = THROUGH_A_CLOSURE[name], np.array([0.3, -0.7, 1.1])
    result = None

    def penalty(w: Any) -> Any:
        nonlocal result
        result = transform(_critic(w), x)
        return (result**2).sum()

    w = Tensor(np.array([0.5, -1.0, 2.0]), requires_grad=True)
    penalty(w).backward()
    eps, moves = 1e-6, np.eye(3)
    differences = [(float(penalty(w.data + eps * e)) - float(penalty(w.data - eps * e))) / (2 * eps)
                   for e in moves]
    assert isinstance(result, np.ndarray), "plain, where nothing foreign is involved"
    assert np.allclose(w.grad, differences, rtol=1e-6) and np.abs(w.grad).max() > 1e-3


def test_a_value_computed_before_and_a_leaf_made_inside_count_too() -> None:
    w = Tensor(3.0, requires_grad=True)
    before = w * w
    grad(lambda x: x * x * before)(1.0).backward()
    assert float(w.grad) == 2 * 2 * 3

    class Lazy:
        w: Any = None

        def __call__(self, x: Any) -> Any:
            self.w = self.w if self.w is not None else Tensor(3.0, requires_grad=True)
            return self.w * x * x

    layer = Lazy()
    grad(layer)(2.0).backward()
    assert float(layer.w.grad) == 4
    layer = Lazy()
    checkpoint(lambda x: layer(x))(Tensor(2.0, requires_grad=True)).backward()
    assert float(layer.w.grad) == 4


def test_results_stay_plain_without_a_living_leaf_and_inside_no_grad() -> None:
    w, c = Tensor(2.0, requires_grad=True), Tensor(2.0)
    assert type(grad(lambda x: x * x * Tensor(3.0, requires_grad=True))(1.0)) is np.ndarray
    assert type(grad(lambda x: x * x * c)(1.0)) is np.ndarray
    assert type(grad(lambda x: x * x * w.data)(1.0)) is np.ndarray
    with no_grad():
        assert type(grad(lambda x: x * x * w)(1.0)) is np.ndarray


@pytest.mark.parametrize("f", [
    lambda x: x, lambda x: x[1:], lambda x: x.T, lambda x: (x, x), lambda x: x.copy(),
    lambda x: identity(identity(x)),
])
def test_values_share_no_memory_with_the_arguments(f: Any) -> None:
    x = np.arange(3.0)
    y = vjp(f, x)[0]
    parts = y if isinstance(y, tuple) else (y,)
    for part in parts:
        part += 1
    assert x.tolist() == [0, 1, 2] and parts[0][-1] == 3


def test_a_constant_result_is_returned_as_a_copy() -> None:
    c = np.arange(3.0)
    y, pull = vjp(lambda x: c, 1.0)
    y += 1
    assert c.tolist() == [0, 1, 2] and float(pull(c)[0]) == 0


@pytest.mark.parametrize("wrong", [
    np.ma.array([1.0, 2.0], mask=[False, True]), np.ones((1, 2)).view(np.matrix),
])
def test_masked_arrays_and_matrices_are_refused(wrong: Any) -> None:
    calls = [lambda: Tensor(wrong), lambda: grad(lambda x: (x * x).sum())(wrong),
             lambda: vjp(lambda x: x, np.ones(2))[1](wrong), lambda: argmax(wrong),
             lambda: jvp(lambda x: x, np.ones(2), wrong), lambda: grad(lambda x: wrong)(2.0),
             lambda: hvp(lambda x: x.sum(), np.ones(2), wrong), lambda: var(wrong)]
    calls += [lambda: Tensor([wrong, wrong]), lambda: argmax([wrong]), lambda: var((wrong, wrong))]
    for call in calls:
        with pytest.raises(TypeError, match=r"rules of its own.*np.asarray\(x\)"):
            call()


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


# transforms of containers, and the others than grad


@dataclasses.dataclass(frozen=True)
class Affine:
    w: np.ndarray
    b: np.ndarray
    label: str = "affine"


class Pair(NamedTuple):
    first: Any
    second: Any


A, B = np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7]]), np.array([0.2, -0.4])
X3 = np.array([0.3, -0.8, 0.6])


@pytest.mark.parametrize("make, take", [
    (lambda w, b: {"w": w, "b": b}, lambda p: (p["w"], p["b"])),
    (lambda w, b: [w, (b, None)], lambda p: (p[0], p[1][0])),
    (lambda w, b: Pair(w, {"b": b}), lambda p: (p.first, p.second["b"])),
    (Affine, lambda p: (p.w, p.b)),
])
def test_containers_go_through_every_transform(make: Any, take: Any) -> None:
    def loss(p: Any) -> Any:
        w, b = take(p)
        return (tanh(w @ X3 + b) ** 2).sum()

    def flat(w: Any, b: Any) -> Any:
        return (tanh(w @ X3 + b) ** 2).sum()

    p, v = make(A, B), make(np.cos(A), np.sin(B))
    value, slopes = value_and_grad(loss)(p)
    assert type(slopes) is type(p) and float(value) == float(flat(A, B))
    expected = grad(flat, (0, 1))(A, B)
    for got, e in zip(take(slopes), expected, strict=True):
        assert type(got) is np.ndarray and np.array_equal(got, e)
    y, dy = jvp(loss, p, v)
    along = (expected[0] * np.cos(A)).sum() + (expected[1] * np.sin(B)).sum()
    assert float(y) == float(value) and float(dy) == pytest.approx(float(along), rel=1e-13)
    product = take(hvp(loss, p, v))
    reference = hvp(flat, (A, B), (np.cos(A), np.sin(B)))
    assert all(np.allclose(a, b, rtol=1e-13) for a, b in zip(product, reference, strict=True))
    full = take(jacobian(loss)(p))
    assert all(np.array_equal(a, b) for a, b in zip(full, expected, strict=True))
    (pulled,) = vjp(loss, p)[1](np.array(2.0))
    assert all(np.allclose(a, 2 * b) for a, b in zip(take(pulled), expected, strict=True))


def test_results_may_be_containers() -> None:
    def f(x: Any) -> dict[str, Any]:
        return {"t": tanh(x), "pair": (x * x, 3.0)}

    y, pull = vjp(f, X3)
    zero = np.array(0.0)
    g = {"pair": (np.ones(3), zero), "t": np.zeros(3)}
    assert np.array_equal(pull(g)[0], 2 * X3) and float(y["pair"][1]) == 3
    full = jacobian(f)(X3)
    assert np.allclose(full["t"], np.diag(1 - np.tanh(X3) ** 2))
    assert np.array_equal(full["pair"][0], np.diag(2 * X3))
    assert np.array_equal(full["pair"][1], np.zeros(3))
    _, dy = jvp(f, X3, np.ones(3))
    assert np.array_equal(dy["pair"][0], 2 * X3) and dy["pair"][1] == 0
    with pytest.raises(ValueError, match="a cotangent for each of the 3 results"):
        pull(np.ones(3))


def test_auxiliary_results_are_not_differentiated() -> None:
    def f(x: Any) -> tuple[Any, dict[str, Any]]:
        return (x * x).sum(), {"twice": 2 * x, "note": "seen"}

    (value, aux), slope = value_and_grad(f, has_aux=True)(X3)
    assert np.array_equal(slope, 2 * X3) and value == (X3 * X3).sum()
    assert type(aux["twice"]) is np.ndarray and aux["note"] == "seen"
    slope, aux = grad(f, has_aux=True)(X3)
    assert np.array_equal(aux["twice"], 2 * X3) and np.array_equal(slope, 2 * X3)
    assert vjp(f, X3, has_aux=True)[2]["note"] == "seen"
    inside = grad(lambda x: grad(f, has_aux=True)(x)[1]["twice"].sum())(X3)
    assert inside.tolist() == [2, 2, 2]  # inside another transform aux is on the tape
    with pytest.raises(TypeError, match=r"has_aux the function must return a pair \(y, aux\)"):
        grad(lambda x: x.sum(), has_aux=True)(X3)


FUNCTIONS: list[Any] = [
    lambda x: tanh(x) * x[0], lambda x: (x * x).sum(), lambda x: A @ tanh(x),
    lambda x: x[[0, 0, 2]], lambda x: exp(x)[:, None] * x, lambda x: x[:0],
]


@pytest.mark.parametrize("f", FUNCTIONS)
def test_jvp_vjp_and_jacobian_agree_with_each_other_and_differences(f: Any) -> None:
    full = jacobian(f)(X3)
    y, dy = jvp(f, X3, np.cos(X3))
    assert full.shape == (*y.shape, 3)
    assert np.allclose(full @ np.cos(X3), dy, rtol=1e-13, atol=1e-15)
    g = np.sin(1.0 + np.arange(y.size)).reshape(y.shape)
    (pulled,) = vjp(f, X3)[1](g)
    assert np.allclose(np.tensordot(g, full, g.ndim), pulled, rtol=1e-13, atol=1e-15)
    assert float((pulled * np.cos(X3)).sum()) == pytest.approx(float((g * dy).sum()), abs=1e-14)
    h = 1e-5
    quotient = (f(X3 + h * np.cos(X3)) - f(X3 - h * np.cos(X3))) / (2 * h)
    assert np.allclose(quotient, dy, rtol=1e-8, atol=1e-9)


def test_hessian_and_its_products() -> None:
    def f(x: Any) -> Any:
        return (tanh(A @ x) ** 2).sum() * x[0]

    h = hessian(f)(X3)
    assert np.allclose(h, h.T, rtol=1e-12) and h.shape == (3, 3)
    assert np.allclose(hvp(f, X3, np.cos(X3)), h @ np.cos(X3), rtol=1e-12)
    assert np.allclose(jvp(grad(f), X3, np.cos(X3))[1], h @ np.cos(X3), rtol=1e-12)
    assert np.allclose(jacobian(jacobian(f))(X3), h, rtol=1e-12)
    blocks = hessian(lambda a, b: (a * b * b).sum(), (0, 1))(X3, np.cos(X3))
    assert np.allclose(blocks[0][1], np.diag(2 * np.cos(X3)))
    assert np.allclose(blocks[1][1], np.diag(2 * X3)) and not blocks[0][0].any()
    third = jacobian(hessian(lambda x: (x**4).sum()))(X3)
    assert np.allclose(third[[0, 1, 2], [0, 1, 2], [0, 1, 2]], 24 * X3)


def test_elementwise_grad_to_the_third_order() -> None:
    slope = elementwise_grad(elementwise_grad(elementwise_grad(tanh)))(X3)
    t = np.tanh(X3)
    assert np.allclose(slope, -2 * (1 - t * t) * (1 - 3 * t * t), rtol=1e-12)
    assert elementwise_grad(lambda x, y: x * y, 1)(X3, X3).tolist() == X3.tolist()


def test_transforms_nest_in_each_other() -> None:
    def f(x: Any) -> Any:
        return (tanh(A @ x) ** 2).sum()

    v = np.cos(X3)
    check_grads(lambda x: jvp(f, x, v)[1], X3)
    check_grads(lambda v: jvp(f, X3, v)[1], v)
    check_grads(lambda x: hvp(f, x, v), X3)
    check_grads(lambda x: jacobian(lambda x: tanh(A @ x))(x), X3)
    check_grads(lambda x: vjp(f, x)[1](np.array(1.0))[0], X3)
    w = Tensor(np.array(0.7), requires_grad=True)
    jvp(lambda x: tanh(w * x).sum(), Tensor(X3), v)[1].backward()
    expected = grad(lambda w: jvp(lambda x: tanh(w * x).sum(), X3, v)[1])(0.7)
    assert np.allclose(w.grad, expected, rtol=1e-12)


@pytest.mark.parametrize("call, error, words", [
    (lambda: jvp(tanh, X3, np.ones(2)), ValueError, r"jvp: the tangents .* \(3,\), got \(2,\)"),
    (lambda: hvp(lambda p: p[0].sum(), ((X3, X3),), ((X3,),)), ValueError, "the containers of the"),
    (lambda: grad(lambda p: p["a"])({"a": 1.0, "n": 3}), TypeError, "argument 0 is int64"),
    (lambda: grad(lambda x: x)("text"), TypeError, "holds nothing to differentiate by, got str"),
    (lambda: grad(lambda x: (x, x))(1.0), TypeError, "one scalar, got a container of 2"),
    (lambda: hessian(tanh)(X3), ValueError, "expected a scalar"),
])
def test_wrong_containers(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_hvp_along_a_tensor_is_recorded() -> None:
    v = Tensor(np.cos(X3), requires_grad=True)
    hvp(lambda x: (x**3).sum(), X3, v).sum().backward()
    assert np.allclose(v.grad, 6 * X3)


@pytest.mark.parametrize("argnums, words", [
    ((0, 0), "names an argument twice"), ((1, -1), "names an argument twice"),
    (1.0, "argnums must be an integer or several, got 1.0"), (None, "got None"), ("a", "got 'a'"),
    (2, "argument 2 is to be differentiated, but the function was called with 2"),
])
def test_wrong_argnums(argnums: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        grad(lambda a, b: a * b, argnums)(2.0, 3.0)


def test_numpy_integers_are_argnums() -> None:
    assert grad(lambda a, b: a * b, np.int64(1))(2.0, 3.0) == 2
    assert grad(lambda a, b: a * b, [1, np.int64(0)])(2.0, 3.0) == (2, 3)


def test_values_are_not_lost_in_silence() -> None:
    def filled(x: Any) -> Any:
        a = np.zeros(2)
        a[0] = x
        return a.sum()

    with pytest.raises(TypeError, match=r"cannot take in a Tensor.*autograd\.stack"):
        grad(filled)(1.0)  # an error of NumPy's hides the reason, which is said again
    for f, words in (math.sin, r"use autograd\.sin"), (float, "not turned into float in silence"):
        with pytest.raises(TypeError, match=words):
            grad(f)(1.0)
    assert float(grad(lambda x: x * x.item())(3.0)) == 3
    with pytest.raises(TypeError, match="one scalar, got a container of 1"):
        grad(lambda x: (x * x, "note"))(1.0)


def test_cotangents_are_real_numbers_of_the_results_dtype() -> None:
    pull = vjp(lambda x: x * 2, np.ones(2, np.float32))[1]
    assert pull(np.array([1, 2]))[0].dtype == np.float32
    assert pull(Tensor(np.array([1, 2])))[0].dtype == np.float32
    with pytest.raises(TypeError, match="complex numbers are not made real in silence"):
        pull(np.array([1j, 1]))


def test_structure_beside_leaves() -> None:
    class Named(NamedTuple("Named", [("a", Any)])):
        def __new__(cls, a: Any) -> Any:
            return super().__new__(cls, a)

    slopes = grad(lambda p: p["n"].a * 2)({"n": Named(1.0), "dtype": np.float64})
    assert slopes["n"] == Named(2.0) and slopes["dtype"] is np.float64
