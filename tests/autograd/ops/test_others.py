"""Reductions, shapes, indices and products where the gradient suite does not go."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, check_grads, grad
from autograd.testing.cases.products import EINSUMS, MATMUL_SHAPES

rng = np.random.default_rng(0)


def test_logsumexp_of_extremes() -> None:
    for x in ([1000.0, 1000.0], [-1000.0, -1001.0], [5.0, -np.inf]):
        x = np.array(x)
        assert np.isclose(ag.logsumexp(x), np.logaddexp(*x), rtol=1e-14)
        slopes = grad(ag.logsumexp)(x)
        assert np.allclose(slopes, np.exp(x - np.logaddexp(*x)), rtol=1e-12)
    nothing = np.full(2, -np.inf)
    with np.errstate(divide="ignore"):
        assert ag.logsumexp(nothing) == -np.inf
        assert grad(ag.logsumexp)(nothing).tolist() == [0, 0]


def test_logsumexp_keeps_its_slopes_for_large_arguments() -> None:
    assert grad(ag.logsumexp)(np.float32([1e8, 1e8])).tolist() == [0.5, 0.5]


def test_empty_matrices_have_empty_or_zero_gradients() -> None:
    for a, b in (((2, 3, 0), (0, 4)), ((0, 3), (3, 2)), ((2, 0, 3), (3, 2))):
        y, pull = ag.vjp(ag.matmul, np.ones(a), np.ones(b))
        da, db = pull(np.ones_like(y))
        assert da.shape == a and db.shape == b and (db == 0).all()


def test_axes_out_of_range_are_refused() -> None:
    x = Tensor(np.ones((2, 3)))
    for call in (lambda: ag.take(x, [0], 5), lambda: ag.take(x, [0], -3),
                 lambda: ag.take_along_axis(x, np.zeros((1, 3), int), -3)):
        with pytest.raises(IndexError, match="axis -?[35] is out of bounds"):
            call()


def test_lists_are_arrays() -> None:
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    ag.concatenate([[5.0, 6.0], x], axis=None).backward(np.arange(4.0))
    assert x.grad.tolist() == [2, 3]
    assert (x ** [2, 3]).data.tolist() == [1, 8] and float(x @ [3.0, 4.0]) == 11
    assert x[[1, 0, 1]].data.tolist() == [2, 1, 2] and x[[]].shape == (0,)


def test_variance_with_other_denominators() -> None:
    x = rng.normal(size=(3, 4))
    for ddof in (1, 2):
        assert np.allclose(ag.var(x, 0, ddof=ddof), x.var(0, ddof=ddof), rtol=1e-15)
        check_grads(lambda x, d=ddof: ag.var(x, 1, ddof=d), x)


def test_a_number_is_reduced_as_numpy_does() -> None:
    for op in (ag.sum, ag.max):
        assert float(grad(lambda x, op=op: op(x, axis=0))(2.0)) == 1


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


def test_taking_without_an_axis_flattens() -> None:
    x = rng.normal(size=(2, 3))
    indices = np.array([5, 0, 0, 3])
    assert np.array_equal(ag.take_along_axis(x, indices, None), x.ravel()[indices])
    check_grads(lambda x: ag.take_along_axis(x, indices, None) ** 2, x)
    assert ag.take(Tensor(x), [0, -1]).data.tolist() == [x[0, 0], x[-1, -1]]


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


def test_scatter_add_promotes() -> None:
    y = ag.scatter_add(np.zeros(2, np.float32), 0, np.float64(1e-9) * np.ones(()))
    assert y.dtype == np.float64 and y[0] == 1e-9


def test_an_index_may_be_a_tensor_of_integers() -> None:
    x = Tensor(np.arange(4.0), requires_grad=True)
    x[Tensor(np.array([3, 3]))].sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 2]


@pytest.mark.parametrize("a, b", MATMUL_SHAPES)
def test_matmul_of_all_kinds_of_shapes(a: Any, b: Any) -> None:
    check_grads(ag.matmul, rng.normal(size=a), rng.normal(size=b))


@pytest.mark.parametrize("subscripts, shapes", [
    *((subscripts, operands) for subscripts, *operands in EINSUMS),
    ("ba", [(2, 3)]), ("cb,ba", [(2, 3), (3, 4)]), ("...a", [(2, 3, 4)]),
    ("a...,b", [(2, 3), (4,)]), ("ij , jk -> ik", [(2, 3), (3, 2)]),
    ("...,...", [(3, 4), (4,)]), ("...a,...a->...", [(2, 3, 4), (3, 4)]),
    ("a...b,...b", [(2, 3, 4), (2, 3, 4)]), ("i...i", [(3, 2, 3)]),
    ("ij,jk->ik", [(2, 3), (1, 4)]), ("...ij,...jk->...ik", [(2, 1, 3), (1, 3, 2)]),
    ("...ij,...jk->...ik", [(2, 2, 1), (3, 2)]), ("ij,ij->ij", [(1, 3), (2, 1)]),
    ("ij,jk,ki->", [(2, 3), (3, 4), (4, 2)]), ("aab,bcc->ac", [(2, 2, 3), (3, 4, 4)]),
])
def test_einsum_in_all_its_forms(subscripts: str, shapes: list[Any]) -> None:
    xs = [rng.normal(size=s) for s in shapes]
    np.testing.assert_allclose(ag.einsum(subscripts, *xs), np.einsum(subscripts, *xs), rtol=1e-12)
    check_grads(lambda *xs: ag.einsum(subscripts, *xs), *xs)


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
