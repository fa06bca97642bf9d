"""Cases of the ops in `autograd.ops.exponential`."""

from __future__ import annotations

import numpy as np

from ..opcase import OpCase
from ..strategies import anything, positive

CASES: dict[str, OpCase] = {
    "exp": OpCase(anything, np.exp, order=3),
    "log": OpCase(positive, np.log, order=3),
}
