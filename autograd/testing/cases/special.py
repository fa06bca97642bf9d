"""Cases of the ops in `autograd.ops.special`."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import one, reals, shapes
from .piecewise import at, bent


def each(f: Any) -> Any:
    return np.vectorize(f, otypes=[float])


def by_bisection(x: float) -> float:
    low, high = 0.0, 6.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle) < abs(x) else (low, middle)
    return math.copysign(low, x)


def polygamma_sum(n: int, x: float) -> float:
    r"""The definition $(-1)^{n+1} n! \sum_k (x + k)^{-n-1}$: 4000 terms, the others integrated."""
    z = x + 4000
    terms = math.fsum((x + k) ** -(n + 1) for k in range(4000))
    if n == 0:  # the sum itself is infinite, but not its difference from a logarithm
        return math.log(z) - 1 / (2 * z) - 1 / (12 * z * z) - terms
    rest = z**-n / n + z ** -(n + 1) / 2 + (n + 1) * z ** -(n + 2) / 12
    return (-1) ** (n + 1) * math.factorial(n) * (terms + rest)


def numpy_polygamma(n: int, x: np.ndarray) -> np.ndarray:
    return np.asarray(each(lambda v: polygamma_sum(n, v))(x))


@st.composite
def apart_from_poles(draw: Any) -> np.ndarray:
    """Numbers at least 0.2 from 0, -1, -2, ..."""
    x = draw(reals(shapes(dims=2), 0.2, 0.8))
    return np.asarray(x + draw(st.integers(-3, 4)))


@st.composite
def with_order(draw: Any) -> Inputs:
    return (draw(st.integers(0, 3)), draw(apart_from_poles())), {}


flat = at([-1e200, 1e200], g=[1.0, 1.0], expect=[[0, 0]])
gamma = one(apart_from_poles())

CASES: dict[str, OpCase] = {
    "erf": OpCase(one(reals(shapes(), -3, 3)), each(math.erf), order=3, edges=(flat,),
                  curvatures=(bent([-30.0, 0.0, 30.0]),)),
    "erfc": OpCase(one(reals(shapes(), -3, 3)), each(math.erfc), order=3, edges=(flat,),
                   curvatures=(bent([-30.0, 0.0, 30.0]),)),
    "erfinv": OpCase(one(reals(shapes(), -0.9, 0.9)), each(by_bisection), order=3, edges=(
        at([-1.0, 0.0, 1.0], g=[1.0] * 3, expect=[[np.inf, math.sqrt(math.pi) / 2, np.inf]]),)),
    "ndtr": OpCase(one(reals(shapes(), -4, 4)), each(NormalDist().cdf), order=3),
    "logit": OpCase(one(reals(shapes(), 0.1, 0.9)), lambda x: -np.log(1 / x - 1), order=3),
    "gammaln": OpCase(gamma, each(math.lgamma), order=3),
    "digamma": OpCase(gamma, lambda x: numpy_polygamma(0, x)),
    "polygamma": OpCase(with_order(), numpy_polygamma),
    "_polygamma": OpCase(one(apart_from_poles(), order=st.integers(0, 3)),
                         lambda x, order: numpy_polygamma(order, x)),
}
