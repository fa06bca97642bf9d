"""Tensor has the operators and methods of ndarray."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, check_grads, grad

rng = np.random.default_rng(0)


@pytest.mark.parametrize("call", [
    lambda x: +x, lambda x: -x, lambda x: abs(x), lambda x: x + 1, lambda x: 1 - x,
    lambda x: 2 / x, lambda x: 2**x, lambda x: x % 0.7, lambda x: 0.7 % x, lambda x: x // 0.7,
    lambda x: 0.7 // x, lambda x: divmod(x, 0.7)[0], lambda x: divmod(0.7, x)[1],
    lambda x: x @ x.T, lambda x: np.ones((2, 2)) @ x, lambda x: x[:, 1], lambda x: x.T,
    lambda x: x.mT, lambda x: x.reshape(3, 2), lambda x: x.reshape((-1,)), lambda x: x.ravel(),
    lambda x: x.flatten(), lambda x: x.transpose(1, 0), lambda x: x.transpose((1, 0)),
    lambda x: x.transpose(), lambda x: x.swapaxes(0, 1), lambda x: x[None].squeeze(0),
    lambda x: x.sum(0), lambda x: x.mean(1, keepdims=True), lambda x: x.prod(), lambda x: x.std(1),
    lambda x: x.var(0, ddof=1), lambda x: x.max(1), lambda x: x.min(), lambda x: x.cumsum(0),
    lambda x: x.cumprod(1), lambda x: x.clip(0.6, 1), lambda x: x.round(1), lambda x: x.dot(x.T),
    lambda x: x.diagonal(1), lambda x: x.trace(), lambda x: x.repeat(2, 1),
    lambda x: x.take([0, 0], 1), lambda x: x.copy(), lambda x: x.astype(np.float32),
])
def test_operators_and_methods_record_what_numpy_computes(call: Any) -> None:
    x = rng.uniform(0.5, 1.5, (2, 3))
    y = call(Tensor(x, requires_grad=True))
    assert y.requires_grad
    np.testing.assert_allclose(y.data, call(x), rtol=1e-6 if y.dtype == np.float32 else 1e-14)
    assert y.dtype == call(x).dtype


@pytest.mark.parametrize("call", [
    lambda x: x > 1, lambda x: x <= 1, lambda x: x == x, lambda x: x != 1, lambda x: x < x[0],
    lambda x: x.argmax(1), lambda x: x.argmin(), lambda x: x.argsort(0), lambda x: (x > 0).any(),
    lambda x: x.all(1), lambda x: x.tolist(), lambda x: x.sum().item(),
])
def test_what_has_no_derivative_is_plain(call: Any) -> None:
    x = rng.uniform(0.5, 1.5, (2, 3))
    y = call(Tensor(x, requires_grad=True))
    assert not isinstance(y, Tensor) and np.array_equal(y, call(x))


@pytest.mark.parametrize("call", [
    lambda x: ~x, lambda x: ~(x > 2), lambda x: x & 3, lambda x: 3 | x, lambda x: x ^ x[::-1],
    lambda x: x << 1, lambda x: 1 << x, lambda x: x >> x, lambda x: True & x,
    lambda x: 3 in x, lambda x: 9 in x, lambda x: x.sum(0, np.float32),
])
def test_what_integers_and_booleans_can_do(call: Any) -> None:
    for x in (np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3).astype(np.int8)):
        got, expected = ag.tensor.values(call(Tensor(x))), np.asarray(call(x))
        assert np.array_equal(got, expected) and np.asarray(got).dtype == expected.dtype
    mask = np.array([True, False])
    assert (~Tensor(mask) | mask).all() and not (Tensor(mask) & (~mask)).any()
    for refused in (lambda x: x & 1, lambda x: ~x):
        with pytest.raises(TypeError, match="bitwise_"):
            refused(Tensor([0.5]))


def test_the_remainder_and_its_jumps() -> None:
    assert grad(lambda x: (x % 3.0) + (x // 3.0))(7.5) == 1
    assert grad(lambda x: 7.5 % x)(2.0) == -3


def test_lists_are_arrays() -> None:
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    ag.concatenate([[5.0, 6.0], x], axis=None).backward(np.arange(4.0))
    assert x.grad.tolist() == [2, 3]
    assert (x ** [2, 3]).data.tolist() == [1, 8] and float(x @ [3.0, 4.0]) == 11
    assert x[[1, 0, 1]].data.tolist() == [2, 1, 2] and x[[]].shape == (0,)


def test_the_same_tensor_in_all_places() -> None:
    a = rng.normal(size=(3, 3))
    check_grads(lambda a: a @ a @ a, a, order=3)
    check_grads(lambda a: ag.einsum("ij,jk,ki->", a, a, a), a, order=3)
    check_grads(lambda a: ag.concatenate([a, a * a, a], axis=1), a)
    check_grads(lambda a: ag.maximum(a, a) * a, a, order=1)
    check_grads(lambda a: a / a + a**a, np.abs(a) + 0.5)


def test_gradients_are_arrays_also_for_numbers() -> None:
    x = Tensor(2.0, requires_grad=True)
    (x * x + x).backward()
    assert type(x.grad) is np.ndarray and x.grad.shape == ()
    x.grad[...] = 7.0
    assert type(ag.pull_back([x * x], [np.ones(())], [x])[0]) is np.ndarray


def test_methods_are_the_ops() -> None:
    x = Tensor(np.arange(1.0, 7.0).reshape(2, 3), requires_grad=True)
    assert np.array_equal(x.T.data, x.data.T)
    assert x.reshape(3, 2).shape == x.reshape((3, -1)).shape == (3, 2)
    assert x.transpose(1, 0).shape == x.transpose((1, 0)).shape == x.transpose().shape == (3, 2)
    for method in ("sum", "mean", "max", "min", "var"):
        for options in ({}, {"axis": 1}, {"axis": (0, 1), "keepdims": True}):
            assert np.array_equal(getattr(x, method)(**options).data,
                                  getattr(x.data, method)(**options))
    assert np.array_equal((2**x / -x + abs(x) @ np.ones(3)[:, None]).data,
                          2**x.data / -x.data + x.data @ np.ones((3, 1)))
