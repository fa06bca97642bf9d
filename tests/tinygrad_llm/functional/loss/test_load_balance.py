"""The loss that balances the load: its smallest value, its slope, bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd import vjp
from tinygrad_llm.functional import load_balance

EVEN = np.full((4, 4), 0.25)


def test_an_even_load_costs_the_number_of_choices_and_one_expert_for_all_the_most() -> None:
    assert load_balance(EVEN, chosen=np.arange(4)[:, None]) == 1
    assert load_balance(EVEN, chosen=np.array([[0, 1], [1, 2], [2, 3], [3, 0]])) == 2
    assert load_balance(np.eye(4)[[2, 2, 2, 2]], chosen=np.full((4, 1), 2)) == 4


def test_the_slope_is_the_share_of_the_choices() -> None:
    loss, pull = vjp(lambda p: load_balance(p, chosen=np.array([[0], [0], [0], [3]])), EVEN)
    assert loss == 1
    assert pull(np.array(2.0))[0].tolist() == [[1.5, 0, 0, 0.5]] * 4  # 2 E / N f


def test_layers_one_after_another_are_not_the_mean_of_their_losses() -> None:
    p, chosen = np.eye(2)[[0, 1]], np.array([[0], [1]])
    apart = [load_balance(p[i:i + 1], chosen=chosen[i:i + 1]) for i in range(2)]
    assert apart == [2, 2] and load_balance(p, chosen=chosen) == 1


def test_without_rows_the_loss_is_0() -> None:
    loss, pull = vjp(lambda p: load_balance(p, chosen=np.zeros((0, 2), int)), np.ones((0, 3)))
    assert loss == 0 and pull(np.array(1.0))[0].shape == (0, 3)


def test_many_rows_of_half_precision_are_counted() -> None:
    p = np.full((70_000, 2), 0.5, np.float16)
    loss = load_balance(p, chosen=np.zeros((70_000, 1), np.uint8))
    assert loss.dtype == np.float16 and loss == 1


@pytest.mark.parametrize("call, error, words", [
    (lambda: load_balance(EVEN, chosen=np.zeros((3, 1), int)), ValueError,
     r"expected p \(N, E\) and chosen \(N, K\), got \(4, 4\) and \(3, 1\)"),
    (lambda: load_balance(EVEN, chosen=np.zeros(4, int)), ValueError, r"got \(4, 4\) and \(4,\)"),
    (lambda: load_balance(EVEN[0], chosen=np.zeros((4, 1), int)), ValueError, r"got \(4,\) and"),
    (lambda: load_balance(EVEN, chosen=np.full((4, 1), 4)), IndexError, r"in \[0, 4\), got 4 to 4"),
    (lambda: load_balance(EVEN, chosen=np.zeros((4, 1))), TypeError, "integer choices, got float"),
    (lambda: load_balance(np.eye(4, dtype=int), chosen=np.zeros((4, 1), int)), TypeError,
     "expected floating probabilities, got int64"),
])
def test_wrong_arguments(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"^load_balance: .*{words}"):
        call()
