"""One OpCase for every op of the engine; `CASES` has them all by name."""

from __future__ import annotations

from ..opcase import OpCase
from . import (
    activations,
    arithmetic,
    broadcast,
    chosen,
    convolution,
    exponential,
    index,
    linalg,
    losses,
    piecewise,
    products,
    reduce,
    running,
    shape,
    sorting,
    special,
    trigonometric,
)

CASES: dict[str, OpCase] = {
    **broadcast.CASES,
    **piecewise.CASES,
    **exponential.CASES,
    **arithmetic.CASES,
    **trigonometric.CASES,
    **special.CASES,
    **shape.CASES,
    **reduce.CASES,
    **chosen.CASES,  # those of the reductions, and more
    **index.CASES,
    **running.CASES,
    **sorting.CASES,
    **products.CASES,
    **linalg.CASES,
    **convolution.CASES,
    **activations.CASES,
    **losses.CASES,
}
