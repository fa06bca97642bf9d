"""Gradients of parts, written into that of the rows."""

from __future__ import annotations

import tracemalloc

import numpy as np

from autograd import Tensor
from tinygrad_llm.functional import split_heads
from tinygrad_llm.functional.cpu.split import backward


def test_the_first_part_sets_the_gradient_and_others_are_added() -> None:
    x = np.ones((2, 3, 12))
    total = np.full_like(x, 9.0)
    y, saved = split_heads.forward(x, first=1, count=2, depth=3)
    dx = backward(np.full_like(y, 2.0), saved)
    dx.write(total, False)
    assert total[0, 0].tolist() == [0] * 3 + [2] * 6 + [0] * 3
    dx.write(total, True)
    assert total[1, 2].tolist() == [0] * 3 + [4] * 6 + [0] * 3
    np.testing.assert_array_equal(2 * dx.array(), total)


def test_rows_of_any_layout_are_written_in_place() -> None:
    x = np.zeros((12, 3, 2)).T  # its last axis is the first in memory
    y, saved = split_heads.forward(x, first=1, count=2, depth=3)
    total = np.ones_like(x)
    backward(np.full_like(y, 2.0), saved).write(total, True)
    assert total[1, 2].tolist() == [1] * 3 + [3] * 6 + [1] * 3


def test_no_array_is_made_for_each_part() -> None:
    x = Tensor(np.zeros((100, 3000)), requires_grad=True)
    parts = [split_heads(x, first=10 * i, count=10, depth=100) for i in range(3)]
    loss = (parts[0] * parts[1] * parts[2]).sum()
    tracemalloc.start()
    try:
        loss.backward()
        assert tracemalloc.get_traced_memory()[1] < 2.4 * x.data.nbytes  # one, and those of parts
    finally:
        tracemalloc.stop()
