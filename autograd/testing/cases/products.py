"""Cases of the ops in `autograd.ops.products`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import one, pair, reals, shapes, spaced
from .piecewise import bent

MATMUL_SHAPES = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((2, 1, 3), (3, 2)),
    ((2, 2, 3), (2, 3, 1)), ((1, 2, 3), (2, 3, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((3,), (2, 3, 2)),
    ((2, 2, 3), (3,)), ((2, 2, 3), (3, 2)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((2, 3), (2, 3, 2)),
]
EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 2)), ("ij,jk->ik", (2, 3), (1, 2)),
    ("ij,jk", (2, 3), (3, 2)), ("ii->i", (3, 3)), ("ii", (3, 3)),
    ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij,ij->i", (2, 3), (2, 3)), ("i,j->ij", (2,), (3,)),
    ("...ij,...jk->...ik", (2, 2, 3), (3, 2)), ("...ij,...jk->...ik", (1, 2, 3), (2, 3, 2)),
    ("ij,jk,kl->il", (2, 3), (3, 2), (2, 2)), ("ijk,j->ik", (2, 3, 2), (3,)),
    ("iij,j->i", (2, 2, 3), (3,)), ("ab,c->a", (2, 3), (2,)), ("i...->...", (2, 3)),
    ("iji->j", (2, 3, 2)), ("bthd,bshd->bhts", (1, 2, 2, 2), (1, 3, 2, 2)), ("i,->i", (3,), ()),
    ("ij,kj->", (2, 2), (1, 2)),
]


@st.composite
def multiplying(draw: Any) -> Inputs:
    a, b = draw(st.sampled_from(MATMUL_SHAPES))
    return (draw(reals(a)), draw(reals(b))), {}


@st.composite
def contracting(draw: Any) -> Inputs:
    subscripts, *operands = draw(st.sampled_from(EINSUMS))
    how = draw(st.sampled_from([{}, {"optimize": False}, {"optimize": "greedy"}]))
    return (subscripts, *[draw(reals(shape)) for shape in operands]), how


@st.composite
def contracting_explicit(draw: Any) -> Inputs:
    (subscripts, *operands), _ = draw(contracting().filter(
        lambda drawn: "->" in drawn[0][0] and "." not in drawn[0][0]))
    left, _, right = subscripts.partition("->")
    return tuple(operands), {"operands": tuple(left.split(",")), "result": right}


def numpy_einsum(*xs: np.ndarray, operands: tuple[str, ...], result: str) -> np.ndarray:
    return np.einsum(",".join(operands) + "->" + result, *xs)


DOT_SHAPES = [
    ((), ()), ((), (2, 3)), ((2, 3), ()), ((3,), (3,)), ((2, 3), (3,)), ((3,), (2, 3, 2)),
    ((2, 3), (3, 2)), ((2, 3), (2, 3, 1)), ((2, 1, 3), (2, 3, 2)), ((2, 0), (0, 3)),
    ((0, 2), (3, 2, 2)), ((2, 2, 3), (3,)),
]


@st.composite
def dotting(draw: Any) -> Inputs:
    a, b = draw(st.sampled_from(DOT_SHAPES))
    return (draw(reals(a)), draw(reals(b))), {}


@st.composite
def two(draw: Any, a: Any, b: Any) -> Inputs:
    return (draw(reals(a)), draw(reals(b))), {}


@st.composite
def last_axes(draw: Any) -> Inputs:
    a, b = draw(st.sampled_from(DOT_SHAPES))
    return (draw(reals(a)), draw(reals((*b[:-2], b[-1], b[-2]) if len(b) > 1 else b))), {}


@st.composite
def flattening(draw: Any) -> Inputs:
    a = draw(shapes())
    return (draw(reals(a)), draw(reals(a[::-1]))), {}


@st.composite
def pairing(draw: Any) -> Inputs:
    summed, rows, columns = (draw(shapes(dims=2)) for _ in range(3))
    a, b = rows + summed, summed + columns
    axes: Any = len(summed)
    if draw(st.booleans()):
        order, back = draw(st.permutations(range(len(a)))), draw(st.permutations(range(len(b))))
        mine = [order.index(len(rows) + k) for k in range(axes)]
        others = [back.index(k) - len(b) for k in range(axes)]
        a, b = tuple(a[i] for i in order), tuple(b[i] for i in back)
        axes = (mine[0], others[0]) if axes == 1 else (mine, others)
    return (draw(reals(a)), draw(reals(b))), {"axes": axes}


@st.composite
def with_vectors(draw: Any, matrix_first: bool) -> Inputs:
    """A stack of matrices and one of vectors, which broadcast."""
    (a, b), _ = draw(pair())
    m, n = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    matrices = draw(reals((*a.shape, m, n)))
    vectors = draw(reals((*b.shape, n if matrix_first else m)))
    return ((matrices, vectors) if matrix_first else (vectors, matrices)), {}


@st.composite
def along_an_axis(draw: Any) -> Inputs:
    (a, b), _ = draw(pair())
    n, axis = draw(st.integers(0, 3)), draw(st.integers(-1 - min(a.ndim, b.ndim), -1))
    shape = [(*x.shape[: x.ndim + 1 + axis], n, *x.shape[x.ndim + 1 + axis :]) for x in (a, b)]
    return tuple(draw(reals(s)) for s in shape), {"axis": axis}


@st.composite
def crossing(draw: Any) -> Inputs:
    (a, b), _ = draw(pair())
    both = draw(st.booleans())
    n = [draw(st.sampled_from([2, 3])) for _ in range(2)]
    axes = [draw(st.integers(-x.ndim - 1, x.ndim)) for x in (a, b)]
    if both:
        axes = [draw(st.integers(-1 - min(a.ndim, b.ndim), -1))] * 2
    xs = []
    for x, axis, k in zip((a, b), axes, n, strict=True):
        shape = list(x.shape)
        shape.insert(axis % (x.ndim + 1), k)
        xs.append(draw(reals(tuple(shape))))
    if both:
        return tuple(xs), {"axis": axes[0]}
    ndim = max(x.ndim for x in xs)
    return tuple(xs), {"axisa": axes[0], "axisb": axes[1],
                       "axisc": draw(st.integers(-ndim, ndim - 1))}


@st.composite
def observing(draw: Any, ddof: bool = True) -> Inputs:
    """Variables of which none is nearly constant."""
    shape = draw(st.sampled_from([(3, 4), (1, 3), (2, 3), (4,)]))
    m = draw(spaced(shape))
    y = draw(st.one_of(st.none(), spaced((2, shape[-1])) if len(shape) > 1 else spaced(shape)))
    rowvar = draw(st.booleans()) or m.shape[0] == 1
    if not rowvar:
        m, y = m.T, None if y is None else y.T
    options = {"bias": draw(st.booleans()), "ddof": draw(st.sampled_from([None, 0, 1]))}
    return (m, y), {"rowvar": rowvar, **(options if ddof else {})}


def numpy_vecdot(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    return (np.moveaxis(a, axis, -1) * np.moveaxis(b, axis, -1)).sum(-1)


def numpy_cross(a: np.ndarray, b: np.ndarray, axisa: int = -1, axisb: int = -1, axisc: int = -1,
                axis: int | None = None) -> np.ndarray:
    """Component by component, as NumPy no longer takes vectors with two."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(a, axisa, 0), np.moveaxis(b, axisb, 0)
    flat = len(a) == len(b) == 2
    (a0, a1, a2), (b0, b1, b2) = ((*x, 0 * x[0])[:3] for x in (a, b))
    y = np.array([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0])
    return y[2] if flat else np.moveaxis(y, 0, axisc)


