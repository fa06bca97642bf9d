"""One OpCase for every op of the engine; `CASES` has them all by name."""

from __future__ import annotations

from ..opcase import OpCase
from . import (
    arithmetic,
    broadcast,
    exponential,
    index,
    piecewise,
    products,
    reduce,
    shape,
    special,
    trigonometric,
)

CASES: dict[str, OpCase] = {
    **arithmetic.CASES,
    **exponential.CASES,
    **trigonometric.CASES,
    **special.CASES,
    **piecewise.CASES,
    **broadcast.CASES,
    **shape.CASES,
    **reduce.CASES,
    **index.CASES,
    **products.CASES,
}
