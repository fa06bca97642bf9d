"""Cases of the ops in `autograd.ops.arithmetic`."""

from __future__ import annotations

import numpy as np

from ..opcase import OpCase
from ..strategies import anything, pair, positive

CASES: dict[str, OpCase] = {
    "add": OpCase(pair(), np.add),
    "subtract": OpCase(pair(), np.subtract),
    "multiply": OpCase(pair(), np.multiply),
    "divide": OpCase(pair(right=(0.4, 2)), np.divide, order=3),
    "negative": OpCase(anything, np.negative),
    "power": OpCase(pair(left=(0.4, 2)), np.power, order=3),
    "sqrt": OpCase(positive, np.sqrt, order=3),
}
