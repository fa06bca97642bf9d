"""Cases of the ops in `autograd.ops.index`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import one, reals, shapes, spaced
from . import reduce
from .piecewise import at, bent
from .reduce import ones, share


@st.composite
def indexing(draw: Any, masks: bool = True) -> tuple[np.ndarray, Any]:
    """An array and an index of any kind: basic, arrays with repetitions, masks, mixtures."""
    x = draw(reals(shapes(least=1, min_dims=1)))
    n = x.shape[0]
    rows = st.lists(st.integers(-n, n - 1), max_size=4).map(lambda r: np.array(r, dtype=int))
    forms: list[Any] = [
        hnp.basic_indices(x.shape, allow_newaxis=True), rows,
        rows.map(lambda r: (r, ...)), rows.map(lambda r: (..., None, r) if x.ndim == 1 else
                                               (r[:, None], slice(0, 1))),
        st.integers(-n, n - 1).map(np.int64), st.integers(-n, n - 1).map(np.array),
        rows.map(lambda r: (None, r, ..., None)), rows.map(lambda r: (r.tolist(),)),
        rows.map(lambda r: np.stack([r, r[::-1]])),
    ]
    if x.ndim > 1:
        forms += [rows.map(lambda r: (slice(None, None, -1), r % x.shape[1])),
                  rows.map(lambda r: (r, 0)), rows.map(lambda r: (0, slice(None), r % x.shape[-1])
                                                       if x.ndim == 3 else (r, r % x.shape[1]))]
    if masks:
        mask = hnp.arrays(bool, x.shape[: draw(st.integers(1, x.ndim))])
        forms += [mask, mask.map(lambda m: (..., m) if m.ndim == x.ndim else (m, ...))]
    return x, draw(st.one_of(forms))


@st.composite
def adding_in(draw: Any, masks: bool = True) -> Inputs:
    x, index = draw(indexing(masks))
    shape = x[index].shape
    return (x, index, draw(reals(draw(st.sampled_from([shape, shape[1:], ()]))))), {}


@st.composite
def scattering(draw: Any) -> Inputs:
    x, index = draw(indexing(masks=False))
    return (draw(reals(x[index].shape)), index), {"shape": x.shape}


@st.composite
def contending(draw: Any) -> Inputs:
    """As `adding_in`, but no two numbers are nearly equal."""
    (x, index, v), _ = draw(adding_in(masks=False))
    return (draw(spaced(x.shape)), index, draw(spaced(v.shape, offset=0.1))), {}


def numpy_scatter(v: np.ndarray, index: Any, shape: Any) -> np.ndarray:
    return numpy_at(np.add)(np.zeros(shape), index, v)


def numpy_at(ufunc: np.ufunc) -> Callable[..., np.ndarray]:
    def oracle(x: np.ndarray, index: Any, v: np.ndarray) -> np.ndarray:
        y = x.copy()
        ufunc.at(y, index, np.broadcast_to(v, x[index].shape).copy())
        return y

    return oracle


def numpy_scatter_set(x: np.ndarray, index: Any, v: np.ndarray) -> np.ndarray:
    """One write after the other."""
    y, places = x.copy(), np.arange(x.size).reshape(x.shape)[index]
    for place, value in zip(places.ravel(), np.broadcast_to(v, places.shape).ravel(), strict=True):
        y.reshape(-1)[place] = value
    return y


@st.composite
def taking(draw: Any) -> Inputs:
    x = draw(reals(shapes(least=1, min_dims=1)))
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    n = x.size if axis is None else x.shape[axis]
    mode = draw(st.sampled_from(["raise", "clip", "wrap"]))
    low, high = (-n, n - 1) if mode == "raise" else (-2 * n, 2 * n)
    indices = draw(hnp.arrays(np.int64, shapes(dims=2), elements=st.integers(low, high)))
    return (x, indices), {"axis": axis, "mode": mode}


@st.composite
def taking_along(draw: Any) -> Inputs:
    x = draw(reals(shapes(least=1, min_dims=1)))
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    n, count = x.size if axis is None else x.shape[axis], draw(st.integers(0, 3))
    shape = (count,) if axis is None else tuple(
        count if i == axis % x.ndim else n for i, n in enumerate(x.shape))
    return (x, draw(hnp.arrays(np.int64, shape, elements=st.integers(-n, n - 1)))), {"axis": axis}


@st.composite
def putting_along(draw: Any) -> Inputs:
    (x, indices), options = draw(taking_along())
    return (x, indices, draw(reals(draw(st.sampled_from([indices.shape, ()]))))), options


def numpy_put_along_axis(x: np.ndarray, indices: np.ndarray, v: np.ndarray, axis: Any) -> Any:
    y = x.copy()
    np.put_along_axis(y, indices, v, axis)
    return y


@st.composite
def compressing(draw: Any) -> Inputs:
    x = draw(reals(shapes(min_dims=1)))
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    n = x.size if axis is None else x.shape[axis]
    return (tuple(draw(st.lists(st.booleans(), max_size=n))), x), {"axis": axis}


@st.composite
def extracting(draw: Any) -> Inputs:
    x = draw(reals(shapes(min_dims=1)))
    return (tuple(draw(hnp.arrays(bool, x.size)).tolist()), x), {}


@st.composite
def selecting(draw: Any) -> Inputs:
    shape, count = draw(shapes()), draw(st.integers(1, 3))
    conditions = tuple(draw(hnp.arrays(bool, shape)) for _ in range(count))
    choices = tuple(draw(hnp.arrays(np.int8, shape)) for _ in range(count))
    return (conditions, choices, draw(reals(draw(st.sampled_from([shape, ()]))))), {}


@st.composite
def choosing(draw: Any) -> Inputs:
    shape, count = draw(shapes(dims=2)), draw(st.integers(1, 3))
    indices = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, count - 1)))
    return (indices, draw(reals((count, *draw(st.sampled_from([shape, shape[1:]])))))), {}


@st.composite
def filling(draw: Any) -> Inputs:
    x = draw(reals(shapes()))
    return (x, draw(hnp.arrays(bool, x.shape)), draw(reals(()))), {}


@st.composite
def numbering(draw: Any) -> Inputs:
    shape = draw(shapes(least=1, min_dims=1))
    elements = st.integers(0, int(np.prod(shape)) - 1)
    return (draw(hnp.arrays(np.int64, shapes(dims=2), elements=elements)),), {"shape": shape}


many = (at(ones[:1], np.zeros(ones.size - 1, int), ones[1:], g=ones[:1],
           expect=[share[:1], share[1:]]),)
meeting = (bent([1.0, 2.0], np.array([0, 0]), [1.0, 1.0]),)

CASES: dict[str, OpCase] = {
    "getitem": OpCase(indexing().map(lambda drawn: (drawn, {})), lambda x, index: x[index]),
    "_scatter": OpCase(scattering(), numpy_scatter),
    "scatter_add": OpCase(adding_in(), numpy_at(np.add)),
    "scatter_set": OpCase(adding_in(masks=False), numpy_scatter_set, curvatures=meeting),
    "scatter_max": OpCase(contending(), numpy_at(np.maximum), edges=many, curvatures=meeting),
    "scatter_min": OpCase(contending(), numpy_at(np.minimum), curvatures=meeting),
    "take": OpCase(taking(), np.take),
    "take_along_axis": OpCase(taking_along(), np.take_along_axis),
    "put_along_axis": OpCase(putting_along(), numpy_put_along_axis),
    "compress": OpCase(compressing(), np.compress),
    "extract": OpCase(extracting(), np.extract),
    "select": OpCase(selecting(), lambda c, x, default: np.select(list(c), list(x), default),
                     curvatures=(bent((np.array([True, False]),), ([0.0, 0.0],), [0.0, 0.0]),)),
    "choose": OpCase(choosing(), np.choose),
    "masked_fill": OpCase(filling(), lambda x, mask, value: np.where(mask, value, x),
                          curvatures=(bent([0.0, 0.0], np.array([True, False]), np.zeros(())),)),
    "nonzero": OpCase(one(reduce.truths(shapes(min_dims=1))), np.nonzero),
    "flatnonzero": OpCase(one(reduce.truths(shapes())), np.flatnonzero),
    "argwhere": OpCase(one(reduce.truths(shapes())), np.argwhere),
    "unravel_index": OpCase(numbering(), np.unravel_index),
}
