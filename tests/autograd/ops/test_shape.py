"""Rearrangements where the gradient suite does not go: integers, lists, refusals."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, check_grads, grad

rng = np.random.default_rng(0)
x = np.arange(6).reshape(2, 3)


@pytest.mark.parametrize("call", [
    lambda m: m.reshape(x, (3, 2)), lambda m: m.tile(x, (2, 1)), lambda m: m.repeat(x, [1, 2], 0),
    lambda m: m.concatenate([x, x > 2]), lambda m: m.concatenate(x), lambda m: m.concatenate(x, 0),
    lambda m: m.concatenate([x, x], 1), lambda m: m.concatenate(np.ones((2, 3, 4)), axis=1),
    lambda m: m.stack([x, 1.5 * x], 2), lambda m: m.hstack([1, 2.5]), lambda m: m.vstack(x),
    lambda m: m.pad(x, 1), lambda m: m.pad(x, ((0, 1), (2, 0)), "reflect"),
    lambda m: m.diff(x > 2), lambda m: m.diff(x, prepend=0), lambda m: m.diff(x, append=0.5),
    lambda m: m.ediff1d([1, 4, 2], 9, [7, 8]), lambda m: m.trapezoid(x),
    lambda m: m.trapezoid(x, [0, 1, 4]), lambda m: m.gradient([1, 2, 4]), lambda m: m.diag([1, 2]),
    lambda m: m.gradient(np.float32([1, 2, 4]), [0, 1, 4]), lambda m: m.tril([1, 2, 3]),
    lambda m: m.triu(x > 2), lambda m: m.append(x, 1.5), lambda m: m.insert(x, 1, 9.7, axis=1),
    lambda m: m.insert([1, 2], [1], [7, 8, 9]), lambda m: m.insert(x, slice(0, 2), 5, axis=1),
    lambda m: m.delete(x, [True, False, True], axis=1), lambda m: m.asarray([[1, 2], [3, 4.5]]),
    lambda m: m.full_like(x, 2.5), lambda m: m.ones_like(x, dtype=float),
    lambda m: m.reshape(x, (3, 2), "F"), lambda m: m.ravel(x, order="F"), lambda m: m.pad(2.5, 1),
    lambda m: m.diff(np.array(2), 0), lambda m: m.ediff1d(np.float32([1, 4]), 9, [7]),
    lambda m: m.repeat(2.5, 3, 0), lambda m: m.trapezoid([1, 2], np.ones((3, 2)).cumsum(1)),
    lambda m: m.linspace(1, np.float32([4, 5]), 4),
    lambda m: m.linspace(np.float32(1), x, 2, endpoint=False),
    lambda m: m.block([[x, x[:, :1]], [x[0], 2.5]]), lambda m: m.block(3),
    lambda m: m.permute_dims(x, (1, 0)), lambda m: m.concat([x, x]), lambda m: m.ravel([[1], [2]]),
])
def test_values_and_dtypes_are_those_of_numpy(call: Callable[[Any], Any]) -> None:
    got, expected = call(ag), call(np)
    assert got.dtype == expected.dtype and np.array_equal(got, expected)


def test_the_order_of_the_elements_is_that_of_the_gradient() -> None:
    b = rng.normal(size=(2, 3, 4))
    for a in (b, b.T, b[:, ::-1]):
        for shape in ((4, 6), (-1,), (3, 1, 8)):
            check_grads(lambda a, s=shape: ag.reshape(a, s, "F") ** 2, a)
        assert ag.reshape(Tensor(a), (4, 6), order="F").data.tolist() == np.reshape(
            a, (4, 6), "F").tolist()


@pytest.mark.parametrize("call, message", [
    (lambda x: ag.reshape(x, (4, 2)), "reshape: cannot reshape"),
    (lambda x: ag.reshape(x, 6, "A"), "'C' or 'F'"), (lambda x: ag.rot90(x, 1.5), "integer"),
    (lambda x: ag.ediff1d(x > 0, 2.5), "kind"), (lambda x: ag.repeat(x[0, 0], 2, 5), "out of bou"),
    (lambda x: ag.transpose(x, (0, 0)), "repeated"),
    (lambda x: ag.moveaxis(x, 0, (0, 1)), "differ in length"),
    (lambda x: ag.moveaxis(x, 2, 0), "out of bounds"), (lambda x: ag.rollaxis(x, 0, 3), "start"),
    (lambda x: ag.rot90(x, 1, (0, 0)), "repeated"), (lambda x: ag.flip(x, 2), "out of bounds"),
    (lambda x: ag.roll(x, 1, 2), "out of"), (lambda x: ag.roll(x, (1, 2), (0, 1, 0)), "shape"),
    (lambda x: ag.matrix_transpose(x[0]), "at least two axes"),
    (lambda x: ag.squeeze(x, 0), "squeeze"), (lambda x: ag.expand_dims(x, 3), "out of bounds"),
    (lambda x: ag.tile(x, -1), "negative"), (lambda x: ag.repeat(x, 1.5), "must be integers"),
    (lambda x: ag.repeat(x, [1, 2, 3], 0), "repeat"), (lambda x: ag.repeat(x, -1), "negative"),
    (lambda x: ag.broadcast_arrays(x, x[:, :2]), "broadcast"),
    (lambda x: ag.meshgrid(x, indexing="yx"), "'xy' or 'ij'"),
    (lambda x: ag.concatenate([]), "at least one"), (lambda x: ag.concatenate(x[0]), "zero-dim"),
    (lambda x: ag.concatenate([x, x[:, :2]]), "dimensions"),
    (lambda x: ag.stack([x, x[0]]), "of one shape"), (lambda x: ag.stack([]), "at least one"),
    (lambda x: ag.stack([x], 3), "out of bounds"), (lambda x: ag.split(x, 4, 1), "array_split"),
    (lambda x: ag.split(x, 0), "equal"), (lambda x: ag.array_split(x, 0), "at least one piece"),
    (lambda x: ag.dsplit(x, 1), "at least 3 axes"), (lambda x: ag.unstack(x, 2), "out of bounds"),
    (lambda x: ag.pad(x, -1), "must not be negative"), (lambda x: ag.pad(x, 1, "mean"), "'mean'"),
    (lambda x: ag.pad(x, 1.5), "pad"), (lambda x: ag.pad(x, ((1, 1),) * 3), "broadcast"),
    (lambda x: ag.pad(x[:0], 1, "edge"), "empty"), (lambda x: ag.pad(x, 1, stat_length=1), "stat"),
    (lambda x: ag.diff(x, -1), "negative"), (lambda x: ag.diff(x[0, 0]), "at least one axis"),
    (lambda x: ag.gradient(x, 1.0, 2.0, 3.0), "spacings"),
    (lambda x: ag.gradient(x, axis=0, edge_order=2), "at least 3 points"),
    (lambda x: ag.gradient(x, [1.0, 2.0], axis=1), "3 coordinates"),
    (lambda x: ag.gradient(x, edge_order=3), "1 or 2"), (lambda x: ag.diag(x[None]), "diagonal"),
    (lambda x: ag.diagonal(x, 0, 1, 1), "axis1 and axis2"), (lambda x: ag.ops.trace(x[0]), "trace"),
    (lambda x: ag.tril(x[0, 0]), "tril"), (lambda x: ag.insert(x, 9, 1.0, 0), "out of bounds"),
    (lambda x: ag.delete(x, 9, 0), "out of bounds"), (lambda x: ag.linspace(x, x, -1), "0 or more"),
    (lambda x: ag.block([[x], x]), "equal depth"), (lambda x: ag.block([[x], []]), "none of them"),
])
def test_what_is_refused(call: Callable[[Any], Any], message: str) -> None:
    for form in (np.ones((2, 3)), Tensor(np.ones((2, 3)), requires_grad=True)):
        with pytest.raises((TypeError, ValueError, IndexError), match=message):
            call(form)


def test_every_permutation_and_its_inverse() -> None:
    x = rng.normal(size=(2, 3, 4))
    g = rng.normal(size=x.shape)
    for axes in itertools.permutations(range(3)):
        for form in (axes, tuple(a - 3 for a in axes)):
            (dx,) = ag.vjp(lambda x, f=form: ag.transpose(x, f), x)[1](g.transpose(form))
            assert np.array_equal(dx, g), form


def test_concatenation_without_an_axis_flattens() -> None:
    parts = [rng.normal(size=s) for s in ((2, 3), (4,), (1, 2, 2))]
    check_grads(lambda *xs: ag.concatenate(xs, axis=None) ** 2, *parts)


def test_one_array_alone_stands_for_its_rows() -> None:
    x = Tensor(rng.normal(size=(2, 3, 4)), requires_grad=True)
    for op in (ag.concatenate, ag.stack, ag.vstack, ag.hstack, ag.dstack, ag.column_stack):
        assert np.array_equal(op(x).data, getattr(np, op.name)(x.data)), op
    ag.concatenate(x, 1)[0].sum().backward()
    assert np.array_equal(x.grad, np.ones((2, 3, 4)) * [[[1], [0], [0]]])


def test_arrays_of_tensors_and_numbers() -> None:
    a, b = Tensor(2.0, requires_grad=True), Tensor([1.0, 3.0], requires_grad=True)
    y = ag.array([[a, a * a], [5, b[1]]])
    assert y.data.tolist() == [[2, 4], [5, 3]]
    y.backward(np.array([[1.0, 10.0], [100.0, 1000.0]]))
    assert a.grad == 41 and b.grad.tolist() == [0, 1000]
    assert ag.array(b) is b and ag.array([b, [0, 1]]).shape == (2, 2)
    assert ag.array([a, 1], dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="one shape"):
        ag.array([b, a])


def test_what_is_repeated_adds_up() -> None:
    ones = {
        "pad": grad(lambda x: ag.pad(x, 2, "reflect").sum())(np.zeros(3)),
        "tile": grad(lambda x: ag.tile(x, (2, 3)).sum())(np.zeros(1)),
        "repeat": grad(lambda x: ag.repeat(x, [0, 2, 1]).sum())(np.zeros(3)),
        "tril": grad(lambda x: ag.tril(x).sum())(np.zeros(3)),
    }
    assert {name: g.tolist() for name, g in ones.items()} == {
        "pad": [2, 3, 2], "tile": [6], "repeat": [0, 2, 1], "tril": [3, 2, 1]}


def test_spacings_have_gradients_too() -> None:
    y, at = rng.normal(size=5), np.cumsum(rng.uniform(0.5, 1.5, 5))
    check_grads(lambda y, at: ag.trapezoid(y, at), y, at)
    check_grads(lambda y, at: ag.gradient(y, at, edge_order=2), y, at)


def test_arrays_are_filled_with_tensors_and_padded_by_them() -> None:
    x = np.arange(6.0).reshape(2, 3)
    assert float(ag.grad(lambda v: ag.sum(ag.full_like(np.ones(3), v)))(2.0)) == 3
    assert ag.grad(lambda v: ag.sum(ag.full_like(x, [v, 0.0, v]) * x))(2.0) == 10
    assert type(ag.full_like(Tensor(x), 3)) is np.ndarray
    assert ag.full_like(x, Tensor(2.5), int).dtype == int
    check_grads(lambda v: ag.full_like(x, v), np.array([[1.5], [2.0]]))
    for ends in (3.0, [[1.0, 2.0], [3.0, 4.0]], [[5.0], [6.0]], [7.0, 8.0]):
        got = ag.pad(x, ((1, 2), (0, 1)), constant_values=Tensor(np.array(ends)))
        assert np.array_equal(got.data, np.pad(x, ((1, 2), (0, 1)), constant_values=ends))
    check_grads(lambda x, v: ag.pad(x, ((1, 2), (0, 1)), constant_values=v), x, np.ones((2, 2)))


@pytest.mark.parametrize("call", [
    lambda m: m.linspace(0, 1, 5, retstep=True), lambda m: m.linspace([0, 1], 2, 3, True, True),
    lambda m: m.linspace(0.0, 2.5, 4, dtype=int), lambda m: m.linspace(-1.5, 1, 4, True, True, int),
    lambda m: m.logspace(0, 3, 4), lambda m: m.logspace([0, 1], 3, 4, base=[2.0, 3.0], axis=1),
    lambda m: m.logspace(0, 2, 3, dtype=int), lambda m: m.geomspace(1, 1000, 4),
    lambda m: m.geomspace(-1.0, -8, 3, endpoint=False), lambda m: m.geomspace([1, 8], [16, 2], 4),
    lambda m: m.geomspace(3.0, 7.0, 1), lambda m: m.logspace(0, 1, 0),
])
def test_steps_are_numpys(call: Callable[[Any], Any]) -> None:
    got, expected = call(ag), call(np)
    pairs = zip(got, expected, strict=True) if isinstance(got, tuple) else [(got, expected)]
    for a, b in pairs:
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_steps_are_differentiated_by_their_ends_and_base() -> None:
    assert grad(lambda b: ag.linspace(1.0, b, 5, retstep=True)[1])(2.0) == 0.25
    assert grad(lambda c: ag.logspace(0, 2, 3, base=c).sum())(3.0) == 7
    assert grad(lambda a: ag.geomspace(a, 16.0, 3)[1])(4.0) == 1  # sqrt(16 a)
    for ends in ((-1.0, 1.0), (0.0, 1.0), ([1.0, 1.0], [2.0, -2.0])):
        with pytest.raises(ValueError, match="geomspace: expected ends other than 0 and of one si"):
            ag.geomspace(*ends, 3)
    x = np.ones(2)
    assert Tensor(x).astype(float, copy=False).data is x
    assert not np.shares_memory(Tensor(x).astype(float).data, x)


def test_the_only_axis_of_a_vector_may_be_a_number() -> None:
    for axis in (0, -1, np.int64(0)):
        check_grads(lambda x, axis=axis: ag.transpose(x, axis), np.array([0.3, -1.2]))
