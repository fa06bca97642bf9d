"""Second derivatives at kinks: where they exist they are right, elsewhere infinite or NaN.

What holds for each op by itself is stated in its case, as `curvatures`; here, what f adds to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, grad, hessian, hvp, jvp
from autograd.ops import kinks
from autograd.ops.linalg import norm

ZERO, EYE = np.zeros(3), np.eye(3)

LENGTHS = [norm, lambda x: ag.hypot(ag.hypot(x[0], x[1]), x[2]),
           lambda x: norm(x.reshape(1, 3)), lambda x: norm(x.reshape(3, 1), 2)]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("f, curvature", [
    (lambda y: y**2, 2.0), (lambda y: y * y, 2.0), (ag.square, 2.0), (ag.cos, -1.0),
    (lambda y: ag.exp(-(y**2)), -2.0), (lambda y: y**4, 0.0), (lambda y: y**3, 0.0),
    (lambda y: ag.sqrt(1 + y**2), 1.0), (lambda y: 3 + 0 * y, 0.0),
    (lambda y: ag.huber_loss(y, 0 * y, reduction="sum"), 1.0), (lambda y: ag.logaddexp(y, -y), 1.0),
    (lambda y: ag.maximum(y, 0.5), 0.0),
])
def test_an_even_function_of_a_length_is_smooth(length: Any, f: Callable[..., Any],
                                                curvature: float) -> None:
    assert np.allclose(hessian(lambda x: f(length(x)))(ZERO), curvature * EYE, atol=1e-12)
    assert np.allclose(hessian(lambda x: f(ag.abs(x)).sum())(ZERO), curvature * EYE, atol=1e-12)
    assert not grad(lambda x: f(length(x)))(ZERO).any()


@pytest.mark.parametrize("length", LENGTHS[:3])
@pytest.mark.parametrize("f, slope", [(lambda y: y, 1), (ag.sin, 1), (lambda y: -2 * y, -1)])
def test_another_one_has_the_kink(length: Any, f: Any, slope: int) -> None:
    with np.errstate(invalid="ignore"):
        found = hessian(lambda x: f(length(x)))(ZERO)
    assert not np.isfinite(found.diagonal()).any()
    assert (found.diagonal()[~np.isnan(found.diagonal())] == slope * np.inf).all()


def test_each_place_has_its_own_derivative() -> None:
    x = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    weights = np.array([1.0, 2.0, 0.0])
    found = hessian(lambda x: (weights * norm(x, axis=1) ** 2).sum())(x)
    assert np.allclose(found.reshape(6, 6), np.kron(np.diag(2 * weights), np.eye(2)))
    together = hessian(lambda x: norm(x, axis=1).sum() ** 2)(np.zeros((2, 2)))
    assert np.isnan(together.reshape(4, 4).diagonal()).all()


def test_broadcast_arguments() -> None:
    a, b = np.zeros(()), np.array([0.0, 2.0])
    found = hessian(lambda a, b: (ag.hypot(a, b) ** 2).sum(), (0, 1))(a, b)
    assert found[0][0] == 4 and np.allclose(found[1][1], 2 * np.eye(2)) and not found[0][1].any()


def test_standard_deviations() -> None:
    x = np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 4.0]])
    for axis in (0, 1, None):
        expected = hessian(lambda x, a=axis: ag.var(x, a, ddof=1).sum())(x)
        for std in (ag.std, ag.nanstd):
            found = hessian(lambda x, a=axis, f=std: (f(x, a, ddof=1) ** 2).sum())(x)
            assert np.allclose(found, expected)


def test_higher_orders() -> None:
    third = grad(grad(grad(lambda x: 5 * ag.abs(x) ** 2)))
    assert third(0.0) == 0 and grad(third)(0.0) == 0
    assert grad(lambda w: grad(grad(lambda x: w * ag.hypot(x, 0.0) ** 2))(0.0))(3.0) == 2
    assert grad(grad(grad(lambda x: ag.sinc(x))))(0.0) == 0
    fourth = grad(grad(grad(grad(ag.sinc))))(0.0)
    assert np.isclose(fourth, np.pi**4 / 5)


def test_products_with_vectors() -> None:
    v = np.array([1.0, -2.0, 0.5])
    assert np.allclose(hvp(lambda x: norm(x) ** 2, ZERO, v), 2 * v)
    assert jvp(norm, ZERO, v)[1] == 0
    slope = grad(lambda x: (v * grad(lambda x: norm(x) ** 2)(x)).sum())(ZERO)
    assert np.allclose(slope, 2 * v)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_dtype_stays(dtype: Any) -> None:
    found = hessian(lambda x: norm(x) ** 2)(np.zeros(2, dtype))
    assert found.dtype == dtype and np.array_equal(found, 2 * np.eye(2))


def test_first_derivatives_are_not_slowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("not to be called")

    monkeypatch.setattr(kinks, "pull_back", fail)
    assert not grad(lambda x: norm(x) ** 2)(ZERO).any()
    x = Tensor(ZERO, requires_grad=True)
    (norm(x) ** 2).backward(record=True)
    hessian(lambda x: norm(x) ** 2)(np.ones(3))
    with pytest.raises(AssertionError, match="not to be called"):
        hessian(lambda x: norm(x) ** 2)(ZERO)


@pytest.mark.parametrize("f", [
    lambda w: (w**2).sum(), lambda w: (w**3).sum(), lambda w: w.sum() ** 2, ag.prod,
    lambda w: ag.exp(w).sum(),
])
def test_symmetric_functions_of_equal_eigenvalues(f: Callable[..., Any]) -> None:
    a, b = np.diag([2.0, 2.0, 2.0, 5.0]), np.diag([1.0, 2.0, 3.0, 4.0]) + 0.5
    for eigenvalues in (ag.linalg.eigvalsh, lambda x: ag.linalg.eigh(x).eigenvalues,
                        ag.linalg.svdvals, lambda x: ag.linalg.svd(x)[1]):
        slope = grad(lambda t, e=eigenvalues: f(e(a + t * b)))
        expected = (slope(1e-4) - slope(-1e-4)) / 2e-4
        assert np.isclose(grad(slope)(0.0), expected, rtol=1e-5)
        with np.errstate(invalid="ignore"):
            assert np.isnan(grad(grad(slope))(0.0))  # not known there


def test_the_polar_factor_of_equal_singular_values() -> None:
    def factor(x: Any) -> Any:
        u, _, vh = ag.linalg.svd(x)
        return u @ vh

    a, b = 3.0 * np.eye(3), np.arange(9.0).reshape(3, 3)
    numeric = (factor(a + 1e-5 * b) - factor(a - 1e-5 * b)) / 2e-5
    assert np.allclose(jvp(factor, a, b)[1], numeric)
