"""Running extremes and log-sums where the gradient suite does not go: lists, integers, lengths."""

from __future__ import annotations

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, grad


def test_the_largest_so_far() -> None:
    x = np.random.default_rng(0).normal(size=(3, 1000))
    for axis in (0, 1, -1, None):
        v = x.ravel() if axis is None else x
        assert np.array_equal(ag.cummax(x, axis), np.maximum.accumulate(v, axis or 0))
        assert np.array_equal(ag.cummin(x, axis), np.minimum.accumulate(v, axis or 0))
        np.testing.assert_allclose(ag.logcumsumexp(x, axis),
                                   np.logaddexp.accumulate(v, axis or 0), rtol=1e-11)
    assert ag.cummax([3, 1, 4]).tolist() == [3, 3, 4] and ag.cummax([3, 1, 4]).dtype == int
    assert ag.cummax(np.zeros((2, 0)), 1).shape == (2, 0)
    assert grad(lambda x: ag.cummax(x).sum())(np.array([1.0, 3, 3, 2])).tolist() == [1, 3, 0, 0]
    assert np.array_equal(ag.cummax([1.0, np.nan, 2.0]), [1, np.nan, np.nan], equal_nan=True)


def test_sums_of_exponentials_far_apart() -> None:
    x = Tensor(np.array([1000.0, -1000, 1000, 0]), requires_grad=True)
    y = ag.logcumsumexp(x)
    np.testing.assert_allclose(y.data - 1000, [0, 0, np.log(2), np.log(2)], atol=1e-12)
    y.backward(np.array([0.0, 0, 0, 4]))
    np.testing.assert_allclose(x.grad, [2, 0, 2, 0])
    zeros = np.zeros(70000, np.float16)
    assert ag.logcumsumexp(zeros)[-1] == np.float16(np.log(70000))
    assert grad(lambda x: ag.logcumsumexp(x)[-1])(zeros)[0] == np.float16(1 / 70000)
    for op in (ag.logcumsumexp, ag.cummax, ag.cummin):
        with pytest.raises(ValueError, match=f"{op.name}: axis 1 is out of bounds"):
            op(x, 1)
