"""Cases of the ops in `autograd.ops.special`."""

from __future__ import annotations

import math

import numpy as np

from ..opcase import OpCase
from ..strategies import one, shapes, values

CASES: dict[str, OpCase] = {
    "erf": OpCase(one(values(shapes(), -3, 3)), np.vectorize(math.erf, otypes=[float]), order=3),
}
