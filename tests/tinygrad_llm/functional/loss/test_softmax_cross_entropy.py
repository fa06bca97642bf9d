"""Cross-entropy of logits: extremes, ignored rows, invariants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, grad, vjp
from tinygrad_llm.functional import softmax_cross_entropy

rng = np.random.default_rng(0)


def test_values_and_gradients() -> None:
    z, targets = np.log([[1.0, 3.0], [4.0, 1.0]]), np.array([1, 1])
    loss, pull = vjp(lambda z: softmax_cross_entropy(z, targets), z)
    assert loss == pytest.approx(-(math.log(3 / 4) + math.log(1 / 5)) / 2, rel=1e-14)
    np.testing.assert_allclose(pull(2.0)[0], [[0.25, -0.25], [0.8, -0.8]], rtol=1e-14)


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_large_logits(scale: float) -> None:
    z = np.array([[scale, 0.0, -scale], [scale, scale, -scale]], dtype=np.float32)
    targets = np.array([0, 1])
    assert softmax_cross_entropy(z, targets) == pytest.approx(math.log(2) / 2, rel=1e-6)
    np.testing.assert_allclose(grad(lambda z: softmax_cross_entropy(z, targets))(z),
                               [[0, 0, 0], [0.25, -0.25, 0]], atol=1e-7)


def test_a_large_offset_of_a_row_swallows_nothing() -> None:
    z = np.array([[1e7, 1e7, 1e7 - 1]], dtype=np.float32)
    expected = math.log(2 + math.exp(-1))
    assert softmax_cross_entropy(z, np.array([0])) == pytest.approx(expected, rel=1e-6)


def test_rows_sum_to_zero_and_ignored_ones_are_zero() -> None:
    z = rng.normal(size=(3, 4, 7))
    targets = rng.integers(0, 7, (3, 4))
    targets[1, :2] = -100
    dz = grad(lambda z: softmax_cross_entropy(z, targets))(z)
    np.testing.assert_allclose(dz.sum(-1), 0, atol=1e-16)
    assert (dz[1, :2] == 0).all() and (dz[0] != 0).all()
    other = grad(lambda z: softmax_cross_entropy(z, np.where(targets < 0, 99, targets),
                                                 ignore_index=99))(z)
    assert np.array_equal(dz, other)
    used = targets != -100
    assert softmax_cross_entropy(z, targets) == pytest.approx(
        float(softmax_cross_entropy(z[used], targets[used])), rel=1e-14)


def test_the_number_of_a_class_may_be_the_ignored_one() -> None:
    z = rng.normal(size=(4, 3))
    loss = softmax_cross_entropy(z, np.array([0, 2, 1, 2]), ignore_index=2)
    assert loss == pytest.approx(float(softmax_cross_entropy(z[[0, 2]], np.array([0, 1]))))


@pytest.mark.parametrize("shape", [(3, 4), (0,)])
def test_where_no_target_is_used_loss_and_gradient_are_zero(shape: tuple[int, ...]) -> None:
    z, nothing = np.ones((*shape, 2)), np.full(shape, -100)
    loss, pull = vjp(lambda z: softmax_cross_entropy(z, nothing), z)
    dz = pull(1.0)[0]
    assert loss == 0 and dz.shape == z.shape and (dz == 0).all()


@pytest.mark.parametrize("held", [np.inf, -np.inf, np.nan])
def test_an_ignored_row_may_hold_anything(held: float) -> None:
    z = Tensor(np.array([[held, held], [held, 0.0], [0.0, 1.0]]), requires_grad=True)
    loss = softmax_cross_entropy(z, np.array([-100, -100, 0]))
    loss.backward()
    p = 1 / (1 + math.e)
    assert float(loss) == pytest.approx(-math.log(p))
    np.testing.assert_allclose(z.grad, [[0, 0], [0, 0], [p - 1, 1 - p]])


def test_a_large_vocabulary() -> None:
    z = rng.normal(size=(40, 5000)).astype(np.float32)
    targets = rng.integers(0, 5000, 40)
    p = np.exp(z.astype(float))
    p /= p.sum(-1, keepdims=True)
    assert softmax_cross_entropy(z, targets) == pytest.approx(
        -np.log(p[np.arange(40), targets]).mean(), rel=1e-6)
    p[np.arange(40), targets] -= 1
    np.testing.assert_allclose(grad(lambda z: softmax_cross_entropy(z, targets))(z), p / 40,
                               atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_small_dtypes_stay_small(dtype: type) -> None:
    z = rng.normal(size=(3, 4)).astype(dtype)
    loss, pull = vjp(lambda z: softmax_cross_entropy(z, np.array([0, 1, 2])), z)
    assert loss.dtype == pull(np.ones_like(loss))[0].dtype == dtype


@pytest.mark.parametrize("call, error, words", [
    (lambda: softmax_cross_entropy(np.ones((2, 3)), np.array([0, 3])), IndexError,
     r"targets must lie in \[0, 3\) or be ignore_index=-100, got 3"),
    (lambda: softmax_cross_entropy(np.ones((2, 3)), np.array([0, -1])), IndexError, "got -1"),
    (lambda: softmax_cross_entropy(np.ones((2, 3)), np.array([0.0, 1.0])), TypeError,
     "expected integer targets, got float64"),
    (lambda: softmax_cross_entropy(np.ones((2, 3), int), np.array([0, 1])), TypeError,
     "expected floating logits, got int64"),
    (lambda: softmax_cross_entropy(np.ones((2, 3)), np.array([0])), ValueError,
     r"expected logits \(\.\.\., V\) and targets \(\.\.\.\), got \(2, 3\) and \(1,\)"),
    (lambda: softmax_cross_entropy(np.ones(()), np.array(0)), ValueError, "expected logits"),
])
def test_wrong_arguments(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"^softmax_cross_entropy: .*{words}"):
        call()
