"""Cases of the ops in `autograd.ops.piecewise`."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import one, pair, reals, shapes, spaced, uneven_pair


@st.composite
def choosing(draw: Any) -> Inputs:
    (a, b), _ = draw(pair())
    condition = draw(hnp.arrays(bool, np.broadcast_shapes(a.shape, b.shape)))
    a, b = draw(st.sampled_from([(a, b), (a, 2.5), (-1.5, b)]))
    return (condition, a, b), {}


@st.composite
def with_number(draw: Any, pairs: st.SearchStrategy[Inputs], number: float = 0.5,
                whole: int = 2) -> Inputs:
    """Two arrays; or one of them, and a number or an array of small integers as the other."""
    (a, b), options = draw(pairs)
    small = np.full(a.shape[-1:], whole, np.int8)
    return draw(st.sampled_from([(a, b), (a, number), (number, b), (a, small), (small, a)]
                                if a.shape else [(a, b), (a, number), (number, b)])), options


@st.composite
def clipping(draw: Any) -> Inputs:
    """Elements and bounds at least 0.03 apart: numbers, arrays that broadcast, or none."""
    x = draw(spaced(shapes(3)))
    low = draw(st.sampled_from([None, -0.47, np.array([-0.33, -0.25, 0.05])]))
    high = draw(st.sampled_from([None, 0.53, np.array([[0.36, 0.15, 0.75]])]))
    return (x, low, high), {}


@st.composite
def stepping(draw: Any) -> Inputs:
    """Elements off the step, or whole numbers among which are some on it: there h counts."""
    x = draw(spaced(shapes()))
    if draw(st.booleans()):
        x = np.rint(x).astype(np.int8)
    return (x, draw(reals(draw(st.sampled_from([x.shape, x.shape[-1:], ()]))))), {}


@st.composite
def with_extremes(draw: Any, *extremes: float) -> np.ndarray:
    """An array with some elements replaced by NaN, infinities and the like."""
    x = draw(reals(shapes()))
    which = draw(hnp.arrays(np.int8, x.shape, elements=st.integers(0, 2 * len(extremes))))
    return np.select([which == i for i in range(len(extremes))], [*extremes], x)


@st.composite
def alike(draw: Any) -> Inputs:
    """Two arrays that agree in some elements, or nearly."""
    x = draw(with_extremes(np.nan, np.inf, 0.0))
    error = draw(st.sampled_from([0.0, 1e-9, 1e-3, np.nan]))
    return (x, np.where(x > draw(st.sampled_from([-9, 0])), x + error, x)), {
        "equal_nan": draw(st.booleans())}


@st.composite
def bits(draw: Any, low: int = -100, high: int = 100, flags: bool = True) -> Inputs:
    """Two arrays of integers, or of booleans, that broadcast; or one of them and a number."""
    shape = draw(shapes())
    dtype = draw(st.sampled_from([np.int8, np.int64]))
    a = draw(hnp.arrays(dtype, shape, elements=st.integers(low, high)))
    b = draw(hnp.arrays(np.int64, shape[-1:], elements=st.integers(low, high)))
    pairs = [(a, b), (a, 3), (2, b)] + [(np.asarray(a > 0), np.asarray(b > 1))] * flags
    return draw(st.sampled_from(pairs)), {}


def total(y: Any) -> Any:
    """Return the sum of all elements."""
    return y.sum()


def squared(y: Any) -> Any:
    """Return the sum of all elements squared: smooth at 0 where y is a length, and its kink."""
    return (y * y).sum()


def nothing(v: Any) -> Any:
    """Return 0 v, no derivative."""
    return 0 * v


def thrice(v: Any) -> Any:
    """Return 3 v."""
    return 3 * v


def at(*args: Any, g: Any, expect: Any, **options: Any) -> tuple[Any, ...]:
    """An edge: the arguments, the cotangent, and the gradient by each argument."""
    def array(x: Any) -> Any:
        return np.array(x, dtype=float) if isinstance(x, list) else x

    return tuple(map(array, args)), options, array(g), [array(e) for e in expect]


def bent(*args: Any, hessian: Any = 0.0, f: Any = total, **options: Any) -> tuple[Any, ...]:
    """A stated second derivative: the arguments, f, and the Hessian of f of the result."""
    arrays = tuple(np.array(x, dtype=float) if isinstance(x, (list, float)) else x for x in args)
    return arrays, options, f, hessian


nan, inf = np.nan, np.inf
left, right, two = [1.0, 2.0, 5.0, nan, 1.0, nan], [1.0, 3.0, 4.0, 1.0, nan, nan], [2.0] * 6
jumps = (at([-1.0, 0.0, 0.5, 1.0], g=[1.0] * 4, expect=[[0.0] * 4]),)
straight = (bent([-2.0, 0.0, 3.0]), bent([-2.0, 0.0], f=squared, hessian=2 * np.eye(2)),
            bent([-2.0, 3.0], f=lambda y: squared(y - 2), hessian=2 * np.eye(2)),
            bent([0.0, 0.0], f=lambda y: y.sum() ** 2, hessian=[[nan, 0], [0, nan]]))
ties = (bent([1.0, 2.0, 5.0], [1.0, 3.0, 4.0]),)
turn = (at([-2.0, 0.0, 3.0], g=[1.0, 2.0, 3.0], expect=[[-1.0, 0.0, 3.0]]),)

comparison = with_number(pair())
strange = one(with_extremes(np.nan, np.inf, -np.inf, -0.0))
truths = with_number(pair(), number=0.0, whole=0)
between = spaced(shapes(), offset=0.02)  # 0.12, 0.32, ...: not where rounding jumps


CASES: dict[str, OpCase] = {
    "bend_by": OpCase(reals(shapes()).map(lambda x: ((x,), {"shape": x.shape, "times": nothing})),
                      lambda x, shape, times: np.zeros(shape),
                      edges=(at([5.0], shape=(1,), times=thrice, g=[2.0], expect=[[6.0]]),)),
    "absolute": OpCase(one(spaced(shapes())), np.absolute, edges=turn, curvatures=straight),
    "fabs": OpCase(one(spaced(shapes())), np.fabs, edges=turn, curvatures=straight),
    "sign": OpCase(one(spaced(shapes())), np.sign, edges=jumps),
    "where": OpCase(choosing(), np.where, curvatures=(
        bent(np.array([True, False]), [0.0, 0.0], [0.0, 0.0]),)),
    "times": OpCase(pair(), np.multiply, edges=(
        at([0.0, 2.0], [inf, inf], g=[1.0, 0.0], expect=[[inf, 0], [0, 0]]),)),
    "maximum": OpCase(with_number(uneven_pair(), 0.04, 40), np.maximum, edges=(
        at(left, right, g=two, expect=[[1, 0, 2, 2, 0, 1], [1, 2, 0, 0, 2, 1]]),),
        curvatures=ties),
    "minimum": OpCase(with_number(uneven_pair(), 0.04, 40), np.minimum, edges=(
        at(left, right, g=two, expect=[[1, 2, 0, 2, 0, 1], [1, 0, 2, 0, 2, 1]]),),
        curvatures=ties),
    "fmax": OpCase(with_number(uneven_pair(), 0.04, 40), np.fmax, edges=(
        at(left, right, g=two, expect=[[1, 0, 2, 0, 2, 1], [1, 2, 0, 2, 0, 1]]),),
        curvatures=ties),
    "fmin": OpCase(with_number(uneven_pair(), 0.04, 40), np.fmin, edges=(
        at(left, right, g=two, expect=[[1, 2, 0, 0, 2, 1], [1, 0, 2, 2, 0, 1]]),),
        curvatures=ties),
    "clip": OpCase(clipping(), np.clip, edges=(
        at([-3, -1, 0, 2, 5], [-1.0], [2.0], g=[2.0] * 5, expect=[[0, 1, 2, 1, 0], [3], [3]]),
        at([0.0], [2.0], [1.0], g=[1.0], expect=[[0], [0], [1]]),),
        curvatures=(bent([-1.0, 0.0, 2.0], [-1.0], [2.0]),)),
    "heaviside": OpCase(stepping(), np.heaviside, edges=(
        at([-1, 0, 2], [0.5, 0.5, 0.5], g=[1.0, 2.0, 3.0], expect=[[0, 0, 0], [0, 2, 0]]),),
        curvatures=(bent([-1.0, 0.0], [0.5, 0.5]),)),
    "floor": OpCase(one(spaced(shapes())), np.floor, edges=jumps),
    "ceil": OpCase(one(spaced(shapes())), np.ceil, edges=jumps),
    "trunc": OpCase(one(spaced(shapes())), np.trunc, edges=jumps),
    "rint": OpCase(one(between), np.rint, edges=jumps),
    "round": OpCase(one(between, decimals=st.sampled_from([0, 1, -1])), np.round, edges=jumps),
    "modf": OpCase(one(spaced(shapes())), np.modf),
    "_fraction": OpCase(one(spaced(shapes())), lambda x: np.modf(x)[0]),
    "_whole": OpCase(one(spaced(shapes())), lambda x: np.modf(x)[1]),
    "nan_to_num": OpCase(one(reals(shapes())), np.nan_to_num, edges=(
        at([nan, inf, -inf, 2.0], g=[1.0, 2.0, 3.0, 4.0], expect=[[0, 0, 0, 4]]),),
        curvatures=(bent([nan, inf, 2.0]),)),
    "equal": OpCase(comparison, np.equal),
    "not_equal": OpCase(comparison, np.not_equal),
    "less": OpCase(comparison, np.less),
    "less_equal": OpCase(comparison, np.less_equal),
    "greater": OpCase(comparison, np.greater),
    "greater_equal": OpCase(comparison, np.greater_equal),
    "logical_and": OpCase(truths, np.logical_and),
    "logical_or": OpCase(truths, np.logical_or),
    "logical_xor": OpCase(truths, np.logical_xor),
    "logical_not": OpCase(strange, np.logical_not),
    "bitwise_and": OpCase(bits(), np.bitwise_and),
    "bitwise_or": OpCase(bits(), np.bitwise_or),
    "bitwise_xor": OpCase(bits(), np.bitwise_xor),
    "bitwise_invert": OpCase(bits().map(lambda drawn: ((np.asarray(drawn[0][0]),), {})), np.invert),
    "bitwise_left_shift": OpCase(bits(0, 9, flags=False), np.left_shift),
    "bitwise_right_shift": OpCase(bits(0, 9, flags=False), np.right_shift),
    "isnan": OpCase(strange, np.isnan),
    "isinf": OpCase(strange, np.isinf),
    "isfinite": OpCase(strange, np.isfinite),
    "isposinf": OpCase(strange, np.isposinf),
    "isneginf": OpCase(strange, np.isneginf),
    "signbit": OpCase(strange, np.signbit),
    "isclose": OpCase(alike(), np.isclose),
    "allclose": OpCase(alike(), np.allclose),
    "array_equal": OpCase(alike(), np.array_equal),
}
