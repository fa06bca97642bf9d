"""Cases of the ops in `autograd.ops.piecewise`."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import one, pair, shapes, spaced, uneven_pair


@st.composite
def choosing(draw: Any) -> Inputs:
    (a, b), _ = draw(pair())
    condition = draw(hnp.arrays(bool, np.broadcast_shapes(a.shape, b.shape)))
    return (condition, a, b), {}


comparison = pair()


CASES: dict[str, OpCase] = {
    "absolute": OpCase(one(spaced(shapes())), np.absolute),
    "sign": OpCase(one(spaced(shapes())), np.sign),
    "maximum": OpCase(uneven_pair(), np.maximum),
    "minimum": OpCase(uneven_pair(), np.minimum),
    "where": OpCase(choosing(), np.where),
    "equal": OpCase(comparison, np.equal),
    "not_equal": OpCase(comparison, np.not_equal),
    "less": OpCase(comparison, np.less),
    "less_equal": OpCase(comparison, np.less_equal),
    "greater": OpCase(comparison, np.greater),
    "greater_equal": OpCase(comparison, np.greater_equal),
}
