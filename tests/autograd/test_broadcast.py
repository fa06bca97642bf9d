"""broadcast_to and sum_to are each other's adjoints; astype and identity pass gradients on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from autograd import Tensor, astype, broadcast_to, check_grads, grad, identity, sum_to
from autograd.testing import broadcastable_shapes


@given(found=broadcastable_shapes(2))
def test_sum_to_is_the_adjoint_of_broadcast_to(found: Any) -> None:
    """The inner product of g and a repeated x is that of the summed g and x."""
    small, shape = found[0], np.broadcast_shapes(*found)
    rng = np.random.default_rng(0)
    x, g = rng.integers(-9, 9, small), rng.integers(-9, 9, shape)
    assert (g * broadcast_to(x, shape)).sum() == (sum_to(g, small) * x).sum()
    assert sum_to(g, small).shape == small and broadcast_to(x, shape).shape == shape


@pytest.mark.parametrize("shape, expected", [
    ((2, 3), [[0, 1, 2], [3, 4, 5]]), ((3,), [3, 5, 7]), ((1, 3), [[3, 5, 7]]),
    ((2, 1), [[3], [12]]), ((1,), [15]), ((), 15), ((1, 1), [[15]])])
def test_sums(shape: Any, expected: Any) -> None:
    y = sum_to(np.arange(6.0).reshape(2, 3), shape)
    assert y.shape == shape and y.tolist() == expected


@pytest.mark.parametrize("shape", [(3, 3), (2,), (1, 2, 3), (2, 3, 1)])
def test_a_shape_that_does_not_broadcast_is_refused(shape: Any) -> None:
    with pytest.raises(ValueError, match="does not broadcast to"):
        sum_to(np.ones((2, 3)), shape)


def test_repetition_makes_no_copy() -> None:
    x = np.ones(3)
    y = broadcast_to(x, (1000, 3))
    assert np.shares_memory(x, y) and not y.flags.writeable


def test_slopes_add_up_over_repetitions() -> None:
    x = np.array([[0.5], [-1.0]])
    slopes = grad(lambda x: (broadcast_to(x, (3, 2, 4)) ** 2).sum())(x)
    assert slopes.tolist() == (24 * x).tolist()
    check_grads(lambda x: broadcast_to(x, (3, 2, 4)) ** 3, x, order=3)


def test_identity_is_the_same_array_at_a_new_place() -> None:
    x = Tensor(np.ones(2), requires_grad=True)
    y = identity(x)
    assert y.data is x.data and y.node is not x.node and y.requires_grad
    (y * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_dtypes_there_and_back() -> None:
    x = Tensor(np.array([0.1, 2.7]), requires_grad=True)
    y = astype(x, np.float32)
    assert y.dtype == np.float32
    y.backward(np.array([1.0, 2.0], np.float32))
    assert x.grad.dtype == np.float64 and x.grad.tolist() == [1, 2]
    assert not astype(x, int).requires_grad and astype(x, int).data.tolist() == [0, 2]
    with pytest.raises(TypeError, match="complex numbers are not made real in silence"):
        astype(np.array([1j]), float)
