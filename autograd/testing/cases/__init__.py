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

CASES: dict[str, OpCase] = {}
for _module in (arithmetic, exponential, trigonometric, special, piecewise, broadcast, reduce, shape,
                index, products):
    CASES.update(_module.CASES)
