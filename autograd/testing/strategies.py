"""Hypothesis strategies for the inputs of ops: arrays in all layouts, shapes that broadcast.

Numbers are at natural scale, because a factor is not missed where everything is near 1, and errors
hide where it is small. Elements come from a drawn seed: shapes shrink, numbers stay generic, and a
failure's message has them rounded as far as it goes.

    @given(arrays((2, 3), away_from=[0.0]))
    def test_mine(x): ...
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

try:
    import hypothesis.extra.numpy as hnp
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError("drawing inputs needs Hypothesis, which is not installed: "
                      "pip install \"tinygrad_llm[test]\"") from error

from ..primitive import Op, registry
from .expression import SMOOTH, Expression
from .layouts import LAYOUTS, laid_out
from .opcase import Inputs

__all__ = ["arrays", "broadcastable_shapes", "expressions", "ill_scaled", "shapes", "spaced"]

def shapes(least: int = 0, dims: int = 3, min_dims: int = 0) -> st.SearchStrategy[Any]:
    """Shapes of at most `dims` axes, each between `least` and 3 long."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=dims, min_side=least, max_side=3)


def broadcastable_shapes(n: int, least: int = 0, dims: int = 3) -> st.SearchStrategy[Any]:
    """Tuples of n shapes that broadcast together, each axis between `least` and 3 long."""
    found = hnp.mutually_broadcastable_shapes(num_shapes=n, max_dims=dims, min_side=least,
                                              max_side=3)
    return found.map(lambda broadcast: broadcast.input_shapes)


Margin = Sequence[float] | Callable[[np.ndarray], Any]


@st.composite
def arrays(draw: Any, shape: Any = None, low: Any = -2.0, high: Any = 2.0, dtype: Any = np.float64,
           *, away_from: Margin = (), gap: float = 0.02,
           layouts: Sequence[str] = (*LAYOUTS, "read-only")) -> np.ndarray:
    """Arrays between low and high, in any memory layout; of a given shape, or a drawn one.

    Kinks are kept away from: no element comes closer than `gap` to a number in `away_from`, which
    may also be a function that returns the distances of all elements from where they must not be.
    """
    shape = draw(shapes() if shape is None else shape) if _draws(shape) or shape is None else shape
    dtype = np.dtype(draw(dtype) if _draws(dtype) else dtype)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def fresh() -> np.ndarray:
        whole = dtype.kind in "iub"
        return np.asarray((rng.integers if whole else rng.uniform)(low, high, shape)).astype(dtype)

    x = fresh()
    for _ in range(1000):
        close = _distance(x, away_from) < gap
        if not close.any():
            return laid_out(x, draw(st.sampled_from(layouts)))
        x = np.where(close, fresh(), x)
    raise ValueError(f"arrays: between {low} and {high} there is no room outside of a gap of {gap}")


def _distance(x: np.ndarray, away_from: Margin) -> np.ndarray:
    if callable(away_from):
        return np.asarray(away_from(x))
    return np.abs(x[..., None] - np.asarray(away_from, dtype=float)).min(-1, initial=np.inf)


def _draws(x: Any) -> bool:
    return isinstance(x, st.SearchStrategy)


def reals(shape: Any, low: float = -2.0, high: float = 2.0) -> st.SearchStrategy[np.ndarray]:
    """Arrays of float64 between low and high that may be written into."""
    return arrays(shape, low, high, layouts=LAYOUTS)


@st.composite
def ill_scaled(draw: Any, shape: Any = None, small: float = 1e-8, large: float = 1e8) -> np.ndarray:
    """Arrays of both signs whose magnitudes lie anywhere between small and large."""
    powers = draw(arrays(shape, math.log10(small), math.log10(large), layouts=LAYOUTS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return 10.0**powers * rng.choice([-1.0, 1.0], powers.shape)


@st.composite
def spaced(draw: Any, shape: Any, offset: float = 0.0) -> np.ndarray:
    """Arrays of different values at least 0.1 apart, none near 0: no kink within a step."""
    shape = draw(shape) if _draws(shape) else shape
    count = math.prod(shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grid = (np.arange(count) - count // 2) * 0.2 + 0.1 + offset
    return rng.permutation(grid).reshape(shape)


@st.composite
def one(draw: Any, x: st.SearchStrategy[Any], **options: Any) -> Inputs:
    """A single array, and options that may be strategies."""
    return (draw(x),), {k: draw(v) if _draws(v) else v for k, v in options.items()}


@st.composite
def pair(draw: Any, left: tuple[float, float] = (-2, 2),
         right: tuple[float, float] = (-2, 2)) -> Inputs:
    """Two arrays whose shapes broadcast together."""
    a, b = draw(broadcastable_shapes(2))
    return (draw(reals(a, *left)), draw(reals(b, *right))), {}


@st.composite
def uneven_pair(draw: Any) -> Inputs:
    """Two arrays that broadcast together and have no nearly equal elements."""
    a, b = draw(broadcastable_shapes(2))
    return (draw(spaced(a)), draw(spaced(b, offset=0.1))), {}


anything = one(reals(shapes()))
positive = one(reals(shapes(), 0.3, 3.0))


@st.composite
def expressions(draw: Any, ops: Sequence[Op | str] = SMOOTH, max_ops: int = 6) -> Expression:
    """Random functions made of up to `max_ops` ops, each with inputs: see Expression.

    They shrink to the fewest ops that still fail, on the smallest inputs.

        @given(expressions())
        def test_chains(f):
            gradcheck(f, *f.inputs)
    """
    known = [registry[op] if isinstance(op, str) else op for op in ops
             if not isinstance(op, str) or op in registry]
    found = draw(st.integers(1, 3).flatmap(lambda n: broadcastable_shapes(n, least=1, dims=2)))
    made = Expression([draw(reals(shape)) for shape in found])
    newest_first = st.sampled_from([0, 0, 0, 1, 2])  # so that chains become long
    steps = st.tuples(st.sampled_from(known), newest_first, st.integers(0, 5),
                      st.sampled_from([None, 0, -1]))
    for _ in range(draw(st.integers(1, max_ops))):
        op, a, b, axis = draw(steps)
        count = len(made.inputs) + len(made.steps)
        arity = 2 if op.variadic else len(op.arrays)
        options = {"axis": axis} if axis is not None and "axis" in op.defaults else {}
        for other in range(count):  # the first values that the op takes
            operands = tuple((count - 1 - k - other) % count for k in (a, b, 0)[:arity])
            if made.append(op, operands, options):
                break
    return made.pruned()
