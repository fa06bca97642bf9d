"""Cases of the ops in `autograd.ops.trigonometric`."""

from __future__ import annotations

import numpy as np

from ..opcase import OpCase
from ..strategies import anything

CASES: dict[str, OpCase] = {
    "tanh": OpCase(anything, np.tanh, order=3),
}
