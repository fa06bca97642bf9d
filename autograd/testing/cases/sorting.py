"""Cases of the ops in `autograd.ops.sorting`."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import broadcastable_shapes, reals, shapes, spaced
from .piecewise import at, bent, inf


@st.composite
def sorting(draw: Any) -> Inputs:
    x = draw(spaced(shapes(min_dims=1)))
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    return (x,), {"axis": axis, "descending": draw(st.booleans())}


def numpy_sort(x: np.ndarray, axis: int | None, descending: bool) -> np.ndarray:
    y = np.sort(x, axis)
    return np.flip(y, -1 if axis is None else axis) if descending else y


def numpy_argsort(x: np.ndarray, axis: int | None, descending: bool) -> np.ndarray:
    order = np.argsort(x, axis)
    return np.flip(order, -1 if axis is None else axis) if descending else order


@st.composite
def partitioning(draw: Any) -> Inputs:
    """Arrays long enough not to be sorted by the way."""
    x = draw(spaced(draw(st.sampled_from([(12,), (1,), (2, 9), (10, 1), (2, 2, 8)]))))
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    n = x.size if axis is None else x.shape[axis]
    kth = st.integers(0, n - 1)
    return (x,), {"kth": draw(st.one_of(kth, st.tuples(kth, kth))), "axis": axis}


@st.composite
def choosing_largest(draw: Any) -> Inputs:
    x = draw(spaced(shapes(min_dims=1)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    return (x, draw(st.integers(0, x.shape[axis]))), {
        "axis": axis, "largest": draw(st.booleans())}


def numpy_topk(x: np.ndarray, k: int, axis: int, largest: bool) -> tuple[np.ndarray, np.ndarray]:
    order = numpy_argsort(x, axis, largest).take(range(k), axis)
    return np.take_along_axis(x, order, axis), order


@st.composite
def ordering(draw: Any, of: float | None = None, table: bool = True) -> Inputs:
    """An array, an axis in every form that NumPy takes, and fractions of `of`, also in a table."""
    x = draw(spaced(shapes(least=1)))
    axes = draw(st.sets(st.integers(0, x.ndim - 1))) if x.ndim else set()
    signed = tuple(a - x.ndim if draw(st.booleans()) else a for a in axes)
    forms = [None, *([signed] if signed or not x.ndim else []), *signed[:1]]
    options: dict[str, Any] = {"axis": draw(st.sampled_from(forms)),
                               "keepdims": draw(st.booleans())}
    if of is not None:
        q = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 0.9, 1.0]).map(lambda q: q * of)
        tables = [st.just(np.array([[0.1, 0.7]]) * of)] if table else []
        options["q"] = draw(st.one_of(q, st.lists(q, max_size=3), *tables))
        options["method"] = draw(st.sampled_from(
            ["linear", "lower", "higher", "nearest", "midpoint", "hazen", "weibull",
             "interpolated_inverted_cdf", "median_unbiased", "normal_unbiased"]))
    return (x,), options


@st.composite
def searching(draw: Any) -> Inputs:
    places = np.sort(draw(reals(shapes(dims=1, min_dims=1))))
    return (places, draw(reals(shapes()))), {"side": draw(st.sampled_from(["left", "right"]))}


@st.composite
def interpolating(draw: Any) -> Inputs:
    """Points 0.5 apart or more, and places at least 0.1 from each of them."""
    n = draw(st.integers(1, 4))
    points = np.arange(n) + draw(reals((n,), 0.0, 0.2))
    shape = draw(shapes(dims=2))
    pieces = draw(hnp.arrays(np.int64, shape, elements=st.integers(-1, n - 1)))
    ends = draw(st.sampled_from([{}, {"left": -1.5}, {"left": 0.0, "right": 2.0},
                                 {"period": n + 1.0, "left": 7.0}]))
    if "period" in ends:
        points = draw(st.sampled_from([points, points[::-1].copy(), points - n - 1]))
    return (np.asarray(pieces + draw(reals(shape, 0.4, 0.9))), points, draw(reals((n,)))), ends


@st.composite
def mixing(draw: Any) -> Inputs:
    a, b, t = draw(broadcastable_shapes(3))
    return (draw(reals(a)), draw(reals(b)), draw(reals(t, 0.0, 1.0))), {}


@st.composite
def repeated(draw: Any) -> Inputs:
    x = draw(spaced(shapes(least=1)))
    asked = [name for name in ("return_index", "return_inverse", "return_counts")
             if draw(st.booleans())]
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1))) if x.ndim else None
    return (x,), {"axis": axis, **dict.fromkeys(asked, True)}

tie = (bent([2.0, 1.0, 2.0, 3.0]),)
tie_at_half = (bent([2.0, 1.0, 2.0, 3.0], q=0.5),)

CASES: dict[str, OpCase] = {
    "sort": OpCase(sorting(), numpy_sort),
    "argsort": OpCase(sorting(), numpy_argsort),
    "partition": OpCase(partitioning(), np.partition),
    "argpartition": OpCase(partitioning(), np.argpartition),
    "topk": OpCase(choosing_largest(), numpy_topk),
    "searchsorted": OpCase(searching(), np.searchsorted),
    "median": OpCase(ordering(), np.median, curvatures=tie),
    "quantile": OpCase(ordering(of=1.0), np.quantile, curvatures=tie_at_half),
    "percentile": OpCase(ordering(of=100.0), np.percentile),
    "nanmedian": OpCase(ordering(), np.nanmedian),
    "nanquantile": OpCase(ordering(of=1.0, table=False), np.nanquantile,
                          curvatures=tie_at_half),
    "nanpercentile": OpCase(ordering(of=100.0, table=False), np.nanpercentile),
    "_lerp": OpCase(mixing(), lambda a, b, t: a + t * (b - a), order=3, edges=(
        at([1.0, inf, -inf], [inf, 2.0, 5.0], [0.0, 1.0, 0.5], g=[1, 1, 1],
           expect=[[1, 0, 0.5], [0, 1, 0.5], [inf, -inf, inf]]),)),
    "unique": OpCase(repeated(), np.unique),
    "interp": OpCase(interpolating(), np.interp, curvatures=(
        bent([0.0, 1.0, 2.0], np.array([0, 1, 2]), np.array([0, 1, 4])),)),
}
