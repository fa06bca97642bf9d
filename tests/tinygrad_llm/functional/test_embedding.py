"""Rows looked up by number: repetitions, tables of both kinds, wrong numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, vjp
from tinygrad_llm.functional import embedding
from tinygrad_llm.functional.cpu.embedding import SMALL_TABLE

pytestmark = pytest.mark.usefixtures("pair")
tables = pytest.mark.parametrize("rows", [8, SMALL_TABLE, SMALL_TABLE + 1, 2000])


@tables
def test_a_row_receives_the_gradients_of_all_its_places(rows: int) -> None:
    table = Tensor(np.arange(2.0 * rows).reshape(rows, 2), requires_grad=True)
    y = embedding(np.array([[7, rows - 2], [7, 0]]), table)
    assert y.data.tolist() == [[[14, 15], [2 * rows - 4, 2 * rows - 3]], [[14, 15], [0, 1]]]
    y.backward(np.array([[[1.0, 2], [3, 4]], [[5, 6], [7, 8]]]))
    expected = np.zeros((rows, 2))
    expected[7], expected[rows - 2], expected[0] = expected[7] + [6, 8], [3, 4], [7, 8]
    np.testing.assert_array_equal(table.grad, expected)


@tables
def test_a_table_used_twice_and_elsewhere_receives_all(rows: int) -> None:
    table = Tensor(np.ones((rows, 3)), requires_grad=True)
    a, b = embedding(np.array([1, 1]), table), embedding(np.array(1), table)
    (a.sum() + 2 * b.sum() + table.sum()).backward()
    expected = np.ones((rows, 3))
    expected[1] += 4
    np.testing.assert_array_equal(table.grad, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_any_integers(dtype: type) -> None:
    w = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    y, pull = vjp(lambda w: embedding(np.array([2, 0, 2], dtype), w), w)
    assert y.dtype == np.float32 and y.tolist() == [[4, 5], [0, 1], [4, 5]]
    dw = pull(np.ones_like(y))[0]
    assert dw.dtype == np.float32 and dw.tolist() == [[1, 1], [0, 0], [2, 2]]


@pytest.mark.parametrize("rows", [3, 300])
def test_a_table_without_columns_and_no_numbers(rows: int) -> None:
    w = Tensor(np.ones((rows, 0)), requires_grad=True)
    embedding(np.zeros(2, int), w).backward(np.ones((2, 0)))
    assert w.grad.shape == (rows, 0)
    w = Tensor(np.ones((rows, 2)), requires_grad=True)
    embedding(np.zeros((0, 4), int), w).backward(np.ones((0, 4, 2)))
    assert w.grad.shape == (rows, 2) and not w.grad.any()


@pytest.mark.parametrize("call, error, words", [
    (lambda: embedding(np.array([-1]), np.ones((3, 2))), IndexError, r"in \[0, 3\), got -1 to -1"),
    (lambda: embedding(np.array([0, 3]), np.ones((3, 2))), IndexError, r"\[0, 3\), got 0 to 3"),
    (lambda: embedding(np.array([0]), np.ones(3)), ValueError, r"a table \(V, C\), got shape \(3,"),
    (lambda: embedding(np.array([0.0]), np.ones((3, 2))), TypeError,
     r"expected integer ids, got float64\[1\]"),
    (lambda: embedding(np.array([True]), np.ones((3, 2))), TypeError, "expected integer ids"),
])
def test_wrong_arguments(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"^embedding: .*{words}"):
        call()
