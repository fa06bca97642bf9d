"""Layer norm where the gradient suite does not go: offsets, narrow types, invariants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd import vjp
from tinygrad_llm.functional import layer_norm

pytestmark = pytest.mark.usefixtures("pair")


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape)


def test_rows_are_normalised_then_scaled_and_shifted() -> None:
    y = layer_norm(np.array([[1.0, 3.0], [-10.0, 0.0]]), np.array([2.0, 5.0]),
                   np.array([0.5, 1.0]), eps=0.0)
    assert y.tolist() == [[-1.5, 6.0], [-1.5, 6.0]]
    y = layer_norm(np.array([1.0, 3.0]), np.ones(2), eps=3.0)  # variance 1
    assert y.tolist() == [-0.5, 0.5]


def test_rows_far_from_zero() -> None:
    ones = np.ones(768, np.float32)
    for value in (100.1, 1e4 + 0.1, 1e5):
        assert abs(layer_norm(np.full((2, 768), value, np.float32), ones)).max() < 1e-3
    x = (normal(4, 3) + 1e5).astype(np.float32)
    got = layer_norm(x, np.ones(3, np.float32))
    np.testing.assert_allclose(got, layer_norm(x.astype(float), np.ones(3)), atol=1e-4)


def test_half_precision() -> None:
    x = (10 * normal(4, 768)).astype(np.float16)
    got = layer_norm(x, np.ones(768, np.float16))
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, layer_norm(x.astype(float), np.ones(768)), atol=5e-3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_small_dtypes_stay_small(dtype: type) -> None:
    x, w, b = (z.astype(dtype) for z in (normal(3, 4), normal(4), normal(4)))
    y, pull = vjp(layer_norm, x, w, b)
    assert {z.dtype for z in (y, *pull(np.ones_like(y)))} == {np.dtype(dtype)}


def test_the_dtype_is_that_of_all_arguments() -> None:
    x, b = np.ones((2, 3), np.float32), np.full(3, 1 / 3)
    assert layer_norm(x, x[0], b).dtype == np.float64


def test_invariants() -> None:
    x, w, b = normal(4, 6), normal(6), normal(6, 1)[:, 0]
    y, pull = vjp(layer_norm, x, w, b)
    g = normal(4, 6, 1)[..., 0]
    dx, dw, db = pull(g)
    np.testing.assert_allclose(dx.sum(-1), 0, atol=1e-14)  # a shift changes nothing
    np.testing.assert_allclose((dx * x).sum(-1), 0, atol=1e-4)  # a factor, but for eps
    np.testing.assert_allclose(layer_norm(x + 1e4, w, b), y, atol=1e-9)
    assert np.allclose(layer_norm(np.full((1, 6), 3.0), w, b), b)
    np.testing.assert_allclose(db, g.sum(0))
    np.testing.assert_allclose(dw, (g * (y - b) / w).sum(0))


def test_a_single_column_is_its_shift() -> None:
    y, pull = vjp(lambda x: layer_norm(x, np.ones(1), np.zeros(1)), normal(3, 1))
    assert (y == 0).all() and (pull(np.ones((3, 1)))[0] == 0).all()


def test_no_rows() -> None:
    y, pull = vjp(layer_norm, np.ones((0, 3)), np.ones(3), np.ones(3))
    dx, dw, db = pull(y)
    assert dx.shape == (0, 3) and dw.tolist() == db.tolist() == [0, 0, 0]


@pytest.mark.parametrize("call", [
    lambda: layer_norm(np.ones((2, 5)), np.ones(4), None),
    lambda: layer_norm(np.ones((2, 5)), np.ones(5), np.ones(1)),
    lambda: layer_norm(np.ones((2, 5)), np.ones((1, 5))),
    lambda: layer_norm(np.ones(()), np.ones(())),
])
def test_wrong_arguments(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"^layer_norm: expected x \(\.\.\., C\), w \(C,\) and b"):
        call()
