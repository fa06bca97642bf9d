"""Convolutions against PyTorch's, the pair of windows and fold, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor

rng = np.random.default_rng(0)


def test_windows_and_fold_are_each_others_adjoint() -> None:
    x = rng.normal(size=(2, 7, 6))
    windows = ag.sliding_windows(x, (3, 2), (2, 1), (1, 3))
    v = rng.normal(size=windows.shape)
    folded = ag.fold(v, (7, 6), (2, 1), (1, 3))
    assert windows.shape == (3, 2, 2, 3, 3) and folded.shape == x.shape
    assert np.isclose((windows * v).sum(), (x * folded).sum(), rtol=1e-14)


def test_the_gradient_of_a_convolution_is_a_convolution() -> None:
    a, v, g = rng.normal(size=7), rng.normal(size=3), rng.normal(size=9)
    da, dv = ag.vjp(ag.convolve, a, v)[1](g)
    assert np.allclose(da, np.convolve(g, v[::-1], "valid"), rtol=1e-13)
    assert np.allclose(dv, np.correlate(g, a, "valid"), rtol=1e-13)
    x, w = rng.normal(size=(1, 1, 5, 5)), rng.normal(size=(1, 1, 3, 3))
    dx, dw = ag.vjp(ag.conv2d, x, w)[1](g := rng.normal(size=(1, 1, 3, 3)))
    assert np.allclose(dx, ag.conv2d(g, w[..., ::-1, ::-1], padding=2), rtol=1e-13)
    assert np.allclose(dw, ag.conv2d(x, g), rtol=1e-13)


@pytest.mark.oracle
@pytest.mark.parametrize("options", [
    {}, {"stride": 2, "padding": 1}, {"padding": "same", "dilation": 2}, {"groups": 2},
    {"groups": 4, "padding": "valid", "stride": 3},
])
@pytest.mark.parametrize("dims", [1, 2])
def test_values_and_gradients_are_those_of_pytorch(dims: int, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    groups = options.get("groups", 1)
    arrays = [rng.normal(size=(2, 4, *(9, 8)[:dims])),
              rng.normal(size=(8, 4 // groups, *(3, 4)[:dims])), rng.normal(size=8)]
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    expected = getattr(torch.nn.functional, f"conv{dims}d")(*theirs, **options)
    y, pull = ag.vjp(lambda *xs: getattr(ag, f"conv{dims}d")(*xs, **options), *arrays)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    g = rng.normal(size=y.shape)
    expected.backward(torch.tensor(g))
    for mine, other in zip(pull(g), theirs, strict=True):
        np.testing.assert_allclose(mine, other.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.oracle
def test_pools_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(2, 3, 7, 8))
    for options in ({}, {"stride": 2, "padding": 1}):
        for name in ("max_pool2d", "avg_pool2d"):
            expected = getattr(torch.nn.functional, name)(torch.tensor(x), 3, **options).numpy()
            np.testing.assert_allclose(getattr(ag, name)(x, 3, **options), expected, rtol=1e-12)


def test_equal_elements_of_a_pool_share() -> None:
    dx = ag.grad(lambda x: ag.max_pool2d(x, 2).sum())(np.array([[4.0, 4.0], [4.0, 1.0]]))
    assert np.allclose(dx, [[1 / 3, 1 / 3], [1 / 3, 0]], rtol=1e-15)


def test_a_pool_of_integers_pads_with_the_least_one() -> None:
    assert ag.max_pool2d(np.array([[-5, -7], [-9, -8]]), 2, 1, padding=1).tolist() == [
        [-5, -5, -7], [-5, -5, -7], [-9, -8, -8]]


def test_a_number_is_convolved_as_a_vector_of_one() -> None:
    for mode in ("full", "same", "valid"):
        for a, v in ((np.array(2.0), np.ones(3)), (np.ones(3), np.array(2.0))):
            ag.check_grads(lambda a, v, mode=mode: ag.convolve(a, v, mode), a, v)


def test_vectors_may_be_lists() -> None:
    assert ag.convolve([1, 2], [1, 0, 1]).tolist() == [1, 2, 1, 2]
    assert ag.correlate([1, 2, 3], [0, 1]).tolist() == [2, 3]


@pytest.mark.parametrize("call, message", [
    (lambda x: ag.convolve(x[0, 0], x[0, 0], "all"), "'full', 'same', 'valid'"),
    (lambda x: ag.convolve(x[0, 0, :0], x[0, 0]), "empty"), (lambda x: ag.convolve(x, x), "deep"),
    (lambda x: ag.conv1d(x[0], x[0, :2]), "3 axes"),
    (lambda x: ag.conv1d(x, x, groups=2), "groups=2, got"),
    (lambda x: ag.conv1d(x, x, groups=0), "multiple of 0"),
    (lambda x: ag.conv1d(x, np.ones((1, 2, 5))), "spans .5,. does not fit"),
    (lambda x: ag.conv1d(x, x, stride=0), "positive"),
    (lambda x: ag.conv1d(x, x, dilation=(1, 1)), "1 of them"),
    (lambda x: ag.conv1d(x, x, padding="full"), "'same' or 'valid'"),
    (lambda x: ag.conv1d(x, x, padding="same", stride=2), "needs stride 1"),
    (lambda x: ag.conv1d(x, x, padding=(1, 1)), "padding"),
    (lambda x: ag.conv1d(x, x, np.ones(3)), r"bias of shape \(2,\)"),
    (lambda x: ag.conv1d(x, x, np.ones((2, 1))), r"bias of shape \(2,\)"),
    (lambda x: ag.conv1d(x, x[..., :0]), "kernel"), (lambda x: ag.conv1d(x, x, stride=1.5), "inte"),
    (lambda x: ag.conv1d(x, x, padding=-1), "0 or more"),
    (lambda x: ag.conv1d(x, x, groups=1.5), "integer"), (lambda x: ag.correlate(x[0, 0], 1), "vec"),
    (lambda x: ag.max_pool2d(x, 2, padding=2), "at most half"),
    (lambda x: ag.max_pool2d(x, (5, 1)), "does not fit"), (lambda x: ag.avg_pool2d(x, 0), "kernel"),
    (lambda x: ag.max_pool2d(x[0, 0], 1), "two axes"),
])
def test_what_is_refused(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call(Tensor(np.ones((2, 2, 4)), requires_grad=True))
