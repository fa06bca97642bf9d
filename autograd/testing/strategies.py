"""Hypothesis strategies for what ops take: arrays at natural scale, shapes that broadcast."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from .opcase import Inputs


def shapes(least: int = 0, dims: int = 3, min_dims: int = 0) -> st.SearchStrategy[Any]:
    """Shapes of at most `dims` axes, each between `least` and 3 long."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=dims, min_side=least, max_side=3)


@st.composite
def values(draw: Any, shape: Any, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """An array between low and high; contiguous, or a view of every other element."""
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if shape and draw(st.booleans()):
        wide = rng.uniform(low, high, (*shape[:-1], 2 * shape[-1]))
        return wide[..., ::2]
    return np.asarray(rng.uniform(low, high, shape))


@st.composite
def spaced(draw: Any, shape: Any, offset: float = 0.0) -> np.ndarray:
    """An array of different values at least 0.1 apart, none near 0: no kink within a step."""
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    count = math.prod(shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grid = (np.arange(count) - count // 2) * 0.2 + 0.1 + offset
    return rng.permutation(grid).reshape(shape)


@st.composite
def one(draw: Any, x: st.SearchStrategy[Any], **options: Any) -> Inputs:
    """A single array, and options that may be strategies."""
    return (draw(x),), {k: draw(v) if isinstance(v, st.SearchStrategy) else v
                        for k, v in options.items()}


@st.composite
def pair(draw: Any, left: tuple[float, float] = (-2, 2),
         right: tuple[float, float] = (-2, 2)) -> Inputs:
    """Two arrays whose shapes broadcast together."""
    found = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0,
                                                   max_side=3))
    a, b = found.input_shapes
    return (draw(values(a, *left)), draw(values(b, *right))), {}


@st.composite
def uneven_pair(draw: Any) -> Inputs:
    """Two arrays that broadcast together and have no nearly equal elements."""
    a, b = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0,
                                                  max_side=3)).input_shapes
    return (draw(spaced(a)), draw(spaced(b, offset=0.1))), {}


anything = one(values(shapes()))
positive = one(values(shapes(), 0.3, 3.0))
