"""Heads of packed rows: views forward, gradients in their places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, no_grad
from tinygrad_llm.functional import split_heads

pytestmark = pytest.mark.usefixtures("pair")


def packed(first: int, count: int, total: int = 12, depth: int = 2) -> np.ndarray:
    """Return numbers that tell their own place in the rows."""
    x = np.arange(2 * 3 * total, dtype=float).reshape(2, 3, total)
    return x[..., first * depth : (first + count) * depth].reshape(2, 3, count, depth)


def test_it_is_a_view_of_neighbouring_heads() -> None:
    x = np.arange(72.0).reshape(2, 3, 12)
    for first, count in ((0, 6), (1, 2), (5, 1)):
        y = split_heads(x, first=first, count=count, depth=2)
        np.testing.assert_array_equal(y, packed(first, count))
        assert np.shares_memory(x, y)
    with no_grad():
        assert np.shares_memory(x, split_heads(Tensor(x), first=1, count=2, depth=2).data)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_gradients_of_all_parts_make_up_that_of_the_rows(order: tuple[int, ...]) -> None:
    x = Tensor(np.zeros((2, 3, 12)), requires_grad=True)
    widths = ((0, 4), (4, 1), (5, 1))  # queries, keys and values of grouped heads
    parts = [split_heads(x, first=first, count=count, depth=2) for first, count in widths]
    total = sum((parts[i] * packed(*widths[i])).sum() for i in order)
    total.backward()
    np.testing.assert_array_equal(x.grad, np.arange(72.0).reshape(2, 3, 12))


def test_what_is_not_picked_has_no_gradient_and_what_is_picked_twice_has_both() -> None:
    x = Tensor(np.zeros((1, 6)), requires_grad=True)
    (split_heads(x, first=1, count=2, depth=2).sum()
     + 10 * split_heads(x, first=2, count=1, depth=2).sum()).backward()
    assert x.grad.tolist() == [[0, 0, 1, 1, 11, 11]]


def test_rows_that_are_used_elsewhere_too() -> None:
    x = Tensor(np.ones((2, 6)), requires_grad=True)
    (split_heads(x * 2, first=0, count=1, depth=3).sum() + (x * x).sum()).backward()
    assert x.grad.tolist() == [[4, 4, 4, 2, 2, 2]] * 2


@pytest.mark.parametrize("options", [
    {"first": 2, "count": 2, "depth": 2}, {"first": -1, "count": 1, "depth": 2},
    {"first": 0, "count": 0, "depth": 2}, {"first": 0, "count": 1, "depth": 0},
])
def test_heads_that_are_not_there(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"^split_heads: heads .* do not lie in rows of 7"):
        split_heads(np.ones((2, 7)), **options)


def test_a_number_has_no_rows() -> None:
    call: Callable[[], Any] = lambda: split_heads(  # noqa: E731
        np.ones(()), first=0, count=1, depth=1)
    with pytest.raises(ValueError, match="in rows of 0"):
        call()
