"""Cases of the ops in `autograd.ops.linalg`.

Matrices are drawn well away from singular ones and spectra well separated. Vectors of a
decomposition are determined up to signs, which LAPACK chooses by the elements; `steady` keeps the
inputs around which the choice stays the same, so that there is a derivative to be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import pair, reals
from .arithmetic import either_sign
from .piecewise import at, bent, inf, nan, squared, total
from .reduce import reduction

STACKS = st.sampled_from([(), (), (2,), (1, 2), (0,), (2, 1)])
SIDES = st.integers(0, 3)


@st.composite
def regular(draw: Any, stack: tuple[int, ...] | None = None) -> np.ndarray:
    """Square matrices, no singular ones near."""
    lead, n = draw(STACKS) if stack is None else stack, draw(SIDES)
    x = draw(reals((*lead, n, n), -0.7, 0.7))
    x[..., range(n), range(n)] += draw(st.permutations([2.0, -1.5, 1.7]))[:n]
    return x


@st.composite
def one_regular(draw: Any, **options: Any) -> Inputs:
    return (draw(regular()),), {k: draw(v) for k, v in options.items()}


@st.composite
def solving(draw: Any) -> Inputs:
    a = draw(regular())
    n, lead = a.shape[-1], a.shape[:-2]
    k = draw(SIDES)
    shape = draw(st.sampled_from([(n,), (n, k), (*lead, n, k), (1, n, k), (2, *lead, n, k)]))
    return (a, draw(reals(shape))), {}


@st.composite
def substituting(draw: Any) -> Inputs:
    (a, b), _ = draw(solving())
    a = draw(reals(a.shape, -0.9, 0.9)) + 2.0 * np.eye(a.shape[-1])
    return (a, b), {"lower": draw(st.booleans()), "unit_diagonal": draw(st.booleans()),
                    "trans": draw(st.sampled_from([0, 1, "N", "T"]))}


def numpy_solve_triangular(a: np.ndarray, b: np.ndarray, trans: Any, lower: bool,
                           unit_diagonal: bool) -> np.ndarray:
    t = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        t = t * (1 - np.eye(a.shape[-1])) + np.eye(a.shape[-1])
    return np.linalg.solve(np.swapaxes(t, -1, -2) if trans in (1, "T") else t, b)


@st.composite
def fitting_least_squares(draw: Any) -> Inputs:
    (a,), _ = draw(rectangular().filter(lambda drawn: drawn[0][0].ndim == 2))
    shape = draw(st.sampled_from([a.shape[:1], (a.shape[0], 2)]))
    return (a, draw(reals(shape))), {"rcond": draw(st.sampled_from([None, 1e-3]))}


def numpy_lstsq(a: np.ndarray, b: np.ndarray, rcond: Any) -> tuple[Any, ...]:
    x, residuals, rank, s = np.linalg.lstsq(a, b, rcond=rcond)
    return x, residuals, np.asarray(int(rank)), s


def steady(decompose: Callable[[np.ndarray], Any], a: np.ndarray) -> bool:
    """Whether the signs in the decomposition stay when any one element moves a little."""
    def parts(x: np.ndarray) -> list[np.ndarray]:
        return [np.asarray(part) for part in decompose(x)]

    here = parts(a)
    for index in np.ndindex(*a.shape):
        for h in (-4e-3, 4e-3):
            moved = a.copy()
            moved[index] += h
            if any(np.abs(x - y).max(initial=0) > 0.1 for x, y in zip(here, parts(moved),
                                                                     strict=True)):
                return False
    return True


@st.composite
def symmetric(draw: Any, positive: bool = False, **options: Any) -> Inputs:
    """Matrices of which one triangle counts, with eigenvalues far apart; the other is noise."""
    lead, n = draw(STACKS), draw(SIDES)
    x = draw(reals((*lead, n, n), -0.4, 0.4))
    x[..., range(n), range(n)] += draw(st.permutations([0.0, 1.5, 3.0]))[:n]
    if positive:
        x[..., range(n), range(n)] += 2
    drawn = {k: draw(v) for k, v in options.items()}
    uplo = drawn.get("UPLO", "L")
    assume(steady(lambda a: np.linalg.eigh(a, uplo), x))
    return (x,), drawn


@st.composite
def rectangular(draw: Any, decompose: Callable[[np.ndarray], Any] | None = None,
                **options: Any) -> Inputs:
    """Matrices of any shape and full rank, with singular values far apart."""
    lead, m, n = draw(STACKS), draw(SIDES), draw(SIDES)
    x = draw(reals((*lead, m, n), -0.4, 0.4))
    k = min(m, n)
    x[..., range(k), range(k)] += draw(st.permutations([1.0, 2.2, 3.6]))[:k]
    if decompose:
        assume(steady(decompose, x))
    return (x,), {k: draw(v) for k, v in options.items()}


def thin_svd(a: np.ndarray) -> Any:
    return np.linalg.svd(a, full_matrices=False)


UPLO = st.sampled_from(["L", "U"])


def packed_eigh(a: np.ndarray, UPLO: Any) -> np.ndarray:
    w, v = np.linalg.eigh(a, UPLO)
    return np.concatenate([w[..., None, :], v], -2)


def packed_svd(a: np.ndarray) -> np.ndarray:
    u, s, vh = thin_svd(a)
    return np.concatenate([u, s[..., None, :], vh.swapaxes(-1, -2)], -2)


def packed_qr(a: np.ndarray, mode: Any) -> np.ndarray:
    q, r = np.linalg.qr(a, mode)
    return np.concatenate([q.swapaxes(-1, -2), r], -1)


@st.composite
def full_svd(draw: Any) -> Inputs:
    """U and Vh in full only where that adds nothing, for there is no derivative otherwise."""
    (x,), _ = draw(rectangular(thin_svd))
    square = x.shape[-1] == x.shape[-2]
    full = draw(st.booleans()) if square else False
    return (x,), {"full_matrices": full, "compute_uv": draw(st.booleans())}


@st.composite
def tall_or_not(draw: Any, *modes: str) -> Inputs:
    (x,), _ = draw(rectangular(np.linalg.qr))
    tall = x.shape[-2] > x.shape[-1]
    return (x,), {"mode": draw(st.sampled_from([m for m in modes if m != "complete" or not tall]))}


@st.composite
def norming(draw: Any) -> Inputs:
    x = draw(reals(draw(st.sampled_from([(3,), (2, 3), (3, 2), (2, 2, 3), (1, 2)]))))
    x[...] = np.where(np.abs(x) < 0.05, 0.05, x)
    vector = x.ndim == 1 or draw(st.booleans())
    if vector:
        axis: Any = draw(st.integers(-x.ndim, x.ndim - 1))
        axis = draw(st.sampled_from([axis, (axis,)]))
        ord = draw(st.sampled_from([None, 0, 1, 2, 3, 1.5, -1, -2, np.inf, -np.inf]))
    else:
        axis = tuple(draw(st.permutations(range(x.ndim)))[:2])
        ord = draw(st.sampled_from([None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]))
    if draw(st.booleans()) and (x.ndim == 1 or (not vector and x.ndim == 2)):
        axis = None
    assume(smooth_norms(x))
    return (x,), {"ord": ord, "axis": axis, "keepdims": draw(st.booleans())}


def smooth_norms(x: np.ndarray) -> bool:
    """Whether no two candidates for an extreme, in any norm along any axes, are close."""
    def apart(y: np.ndarray) -> bool:
        return bool((np.diff(np.sort(y, axis=-1), axis=-1) > 0.02).all())

    y = np.abs(x)
    pairs = [(i, j) for i in range(x.ndim) for j in range(x.ndim) if i != j]
    return (all(apart(np.moveaxis(y, i, -1)) for i in range(x.ndim))
            and all(apart(np.moveaxis(y.sum(i, keepdims=True), j, -1)) for i, j in pairs)
            and all(apart(s) and (s > 0.02).all() for i, j in pairs
                    for s in [np.linalg.svd(np.moveaxis(x, (i, j), (-2, -1)), compute_uv=False)]))


@st.composite
def vector_norming(draw: Any) -> Inputs:
    (x,), options = draw(reduction())
    x = np.where(np.abs(x) < 0.05, 0.05, x)
    ord = draw(st.sampled_from([0, 1, 2, 3, 0.5, -1]))
    return (x,), {**options, "ord": ord}


@st.composite
def matrix_norming(draw: Any) -> Inputs:
    (x,), options = draw(norming().filter(lambda drawn: drawn[0][0].ndim > 1))
    ord = draw(st.sampled_from(["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]))
    return (x,), {"ord": ord, "keepdims": options["keepdims"]}


@st.composite
def p_norming(draw: Any) -> Inputs:
    (x,), options = draw(vector_norming().filter(lambda drawn: drawn[1]["ord"] not in (0, 1)))
    return (x,), {"p": options["ord"], "axis": options["axis"], "keepdims": options["keepdims"]}


def numpy_vector_norm(x: np.ndarray, axis: Any, keepdims: bool, ord: float) -> Any:
    if ord == 0:
        return np.sum(x != 0, axis=axis, keepdims=keepdims).astype(x.dtype)
    return np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims) ** (1 / ord)


@st.composite
def conditioning(draw: Any) -> Inputs:
    p = draw(st.sampled_from([None, 2, -2, "fro"]))
    (x,), _ = draw((rectangular() if p != "fro" else one_regular()).filter(
        lambda drawn: drawn[0][0].size and min(drawn[0][0].shape[-2:]) > 1))
    return (x,), {"p": p}


@st.composite
def chaining(draw: Any) -> Inputs:
    shapes = draw(st.sampled_from([
        [(2, 3), (3, 2)], [(3,), (3, 2)], [(2, 3), (3,)], [(3,), (3,)], [(3,), (3, 1), (1,)],
        [(2, 3), (3, 1), (1, 3)], [(1, 3), (3, 2), (2, 1), (1, 2)], [(2, 0), (0, 1), (1, 3)],
        [(3,), (3, 2), (2, 3), (3,)],
    ]))
    return ([draw(reals(shape)) for shape in shapes],), {}


@st.composite
def ranking(draw: Any) -> Inputs:
    x = draw(reals(draw(st.sampled_from([(3,), (2, 3), (3, 2), (2, 2, 2), (3, 3)]))))
    if draw(st.booleans()):
        x[..., -1] = 0
    return (x,), draw(st.sampled_from([{}, {"tol": 0.5}, {"rtol": 0.1}]))


@st.composite
def tensor_inverting(draw: Any) -> Inputs:
    shape, ind = draw(st.sampled_from([((2, 1, 2), 2), ((3, 3), 1), ((2, 2, 4), 2), ((1, 1), 1)]))
    n = int(np.prod(shape[:ind]))
    return (draw(regular_of(n)).reshape(shape),), {"ind": ind}


@st.composite
def regular_of(draw: Any, n: int) -> np.ndarray:
    return draw(reals((n, n), -0.4, 0.4)) + 2 * np.eye(n)


@st.composite
def tensor_solving(draw: Any) -> Inputs:
    shape, of_b, axes = draw(st.sampled_from([
        ((2, 1, 2), (2,), None), ((3, 3), (3,), None), ((2, 2, 4), (2, 2), None),
        ((4, 2, 2), (2, 2), (0,)), ((2, 1, 2), (2, 1), None), ((4, 2, 2), (4,), (1, 2)),
    ]))
    a = draw(regular_of(int(np.prod(of_b))))
    if axes == (0,):
        a = a.T
    return (a.reshape(shape), draw(reals(of_b))), {"axes": axes}


@st.composite
def crossing(draw: Any) -> Inputs:
    """Pairs of vectors along one axis, counted from the end, the other axes broadcasting."""
    (a, b), _ = draw(pair())
    axis = draw(st.integers(-1 - min(a.ndim, b.ndim), -1))
    xs = [draw(reals((*x.shape[: x.ndim + 1 + axis], 3, *x.shape[x.ndim + 1 + axis :])))
          for x in (a, b)]
    return tuple(xs), {"axis": axis}


@st.composite
def ratios(draw: Any) -> Inputs:
    (a, b), _ = draw(pair((0.4, 2), (0.4, 2)))
    p = draw(st.sampled_from([3, 2, 1, 0, 0.5, -1]))
    return (either_sign(a), b), {"p": p, "odd": draw(st.booleans())}


def numpy_ratio_power(a: np.ndarray, b: np.ndarray, p: float, odd: bool) -> np.ndarray:
    return np.asarray(np.abs(a / b) ** p * (np.sign(a) if odd else 1))


ONE, NOTHING = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]
ROTATION = np.array([[0, 0, 0, 0], [0, 1, -1, 0], [0, -1, 1, 0], [0, 0, 0, 0]])
ranks = np.array([np.diag([0.0, 2, 3]), np.diag([0.0, 0, 3]), [[2, 1, 0], [1, -1, 4], [3, 5, 1]]])
even, inverse = np.array([[1.0, 2, 0], [2, 0, 1], [0, 1, 2]]), np.array([
    [1.0, 4, -2], [4, -2, 1], [-2, 1, 4]]) / 9
cofactors = np.array([[-21.0, 11, 8], [-1, 2, -7], [4, -8, -3]])  # of the last

CASES: dict[str, OpCase] = {
    "inv": OpCase(one_regular(), np.linalg.inv, order=3),
    "solve": OpCase(solving(), np.linalg.solve, order=3),
    "solve_triangular": OpCase(substituting(), numpy_solve_triangular, order=3),
    "lstsq": OpCase(fitting_least_squares(), numpy_lstsq),
    "det": OpCase(one_regular(), np.linalg.det, edges=(
        at([[[1, 2, 3], [2, 4, 7], [1, 2, 5]], ranks[1], ranks[2]], g=[1.0, 2.0, 3.0],
           expect=[[[[6, -3, 0], [-4, 2, 0], [2, -1, 0]], np.zeros((3, 3)), 3 * cofactors]]),
        at([[ranks[1] * 0], [ranks[2]]], g=[[1.0], [2.0]],
           expect=[[[0 * cofactors], [2 * cofactors]]]),
        *(at(size * np.eye(2), g=1.0, expect=[size * np.eye(2)]) for size in (1e200, 1e-200)),
        at([[inf, 0.0], [0.0, 1.0]], g=1.0, expect=[[[nan, nan], [nan, inf]]]))),
    "slogdet": OpCase(one_regular(), np.linalg.slogdet),
    "_slogdet": OpCase(one_regular(), lambda a: np.stack(np.linalg.slogdet(a))),
    "pinv": OpCase(rectangular(rcond=st.sampled_from([None, 0.01])), np.linalg.pinv, edges=(
        ((np.diag([1.0, 0.1]),), {"rcond": 0.5}, np.eye(2), [np.linalg.LinAlgError]),
        at(1e12 * even, g=1e24 * np.eye(3), expect=[-inverse @ inverse]))),
    "tensorinv": OpCase(tensor_inverting(), np.linalg.tensorinv),
    "tensorsolve": OpCase(tensor_solving(), np.linalg.tensorsolve),
    "cholesky": OpCase(symmetric(positive=True, upper=st.booleans()), np.linalg.cholesky, order=3),
    "eigh": OpCase(symmetric(UPLO=UPLO), np.linalg.eigh),
    "_eigh": OpCase(symmetric(UPLO=UPLO), packed_eigh, curvatures=(
        bent(ONE, UPLO="L", f=lambda y: squared(y[0]), hessian=np.diag([2, 0, 4, 2])),)),
    "eigvalsh": OpCase(symmetric(UPLO=UPLO), np.linalg.eigvalsh, curvatures=(
        bent(ONE), bent(ONE, f=squared, hessian=np.diag([2, 0, 4, 2])),
        bent(ONE, UPLO="U", f=lambda w: w[0] * w[1],  # the determinant
             hessian=[[0, 0, 0, 1], [0, -2, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]),
        bent(ONE, f=lambda w: w[0], hessian=np.where(np.diag([1, 0, 1, 1]), nan, 0)))),
    "qr": OpCase(tall_or_not("reduced", "complete", "r"), np.linalg.qr),
    "_qr": OpCase(tall_or_not("reduced", "complete"), packed_qr),
    "svd": OpCase(full_svd(), np.linalg.svd),
    "_svd": OpCase(rectangular(thin_svd), packed_svd, curvatures=(
        bent(ONE, f=lambda y: squared(y[2]), hessian=2 * np.eye(4)),
        bent(NOTHING, f=lambda y: squared(y[2]), hessian=2 * np.eye(4)))),
    "svdvals": OpCase(rectangular(), np.linalg.svdvals, edges=(
        ((np.array([[1.0, 0.0], [0.0, 0.0]]),), {}, np.ones(2),
         [np.array([[1.0, 0.0], [0.0, 0.0]])]),), curvatures=(
        bent(ONE, hessian=ROTATION / 2), bent(ONE, f=squared, hessian=2 * np.eye(4)),
        bent(NOTHING, f=squared, hessian=2 * np.eye(4)),
        bent(NOTHING, hessian=np.where(np.eye(4), nan, 0)),
        bent([[1.0, 0.0], [0.0, 0.0]], hessian=np.diag([0, 1, 1, nan])),
        bent([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], f=squared, hessian=2 * np.eye(6)),
        bent(ONE, f=lambda s: (s**4).sum(),
             hessian=[[12, 0, 0, 0], [0, 8, 4, 0], [0, 4, 8, 0], [0, 0, 0, 12]]))),
    "norm": OpCase(norming(), np.linalg.norm, curvatures=(
        bent([0.0, 0.0], hessian=[[nan, 0], [0, nan]]),
        bent([0.0, 0.0], f=squared, hessian=2 * np.eye(2)),
        bent([0.0, 0.0], ord=3, hessian=[[nan, 0], [0, nan]]),
        bent([0.0, 3.0], ord=1.5, hessian=[[nan, 0], [0, 0]]),
        bent([0.0, 3.0], ord=1), bent([3.0, 3.0], ord=np.inf),
        bent(NOTHING, f=squared, hessian=2 * np.eye(4)),
        bent(ONE, ord="nuc", hessian=ROTATION / 2))),
    "vector_norm": OpCase(vector_norming(), numpy_vector_norm, curvatures=(
        bent([0.0, 0.0], f=squared, hessian=2 * np.eye(2)), bent([0.0, 3.0], ord=0))),
    "_p_norm": OpCase(
        p_norming(), lambda x, p, axis, keepdims: numpy_vector_norm(x, axis, keepdims, p),
        edges=tuple(((np.array(x),), {"p": p, "axis": None, "keepdims": False}, np.array(1.0),
                     [np.array(dx)]) for x, p, dx in [
            ([1.0, 0.0, -4.0], 0.5, [3.0, 0.0, -1.5]), ([0.0, 0.0], 3, [0.0, 0.0]),
            ([0.0, 0.0], 2, [0.0, 0.0])]),
        curvatures=tuple(bent(x, p=p, axis=None, keepdims=False, f=f, hessian=h)
                         for x, p, f, h in [
            ([0.0, 0.0], 3, total, np.diag([nan, nan])),
            ([0.0, 0.0], 3, squared, np.diag([nan, nan])),
            ([0.0, 2.0], 3, total, 0), ([0.0, 2.0], 4, squared, np.diag([0, 2])),
            ([0.0, 2.0], 1.5, total, np.diag([nan, 0]))])),
    "_ratio_power": OpCase(ratios(), numpy_ratio_power, order=3, curvatures=(
        bent([0.0], [2.0], p=3, odd=True), bent([0.0], [2.0], p=2, odd=False,
                                                hessian=np.diag([0.5, 0])),
        bent([0.0], [2.0], p=1.5, odd=False, hessian=np.diag([nan, 0])))),
    "matrix_norm": OpCase(matrix_norming(), np.linalg.matrix_norm, curvatures=(
        bent(NOTHING, f=squared, hessian=2 * np.eye(4)),
        bent(NOTHING, ord="nuc", hessian=np.where(np.eye(4), nan, 0)), bent(ONE, ord=1))),
    "cond": OpCase(conditioning(), np.linalg.cond),
    "matrix_rank": OpCase(ranking(), np.linalg.matrix_rank),
    "matrix_power": OpCase(one_regular(n=st.integers(-2, 4)), np.linalg.matrix_power),
    "multi_dot": OpCase(chaining(), np.linalg.multi_dot),
    "autograd.ops.linalg.diagonal": OpCase(rectangular(offset=st.integers(-2, 2)),
                                           np.linalg.diagonal),
    "autograd.ops.linalg.trace": OpCase(rectangular(offset=st.integers(-2, 2)), np.linalg.trace),
    "autograd.ops.linalg.cross": OpCase(crossing(), np.linalg.cross),
}
