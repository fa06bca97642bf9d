"""The output layer's twin: the logits are held once, and what takes their place."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from autograd import plain_ops, vjp
from autograd.deferred import Deferred
from tinygrad_llm.functional import linear_cross_entropy
from tinygrad_llm.functional.cpu.linear_cross_entropy import backward, forward

rng = np.random.default_rng(0)


@pytest.mark.parametrize(("which", "least", "most"), [(nullcontext, 1, 1.2), (plain_ops, 2, 9)])
def test_the_logits_are_held_once(which: Callable[[], Any], least: float, most: float) -> None:
    x, w = (rng.normal(size=(n, 4)).astype("f") for n in (200, 5000))
    targets = rng.integers(0, 5000, 200)
    with which():
        tracemalloc.start()
        try:
            _, pull = vjp(lambda x, w: linear_cross_entropy(x, w, targets), x, w)
            pull(1.0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert least < peak / (200 * 5000 * 4) < most


def test_the_gradient_without_its_factors_takes_the_place_of_the_logits() -> None:
    x, w, targets = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)), np.array([1, 0, -100, 3, 3])
    loss, saved = forward(x, w, targets)
    _, _, a, s, used, count, _ = saved
    z = x @ w.T
    e = np.exp(z - z.max(-1, keepdims=True))
    one_hot = np.arange(4) == targets[:, None]
    kept = targets != -100
    np.testing.assert_allclose(a[kept], (e - e.sum(-1, keepdims=True) * one_hot)[kept], rtol=1e-12,
                               atol=1e-15)
    np.testing.assert_allclose(s[kept], e.sum(-1)[kept])
    assert used.tolist() == kept.tolist() and count == 4
    expected = -np.log((e / e.sum(-1, keepdims=True))[one_hot]).mean()
    assert float(loss) == pytest.approx(expected)
    before = a.copy()
    dx, dw, nothing = backward(np.array(2.0), saved)
    assert nothing is None and isinstance(dw, Deferred) and np.array_equal(a, before)
    dz = 2 * (e / e.sum(-1, keepdims=True) - one_hot) * kept[:, None] / 4
    np.testing.assert_allclose(dx, dz @ w, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(dw.array(), dz.T @ x, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_float32_rows_have_a_float32_loss_whatever_the_matrix(dtype: Any) -> None:
    x, w = rng.normal(size=(20, 8)).astype("f"), rng.normal(size=(50, 8)).astype(dtype)
    targets = rng.integers(0, 50, 20)
    loss, pull = vjp(lambda x, w: linear_cross_entropy(x, w, targets), x, w)
    right, pull_right = vjp(lambda x, w: linear_cross_entropy(x, w, targets), x, w.astype("f"))
    assert loss.dtype == np.float32 and float(loss) == pytest.approx(float(right), rel=1e-6)
    for got, e in zip(pull(1.0), pull_right(1.0), strict=True):
        np.testing.assert_allclose(got.astype("f"), e, rtol=0.01, atol=1e-6)
    both = linear_cross_entropy(x.astype(dtype), w, targets)
    assert both.dtype == dtype and float(both) == pytest.approx(float(right), rel=0.01)
