"""The affine map: shapes, narrow types, what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, vjp
from tinygrad_llm.functional import linear

pytestmark = pytest.mark.usefixtures("pair")


def test_values_and_gradients() -> None:
    x, w = np.array([[[1.0, 2.0]], [[3.0, 4.0]]]), np.array([[1.0, 0.0], [5.0, -1.0]])
    y, pull = vjp(linear, x, w, np.ones(2))
    assert y.tolist() == [[[2, 4]], [[4, 12]]]
    dx, dw, db = pull(np.array([[[1.0, 0.0]], [[1.0, 2.0]]]))
    assert dx.tolist() == [[[1, 0]], [[11, -2]]]
    assert dw.tolist() == [[4, 6], [6, 8]] and db.tolist() == [2, 2]
    assert linear(x, w).tolist() == [[[1, 3]], [[3, 11]]]


def test_no_inputs_and_no_rows() -> None:
    y, pull = vjp(linear, np.ones((2, 0)), np.ones((3, 0)), np.ones(3))
    dx, dw, db = pull(np.ones((2, 3)))
    assert y.tolist() == [[1.0] * 3] * 2
    assert dx.shape == (2, 0) and dw.shape == (3, 0) and db.tolist() == [2, 2, 2]
    y, pull = vjp(linear, np.ones((0, 5, 2)), np.ones((3, 2)), np.ones(3))
    dx, dw, db = pull(y)
    assert y.shape == (0, 5, 3) and dx.shape == (0, 5, 2) and not dw.any() and not db.any()


def test_a_weight_used_twice_receives_both_gradients() -> None:
    x, w = np.arange(6.0).reshape(2, 3), Tensor(np.ones((4, 3)), requires_grad=True)
    (linear(x, w) + linear(2 * x, w)).sum().backward()
    np.testing.assert_allclose(w.grad, np.tile(3 * x.sum(0), (4, 1)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_small_dtypes_stay_small(dtype: type) -> None:
    y, pull = vjp(linear, np.ones((2, 3), dtype), np.ones((4, 3), dtype), np.ones(4, dtype))
    assert {z.dtype for z in (y, *pull(np.ones_like(y)))} == {np.dtype(dtype)}


def test_the_dtype_is_that_of_all_arguments() -> None:
    x, w, b = np.ones((2, 3), np.float32), np.ones((3, 3), np.float32), np.full(3, 1 / 3)
    assert linear(x, w, b).dtype == np.float64
    assert linear(x, w, b.astype(np.float32)).dtype == np.float32
    assert (linear(x, w, b) == 3 + 1 / 3).all()


@pytest.mark.parametrize("call, error, words", [
    (lambda: linear(np.ones((2, 5)), np.ones((3, 4)), None), ValueError,
     r"expected x \(\.\.\., I\).*got x \(2, 5\), w \(3, 4\), b None; w holds one row"),
    (lambda: linear(np.ones(4), np.ones((3, 4)), np.ones(4)), ValueError, r"expected .*b \(4,\)"),
    (lambda: linear(np.ones(4), np.ones(4)), ValueError, "expected x"),
    (lambda: linear(np.ones(()), np.ones((3, 4))), ValueError, "expected x"),
    (lambda: linear("text", np.ones((1, 1))), TypeError, "expected arrays or numbers"),
    (lambda: linear(Tensor(np.ones(3))), TypeError, "expected the arguments x, w, b"),
])
def test_wrong_arguments(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"^linear: {words}"):
        call()
