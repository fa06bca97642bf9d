"""Cases of the ops in `autograd.ops.index`."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import shapes, values


@st.composite
def indexing(draw: Any) -> tuple[np.ndarray, Any]:
    """An array and an index of any kind: basic, arrays with repetitions, masks, mixtures."""
    x = draw(values(shapes(least=1, min_dims=1)))
    n = x.shape[0]
    rows = st.lists(st.integers(-n, n - 1), max_size=4).map(lambda r: np.array(r, dtype=int))
    mask = hnp.arrays(bool, x.shape[: draw(st.integers(1, x.ndim))])
    index = draw(st.one_of(
        hnp.basic_indices(x.shape, allow_newaxis=True), rows, mask,
        rows.map(lambda r: (r, ...)), rows.map(lambda r: (..., None, r) if x.ndim == 1 else
                                               (r[:, None], slice(0, 1))),
        st.integers(-n, n - 1).map(np.int64),
    ))
    return x, index


@st.composite
def adding_in(draw: Any) -> Inputs:
    x, index = draw(indexing())
    return (x, index, draw(values(x[index].shape))), {}


def numpy_scatter_add(x: np.ndarray, index: Any, v: np.ndarray) -> np.ndarray:
    y = x.copy()
    np.add.at(y, index, v)
    return y


@st.composite
def taking(draw: Any) -> Inputs:
    x = draw(values(shapes(least=1, min_dims=1)))
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    n = x.size if axis is None else x.shape[axis]
    indices = draw(hnp.arrays(np.int64, shapes(dims=2), elements=st.integers(-n, n - 1)))
    return (x, indices), {"axis": axis}


@st.composite
def taking_along(draw: Any) -> Inputs:
    x = draw(values(shapes(least=1, min_dims=1)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    count = draw(st.integers(0, 3))
    shape = tuple(count if i == axis % x.ndim else n for i, n in enumerate(x.shape))
    n = x.shape[axis]
    return (x, draw(hnp.arrays(np.int64, shape, elements=st.integers(-n, n - 1)))), {"axis": axis}


CASES: dict[str, OpCase] = {
    "getitem": OpCase(indexing().map(lambda drawn: (drawn, {})), lambda x, index: x[index]),
    "scatter_add": OpCase(adding_in(), numpy_scatter_add),
    "take": OpCase(taking(), np.take),
    "take_along_axis": OpCase(taking_along(), np.take_along_axis),
}
