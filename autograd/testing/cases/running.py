"""Cases of the ops in `autograd.ops.running`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..opcase import OpCase
from ..strategies import reals, spaced
from .piecewise import at, bent, inf, nan
from .reduce import along


def running(ufunc: np.ufunc) -> Callable[..., np.ndarray]:
    def oracle(x: np.ndarray, axis: int | None) -> np.ndarray:
        if axis is None or not x.ndim:
            x, axis = x.reshape(-1), 0
        return np.asarray(ufunc.accumulate(x, axis))

    return oracle


ties = [2.0, 1, 2, 3, 3, 0, nan, 9, nan]
hundreds = [1.0, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8]

CASES: dict[str, OpCase] = {
    "cummax": OpCase(along(spaced), running(np.maximum), edges=(
        at(ties, g=hundreds, expect=[[111, 0, 0, 111e3, 0, 0, 111e6, 0, 0]]),)),
    "cummin": OpCase(along(spaced), running(np.minimum), edges=(
        at(ties, g=hundreds, expect=[[1, 11110, 0, 0, 0, 1e5, 111e6, 0, 0]]),)),
    "logcumsumexp": OpCase(along(reals), running(np.logaddexp), order=3, edges=(
        at([[-inf, -inf, 5.0, 5.0], [1e3, 0, 1e3, -1e3], [0.0, inf, 2.0, inf]], axis=1,
           g=[[1, 2, 4, 8], [1, 2, 4, 8], [1, 2, 4, 8]],
           expect=[[[0, 0, 8, 4], [9, 0, 6, 0], [1, 10, 0, 4]]]),), curvatures=(
        bent([-inf, 0.0, 0.0], hessian=[[0, 0, 0], [0, 0.25, -0.25], [0, -0.25, 0.25]]),)),
}
