"""Linear algebra where the gradient suite does not go: symmetry, equal spectra, 0, errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from itertools import pairwise
from math import inf, nan
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, check_grads, grad, no_grad
from autograd.ops import linalg, shape

rng = np.random.default_rng(0)


def spd(n: int = 3) -> np.ndarray:
    x = rng.normal(size=(n, n))
    return x @ x.T + np.eye(n)


def test_results_have_numpys_names() -> None:
    a = Tensor(spd(), requires_grad=True)
    for ours, theirs in ((linalg.eigh, np.linalg.eigh), (linalg.svd, np.linalg.svd),
                         (linalg.qr, np.linalg.qr), (linalg.slogdet, np.linalg.slogdet)):
        assert ours(a)._fields == theirs(a.data)._fields
        assert all(isinstance(part, Tensor) for part in ours(a))
        assert not any(isinstance(part, Tensor) for part in ours(a.data))


@pytest.mark.parametrize("f", [
    lambda a: linalg.cholesky(a), lambda a: linalg.eigh(a).eigenvectors ** 2,
    linalg.eigvalsh,
])
@pytest.mark.parametrize("flip", [False, True])
def test_the_triangle_that_is_not_read_has_no_gradient(f: Callable[..., Any], flip: bool) -> None:
    if flip:
        def g(a: Any) -> Any:
            return ag.sum(f(ag.swapaxes(a, 0, 1)) * np.arange(1.0, 4.0))
    else:
        def g(a: Any) -> Any:
            return ag.sum(f(a) * np.arange(1.0, 4.0))
    a = spd()
    noisy = a + (np.tril if flip else np.triu)(rng.normal(size=(3, 3)), -1 if flip else 1)
    unread = grad(g)(noisy)[np.tril_indices(3, -1) if flip else np.triu_indices(3, 1)]
    assert (unread == 0).all()
    symmetric = grad(lambda a: g((a + a.T) / 2))(a)
    np.testing.assert_allclose(symmetric, symmetric.T, rtol=1e-12, atol=1e-14)


def test_cholesky_and_eigenvalues_read_the_upper_triangle_on_request() -> None:
    a = spd()
    np.testing.assert_allclose(linalg.cholesky(a, upper=True), np.linalg.cholesky(a, upper=True))
    lower = grad(lambda a: ag.sum(linalg.eigvalsh(a) ** 2))(a)
    upper = grad(lambda a: ag.sum(linalg.eigvalsh(a, UPLO="U") ** 2))(a)
    np.testing.assert_allclose(lower, upper.T)


def test_the_logarithm_of_a_determinant_has_the_inverse_as_its_gradient() -> None:
    a = spd()
    expected = np.linalg.inv(a)
    for f in (lambda a: linalg.slogdet(a).logabsdet, lambda a: ag.log(linalg.det(a)),
              lambda a: ag.sum(ag.log(linalg.svdvals(a))),
              lambda a: ag.sum(ag.log(linalg.eigvalsh((a + a.T) / 2))),
              lambda a: 2 * ag.sum(ag.log(ag.diagonal(linalg.cholesky((a + a.T) / 2)))),
              lambda a: ag.sum(ag.log(ag.absolute(ag.diagonal(linalg.qr(a).R))))):
        np.testing.assert_allclose(grad(f)(a), expected, rtol=1e-10)


def test_functions_of_matrices_have_the_derivatives_of_their_series() -> None:
    def by_vectors(a: Any) -> Any:
        w, v = linalg.eigh((a + a.T) / 2)
        return v * w[..., None, :] ** 3 @ v.T

    def by_triplets(a: Any) -> Any:
        u, s, vh = linalg.svd(a, full_matrices=False)
        return u * s[None, :] ** 3 @ vh

    a, c = spd(), rng.normal(size=(3, 3))
    np.testing.assert_allclose(grad(lambda a: ag.sum(c * by_vectors(a)))(a),
                               grad(lambda a: ag.sum(c * linalg.matrix_power((a + a.T) / 2, 3)))(a),
                               rtol=1e-9)
    for sides in ((3, 3), (4, 2), (2, 4)):
        x, c = rng.normal(size=sides), rng.normal(size=sides)
        np.testing.assert_allclose(grad(lambda x, c=c: ag.sum(c * by_triplets(x)))(x),
                                   grad(lambda x, c=c: ag.sum(c * (x @ x.T @ x)))(x), rtol=1e-9)


def test_least_squares_by_qr_and_by_the_pseudoinverse_agree() -> None:
    a, b = rng.normal(size=(5, 3)), rng.normal(size=5)

    def by_qr(a: Any, b: Any) -> Any:
        q, r = linalg.qr(a)
        return ag.sum(linalg.solve(r, q.T @ b) ** 3)

    def by_pinv(a: Any, b: Any) -> Any:
        return ag.sum((linalg.pinv(a) @ b) ** 3)

    for mine, other in zip(grad(by_qr, (0, 1))(a, b), grad(by_pinv, (0, 1))(a, b), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9)


def test_third_derivatives() -> None:
    a = spd(2)
    check_grads(lambda a: linalg.eigh(a).eigenvectors ** 2, a, order=3)
    check_grads(lambda a: linalg.slogdet(a).logabsdet, a, order=3)
    check_grads(lambda a: linalg.qr(a).Q ** 2, rng.normal(size=(3, 2)), order=3)
    check_grads(lambda a: linalg.svd(a, full_matrices=False).U ** 2, rng.normal(size=(3, 2)),
                order=3)


def test_equal_eigenvalues() -> None:
    """Right for the eigenvalues and for the space that their vectors span; finite for the rest."""
    one = np.eye(3)
    assert np.array_equal(grad(lambda a: ag.sum(linalg.eigvalsh(a) ** 2))(one), 2 * one)
    assert np.array_equal(grad(lambda a: ag.sum(linalg.eigh(a).eigenvalues ** 2))(one), 2 * one)

    def projector(a: Any) -> Any:
        v = linalg.eigh(a).eigenvectors[:, :2]
        return v @ v.T

    a, h, c = np.diag([1.0, 1.0, 4.0]), 1e-6, rng.normal(size=(3, 3))
    got = grad(lambda a: ag.sum(c * projector((a + a.T) / 2)))(a)
    for i, j in ((0, 1), (0, 2), (2, 1), (2, 2)):
        da = np.zeros((3, 3))
        da[i, j] = da[j, i] = h
        by_differences = np.sum(c * (projector(a + da) - projector(a - da))) / (2 * h)
        assert np.isclose(np.sum(got * da) / h, by_differences, atol=1e-8)
    assert np.isfinite(grad(lambda a: ag.sum(c * linalg.eigh(a).eigenvectors))(one)).all()
    assert np.isfinite(grad(lambda a: ag.sum(linalg.svd(a).U))(one)).all()


@pytest.mark.parametrize("ord", [None, 1, 2, 3, 1.5, inf])
def test_the_gradient_of_a_vectors_norm_at_0_is_0(ord: Any) -> None:
    assert grad(lambda x: linalg.norm(x, ord))(np.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, 2, -2, inf])
def test_the_gradient_of_a_matrix_norm_at_0_is_0(ord: Any) -> None:
    assert (grad(lambda x: linalg.norm(x, ord, axis=(0, 1)))(np.zeros((2, 3))) == 0).all()


@pytest.mark.parametrize("ord", [0.5, 1, 1.5, 2, 3])
def test_elements_that_are_0_have_slope_0(ord: float) -> None:
    x = np.array([3.0, 0.0, -4.0])
    slopes = grad(lambda x: linalg.vector_norm(x, ord=ord))(x)
    others = grad(lambda x: linalg.vector_norm(x, ord=ord))(x[[0, 2]])
    assert slopes[1] == 0 and np.allclose(slopes[[0, 2]], others)


def test_the_gradient_of_the_nuclear_norm_ignores_the_null_space() -> None:
    a = np.outer([1.0, 2.0], [2.0, 1.0])
    u, _, vh = np.linalg.svd(a)
    g = grad(lambda a: linalg.norm(a, 2))(a)
    np.testing.assert_allclose(g, np.outer(u[:, 0], vh[0]), atol=1e-12)


def test_norms_take_every_form_of_axis() -> None:
    x = rng.normal(size=(2, 3, 4))
    for axis in (0, -1, (1,), (0, 2), (2, 0), (-1, 0)):
        for keepdims in (False, True):
            np.testing.assert_allclose(linalg.norm(x, None, axis, keepdims),
                                       np.linalg.norm(x, None, axis, keepdims))
    assert linalg.norm(x) == np.linalg.norm(x) and linalg.norm(-2.0) == 2
    assert linalg.norm(np.array([3, 4])) == 5.0
    assert np.isnan(linalg.norm(np.array([nan, 1.0])))
    assert linalg.norm(np.zeros(0)) == 0


def test_singular_matrices_are_reported() -> None:
    singular = np.ones((2, 2))
    for f in (linalg.inv, lambda a: linalg.solve(a, np.ones(2)),
              lambda a: linalg.matrix_power(a, -1), linalg.tensorinv, linalg.cholesky):
        with pytest.raises(ValueError, match=r"(?i)singular|positive definite|must be square"):
            f(-singular)
    sign, logabsdet = linalg.slogdet(Tensor(singular))
    assert float(sign) == 0 and float(logabsdet) == -inf


def minors(a: np.ndarray) -> np.ndarray:
    """Return the cofactors by their definition."""
    n = len(a)
    rest = [[np.delete(np.delete(a, i, 0), j, 1) for j in range(n)] for i in range(n)]
    return np.array([[(-1) ** (i + j) * np.linalg.det(rest[i][j]) for j in range(n)]
                     for i in range(n)])


SINGULAR = [np.zeros((1, 1)), np.zeros((3, 3)), np.array([[1.0, 2.0], [2.0, 4.0]]),
            np.arange(9.0).reshape(3, 3), np.diag([0.0, 2.0, 3.0]),
            pytest.param(np.diag([3.0, 0.0, 0.0, 2.0]), marks=pytest.mark.long)]


@pytest.mark.parametrize("a", SINGULAR)
def test_the_gradient_of_a_determinant_is_the_cofactors_at_any_rank_and_order(a: np.ndarray
                                                                              ) -> None:
    n = len(a)
    np.testing.assert_allclose(grad(linalg.det)(a), minors(a), atol=1e-14)
    units = np.eye(n * n).reshape(n * n, n, n)  # det is linear in each element:
    second = [minors(a + e / 2) - minors(a - e / 2) for e in units]  # these are no approximations
    third = [[minors(a + (e + f) / 2) - minors(a + (e - f) / 2)
              - minors(a - (e - f) / 2) + minors(a - (e + f) / 2) for f in units] for e in units]
    np.testing.assert_allclose(ag.hessian(linalg.det)(a), np.reshape(second, (n,) * 4), atol=1e-13)
    np.testing.assert_allclose(ag.jacobian(ag.hessian(linalg.det))(a),
                               np.reshape(third, (n,) * 6), atol=1e-13)


def test_cofactors_beside_regular_matrices_and_beyond_the_floats() -> None:
    stack = np.stack([np.diag([0.0, 2.0, 3.0]), np.diag([0.0, 0.0, 3.0]),
                      np.random.default_rng(0).normal(size=(3, 3))])
    k = np.array([2.0, 3.0, 5.0])
    found = grad(lambda a: (k * linalg.det(a)).sum())(stack)
    np.testing.assert_allclose(found, k[:, None, None] * [minors(a) for a in stack], atol=1e-14)
    with np.errstate(over="ignore", invalid="ignore"):
        for size in (1e200, 1e-200):
            np.testing.assert_allclose(grad(linalg.det)(size * np.eye(2)), size * np.eye(2))
        assert np.isnan(grad(linalg.det)(np.full((2, 2), nan))).all()


def test_a_rank_may_have_a_tolerance_for_each_matrix() -> None:
    a = np.stack([np.diag([1, 1e-3]), np.diag([1, 1e-3])])
    for options in ({"tol": [1e-4, 1e-2]}, {"rtol": [1e-4, 1e-2]}, {"tol": np.array([1e-4, 2])}):
        np.testing.assert_array_equal(linalg.matrix_rank(a, **options),
                                      np.linalg.matrix_rank(a, **options))
    assert linalg.matrix_rank(a, tol=[1e-4, 1e-2]).tolist() == [2, 1]


def test_of_complex_matrices_singular_values_eigenvalues_and_magnitudes_are_real() -> None:
    a = np.arange(9).reshape(3, 3) + 1j * np.eye(3)
    hermitian = a @ a.conj().T
    for ours, numpys in ((linalg.svd(a), np.linalg.svd(a)),
                         (linalg.eigh(hermitian), np.linalg.eigh(hermitian)),
                         (linalg.slogdet(a), np.linalg.slogdet(a))):
        for got, right in zip(ours, numpys, strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-12, atol=1e-12)
            assert got.dtype == right.dtype
    for ord in (None, 1, 2, inf, "fro", "nuc"):
        np.testing.assert_allclose(linalg.norm(a, ord), np.linalg.norm(a, ord))


@pytest.mark.parametrize("call, message", [
    (lambda x: linalg.inv(x), "square.*float64"),
    (lambda x: linalg.inv(x[0]), "two-dimensional"),
    (lambda x: linalg.det(x), "square"),
    (lambda x: linalg.cholesky(x), "square"),
    (lambda x: linalg.eigh(x), "square"),
    (lambda x: linalg.eigh(x[:, :2], "X"), "UPLO"),
    (lambda x: linalg.solve(x[:, :2], x.T), "expected matrices"),
    (lambda x: linalg.qr(x, "raw"), "not one of 'reduced'"),
    (lambda x: linalg.norm(x, 3), "no norm 3"),
    (lambda x: linalg.norm(x[0], "fro"), "no norm 'fro'"),
    (lambda x: linalg.norm(x[None], 2), "one axis"),
    (lambda x: linalg.norm(x, axis=2), "out of bounds"),
    (lambda x: linalg.norm(x, axis=(0, 0)), "repeated"),
    (lambda x: linalg.matrix_norm(x[0]), "expected matrices"),
    (lambda x: linalg.matrix_power(x, 2), "square"),
    (lambda x: linalg.matrix_power(x[:, :2], 1.5), "integer"),
    (lambda x: linalg.multi_dot([x]), "at least two"),
    (lambda x: linalg.multi_dot([x, x[None], x]), "matrices"),
    (lambda x: linalg.tensorsolve(x, x), "as many elements"),
    (lambda x: linalg.tensorinv(x, 0), "positive"),
    (lambda x: linalg.pinv(x, 0.1, rtol=0.1), "one option"),
    (lambda x: linalg.multi_dot([x, x]), "inner axes differ"),
    (lambda x: linalg.cond(x[:0]), "empty"),
])
def test_what_is_refused(call: Callable[[Any], Any], message: str) -> None:
    x = rng.normal(size=(2, 3))
    for value in (x, Tensor(x, requires_grad=True)):
        with pytest.raises((ValueError, TypeError, IndexError), match=message):
            call(value)


def test_arbitrary_vectors_have_no_gradient() -> None:
    x = Tensor(rng.normal(size=(3, 2)), requires_grad=True)
    with pytest.raises(ValueError, match="use full_matrices=False"):
        linalg.svd(x)
    with no_grad():
        assert [part.shape for part in linalg.svd(x)] == [(3, 3), (2,), (2, 2)]
    assert [part.shape for part in linalg.svd(x.data)] == [(3, 3), (2,), (2, 2)]
    q, r = linalg.qr(x, "complete")
    np.testing.assert_allclose((q @ r).data, x.data)
    with pytest.raises(ValueError, match="use mode='reduced'"):
        ag.sum(q).backward()


def test_names_that_live_elsewhere_too() -> None:
    x = rng.normal(size=(2, 3, 3))
    for name in ("matmul", "outer", "tensordot", "vecdot", "cross", "diagonal", "trace",
                 "matrix_transpose"):
        assert name not in linalg.__all__
    np.testing.assert_allclose(linalg.trace(x), np.linalg.trace(x))
    np.testing.assert_allclose(shape.trace(x), np.trace(x))
    assert linalg.matmul is ag.matmul and linalg.outer is ag.outer


def test_powers_of_matrices() -> None:
    a = rng.normal(size=(2, 2, 2))
    assert np.array_equal(linalg.matrix_power(Tensor(a), 0).data, np.linalg.matrix_power(a, 0))
    for n in (-3, 1, 5, np.int64(6)):
        np.testing.assert_allclose(linalg.matrix_power(a, n), np.linalg.matrix_power(a, n))
    check_grads(lambda a: linalg.matrix_power(a, 5), a)


def test_a_chain_is_multiplied_in_the_cheapest_order() -> None:
    sides = [7, 1, 5, 1, 8, 2]
    xs = [rng.normal(size=pair) for pair in pairwise(sides)]
    flops = []
    tensors = [Tensor(x, requires_grad=True) for x in xs]
    y = linalg.multi_dot(tensors)
    np.testing.assert_allclose(y.data, np.linalg.multi_dot(xs))
    stack = [y.node]
    while stack:
        node = stack.pop()
        if node.op is not None:
            left, right = (parent.shape for parent in node.parents)
            flops.append(left[0] * left[1] * right[1])
            stack += node.parents
    assert sorted(flops) == [2, 5, 14, 16]


def test_precision_is_kept() -> None:
    a = spd().astype(np.float32)
    for f in (linalg.inv, linalg.det, linalg.cholesky, linalg.svdvals, linalg.norm, linalg.pinv):
        assert f(a).dtype == np.float32
    assert linalg.inv(np.array([[2, 0], [0, 4]])).tolist() == [[0.5, 0], [0, 0.25]]
    assert linalg.eigh(a).eigenvectors.dtype == np.float32


def test_the_cross_product_of_linalg_is_of_three_components() -> None:
    assert linalg.cross([1.0, 0, 0], [0.0, 1, 0]).tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="cross: expected vectors of 3 components, got 2 and 3"):
        linalg.cross([1.0, 0], [0.0, 1, 0])
    assert ag.cross([1.0, 0], [0.0, 1, 0]).tolist() == [0, 0, 1]


def test_triangular_systems_read_one_triangle() -> None:
    a, b = rng.normal(size=(3, 3)) + 3 * np.eye(3), rng.normal(size=3)
    for lower, unit, trans in itertools.product((False, True), (False, True), (0, 1, "N", "T")):
        t = np.tril(a) if lower else np.triu(a)
        t = t - np.diag(np.diag(t)) + np.eye(3) if unit else t
        x = linalg.solve_triangular(a, b, trans, lower, unit)
        np.testing.assert_allclose((t.T if trans in (1, "T") else t) @ x, b, atol=1e-14)
        da = grad(lambda a, *o: linalg.solve_triangular(a, b, *o).sum())(a, trans, lower, unit)
        assert (da[np.triu_indices(3, 1) if lower else np.tril_indices(3, -1)] == 0).all()
        assert bool((np.diag(da) == 0).all()) is unit
    far = np.array([[1e-20, 0.0], [1.0, 1.0]])  # elimination with pivots would lose it
    assert linalg.solve_triangular(far, np.array([1.0, 0.0]), lower=True).tolist() == [1e20, -1e20]
    with pytest.raises(np.linalg.LinAlgError, match="solve_triangular"):
        linalg.solve_triangular(np.zeros((2, 2)), np.ones(2))
    for wrong in (lambda: linalg.solve_triangular(a, b, 2), lambda: linalg.solve_triangular(b, b)):
        with pytest.raises(ValueError, match="solve_triangular: (trans is 0|expected square)"):
            wrong()


def test_least_squares_of_every_rank() -> None:
    line = np.stack([np.arange(4.0), np.ones(4)], 1)
    y = np.array([-1.0, 0.2, 0.9, 2.1])
    got = linalg.lstsq(line, y)
    np.testing.assert_allclose(got.x, [1.0, -0.95], atol=1e-14)
    np.testing.assert_allclose(got.residuals, [0.05], atol=1e-14)
    assert int(got.rank) == 2 and got._fields == ("x", "residuals", "rank", "s")
    for a, b in ((line, y), (line[:1], y[:1]), (np.ones((3, 2)), np.arange(3.0)),
                 (line, np.stack([y, 2 * y], 1)), (np.zeros((2, 2)), np.ones(2)),
                 (line.astype(int), y)):
        for ours, theirs in zip(linalg.lstsq(a, b), np.linalg.lstsq(a, b), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-13)
    check_grads(lambda a, b: linalg.lstsq(a, b).x, line, y, order=2)
    check_grads(lambda a, b: linalg.lstsq(a, b).residuals, line, y)
    singular = np.array([[1.0, 1.0], [1.0, 1.0]])
    for rcond in (-1, 0.5, None):
        ours, theirs = (f(singular, y[:2], rcond=rcond) for f in (linalg.lstsq, np.linalg.lstsq))
        np.testing.assert_allclose(ours.x, theirs[0], atol=1e-14)
    t = linalg.lstsq(Tensor(line, requires_grad=True), y)
    assert t.x.requires_grad and t.residuals.requires_grad and not t.rank.requires_grad
    with pytest.raises(ValueError, match=r"lstsq: expected a matrix \(m, n\)"):
        linalg.lstsq(line, y[:3])


def test_a_cut_of_singular_values_that_are_not_0_is_not_differentiated() -> None:
    a, b = np.array([[3.0, 1.0], [0.5, 1.0], [1.0, 0.2]]), np.ones(3)
    for f in (lambda a: ag.linalg.pinv(a, 0.5).sum(), lambda a: ag.linalg.lstsq(a, b, 0.5)[0].sum(),
              lambda a: ag.linalg.pinv(a, rtol=0.5).sum()):
        f(a)
        with pytest.raises(np.linalg.LinAlgError, match="cut singular values that are not 0.*svd"):
            grad(f)(a)
    rank_one = np.outer([1.0, 2.0, 3.0], [1.0, -1.0])
    for x in (rank_one, np.stack([a, rank_one])):
        assert np.isfinite(grad(lambda a: ag.linalg.pinv(a).sum())(x)).all()
    assert grad(lambda a: ag.linalg.pinv(a, 1e-9).sum())(np.zeros((2, 3))).tolist() == [[0] * 3] * 2
