"""Cases of the reductions with `where=`, `initial=`, `dtype=` and `b=`, beside those without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import reals, spaced
from . import reduce
from .piecewise import at, bent, inf, nan, squared


@st.composite
def choosing(draw: Any, base: st.SearchStrategy[Inputs], initial: bool = False,
             least: int = 0) -> Inputs:
    """The inputs of `base` with a mask that broadcasts, and at least so many chosen over axes."""
    (x,), options = draw(base)
    mask = draw(hnp.arrays(bool, draw(st.sampled_from([x.shape, x.shape[-1:], ()]))))
    if (np.broadcast_to(mask, x.shape).sum(axis=options["axis"]) < least).any():
        mask = np.array(True)
    options["where"] = draw(st.sampled_from([mask, mask.tolist()])) if mask.size else mask
    if initial:
        options["initial"] = draw(st.sampled_from([-0.35, 1.5]))
    return (x,), options


@st.composite
def starting_at(draw: Any, base: st.SearchStrategy[Inputs]) -> Inputs:
    args, options = draw(base)
    return args, options | {"initial": draw(st.sampled_from([-0.35, 1.5]))}


@st.composite
def weighing(draw: Any) -> Inputs:
    (x,), options = draw(reduce.reduction())
    b = draw(reals(x.shape, 0.2, 3.0))
    if options["axis"] is None and b.size > 1:
        b.flat[draw(st.integers(0, b.size - 1))] = 0.0
    return (x,), options | {"b": b}


@st.composite
def weighted(draw: Any) -> Inputs:
    (x,), options = draw(weighing())
    return (x, options.pop("b")), options


def numpy_logsumexp(x: np.ndarray, axis: Any, keepdims: bool, b: Any = 1.0,
                    where: Any = True) -> np.ndarray:
    return np.log((b * np.exp(x)).sum(axis=axis, keepdims=keepdims, where=where))


def also(name: str, *more: st.SearchStrategy[Inputs], **changes: Any) -> dict[str, OpCase]:
    case = reduce.CASES[name]
    return {name: replace(case, inputs=st.one_of(case.inputs, *more), **changes)}


any_size, apart = reduce.reduction(least=0), reduce.reduction(spaced)
left_out = [[1.0, np.nan, 4.0], [inf, 2.0, 2.0]]
mask = [[True, False, True], [False, True, True]]

e7 = np.exp(7.0)  # y = ln(b_0 e^x_0 + b_1 e^x_1) at b = (1, 0): by x_0, x_1, b_0, b_1
of_no_weight = np.array([[0, 0, 0, -e7], [0, 0, 0, e7], [0, 0, -1, -e7], [-e7, e7, -e7, -e7 * e7]])

CASES: dict[str, OpCase] = {
    **also("sum", choosing(any_size, initial=True), choosing(any_size), starting_at(any_size),
           curvatures=(bent([1.0, nan], where=[True, False]),),
           edges=(at(left_out, axis=1, where=mask, initial=2.0, g=[1, 10],
                     expect=[[[1, 0, 1], [0, 10, 10]]]),)),
    **also("prod", choosing(reduce.reduction(reduce.with_zeros, 0), initial=True),
           curvatures=(bent([0.0, 3.0, nan], where=[True, True, False], initial=2.0,
                            hessian=[[0, 2, 0], [2, 0, 0], [0, 0, 0]]),),
           edges=(*reduce.CASES["prod"].edges,
                  at(left_out, axis=1, where=mask, initial=2.0, g=[1, 10],
                     expect=[[[8, 0, 2], [0, 40, 40]]]))),
    **also("mean", choosing(reduce.reduction(), least=1),
           curvatures=(bent([1.0, nan], where=[True, False]),),
           edges=(*reduce.CASES["mean"].edges,
                  at(left_out, axis=1, where=mask, g=[1, 10],
                     expect=[[[0.5, 0, 0.5], [0, 5, 5]]]))),
    **also("max", choosing(apart, initial=True), starting_at(apart), edges=(
        *reduce.CASES["max"].edges,
        at(left_out, axis=1, where=mask, initial=2.0, g=[1, 12],
           expect=[[[0, 0, 1], [0, 3, 3]]]))),
    **also("min", choosing(apart, initial=True), starting_at(apart), edges=(
        *reduce.CASES["min"].edges,
        at(left_out, axis=1, where=mask, initial=2.0, g=[1, 12],
           expect=[[[1, 0, 0], [0, 3, 3]]]))),
    **also("var", choosing(reduce.reduction(), least=1), curvatures=(
        bent([2.0, nan, 2.0], where=[True, False, True],
             hessian=[[0.5, 0, -0.5], [0, 0, 0], [-0.5, 0, 0.5]]),), edges=(
        *reduce.CASES["var"].edges,
        at(left_out, axis=1, where=mask, g=[1, 10], expect=[[[-1.5, 0, 1.5], [0, 0, 0]]]))),
    **also("std", choosing(apart, least=2), curvatures=(
        *reduce.CASES["std"].curvatures,
        bent([2.0, 7.0, 2.0], where=[True, False, True], f=squared,
             hessian=[[0.5, 0, -0.5], [0, 0, 0], [-0.5, 0, 0.5]]),
        bent([2.0, 7.0], where=[True, False]),
        bent([2.0, 2.0], mean=np.array(2.0), hessian=[[nan, 0], [0, nan]])), edges=(
        *reduce.CASES["std"].edges,
        at(left_out, axis=1, where=mask, g=[1, 10], expect=[[[-0.5, 0, 0.5], [0, 0, 0]]]))),
    **also("nansum", choosing(reduce.reduction(), initial=True)),
    **also("nanprod", choosing(reduce.reduction(reduce.with_zeros), initial=True)),
    **also("nanmean", choosing(reduce.reduction(), least=1)),
    **also("nanvar", choosing(reduce.reduction(), least=1)),
    **also("nanstd", choosing(apart, least=2)),
    **also("nanmax", choosing(apart, initial=True)),
    **also("nanmin", choosing(apart, initial=True)),
    **also("all", choosing(reduce.reduction(reduce.truths, 0))),
    **also("any", choosing(reduce.reduction(reduce.truths, 0))),
    **also("logsumexp", weighing(), choosing(reduce.reduction(), least=1), oracle=numpy_logsumexp),
    "_weighted_logsumexp": OpCase(weighted(), lambda x, b, axis, keepdims: numpy_logsumexp(
        x, axis, keepdims, b), order=3, edges=(
        at([[1e3, 0, 1], [-inf, 5, 5], [inf, 0, 1], [inf, 7, 7], [inf, inf, 0]],
           [[0, 2, 0], [1, 1, -1], [2, 1, 1], [0, 1, 1], [1, 3, 1.0]],
           axis=1, keepdims=False, g=[1, 1, 1, 1, 1],
           expect=[[[0, 1, 0], [0, 1, -1], [1, 0, 0], [0, 0.5, 0.5], [0.25, 0.75, 0]],
                   [[inf, 0.5, np.e / 2], [0, 1, 1], [0.5, 0, 0], [inf, 0.5, 0.5],
                    [0.25, 0.25, 0]]]),), curvatures=(
        bent([0.0, 7.0], [1.0, 0.0], axis=None, keepdims=False, hessian=of_no_weight),)),
}
