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

from ...backward import pull_back
from ...tensor import recorded, values
from ..opcase import Inputs, OpCase
from ..strategies import pair, reals
from .arithmetic import either_sign
from .piecewise import at, bent, inf, nan, nothing, squared, total
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



def second(x: Any, form: Callable[..., Any], triangle: str = "") -> np.ndarray:
    """Return the Hessian of which `form(x, e, f)` is the part by the directions e and f."""
    x = np.array(x, dtype=float)
    units = np.eye(x.size).reshape(-1, *x.shape)
    if triangle:
        t = np.tril(units) if triangle == "L" else np.triu(units)
        units = t + np.swapaxes(t, -1, -2) * (1 - np.eye(x.shape[-1]))
    return np.array([[form(x, e, f) for f in units] for e in units])


def inner(*xs: np.ndarray) -> Any:
    """Return the trace of the product of matrices, summed over a stack."""
    return np.trace(np.linalg.multi_dot(xs) if xs[0].ndim == 2 else xs[0] @ xs[1] @ xs[2],
                    axis1=-2, axis2=-1).sum()


def of_triangle(x: Any) -> Any:
    """Return 1 for pairs of elements of a square matrix that are both read, NaN by NaN."""
    read = np.tril(np.ones(np.shape(x))).ravel()
    return np.where(np.outer(read, read) > 0, nan, 0)


def cubes(w: Any) -> Any:
    return (w**3).sum()


def fourths(s: Any) -> Any:
    return (s**4).sum()


def by_slope(y: Any) -> Any:
    """Return the sum of the gradient of the squares: its Hessian is of third derivatives."""
    (leaf,) = y.node.parents
    return pull_back([squared(y)], [None], [recorded(y.data, leaf)], record=True)[0].sum()


def by_bend(y: Any) -> Any:
    """Return the sum of squares times a number: a sum of second derivatives of it, recorded."""
    leaf = recorded(y.data, *y.node.parents)
    slope = pull_back([squared(y)], [None], [leaf], record=True)[0]
    bend = pull_back([3 * slope], [np.ones(slope.shape)], [leaf], record=True)[0]
    return float(values(bend).sum()) * squared(y)


def third(a: Any, e: Any, f: Any) -> Any:  # of the trace of A^3
    return 6 * inner(a, e, f)


def mixed(a: Any, e: Any, f: Any) -> Any:  # of the trace of A, times that of A^2
    return 2 * (np.trace(a) * np.trace(e @ f) + np.trace(a @ e) * np.trace(f)
                + np.trace(a @ f) * np.trace(e))


def whole(a: Any, e: Any, f: Any) -> Any:  # of the squared trace of A
    return 2 * np.trace(e) * np.trace(f)


def of_three(a: Any, e: Any, f: Any) -> Any:  # of (w_1 + w_2 + w_3)^2 at diag(1, 1, 1, 5)
    three = [np.trace(x[:3, :3]) for x in (e, f)]
    return 2 * three[0] * three[1] + 6 * (-2 * (e[3, :3] * f[3, :3]).sum() / (5 - 1))


def fourth(a: Any, e: Any, f: Any) -> Any:  # of the sum of the singular values to the 4th
    at, ft = np.swapaxes(a, -1, -2), np.swapaxes(f, -1, -2)
    return 4 * (e * (f @ at @ a + a @ ft @ a + a @ at @ f)).sum()


TURNED = [[3.0, 4, 0], [4, -3, 0], [0, 0, 5]]  # eigenvalues -5, 5, 5
STACK = [[TURNED, [[2, 1, 0], [1, 4, 1], [0, 1, 8]]]]
CYCLE = [[0.0, 2, 0], [0, 0, 2], [3, 0, 0]]  # singular values 3, 2, 2


