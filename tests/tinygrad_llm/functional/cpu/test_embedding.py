"""Which way the twin computes a table's gradient."""

from __future__ import annotations

import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from autograd import Tensor, grad
from autograd.deferred import Deferred
from tinygrad_llm.functional import embedding
from tinygrad_llm.functional.cpu.embedding import SMALL_TABLE, backward


@pytest.mark.parametrize(("rows", "deferred"), [(SMALL_TABLE, False), (SMALL_TABLE + 1, True)])
def test_a_large_tables_gradient_is_deferred_and_sparse(rows: int, deferred: bool) -> None:
    w, ids = np.zeros((rows, 2)), np.array([[3, 0], [3, 3]])
    y, saved = embedding.forward(ids, w)
    nothing, dw = backward(np.ones_like(y), saved)
    assert nothing is None and isinstance(dw, Deferred) == deferred
    if deferred:
        assert dw.sparse and dw.shape == w.shape
        dw = dw.array()
    assert dw[3].tolist() == [3, 3] and dw[0].tolist() == [1, 1] and dw.sum() == 8


def test_no_second_array_of_the_tables_size_is_made() -> None:
    w = Tensor(np.zeros((20_000, 16)), requires_grad=True)
    y = embedding(np.arange(50), w).sum() + embedding(np.arange(50), w).sum()
    tracemalloc.start()
    try:
        y.backward()
        assert tracemalloc.get_traced_memory()[1] < 1.2 * w.data.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rows", [SMALL_TABLE, SMALL_TABLE + 1])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_a_row_of_half_precision_that_is_used_often_counts_on(rows: int, dtype: type) -> None:
    w, ids = np.ones((rows, 2), dtype), np.full(5000, 7)
    y, saved = embedding.forward(ids, w)
    dw = backward(np.ones_like(y), saved)[1]
    assert dw.dtype == np.float32
    assert (dw.array() if isinstance(dw, Deferred) else dw)[7].tolist() == [5000, 5000]
    assert grad(lambda w: embedding(ids, w).sum())(w)[7].tolist() == [dtype(5000)] * 2
