"""Cases of the ops in `autograd.ops.shape`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import one, shapes, values


@st.composite
def reshaping(draw: Any) -> Inputs:
    x = draw(values(shapes()))
    target = draw(st.sampled_from([(-1,), (x.size,), x.shape[::-1], (1, *x.shape)]))
    return (x,), {"shape": target if x.size or -1 not in target else (0,)}


@st.composite
def permuting(draw: Any) -> Inputs:
    x = draw(values(shapes()))
    axes = draw(st.one_of(st.none(), st.permutations(range(x.ndim)).map(tuple)))
    return (x,), {"axes": axes}


@st.composite
def with_axes(draw: Any, *names: str, extra: int = 0) -> Inputs:
    x = draw(values(shapes(min_dims=1)))
    n = x.ndim + extra
    return (x,), {name: draw(st.integers(-n, n - 1)) for name in names}


@st.composite
def squeezing(draw: Any) -> Inputs:
    x = draw(values(shapes()))
    ones = [i for i, n in enumerate(x.shape) if n == 1]
    return (x,), {"axis": draw(st.sampled_from([None, *ones, tuple(ones)]))}


@st.composite
def joining(draw: Any) -> Inputs:
    shape = draw(shapes(min_dims=1))
    axis = draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    lengths = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3))
    parts = [shape if axis is None else
             (*shape[: axis % len(shape)], n, *shape[axis % len(shape) + 1 :]) for n in lengths]
    return tuple(draw(values(s)) for s in parts), {"axis": axis}


@st.composite
def stacking(draw: Any) -> Inputs:
    shape = draw(shapes(dims=2))
    count = draw(st.integers(1, 3))
    axis = draw(st.integers(-len(shape) - 1, len(shape)))
    return ([draw(values(shape)) for _ in range(count)],), {"axis": axis}


@st.composite
def splitting(draw: Any) -> Inputs:
    x = draw(values(shapes(min_dims=1)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    n = x.shape[axis]
    cuts = draw(st.lists(st.integers(0, n), max_size=3).map(sorted))
    sections = draw(st.sampled_from([k for k in range(1, 4) if n % k == 0]))
    return (x,), {"indices_or_sections": draw(st.sampled_from([sections, cuts])), "axis": axis}


@st.composite
def padding(draw: Any) -> Inputs:
    x = draw(values(shapes(least=1, min_dims=1)))
    mode = draw(st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]))
    width = st.integers(0, 2)
    forms = st.one_of(width, st.tuples(width, width),
                      st.tuples(*[st.tuples(width, width)] * x.ndim))
    return (x,), {"pad_width": draw(forms), "mode": mode}


CASES: dict[str, OpCase] = {
    "reshape": OpCase(reshaping(), np.reshape),
    "transpose": OpCase(permuting(), np.transpose),
    "swapaxes": OpCase(with_axes("axis1", "axis2"), np.swapaxes),
    "expand_dims": OpCase(with_axes("axis", extra=1), np.expand_dims),
    "squeeze": OpCase(squeezing(), np.squeeze),
    "concatenate": OpCase(joining(), lambda *xs, axis: np.concatenate(xs, axis)),
    "stack": OpCase(stacking(), np.stack),
    "split": OpCase(splitting(), np.split),
    "pad": OpCase(padding(), np.pad),
    "_pad": OpCase(one(values((2, 3)), widths=st.just(((1, 0), (0, 2))), value=st.just(0.5)),
                   lambda x, widths, value: np.pad(x, widths, constant_values=value)),
}
