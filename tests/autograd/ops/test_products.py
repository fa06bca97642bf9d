"""Products where the gradient suite does not go: all forms of einsum, empty matrices, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, check_grads
from autograd.testing.cases.products import EINSUMS, MATMUL_SHAPES

rng = np.random.default_rng(0)


def test_empty_matrices_have_empty_or_zero_gradients() -> None:
    for a, b in (((2, 3, 0), (0, 4)), ((0, 3), (3, 2)), ((2, 0, 3), (3, 2))):
        y, pull = ag.vjp(ag.matmul, np.ones(a), np.ones(b))
        da, db = pull(np.ones_like(y))
        assert da.shape == a and db.shape == b and (db == 0).all()


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


def test_einsum_with_numbers_for_letters() -> None:
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(4, 3, 2))
    for args in ((a, [0, 1]), (a, [0, 1], [1, 0]), (a, [0, 1], b, [2, 1, 3], [3, 0]),
                 (a, [..., 1], b, [2, 1, ...], [..., 2])):
        np.testing.assert_allclose(ag.einsum(*args), np.einsum(*args), rtol=1e-12)
    check_grads(lambda a, b: ag.einsum(a, [0, 1], b, [2, 1, 3], [3, 0]), a, b)


def test_einsum_computes_in_the_dtype_of_the_result() -> None:
    a, b = np.arange(6).reshape(2, 3), np.full((3, 2), 200, np.uint8)
    for other in (b, b > 0, b.astype(np.float16) * 300):
        assert ag.einsum("ij,kl->", a, other) == np.einsum("ij,kl->", a, other)


@pytest.mark.parametrize("call", [
    lambda m: m.polyval([1, 2, 3], [[1.5, 2]]), lambda m: m.polyval([], [1.0, 2.0]),
    lambda m: m.polyval([2.5], [1, 2]), lambda m: m.vander([1, 2, 3]), lambda m: m.vander([0.0], 3),
    lambda m: m.cov([1, 2, 4]), lambda m: m.cov([1, 2, 4], [3.0, 0, 1]),
    lambda m: m.corrcoef([1, 2, 4]), lambda m: m.corrcoef([[1, 2], [4, 3], [0, 1]], rowvar=False),
])
def test_polynomials_and_covariances_are_those_of_numpy(call: Callable[[Any], Any]) -> None:
    got, expected = call(ag), call(np)
    assert got.dtype == expected.dtype and got.shape == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol=1e-14)


@pytest.mark.parametrize("name", ["dot", "inner", "vdot", "outer", "kron"])
def test_numbers_lists_integers_and_booleans(name: str) -> None:
    op, oracle = getattr(ag, name), getattr(np, name)
    for a, b in ((2, 3.5), ([1, 2], [3, 4]), (np.array([True, True]), np.array([True, False])),
                 (np.array([1, 2]), np.float32([0.5, 2]))):
        got, expected = op(a, b), oracle(a, b)
        assert np.array_equal(got, expected) and got.dtype == np.asarray(expected).dtype
    assert np.array_equal(op(Tensor(np.array([1.0, 2.0])), [3, 4]).data, oracle([1.0, 2], [3, 4]))


def test_the_cross_product_is_perpendicular() -> None:
    a, b = rng.normal(size=(2, 4, 3))
    assert np.abs(ag.vecdot(ag.cross(a, b), a)).max() < 1e-14
    check_grads(ag.cross, a, b, order=3)


@pytest.mark.parametrize("call, message", [
    (lambda x: x @ x, "did you mean a @ b.T"), (lambda x: ag.matmul(x, 2.0), "use a . b"),
    (lambda x: ag.dot(x, x), "inner axes differ"), (lambda x: ag.inner(x, x.T), "differ in length"),
    (lambda x: ag.vdot(x, x[0]), "inner axes differ"), (lambda x: ag.tensordot(x, x, 1), "differ"),
    (lambda x: ag.tensordot(x, x, 3), "more than"),
    (lambda x: ag.tensordot(x, x, ((0, 0), (0, 1))), "repeated"),
    (lambda x: ag.tensordot(x, x, ((0, 1), (0,))), "differ in length"),
    (lambda x: ag.vecdot(x, x[:, :1]), "differ in length"), (lambda x: ag.matvec(x, x.T), "differ"),
    (lambda x: ag.vecmat(x, x), "differ"), (lambda x: ag.cross(x.T, x.T[:, :1]), "2 or 3"),
    (lambda x: ag.cross(x, x, axis=2), "out of bounds"),
    (lambda x: ag.einsum("ij,jk", x), "names 2 operand"),
    (lambda x: ag.einsum("ijk", x), "does not fit"), (lambda x: ag.einsum("ij->ik", x), "einsum"),
    (lambda x: ag.einsum("ij,ij", x, x[:, :2]), "einsum"), (lambda x: ag.kron(x, "a"), "kron"),
])
def test_what_is_refused(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError, IndexError), match=message):
        call(Tensor(np.ones((2, 3)), requires_grad=True))


def test_complex_arrays_are_conjugated_where_numpy_conjugates() -> None:
    a, b, v = (np.exp(1j * np.arange(k, k + 9.0)) * np.arange(1, 10) for k in range(3))
    m = a.reshape(3, 3)
    pairs = [(ag.vdot(a, b), np.vdot(a, b)), (ag.correlate(a, v[:4]), np.correlate(a, v[:4])),
             (ag.correlate(v[:4], a, "full"), np.correlate(v[:4], a, "full")),
             (ag.cov(m, b.reshape(3, 3)), np.cov(m, b.reshape(3, 3))), (ag.cov(a), np.cov(a)),
             (ag.corrcoef(m), np.corrcoef(m)), (ag.vecmat(a[:3], m), a[:3].conj() @ m),
             (ag.vecdot(m, b[:3]), np.vecdot(m, b[:3])),
             (ag.linalg.vecdot(m, b[:3]), np.linalg.vecdot(m, b[:3])),
             (ag.linalg.norm(a), np.linalg.norm(a)), (ag.nanvar(m, 0), np.nanvar(m, 0)),
             (ag.nanstd(a), np.nanstd(a)), (ag.std(m, 1), np.std(m, 1)), (ag.var(a), np.var(a)),
             (ag.inner(m, b[:3]), np.inner(m, b[:3])), (ag.outer(a, b), np.outer(a, b))]
    for got, right in pairs:
        np.testing.assert_allclose(got, right, rtol=1e-12, atol=1e-12)
        assert np.asarray(got).dtype == np.asarray(right).dtype
