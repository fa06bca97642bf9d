"""RMS norm where the gradient suite does not go: huge rows, narrow types, heads, invariants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict_cupy

import autograd
from autograd import Tensor, to_host, vjp
from tinygrad_llm.functional import rms_norm

pytestmark = pytest.mark.usefixtures("pair")


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape)


def test_rows_are_divided_by_their_root_mean_square_then_scaled() -> None:
    y = rms_norm(np.array([[1.0, 7.0], [-5.0, 0.0]]), np.array([2.0, 5.0]), eps=0.0)
    np.testing.assert_allclose(y, [[0.4, 7.0], [-8**0.5, 0.0]], rtol=1e-15)
    y = rms_norm(np.array([1.0, 7.0]), eps=75.0)  # 25 + 75
    np.testing.assert_allclose(y, [0.1, 0.7], rtol=1e-15)


@pytest.mark.parametrize("far", [1e19, 5e37])
def test_rows_whose_squares_overflow(far: float) -> None:
    x = np.array([[3, 4], [3e-38, 4e-38], [-1, 0]], np.float32) * np.float32(far)
    w, g = np.array([2, 1], np.float32), np.array([[1, 1], [1, 2], [0, 5]], np.float32)
    wide = [z.astype(float) for z in (x, w)]
    y, pull = vjp(rms_norm, x, w)
    expected, pull_wide = vjp(rms_norm, *wide)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    dx, dw = pull(g)
    expected_dx, expected_dw = pull_wide(g.astype(float))
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-5, atol=1e-37)
    np.testing.assert_allclose(dw, expected_dw, rtol=1e-6)


def test_rows_whose_squares_vanish() -> None:
    y = rms_norm(np.array([[3e-30, 4e-30], [3e-20, 4e-20]], np.float32), eps=0.0)
    np.testing.assert_allclose(y, [np.array([3, 4]) / 12.5**0.5] * 2, rtol=1e-6)


def test_half_precision_is_computed_in_float32_and_rounded_once() -> None:
    x, w = (400 * normal(4, 768)).astype(np.float16), normal(768).astype(np.float16)
    got = rms_norm(x, w)
    assert got.dtype == np.float16
    expected = rms_norm(x.astype(np.float32), w.astype(np.float32)).astype(np.float16)
    np.testing.assert_array_equal(got, expected)


def test_half_precision_of_a_gpu_is_computed_in_float32_too() -> None:
    x, w = (400 * normal(4, 768)).astype(np.float16), normal(768).astype(np.float16)
    y, pull = vjp(rms_norm, x, w)
    leaves = [Tensor(strict_cupy.asarray(a), requires_grad=True) for a in (x, w)]
    with strict_cupy.no_sync():
        z = rms_norm(*leaves)
        z.backward(strict_cupy.asarray(y))
    np.testing.assert_allclose(to_host(z.data), y, rtol=1e-3, atol=1e-7, strict=True)
    for leaf, expected in zip(leaves, pull(y), strict=True):
        scale = float(abs(expected).max())
        np.testing.assert_allclose(to_host(leaf.grad), expected, rtol=2e-3, atol=1e-3 * scale,
                                   strict=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("scaled", [True, False])
def test_small_dtypes_stay_small(dtype: type, scaled: bool) -> None:
    x, w = normal(3, 4).astype(dtype), normal(4).astype(dtype) if scaled else None
    y, pull = vjp(lambda x: rms_norm(x, w), x)
    assert y.dtype == pull(np.ones_like(y))[0].dtype == dtype


def test_the_dtype_is_that_of_all_arguments() -> None:
    assert rms_norm(np.ones((2, 3), np.float32), np.full(3, 1 / 3)).dtype == np.float64
    assert rms_norm(np.ones((2, 3), np.float16), np.ones(3, np.float32)).dtype == np.float32
    np.testing.assert_allclose(rms_norm(np.array([[20, -140]], np.int16), eps=0.0), [[0.2, -1.4]])


def test_heads_are_normalised_each_by_itself() -> None:
    x, w, g = normal(2, 3, 4, 6), normal(6), normal(6, 2, 3, 4).transpose(1, 2, 3, 0)
    y, pull = vjp(rms_norm, x, w)
    dx, dw = pull(g)
    total = np.zeros(6)
    for at in np.ndindex(2, 3, 4):
        one, pull_one = vjp(rms_norm, x[at], w)
        np.testing.assert_allclose(y[at], one, rtol=1e-12)
        parts = pull_one(g[at])
        np.testing.assert_allclose(dx[at], parts[0], rtol=1e-10, atol=1e-14)
        total += parts[1]
    np.testing.assert_allclose(dw, total, rtol=1e-12)


def test_invariants() -> None:
    x, w = normal(4, 6), normal(6)
    y, pull = vjp(rms_norm, x, w)
    g = normal(4, 6, 1)[..., 0]
    dx, dw = pull(g)
    np.testing.assert_allclose((dx * x).sum(-1), 0, atol=1e-4)  # a factor, but for eps
    np.testing.assert_allclose(rms_norm(x * 1e4, w), y, atol=1e-4)
    np.testing.assert_allclose(dw, (g * (y / w)).sum(0))
    np.testing.assert_allclose(y, autograd.rms_norm(x, w, eps=1e-5), rtol=1e-13)


def test_a_row_of_zeros_stays_zero() -> None:
    y, pull = vjp(lambda x: rms_norm(x, np.array([2.0, 1.0])), np.zeros((3, 2)))
    assert (y == 0).all()
    np.testing.assert_allclose(pull(np.ones((3, 2)))[0], [[2e5**0.5 * 2**0.5, 1e5**0.5]] * 3)


def test_no_rows() -> None:
    y, pull = vjp(rms_norm, np.ones((0, 3)), np.ones(3))
    dx, dw = pull(y)
    assert dx.shape == (0, 3) and dw.tolist() == [0, 0, 0]


@pytest.mark.parametrize("call", [
    lambda: rms_norm(np.ones((2, 5)), np.ones(4)),
    lambda: rms_norm(np.ones((2, 5)), np.ones((1, 5))),
    lambda: rms_norm(np.ones((2, 5)), np.ones(1)),
    lambda: rms_norm(np.ones(())),
])
def test_wrong_arguments(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"^rms_norm: expected x \(\.\.\., C\) and w \(C,\) or No"):
        call()
