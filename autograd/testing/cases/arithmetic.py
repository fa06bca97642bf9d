"""Cases of the ops in `autograd.ops.arithmetic`."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import anything, one, pair, positive, reals, shapes
from .piecewise import at, bent, nan, squared, with_number


@st.composite
def dividing(draw: Any) -> Inputs:
    """Numerators and denominators of both signs whose quotient is not near a whole number."""
    shape = draw(shapes())
    b = draw(reals(draw(st.sampled_from([shape, shape[-1:]])), 0.6, 1.6))
    b = b * draw(st.sampled_from([1, -1, 1.0, -1.0]))
    quotient = draw(hnp.arrays(float, shape, elements=st.integers(-3, 3)))
    a = (quotient + draw(reals(shape, 0.1, 0.9))) * b
    kind = draw(st.sampled_from(["arrays", "integers", "number"]))
    if kind != "arrays":
        a, b = quotient + 0.3, np.int8(2) if kind == "integers" else 1.0
    return (np.asarray(a), np.asarray(b) if kind == "arrays" else b), {}


@st.composite
def scaling(draw: Any) -> Inputs:
    x = draw(reals(shapes()))
    n = draw(st.one_of(st.integers(-3, 3), hnp.arrays(np.int32, x.shape[-1:],
                                                      elements=st.integers(-3, 3))))
    return (x, n), {}


def either_sign(x: np.ndarray) -> np.ndarray:
    return np.asarray(x * (-1.0) ** np.arange(x.size).reshape(x.shape))


nonzero = one(reals(shapes(), 0.4, 2).map(either_sign))
signs: st.SearchStrategy[Inputs] = pair((0.3, 2), (0.3, 2)).map(
    lambda case: ((either_sign(case[0][0]), either_sign(-case[0][1])), {}))
powers: st.SearchStrategy[Inputs] = st.one_of(
    with_number(pair((0.4, 2), (0.4, 2))),
    positive.map(lambda case: ((case[0][0], np.zeros(())), {})))



def with_log(drawn: Inputs) -> st.SearchStrategy[Inputs]:
    return st.integers(0, 2).map(lambda n: (drawn[0], {"n": n}))


def numpy_log_power(a: Any, b: Any, n: int) -> np.ndarray:
    return np.asarray(np.power(a, b) * np.log(a * 1.0) ** n)


CASES: dict[str, OpCase] = {
    "add": OpCase(with_number(pair()), np.add),
    "subtract": OpCase(with_number(pair()), np.subtract),
    "multiply": OpCase(with_number(pair()), np.multiply),
    "divide": OpCase(with_number(pair((0.4, 2), (0.4, 2))), np.divide, order=3),
    "positive": OpCase(anything, np.positive),
    "negative": OpCase(anything, np.negative),
    "reciprocal": OpCase(nonzero, np.reciprocal, order=3),
    "power": OpCase(powers, np.power, order=3, edges=(
        at([0, 0, 0, 2], [0, 1, 2, 0], g=[1.0] * 4, expect=[[0, 1, 0, 0], [0, 0, 0, np.log(2)]]),
        at([0.0, -3.0], 2, g=[1.0, 1.0], expect=[[0, -6]]),
        at([np.inf, -3.0], 0, g=[1.0, 1.0], expect=[[0, 0]]),
        at([20.0, 20.0], np.uint8([0, 2]), g=[1.0, 1.0], expect=[[0, 40]]),
        at(0, [0.0, 2.0], g=[1.0, 1.0], expect=[[0, 0]])), curvatures=(
        bent([0.0], [1.0], hessian=[[0, nan], [nan, 0]]),
        bent([0.0], [0.0], hessian=[[0, nan], [nan, nan]]),
        bent([0.0], [0.0], f=lambda y: squared(y - 1), hessian=[[0, nan], [nan, nan]]),
        bent([0.0], [0.0], f=lambda y: (0 * y).sum()),
        bent([0.0, -1.0], [0.0, 2.0], hessian=[[0, 0, nan, 0], [0, 2, 0, nan],
                                               [nan, 0, nan, 0], [0, nan, 0, nan]]),
        bent([0.0], [2.0], hessian=[[2, 0], [0, 0]]),
        bent([0.0, -3.0], 2, hessian=2 * np.eye(2)), bent([0.0], 1), bent([0.0], 0))),
    "_log_power": OpCase(powers.flatmap(with_log), numpy_log_power, order=3, edges=(
        at([0, 0, 0], [0, 1, 2], n=1, g=[1.0] * 3,
           expect=[[np.inf, -np.inf, 0], [np.inf, 0, 0]]),
        at([0, 0], [0, 1], n=1, g=[0.0] * 2, expect=[[0, 0], [0, 0]])), curvatures=(
        bent([0.0], [1.0], n=0, hessian=[[0, nan], [nan, 0]]),
        bent([0.0], [0.0], n=0, hessian=[[0, nan], [nan, nan]]),
        bent([0.0], [0.0], n=0, f=lambda y: (0 * y).sum()),
        bent([0.0], [3.0], n=1))),
    "square": OpCase(anything, np.square, order=3),
    "sqrt": OpCase(positive, np.sqrt, order=3),
    "cbrt": OpCase(nonzero, np.cbrt, order=3),
    "hypot": OpCase(with_number(signs), np.hypot, order=3, edges=(
        at([0, 3e200], [0, 4e200], g=[1.0, 1.0], expect=[[0, 0.6], [0, 0.8]]),), curvatures=(
        bent([0.0], [0.0], hessian=[[nan, 0], [0, nan]]),
        bent([0.0], [2.0], hessian=[[0.5, 0], [0, 0]]),
        bent([0.0, 3.0], [0.0, 4.0], f=squared, hessian=2 * np.eye(4)),
        bent([0.0, 0.0], [0.0, 0.0], f=lambda y: y[0] ** 2 + y[1] * 0,
             hessian=np.diag([2, 0, 2, 0])))),
    "floor_divide": OpCase(dividing(), np.floor_divide),
    "remainder": OpCase(dividing(), np.remainder, edges=(
        at([4.0, -4.0], [2.0, 3.0], g=[1.0, 1.0], expect=[[1, 1], [-2, 2]]),)),
    "fmod": OpCase(dividing(), np.fmod, edges=(
        at([4.0, -4.5], [2.0, 1.4], g=[1.0, 1.0], expect=[[1, 1], [-2, 3]]),)),
    "divmod": OpCase(dividing(), np.divmod),
    "copysign": OpCase(with_number(signs), np.copysign, edges=(
        at([0, -2.0, 2.0], [-1.0, -0.0, 0.0], g=[1.0] * 3, expect=[[0, 1, 1], [0, 0, 0]]),),
        curvatures=(bent([0.0, -2.0], [-1.0, 1.0]),
                    bent([0.0, -2.0], [-1.0, 1.0], f=squared, hessian=np.diag([2, 2, 0, 0])))),
    "ldexp": OpCase(scaling(), np.ldexp),
}
