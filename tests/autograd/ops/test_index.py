"""Indices where the gradient suite does not go: repetitions, masks, writes, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, check_grads, grad
from autograd.ops.index import At

rng = np.random.default_rng(0)


def test_repeated_indices_add_up_and_mixed_ones_too() -> None:
    x = np.zeros((3, 3))
    index = (np.array([0, 0, 2]), np.array([1, 1, 0]))
    added = ag.scatter_add(x, index, np.array([1.0, 2, 4]))
    assert added[0, 1] == 3 and added[2, 0] == 4 and x[0, 1] == 0
    check_grads(lambda x, v: ag.scatter_add(x, index, v) ** 2, rng.normal(size=(3, 3)),
                rng.normal(size=3), order=3)
    check_grads(lambda x: x[None, [0, 0, 1], ..., None][:, :, 1:] ** 2, rng.normal(size=(2, 3, 2)))
    check_grads(lambda x: x[True] ** 2, rng.normal(size=2))
    check_grads(lambda x: x[x > 0] ** 3, np.array([1.0, -1.0, 2.0]), order=3)


@pytest.mark.parametrize("index", [
    [1, 0, 1], [True, False], [], ([0, 1], [2, 0]), (slice(None, None, -1), [0, 0]), np.int64(1),
    ([[0], [1]], [0, 2, 0]), (Tensor(np.array([0, 0])), None, ..., Tensor(np.array(1))), (), ...,
    (True, 1), (np.array([True, False]), [1]), ([Tensor(np.array(1)), 0],), ((0, 1), (1, 1)),
])
def test_every_kind_of_index(index: Any) -> None:
    def plain(part: Any) -> Any:
        if isinstance(part, (list, tuple)):
            return type(part)(plain(p) for p in part)
        return part.data if isinstance(part, Tensor) else part

    x, y = rng.normal(size=(2, 3)), np.zeros((2, 3))
    picked = np.asarray(x[plain(index)])
    assert np.array_equal(Tensor(x)[index].data, picked)
    g = rng.normal(size=picked.shape)
    np.add.at(y, plain(index), g)
    assert np.allclose(ag.vjp(lambda x: x[index], x)[1](g)[0], y, rtol=1e-15)
    assert np.allclose(ag.scatter_add(np.zeros((2, 3)), index, g), y, rtol=1e-15)


def test_scatter_add_promotes() -> None:
    y = ag.scatter_add(np.zeros(2, np.float32), 0, np.float64(1e-9) * np.ones(()))
    assert y.dtype == np.float64 and y[0] == 1e-9


def test_of_several_writes_the_last_holds_and_alone_has_a_gradient() -> None:
    x, v = np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0])
    index = np.array([2, 0, 2])
    y, pull = ag.vjp(lambda x, v: x.at[index].set(v), x, v)
    assert y.tolist() == [20, 2, 30]
    dx, dv = pull(np.array([1.0, 2.0, 4.0]))
    assert dx.tolist() == [0, 2, 0] and dv.tolist() == [0, 1, 4]
    y, pull = ag.vjp(lambda x, v: x.at[[1, 1]].multiply(v), x, v[:2])
    assert y.tolist() == [1, 40, 3]
    dx, dv = pull(np.ones(3))
    assert dx.tolist() == [1, 20, 1] and dv.tolist() == [0, 2]
    assert x.tolist() == [1, 2, 3]


@pytest.mark.parametrize("index", [1, slice(0, 2), (..., [0, 0]), np.array([True, False])])
def test_functional_updates(index: Any) -> None:
    x = rng.normal(size=(2, 3))
    v = rng.normal(size=x[index].shape)
    for name, written in (("set", 0.5), ("multiply", x[index] * 0.5)):
        expected = x.copy()
        expected[index] = written
        assert np.array_equal(getattr(Tensor(x).at[index], name)(0.5).data, expected), name
        check_grads(lambda x, v, n=name: getattr(At(x)[index], n)(v), x, v)
    for name, ufunc in (("add", np.add), ("min", np.minimum), ("max", np.maximum)):
        expected = x.copy()
        ufunc.at(expected, index, 0.5)
        assert np.array_equal(getattr(Tensor(x).at[index], name)(0.5).data, expected), name
        check_grads(lambda x, v, n=name: getattr(At(x)[index], n)(v), x, v)


def test_equal_extremes_share() -> None:
    dx, dv = ag.vjp(lambda x, v: ag.scatter_max(x, [0, 0, 1], v), np.array([3.0, 5.0, 0.0]),
                    np.array([3.0, 3.0, 4.0]))[1](np.array([6.0, 1.0, 2.0]))
    assert dx.tolist() == [2, 1, 2] and dv.tolist() == [2, 2, 0]


def test_updates_promote_and_take_numbers() -> None:
    assert Tensor(np.array([1, 2])).at[0].set(0.5).data.tolist() == [0.5, 2]
    x = np.float32([1, 2])
    assert all(getattr(Tensor(x).at[[0]], name)(2.0).dtype == np.float32
               for name in ("set", "add", "multiply", "min", "max"))


def test_taking_without_an_axis_flattens() -> None:
    x = rng.normal(size=(2, 3))
    indices = np.array([5, 0, 0, 3])
    assert np.array_equal(ag.take_along_axis(x, indices, None), x.ravel()[indices])
    check_grads(lambda x: ag.take_along_axis(x, indices, None) ** 2, x)
    assert ag.take(Tensor(x), [0, -1]).data.tolist() == [x[0, 0], x[-1, -1]]


def test_an_index_may_be_a_tensor_of_integers() -> None:
    x = Tensor(np.arange(4.0), requires_grad=True)
    x[Tensor(np.array([3, 3]))].sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 2]


def test_a_number_among_the_choices_widens_nothing() -> None:
    x = np.float32([1, 2])
    for choices, default in (([x, 2.0], 0), ([2.0, x], 1.5), ([1, 2], 0), ([[1, 2], x], 0)):
        got, expected = (m.select([x > 1, x < 1], choices, default) for m in (ag, np))
        assert got.dtype == expected.dtype and got.tolist() == expected.tolist()


def test_choices_receive_what_was_chosen() -> None:
    a, b = np.array([1.0, 2.0, 3.0]), np.array([-1.0, -2.0, -3.0])
    first, second = np.array([True, False, False]), np.array([True, True, False])

    def f(a: Any, b: Any, default: Any) -> Any:
        return ag.select([first, second], [a, b], default)

    check_grads(f, a, b, np.array(0.5))
    y, pull = ag.vjp(f, a, b, np.array(0.5))
    assert y.tolist() == [1, -2, 0.5]
    assert [g.tolist() for g in pull(np.array([1.0, 2, 4]))] == [[1, 0, 0], [0, 2, 0], 4]
    assert ag.choose([1, 0], [[1, 2], [3, 4]]).tolist() == [3, 2]
    check_grads(lambda a, b: ag.choose(np.array([1, 0, 1]), [a, b]), a, b)
    assert grad(lambda x: ag.masked_fill(x, x > 1, -np.inf)[0])(a).tolist() == [1, 0, 0]
    assert grad(lambda x: ag.extract([[True], [False]], x).sum())(a).tolist() == [1, 0, 0]


@pytest.mark.parametrize("call, message", [
    (lambda x: ag.take(x, [0], 5), "axis 5 is out of bounds"),
    (lambda x: ag.take(x, [0], -3), "axis -3 is out of bounds"),
    (lambda x: ag.take(x, [6]), "out of bounds"), (lambda x: ag.take(x, [0.5]), "must be integers"),
    (lambda x: ag.take(x, [0], mode="round"), "'raise', 'clip' or 'wrap'"),
    (lambda x: ag.take_along_axis(x, np.zeros((1, 3), int), -3), "axis -3 is out of bounds"),
    (lambda x: ag.take_along_axis(x, np.zeros(3, int), 0), "2 axes"),
    (lambda x: ag.put_along_axis(x, np.zeros((1, 3), int), np.ones(4), 0), "broadcast"),
    (lambda x: ag.getitem(x, 2), "getitem: index 2 is out of bounds"),
    (lambda x: ag.getitem(x, 0.5), "getitem"), (lambda x: ag.getitem(x, (0, 0, 0)), "too many"),
    (lambda x: ag.scatter_add(x, 0, np.ones(4)), "broadcast"),
    (lambda x: ag.scatter_set(x, [0, 1], np.ones(4)), "broadcast"),
    (lambda x: ag.scatter_max(x, 2, 0.0), "out of bounds"),
    (lambda x: ag.select([x > 0], []), "as many conditions"),
    (lambda x: ag.select([x], [x]), "must be boolean"),
    (lambda x: ag.choose([2], [1.0, 2.0]), "out of bounds"),
    (lambda x: ag.compress(x > 0, x), "one axis"),
    (lambda x: ag.compress([True] * 3, x, 0), "out of bounds"),
])
def test_what_is_refused(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError, IndexError), match=message):
        call(Tensor(np.ones((2, 3)), requires_grad=True))


def test_where_something_holds() -> None:
    x = Tensor(np.array([[0.0, 2.0], [3.0, 0.0]]), requires_grad=True)
    for found in (ag.nonzero(x), ag.where(x), ag.where(x > 0)):
        assert [part.tolist() for part in found] == [[0, 1], [1, 0]]
    assert ag.argwhere(x).tolist() == [[0, 1], [1, 0]] and ag.flatnonzero(x).tolist() == [1, 2]
    assert ag.where([False, True])[0].tolist() == [1]
    assert grad(lambda x: (x[ag.nonzero(x)] ** 2).sum())(x.data).tolist() == [[0, 4], [6, 0]]
    for call in (lambda: ag.nonzero(3.0), lambda: ag.where(True)):
        with pytest.raises(ValueError, match="expected at least one axis, got a number"):
            call()
    with pytest.raises(TypeError, match="where: expected the arguments condition, a, b, got 2"):
        ag.where(x > 0, x)


def test_without_an_axis_the_indices_are_a_vector_as_numpys() -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert ag.take_along_axis(x, np.array([5, 0]), None).tolist() == [5, 0]
    assert ag.put_along_axis(x, np.array([5, 0]), 7.0, None).tolist() == [[7, 1, 2], [3, 4, 7]]
    for call in (lambda: ag.take_along_axis(x, np.array([[1]]), None),
                 lambda: ag.put_along_axis(x, np.array([[1]]), 7.0, None)):
        with pytest.raises(ValueError, match="without an axis the indices are a vector"):
            call()
