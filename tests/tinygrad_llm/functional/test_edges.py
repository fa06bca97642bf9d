"""What a fused op gives where a shortcut would show: offsets, infinities, narrow types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.functional import (
    causal_attention,
    embedding,
    flash_attention,
    gelu,
    layer_norm,
    linear,
    softmax_cross_entropy,
)


@pytest.mark.parametrize("attention", [causal_attention, flash_attention])
@pytest.mark.parametrize("hidden", [np.nan, np.inf, 1e300])
def test_nothing_of_a_later_token_is_seen_whatever_it_holds(attention: Any, hidden: float) -> None:
    qkv = np.random.default_rng(0).normal(size=(1, 3, 6))
    expected = attention(qkv[:, :2].copy(), heads=1)
    qkv[0, 2, 2:4] = hidden
    qkv[0, 0, :2] = 1e200 if hidden == 1e300 else qkv[0, 0, :2]
    with np.errstate(all="ignore"):
        got = attention(qkv, heads=1)[0, :2]
        first = attention(np.ascontiguousarray(qkv[:, :2]), heads=1)[0]
    np.testing.assert_allclose(got, first, rtol=1e-12)
    if hidden != 1e300:
        np.testing.assert_allclose(got, expected[0], rtol=1e-12)


def test_layer_norm_of_rows_far_from_zero() -> None:
    ones = np.ones(768, np.float32)
    for value in (100.1, 1e4 + 0.1, 1e5):
        assert abs(layer_norm(np.full((2, 768), value, np.float32), ones)).max() < 1e-3
    x = np.random.default_rng(0).normal(size=(4, 3)) + 1e5
    exact = layer_norm(x.astype(np.float32).astype(float), np.ones(3))
    got = layer_norm(x.astype(np.float32), np.ones(3, np.float32))
    np.testing.assert_allclose(got, exact, atol=1e-4)


def test_layer_norm_of_half_precision() -> None:
    x = (10 * np.random.default_rng(0).normal(size=(4, 768))).astype(np.float16)
    got = layer_norm(x, np.ones(768, np.float16))
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, layer_norm(x.astype(float), np.ones(768)), atol=5e-3)


def test_gelu_far_out_is_zero_or_x() -> None:
    for dtype, far in ((np.float32, 1e38), (np.float64, 1e300)):
        x = Tensor(np.array([-far, far], dtype), requires_grad=True)
        y = gelu(x)
        y.backward(np.ones(2, dtype))
        np.testing.assert_allclose(y.data, [0, far], atol=1e-30, rtol=1e-6)
        np.testing.assert_allclose(x.grad, [0, 1], atol=1e-30)


def test_the_dtype_is_that_of_all_arguments() -> None:
    x, w, b = np.ones((2, 3), np.float32), np.ones((3, 3), np.float32), np.full(3, 1 / 3)
    assert linear(x, w, b).dtype == layer_norm(x, w[0], b).dtype == np.float64
    assert linear(x, w, b.astype(np.float32)).dtype == np.float32


def test_a_table_without_columns() -> None:
    w = Tensor(np.ones((300, 0)), requires_grad=True)
    embedding(np.zeros(2, int), w).backward(np.ones((2, 0)))
    assert w.grad.shape == (300, 0)


def test_an_ignored_row_may_hold_anything() -> None:
    z = Tensor(np.array([[np.inf, 0], [0, 1]]), requires_grad=True)
    with np.errstate(all="ignore"):
        softmax_cross_entropy(z, np.array([-100, 1])).backward()
    p = 1 / (1 + np.e)
    np.testing.assert_allclose(z.grad, [[0, 0], [p, -p]])
