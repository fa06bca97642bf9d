"""Cases of the ops in `autograd.ops.reduce`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import reals, shapes, spaced
from .piecewise import at, bent, inf, nan, squared


@st.composite
def axes_of(draw: Any, ndim: int) -> Any:
    """An axis in every form that NumPy takes."""
    axes = draw(st.permutations(range(ndim)))[: draw(st.integers(0, ndim))]
    signed = tuple(a - ndim if draw(st.booleans()) else a for a in axes)
    return draw(st.sampled_from([None, signed, *signed[:1]]))


@st.composite
def reduction(draw: Any, of: Callable[..., Any] = reals, least: int = 1, **options: Any) -> Inputs:
    """An array, and an axis in every form that NumPy takes."""
    x = draw(of(shapes(least)))
    return (x,), {"axis": draw(axes_of(x.ndim)), "keepdims": draw(st.booleans()),
                  **{k: draw(v) for k, v in options.items()}}


@st.composite
def floored(draw: Any) -> Inputs:
    """An array, a number above 0, and axes."""
    (x,), options = draw(reduction())
    return (x, np.asarray(draw(st.floats(0.1, 2)))), {"axis": options["axis"]}


@st.composite
def along(draw: Any, of: Callable[..., Any] = reals, least: int = 0, keepdims: bool = False,
          min_dims: int = 0) -> Inputs:
    """An array, and one axis, or None for all."""
    x = draw(of(shapes(least, min_dims=min_dims)))
    n = x.ndim or 1  # NumPy lets a number be taken for one of a row
    options = {"axis": draw(st.sampled_from([None, *range(-n, n)]))}
    return (x,), options | ({"keepdims": draw(st.booleans())} if keepdims else {})


@st.composite
def with_zeros(draw: Any, shape: Any) -> np.ndarray:
    """An array between -2 and 2 in which one element may be exactly 0."""
    x = draw(reals(shape))
    if x.size and draw(st.booleans()):
        x.flat[draw(st.integers(0, x.size - 1))] = 0.0
    return x


@st.composite
def with_nan(draw: Any, base: st.SearchStrategy[Inputs]) -> Inputs:
    """An array with NaN in it, but at least one number over each axis to be reduced."""
    (x,), options = draw(base)
    x = np.where(draw(hnp.arrays(bool, x.shape)), np.nan, x)
    alone = np.isnan(x).all(axis=options["axis"], keepdims=True)
    return (np.where(alone, np.arange(1.0, 1 + x.size).reshape(x.shape), x),), options


@st.composite
def varying(draw: Any) -> Inputs:
    """Well spread elements, so that the standard deviation is away from its kink at 0."""
    (x,), options = draw(reduction(spaced, 2))
    if draw(st.booleans()) or not x.ndim or options["axis"] == ():
        return (x,), {"axis": None, "keepdims": options["keepdims"]} if x.ndim else options
    return (x,), options | {draw(st.sampled_from(["ddof", "correction"])): 1}


@st.composite
def weighing(draw: Any) -> Inputs:
    (x,), options = draw(reduction())
    axis = options["axis"]
    shape = x.shape
    if axis is not None and draw(st.booleans()):
        shape = tuple(x.shape[i] for i in (axis if isinstance(axis, tuple) else (axis,)))
    weights = draw(st.one_of(st.none(), reals(shape, 0.3, 2)))
    return (x, axis, weights), {"keepdims": options["keepdims"]}


@st.composite
def starting(draw: Any) -> Inputs:
    (x,), options = draw(along(with_zeros, min_dims=1))
    if x.ndim > 1 and options["axis"] is None:
        options["axis"] = 0
    return (x,), options | {"include_initial": draw(st.booleans())}


@st.composite
def recurring(draw: Any) -> Inputs:
    shape = draw(shapes(min_dims=1))
    return (draw(with_zeros(shape)), draw(reals(shape))), {
        "axis": draw(st.integers(-len(shape), len(shape) - 1))}


def numpy_logsumexp(x: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


def numpy_length(x: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    return np.asarray(np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims)))


def numpy_root_mean_square(x: np.ndarray, e: Any, axis: Any) -> np.ndarray:
    return np.asarray(np.sqrt(np.mean(x * x, axis=axis, keepdims=True) + e))


def numpy_recurrence(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    a, y = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0).copy()
    for k in range(1, len(y)):
        y[k] += a[k] * y[k - 1]
    return np.moveaxis(y, 0, axis)


@st.composite
def scanning(draw: Any, count: int = 1) -> Inputs:
    """Arrays of one shape in which elements may be 0, one of them of integers, and an axis."""
    shape = draw(shapes(1, min_dims=1))
    xs = [draw(with_zeros(shape)) for _ in range(count)]
    total = draw(hnp.arrays(np.int64, shape, elements=st.integers(-2000, 2000)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return (*xs, total) if count > 1 else tuple(xs), {"axis": axis}


def numpy_exponents(x: np.ndarray, axis: int) -> np.ndarray:
    return np.floor(np.cumsum(np.log2(np.where(x, np.abs(x), 1)), axis)).astype(np.int64)


def numpy_largest_ahead(g: np.ndarray, x: np.ndarray, total: np.ndarray, axis: int) -> np.ndarray:
    exponents = total + np.where(g, np.frexp(g)[1], -683)
    x, exponents = np.moveaxis(x, axis, 0), np.moveaxis(exponents, axis, 0)
    y = exponents.copy()
    for k in reversed(range(len(y) - 1)):
        y[k] = np.where(x[k + 1], np.maximum(y[k], y[k + 1]), y[k])
    return np.moveaxis(y, 0, axis)


def truths(shape: Any) -> st.SearchStrategy[Any]:
    return st.one_of(with_zeros(shape), shape.flatmap(lambda s: hnp.arrays(bool, s)))


rows = [[1.0, 4.0, 4.0], [nan, 0.0, nan], [2.0, 2.0, 2.0]]
zeros = [[2.0, 0.0, 3.0], [0.0, 0.0, 5.0]]
unknown = [[1.0, nan, 4.0], [nan, nan, 2.0]]
weights = [1.0, 10.0]
two_equal = np.array([[1.0, -1.0], [-1.0, 1.0]])  # twice the Hessian of the variance of two
one_unknown = np.array([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]])
product_of_zeros = np.zeros((4, 4))
product_of_zeros[0, 2] = product_of_zeros[2, 0] = 3.0
ones = np.ones(70_000, np.float16)  # float16 has no 70,000, but its reciprocal
share = np.full(70_000, 1 / 70_000, np.float16)
many = (at(ones, g=1.0, expect=[share]),)
huge = [[1e200, 1e200, 1e-200, 1e-200], [1e-200, 1e200, 1e200, 1e-200], [0, 1e200, 5, 1e-200],
        [3, 0, 1e200, 1e200]]

CASES: dict[str, OpCase] = {
    "sum": OpCase(reduction(least=0), np.sum),
    "mean": OpCase(reduction(), np.mean, edges=many),
    "average": OpCase(weighing(), np.average),
    "max": OpCase(reduction(spaced), np.max, edges=(at(
        rows, axis=1, g=[1, 2, 3], expect=[[[0, 0.5, 0.5], [1, 0, 1], [1, 1, 1]]]), *many),
        curvatures=(bent([4.0, 4.0, 1.0]),)),
    "min": OpCase(reduction(spaced), np.min, edges=(at(
        rows, axis=1, g=[1, 2, 3], expect=[[[1, 0, 0], [1, 0, 1], [1, 1, 1]]]), *many),
        curvatures=(bent([4.0, 1.0, 1.0]),)),
    "ptp": OpCase(reduction(spaced), np.ptp),
    "var": OpCase(st.one_of(reduction(), varying()), np.var, edges=(
        at([1.0], ddof=1, g=1.0, expect=[[nan]]),
        at(np.zeros((2, 0)), axis=1, g=[1.0, 1.0], expect=[np.zeros((2, 0))]))),
    "std": OpCase(varying(), np.std, edges=(
        at([2.0, 2.0], g=1.0, expect=[[0, 0]]),), curvatures=(
        bent([2.0, 2.0], hessian=nan), bent([[2.0], [3.0]], axis=1),
        bent([2.0, 2.0], ddof=1, f=squared, hessian=two_equal),
        bent([2.0, 2.0], f=squared, hessian=0.5 * two_equal),
        bent([[2.0, 2.0], [3.0, 3.0]], axis=1, f=squared,
             hessian=np.kron(np.eye(2), 0.5 * two_equal)))),
    "length": OpCase(reduction(spaced), numpy_length, order=3, edges=(
        at([[0.0, 0.0], [3.0, 4.0]], axis=1, g=[1, 5], expect=[[[0, 0], [3, 4]]]),), curvatures=(
        bent([0.0, 0.0], hessian=[[nan, 0], [0, nan]]),
        bent([[0.0, 0.0], [3.0, 4.0]], axis=1, f=squared, hessian=2 * np.eye(4)),
        bent([[0.0, 0.0], [0.0, 0.0]], axis=1, keepdims=True, f=lambda y: y.sum() ** 2,
             hessian=np.where(np.eye(4), nan, 0)))),
    "root_mean_square": OpCase(floored(), numpy_root_mean_square, order=3),
    "logsumexp": OpCase(reduction(), numpy_logsumexp, order=3, edges=(at(
        [[inf, inf, 1], [5, -inf, 5], [-inf, 0, inf], [-inf, -inf, -inf], [1000, 0, 1000]],
        axis=1, g=[2] * 5, expect=[[[1, 1, 0], [1, 0, 1], [0, 0, 2], [0, 0, 0], [1, 0, 1]]]),),
        curvatures=(bent([-inf, 0.0, 0.0], hessian=np.pad(two_equal / 4, ((1, 0), (1, 0)))),
                    bent([-inf, -inf]), bent([inf, 0.0]))),
    "prod": OpCase(reduction(with_zeros, 0), np.prod, order=3, edges=(
        at(zeros, axis=1, g=weights, expect=[[[0, 6, 0], [0, 0, 0]]]),
        at([[[1, 2], [3, 4]], [[5, 6], [7, 0]]], axis=0, g=[[1, 1], [1, 1]],
           expect=[[[[5, 6], [7, 0]], [[1, 2], [3, 4]]]]),
        at(huge, axis=1, g=[1, 1, 2, 1], expect=[[
            [1e-200, 1e-200, 1e200, 1e200], [1e200, 1e-200, 1e-200, 1e200], [10, 0, 0, 0],
            [0, inf, 0, 0]]]))),
    "cumsum": OpCase(along(), np.cumsum),
    "cumprod": OpCase(along(with_zeros), np.cumprod, order=3, edges=(
        at(zeros, axis=1, g=[[1] * 3] * 2, expect=[[[1, 8, 0], [1, 0, 0]]]),
        at(huge, axis=1, g=[[0, 0, 0, 1]] * 4, expect=[[
            [1e-200, 1e-200, 1e200, 1e200], [1e200, 1e-200, 1e-200, 1e200], [5, 0, 0, 0],
            [0, inf, 0, 0]]]),
        at(huge, axis=1, g=[[1, 1, 1, 1]] * 4, expect=[[
            [1e200, 1e200, inf, 1e200], [inf, 1, 1, 1e200], [6e200 + 5, 0, 0, 0],
            [1, inf, 0, 0]]]),
        at([1, 1, 1e300, 1e300, 1e-300], g=[0, 0, 0, 0, 1], expect=[[1e300, 1e300, 1, 1, inf]]),
        at(np.array(3.0), axis=0, g=[2.0], expect=[np.array(2.0)]))),
    "cumulative_sum": OpCase(starting(), np.cumulative_sum),
    "cumulative_prod": OpCase(starting(), np.cumulative_prod),
    "_exponents": OpCase(scanning(), numpy_exponents),
    "_largest_ahead": OpCase(scanning(2), numpy_largest_ahead),
    "_recurrence": OpCase(recurring(), numpy_recurrence, order=3),
    # differences cannot be taken at NaN: those are in the tests of this module
    "nansum": OpCase(reduction(), np.nansum, edges=(
        at(unknown, axis=1, g=weights, expect=[[[1, 0, 1], [0, 0, 10]]]),),
        curvatures=(bent([1.0, nan]),)),
    "nanprod": OpCase(reduction(with_zeros), np.nanprod, edges=(
        at(unknown, axis=1, g=weights, expect=[[[4, 0, 1], [0, 0, 10]]]),),
        curvatures=(bent([0.0, nan, 0.0, 3.0], hessian=product_of_zeros),)),
    "nancumsum": OpCase(along(least=1), np.nancumsum, edges=(
        at([1, nan, 4.0], g=[1, 2, 3], expect=[[6, 0, 3]]),), curvatures=(bent([1.0, nan]),)),
    "nancumprod": OpCase(along(with_zeros, least=1), np.nancumprod, edges=(
        at([1, nan, 4.0], g=[1, 2, 3], expect=[[15, 0, 3]]),),
        curvatures=(bent([0.0, nan, 4.0], hessian=[[0, 0, 1], [0, 0, 0], [1, 0, 0]]),)),
    "nanmean": OpCase(reduction(), np.nanmean, edges=(
        at(unknown, axis=1, g=weights, expect=[[[0.5, 0, 0.5], [0, 0, 10]]]),),
        curvatures=(bent([1.0, nan]),)),
    "nanvar": OpCase(reduction(), np.nanvar, edges=(
        at(unknown, axis=1, g=weights, expect=[[[-1.5, 0, 1.5], [0, 0, 0]]]),),
        curvatures=(bent([1.0, nan, 4.0], hessian=0.5 * one_unknown),)),
    "nanstd": OpCase(varying(), np.nanstd, edges=(
        at(unknown, axis=1, g=weights, expect=[[[-0.5, 0, 0.5], [0, 0, 0]]]),), curvatures=(
        bent([2.0, nan, 2.0], hessian=np.where(one_unknown, nan, 0)),
        bent([2.0, nan, 2.0], f=squared, hessian=0.5 * one_unknown),
        bent([2.0, nan], hessian=0))),
    "nanmax": OpCase(reduction(spaced), np.nanmax, edges=(
        at(rows, axis=1, g=[1, 2, 3], expect=[[[0, 0.5, 0.5], [0, 2, 0], [1, 1, 1]]]),),
        curvatures=(bent([4.0, nan, 4.0]),)),
    "nanmin": OpCase(reduction(spaced), np.nanmin, edges=(
        at(rows, axis=1, g=[1, 2, 3], expect=[[[1, 0, 0], [0, 2, 0], [1, 1, 1]]]),),
        curvatures=(bent([4.0, nan, 4.0]),)),
    "all": OpCase(reduction(truths, 0), np.all),
    "any": OpCase(reduction(truths, 0), np.any),
    "count_nonzero": OpCase(reduction(truths, 0), np.count_nonzero),
    "argmax": OpCase(along(least=1, keepdims=True), np.argmax),
    "argmin": OpCase(along(least=1, keepdims=True), np.argmin),
    "nanargmax": OpCase(with_nan(along(least=1, keepdims=True)), np.nanargmax),
    "nanargmin": OpCase(with_nan(along(least=1, keepdims=True)), np.nanargmin),
}