def of_equal_eigenvalues(values_of: Callable[[Any], Any] = lambda y: y) -> tuple[Any, ...]:
    """Stated second derivatives where eigenvalues are equal, of a result and its eigenvalues."""
    def case(x: Any, f: Any, hessian: Any, UPLO: str = "L") -> Any:
        return bent(np.array(x, dtype=float), UPLO=UPLO, f=lambda y: f(values_of(y)),
                    hessian=hessian)

    far = np.diag([0.0, 0.0, 1.0])
    return (
        case(ONE, total, 0), case(ONE, squared, np.diag([2, 0, 4, 2])),
        case(ONE, lambda w: w[0] * w[1],  # the determinant
             [[0, 0, 0, 1], [0, -2, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], "U"),
        *(case(x, cubes, second(x, third, side), side) for x in (TURNED, STACK) for side in "LU"),
        case(TURNED, lambda w: w.sum() * squared(w), second(TURNED, mixed, "L")),
        case(np.eye(3), lambda w: w.sum() * squared(w), second(np.eye(3), mixed, "L")),
        case(np.eye(3), lambda w: -w.sum() * squared(w), -second(np.eye(3), mixed, "L")),
        case(0 * far, lambda w: w.sum()**2, second(0 * far, whole, "L")),
        case(np.diag([1.0, 1, 1, 5]), lambda w: w[:3].sum()**2,
             second(np.diag([1.0, 1, 1, 5]), of_three, "L")),
        case(ONE, lambda w: w[0], of_triangle(ONE)),
        *(case(NOTHING, lambda w, k=k: k * (w[0]**2 + 2 * w[1]**2), of_triangle(ONE))
          for k in (1, 1e-9)),
        case(far, lambda w: w[0] * (w[2] - 1), of_triangle(far)),
        case(0 * far, lambda w: w[0] * w[1], of_triangle(far)),
        case([ONE, [[1, 0], [0, 3]]], lambda w: w[0, 0] + squared(w[1]),
             np.block([[of_triangle(ONE), np.zeros((4, 4))],
                       [np.zeros((4, 4)), np.diag([2, 0, 4, 2])]])))


def of_equal_singular_values(values_of: Callable[..., Any] = lambda y, m: y) -> tuple[Any, ...]:
    """Stated second derivatives where singular values are equal, of a result and its values."""
    def case(x: Any, f: Any, hessian: Any) -> Any:
        x = np.array(x, dtype=float)
        return bent(x, f=lambda y: f(values_of(y, x.shape[-2])), hessian=hessian)

    wide = np.array(CYCLE[:2])
    return (
        case(ONE, total, ROTATION / 2), case(ONE, squared, 2 * np.eye(4)),
        case(NOTHING, squared, 2 * np.eye(4)),
        *(case(x, squared, 2 * np.eye(np.size(x)))
          for x in ([[3, 4], [0, 0]], [[3, 0], [4, 0]], [[0, 2, 0], [0, 0, 0], [0, 0, 3]],
                    [[[3, 4], [0, 0]], [[1, 2], [3, 4]]], [[0, 2, 0], [0, 0, 0]])),
        case(NOTHING, lambda s: -squared(s), -2 * np.eye(4)),
        case(np.zeros((3, 3)), lambda s: 0.1 * squared(s), 0.2 * np.eye(9)),
        case([NOTHING, ONE], lambda s: 0 * s.sum(), 0),
        *(case(x, fourths, second(x, fourth))
          for x in (CYCLE, wide, wide.T, [CYCLE, 2 * np.eye(3)], np.diag([1.0, 0, 0]))),
        case(ONE, lambda s: s[0], nan))


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
    "_eigh": OpCase(symmetric(UPLO=UPLO), packed_eigh,
                    curvatures=of_equal_eigenvalues(lambda y: y[..., 0, :])),
    "eigvalsh": OpCase(symmetric(UPLO=UPLO), np.linalg.eigvalsh, curvatures=(
        *of_equal_eigenvalues(), bent(ONE, f=by_slope, hessian=nan),
        bent(ONE, f=by_bend, hessian=24 * np.diag([2, 0, 4, 2])))),
    "qr": OpCase(tall_or_not("reduced", "complete", "r"), np.linalg.qr),
    "_qr": OpCase(tall_or_not("reduced", "complete"), packed_qr),
    "svd": OpCase(full_svd(), np.linalg.svd),
    "_svd": OpCase(rectangular(thin_svd), packed_svd,
                   curvatures=of_equal_singular_values(lambda y, m: y[..., m, :])),
    "svdvals": OpCase(rectangular(), np.linalg.svdvals, edges=(
        ((np.array([[1.0, 0.0], [0.0, 0.0]]),), {}, np.ones(2),
         [np.array([[1.0, 0.0], [0.0, 0.0]])]),), curvatures=(
        *of_equal_singular_values(), bent(ONE, f=by_slope, hessian=nan),
        *(bent(NOTHING, f=f, hessian=np.where(np.eye(4), nan, 0)) for f in (
            total, lambda s: -s[0] * s[1], lambda s: 1e-9 * (s[0]**2 + 2 * s[1]**2),
            lambda s: squared(s) + s[0] * s[1])),
        bent([[1.0, 0.0], [0.0, 0.0]], hessian=np.diag([0, 1, 1, nan])),
        bent([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], f=squared, hessian=2 * np.eye(6)))),
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
        curvatures=(*(bent(x, p=p, axis=None, keepdims=False, f=f, hessian=h)
                      for x, p, f, h in [
            ([0.0, 0.0], 3, total, np.diag([nan, nan])),
            ([0.0, 0.0], 3, squared, np.diag([nan, nan])),
            ([0.0, 2.0], 3, total, 0), ([0.0, 2.0], 4, squared, np.diag([0, 2])),
            ([0.0, 2.0], 1.5, total, np.diag([nan, 0])), ([0.0, 0.0], 3, nothing, 0)]),
            bent([[0.0, 0.0], [0.0, 2.0]], p=3, axis=1, keepdims=False,
                 hessian=np.diag([nan, nan, 0, 0])))),
    "_ratio_power": OpCase(ratios(), numpy_ratio_power, order=3, edges=(
        at([0.0], [2.0], p=0.5, odd=True, g=[0.0], expect=[[0.0], [0.0]]),), curvatures=(
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
