"""The output layer with its cross-entropy: the same as the two one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, vjp
from tinygrad_llm.functional import linear, linear_cross_entropy, softmax_cross_entropy

pytestmark = pytest.mark.usefixtures("pair")


def head(n: int = 6, v: int = 9, c: int = 4, dtype: Any = float
         ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, w and targets, one of them ignored."""
    rng = np.random.default_rng([n, v, c])
    targets = rng.integers(0, v, n)
    targets[1] = -100
    return rng.normal(size=(n, c)).astype(dtype), rng.normal(size=(v, c)).astype(dtype), targets


def test_it_is_that_of_the_logits() -> None:
    x, w, targets = head(300, 700)
    loss, pull = vjp(lambda x, w: linear_cross_entropy(x, w, targets), x, w)
    expected, pull_both = vjp(lambda x, w: softmax_cross_entropy(linear(x, w), targets), x, w)
    assert loss == pytest.approx(float(expected), rel=1e-14)
    for got, wanted in zip(pull(1.0), pull_both(1.0), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-16)


def test_several_axes_are_rows() -> None:
    x, w, targets = head()
    flat, pull_flat = vjp(lambda x, w: linear_cross_entropy(x, w, targets), x, w)
    loss, pull = vjp(lambda x, w: linear_cross_entropy(x, w, targets.reshape(2, 3)),
                     x.reshape(2, 3, 4), w)
    assert loss == flat
    for got, wanted in zip(pull(1.0), pull_flat(1.0), strict=True):
        np.testing.assert_array_equal(got.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("n", [300, 0])
def test_where_no_target_is_used_loss_and_gradients_are_zero(n: int) -> None:
    x, w = np.ones((n, 4)), np.ones((7, 4))
    loss, pull = vjp(lambda x, w: linear_cross_entropy(x, w, np.full(n, -100)), x, w)
    dx, dw = pull(1.0)
    assert loss == 0 and dx.shape == x.shape and dw.shape == w.shape
    assert not dx.any() and not dw.any()


def test_the_backward_pass_can_be_run_again() -> None:
    x, w, targets = head()
    tx, tw = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
    loss = linear_cross_entropy(tx, tw, targets)
    for g in (1.0, 3.0, 1.0):
        tx.grad = tw.grad = None
        loss.backward(np.array(g), retain=True)
        expected = vjp(lambda x, w: linear_cross_entropy(x, w, targets), x, w)[1](np.array(g))
        assert np.array_equal(tx.grad, expected[0]) and np.array_equal(tw.grad, expected[1])
    assert (tx.grad[1] == 0).all() and (tx.grad[0] != 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_logits(dtype: type) -> None:
    x, w = np.array([[1e4], [1e4]], dtype), np.array([[1e4], [1e4], [-1e4]], dtype)
    loss, pull = vjp(lambda x, w: linear_cross_entropy(x, w, np.array([0, 1])), x, w)
    assert loss == pytest.approx(math.log(2), rel=1e-6)
    dx, dw = pull(np.array(1.0, dtype))
    np.testing.assert_allclose(dw, 0, atol=1e-3)
    np.testing.assert_allclose(dx, 0, atol=1e-3)


def test_an_ignored_row_has_no_part_whatever_its_logits() -> None:
    x, w, targets = head()
    kept = targets != -100
    expected, pull_kept = vjp(lambda x, w: linear_cross_entropy(x, w, targets[kept]), x[kept], w)
    x[1] = 1e308  # logits overflow
    with np.errstate(over="ignore", invalid="ignore"):
        loss, pull = vjp(lambda x, w: linear_cross_entropy(x, w, targets), x, w)
    assert loss == pytest.approx(float(expected), rel=1e-12)
    dx, dw = pull(1.0)
    assert not dx[1].any()
    for got, wanted in zip((dx[kept], dw), pull_kept(1.0), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_small_dtypes_stay_small(dtype: type) -> None:
    x, w, targets = head(dtype=dtype)
    loss, pull = vjp(lambda x, w: linear_cross_entropy(x, w, targets), x, w)
    assert {z.dtype for z in (loss, *pull(np.ones_like(loss)))} == {np.dtype(dtype)}


W = np.ones((3, 4))


@pytest.mark.parametrize("call, error, words", [
    (lambda: linear_cross_entropy(np.ones((2, 5)), W, np.array([0, 1])), ValueError,
     r"expected x \(\.\.\., C\).*x \(2, 5\), w \(3, 4\), targets \(2,\)"),
    (lambda: linear_cross_entropy(np.ones((2, 4)), W, np.array([0])), ValueError,
     r"expected x .*targets \(1,\)"),
    (lambda: linear_cross_entropy(np.ones((2, 4)), W[0], np.array([0, 1])), ValueError, "expected"),
    (lambda: linear_cross_entropy(np.ones((2, 4)), W, np.array([0, 3])), IndexError,
     r"targets must lie in \[0, 3\) or be ignore_index=-100, got 3"),
    (lambda: linear_cross_entropy(np.ones((1, 4)), W, np.array([0.5])), TypeError,
     "expected integer targets, got float64"),
    (lambda: linear_cross_entropy(np.ones((1, 4), int), np.ones((3, 4), int), np.array([1])),
     TypeError, "expected floating x and w, got int64 and int64"),
])
def test_wrong_arguments(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"^linear_cross_entropy: {words}"):
        call()
