"""Cases of the ops in `autograd.ops.reduce`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import shapes, spaced, values


@st.composite
def reduction(draw: Any, of: Callable[..., Any] = values, least: int = 1, **options: Any) -> Inputs:
    """An array, and an axis in every form that NumPy takes."""
    x = draw(of(shapes(least)))
    axes = draw(st.sets(st.integers(0, x.ndim - 1))) if x.ndim else set()
    signed = tuple(a - x.ndim if draw(st.booleans()) else a for a in axes)
    axis = draw(st.sampled_from([None, signed, *signed[:1]]))
    return (x,), {"axis": axis, "keepdims": draw(st.booleans()),
                  **{k: draw(v) for k, v in options.items()}}


def numpy_logsumexp(x: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


CASES: dict[str, OpCase] = {
    "sum": OpCase(reduction(least=0), np.sum),
    "mean": OpCase(reduction(), np.mean),
    "max": OpCase(reduction(spaced), np.max),
    "min": OpCase(reduction(spaced), np.min),
    "var": OpCase(reduction(ddof=st.just(0)), np.var),
    "logsumexp": OpCase(reduction(), numpy_logsumexp, order=3),
}
