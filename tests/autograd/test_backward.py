"""Backward passes: what they add up, what they use up, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import autograd
from autograd import Tensor, exp, no_grad, pull_back


def parameter(*shape: int) -> Tensor:
    return Tensor(np.arange(1.0, 1 + np.prod(shape, dtype=int)).reshape(shape), requires_grad=True)


def test_backward_adds_up_over_uses_and_over_calls() -> None:
    x = parameter(3)
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [3, 5, 7]
    (2 * x).sum().backward()
    assert x.grad.tolist() == [5, 7, 9]
    x.grad = None
    assert x.grad is None


def test_leaf_gradients_share_no_memory() -> None:
    a, b = parameter(3), parameter(3)
    g = np.ones(3)
    (a + b).backward(g)
    a.grad *= 10
    assert b.grad.tolist() == [1, 1, 1] and g.tolist() == [1, 1, 1]
    c = parameter(2, 3)
    autograd.broadcast_to(c.sum(0), (4, 3)).sum().backward()
    c.grad += 1  # a broadcast view would refuse to be written into
    assert (c.grad == 5).all()


def test_sums_do_not_write_into_gradients_that_others_hold() -> None:
    """Adding hands one array to both arguments; what x receives later must not reach z."""
    x, z = parameter(3), parameter(3)
    older = x * 3
    sum_of_both = x + z
    g = np.ones(3)
    (sum_of_both + older).backward(g)
    assert x.grad.tolist() == [4, 4, 4] and z.grad.tolist() == [1, 1, 1] and g.tolist() == [1] * 3
    y = x * 1.0
    ((y + y) + (y + z)).sum().backward()
    assert x.grad.tolist() == [7, 7, 7] and z.grad.tolist() == [2, 2, 2]


def test_backward_can_be_recorded() -> None:
    x = Tensor(2.0, requires_grad=True)
    (x**3).backward(record=True)
    first = x.grad
    assert isinstance(first, Tensor) and float(first) == 12
    x.grad = None
    first.backward()
    assert float(x.grad) == 12


def test_a_used_graph_says_so_and_retain_keeps_it() -> None:
    x = parameter(3)
    y = (x * x).sum()
    y.backward(retain=True)
    y.backward()
    assert x.grad.tolist() == [4, 8, 12]
    with pytest.raises(RuntimeError, match="already used this graph.*retain=True"):
        y.backward()
    z = x * 2
    z.sum().backward()
    with pytest.raises(RuntimeError, match="multiply: .*already used"):
        (z * 3).sum().backward()
    with pytest.raises(RuntimeError, match="multiply: .*already used"):
        pull_back([z * 3], [np.ones(3)], [x])


def test_backward_without_a_scalar_or_a_record_is_refused() -> None:
    x = parameter(2, 3)
    with pytest.raises(ValueError, match=r"expected a scalar, got shape \(2, 3\).*cotangent"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"shape of the result, \(2, 3\); got \(3,\)"):
        (x * 2).backward(np.ones(3))
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        Tensor(1.0).backward()
    with no_grad():
        y = x.sum()
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


def test_a_wanted_intermediate_is_not_used_up() -> None:
    x = parameter(3)
    h = autograd.exp(x)
    (gh,) = autograd.pull_back([(h * h).sum()], [None], [h])
    h.backward(gh)
    assert np.allclose(x.grad, 2 * np.exp(2 * x.data))


def test_gradients_of_numbers_stay_arrays() -> None:
    x = Tensor(2.0, requires_grad=True)
    for _ in range(3):
        (x * x).backward()
    assert type(x.grad) is np.ndarray and float(x.grad) == 12


def test_pull_back_checks_its_cotangents() -> None:
    x = Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(ValueError, match=r"pull_back: .* of the result, \(3,\); got \(2, 3\)"):
        pull_back([x * 2], [np.ones((2, 3))], [x])
    assert pull_back([(x * 2).sum()], [None], [x])[0].tolist() == [2, 2, 2]


def test_pull_back_of_several_results() -> None:
    x = Tensor(np.array([1.0, 2]), requires_grad=True)
    h = x * 3
    ys = [h.sum(), exp(h), h]
    gs = [2.0, np.array([1.0, 0]), np.array([0.0, 1])]
    dx, dh, none = pull_back(ys, [np.asarray(g) for g in gs], [x, h, Tensor(1.0)], retain=True)
    twice = pull_back([h, h], [np.array([1.0, 0])] * 2, [x])[0]
    assert twice.tolist() == [6, 0]
    expected = np.array([2 + math.exp(3), 2 + 1])
    assert np.allclose(dh, expected) and np.allclose(dx, 3 * expected) and none is None


def test_a_result_that_is_itself_asked_for_is_delivered() -> None:
    x = parameter(2)
    y = x * 2.0
    parts: dict[int, Any] = {}
    pull_back([y, x], [np.ones(2), np.ones(2)], [x, y], deliver=parts.setdefault)
    assert parts[1].tolist() == [1, 1]


def test_nodes_older_than_a_serial_count_as_leaves() -> None:
    x = parameter(2)
    middle = x * 3.0
    y = middle * middle
    assert y.node is not None
    gradients = pull_back([y], [np.ones(2)], [middle, x], since=y.node.serial)
    assert gradients[0].tolist() == (2 * middle.data).tolist() and gradients[1] is None


def test_recorded_and_plain_passes_give_arrays_or_tensors_of_the_same_numbers() -> None:
    x = parameter(3)
    y = (exp(x) * x).sum()
    (recorded,) = pull_back([y], [None], [x], record=True)
    (plain,) = pull_back([y], [None], [x])
    assert isinstance(recorded, Tensor) and type(plain) is np.ndarray
    assert recorded.data.tolist() == plain.tolist()


def test_gradients_are_summed_over_broadcast_axes_and_cast() -> None:
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    (x * np.arange(6.0).reshape(2, 3)).sum().backward()
    assert x.grad.tolist() == [3, 5, 7] and x.grad.dtype == np.float32


@pytest.mark.parametrize("g", [2, [[2.0]], Tensor(np.array([[2.0]])), np.array([[2]])])
def test_a_cotangent_may_be_anything_of_the_shape(g: Any) -> None:
    x = parameter(1, 1)
    y = x.sum() if isinstance(g, int) else x * 1.0
    y.backward(g)
    assert x.grad.tolist() == [[2.0]]