CASES: dict[str, OpCase] = {
    "matmul": OpCase(multiplying(), np.matmul),
    "matvec": OpCase(with_vectors(True), lambda a, x: np.einsum("...ij,...j", a, x)),
    "vecmat": OpCase(with_vectors(False), lambda x, a: np.einsum("...i,...ij", x, a)),
    "vecdot": OpCase(along_an_axis(), numpy_vecdot),
    "dot": OpCase(dotting(), np.dot),
    "inner": OpCase(last_axes(), np.inner),
    "vdot": OpCase(flattening(), np.vdot),
    "outer": OpCase(two(shapes(dims=2), shapes(dims=2)), np.outer),
    "tensordot": OpCase(pairing(), np.tensordot),
    "kron": OpCase(two(shapes(dims=2), shapes(dims=2)), np.kron),
    "cross": OpCase(crossing(), numpy_cross),
    "polyval": OpCase(two(shapes(dims=1, min_dims=1), shapes(dims=2)), np.polyval, order=3,
                      curvatures=(bent([2.0, 1.0], [0.0],
                                       hessian=[[0, 0, 1], [0, 0, 0], [1, 0, 0]]),)),
    "vander": OpCase(one(reals(shapes(dims=1, min_dims=1)), N=st.integers(0, 4),
                         increasing=st.booleans()), np.vander, order=3),
    "cov": OpCase(observing(), np.cov),
    "corrcoef": OpCase(observing(ddof=False), np.corrcoef),
    "einsum": OpCase(contracting(), np.einsum),
    "_einsum": OpCase(contracting_explicit(), numpy_einsum),
}
