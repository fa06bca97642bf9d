"""Cases of the ops in `autograd.ops.exponential`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import where
from ..opcase import OpCase
from ..strategies import anything, one, pair, positive, reals, shapes
from .piecewise import at, bent, inf, nan, squared, with_number


def numpy_sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x / 2))


def numpy_xlogy(a: Any, b: Any) -> np.ndarray:
    return np.asarray(a * np.log(np.asarray(b, float)))


infinities = (at([inf, -inf, inf, -inf, 1.0], [inf, -inf, -inf, 0.0, 1.0], g=[2.0] * 5,
                 expect=[[1, 0, 2, 0, 1], [1, 0, 0, 2, 1]]),)

shares = np.kron([[1, -1], [-1, 1]], np.diag([0, 0, 0.25]))  # of infinities: 0 and 1

CASES: dict[str, OpCase] = {
    "exp": OpCase(anything, np.exp, order=3),
    "exp2": OpCase(anything, np.exp2, order=3),
    "expm1": OpCase(anything, np.expm1, order=3),
    "log": OpCase(positive, np.log, order=3),
    "log2": OpCase(positive, np.log2, order=3),
    "log10": OpCase(positive, np.log10, order=3),
    "log1p": OpCase(one(reals(shapes(), -0.6, 2)), np.log1p, order=3),
    "sigmoid": OpCase(one(reals(shapes(), -5, 5)), numpy_sigmoid, order=3, edges=(
        at([-800, 0, 40, 800], g=[1.0] * 4, expect=[[0, 0.25, np.exp(-40), 0]]),)),
    "logaddexp": OpCase(with_number(pair()), np.logaddexp, order=3, edges=infinities,
                        curvatures=(bent([inf, -inf, 0.0], [inf, 0.0, 0.0], hessian=shares),)),
    "logaddexp2": OpCase(with_number(pair()), np.logaddexp2, order=3, edges=infinities,
                         curvatures=(bent([inf, -inf, 0.0], [inf, 0.0, 0.0],
                                          hessian=np.log(2) * shares),)),
    "xlogy": OpCase(with_number(pair((0.4, 2), (0.4, 2))), numpy_xlogy, order=3, edges=(
        at([0, 0, 2, 1], [0, 3, 4, 0], g=[1.0] * 4,
           expect=[[0, np.log(3), np.log(4), -np.inf], [0, 0, 0.5, np.inf]]),), curvatures=(
        bent([0.0], [0.0], hessian=[[0, nan], [nan, 0]]), bent(0, [0.0]),
        bent([0.0], [0.0], f=squared, hessian=[[nan, nan], [nan, 0]]),
        bent([2.0], [1.0], f=squared, hessian=[[0, 0], [0, 8]]),
        bent([0.0, 2.0], [0.0, 1.0], f=lambda y: y[0] + y[1] * y[1],
             hessian=[[0, 0, nan, 0], [0, 0, 0, 0], [nan, 0, 0, 0], [0, 0, 0, 8]]),
        bent([0.0, 2.0], [0.0, 4.0], f=lambda y: y[0] * y[0] * y[1],
             hessian=[[nan, 0, nan, 0], [0, 0, 0, 0], [nan, 0, 0, 0], [0, 0, 0, 0]]),
        bent([0.0, 0.0], [0.0, 0.0], f=lambda y: where([True, False], 0.0, y).sum(),
             hessian=[[0, 0, 0, 0], [0, 0, 0, nan], [0, 0, 0, 0], [0, nan, 0, 0]]),
        bent([2.0], [4.0], hessian=[[0, 1 / 4], [1 / 4, -1 / 8]]))),
}
