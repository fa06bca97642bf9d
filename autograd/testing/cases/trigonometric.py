"""Cases of the ops in `autograd.ops.trigonometric`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import anything, one, reals, shapes, spaced
from .arithmetic import signs
from .piecewise import at, bent, nan, squared, with_number


@st.composite
def winding(draw: Any) -> Inputs:
    """Angles whose steps are not near half a period (pi, or 0.5)."""
    p = draw(spaced(shapes(min_dims=1)))
    options = draw(st.sampled_from([{}, {"discont": 4.05}, {"period": 1.03}]))
    return (p,), {"axis": draw(st.integers(-p.ndim, p.ndim - 1)), **options}


def numpy_sinc_derivative(x: np.ndarray, order: int) -> np.ndarray:
    r"""The mean of the n-th derivative of cos(pi x t) by x, t from 0 to 1, by Gauss's rule."""
    t, w = np.polynomial.legendre.leggauss(40)
    t, w = (t + 1) / 2, w / 2
    return np.asarray((w * (np.pi * t) ** order * np.cos(
        np.pi * x[..., None] * t + order * np.pi / 2)).sum(-1))


inside = one(reals(shapes(), -0.8, 0.8))

CASES: dict[str, OpCase] = {
    "sin": OpCase(anything, np.sin, order=3),
    "cos": OpCase(anything, np.cos, order=3),
    "tan": OpCase(one(reals(shapes(), -1.2, 1.2)), np.tan, order=3),
    "arcsin": OpCase(inside, np.arcsin, order=3),
    "arccos": OpCase(inside, np.arccos, order=3),
    "arctan": OpCase(anything, np.arctan, order=3, edges=(
        at([1e200], g=[1e300], expect=[[1e-100]]),)),
    "arctan2": OpCase(with_number(signs), np.arctan2, order=3, edges=(
        at([0, 0.0, -0.0, 2], [0, -2, -2, 0], g=[1.0] * 4,
           expect=[[0, -0.5, -0.5, 0], [0, 0, 0, -0.5]]),
        at([3e200], [4e200], g=[1.0], expect=[[0.16e-200], [-0.12e-200]]),), curvatures=(
        bent([0.0], [0.0], hessian=nan), bent([0.0], [0.0], f=squared, hessian=nan),
        bent([0.0], -2, hessian=0),
        bent([0.0], [-2.0], hessian=[[0, -1 / 4], [-1 / 4, 0]]))),
    "deg2rad": OpCase(anything, np.deg2rad),
    "rad2deg": OpCase(anything, np.rad2deg),
    "unwrap": OpCase(winding(), np.unwrap),
    "sinh": OpCase(anything, np.sinh, order=3),
    "cosh": OpCase(anything, np.cosh, order=3),
    "tanh": OpCase(anything, np.tanh, order=3),
    "arcsinh": OpCase(anything, np.arcsinh, order=3, edges=(
        at([-1e200], g=[1e200], expect=[[1.0]]),)),
    "arccosh": OpCase(one(reals(shapes(), 1.2, 3)), np.arccosh, order=3, edges=(
        at([1e200], g=[1e200], expect=[[1.0]]),)),
    "arctanh": OpCase(inside, np.arctanh, order=3),
    "sinc": OpCase(anything, np.sinc, order=3, edges=(
        at([0, 1e-9], g=[1.0, 1e9], expect=[[0, -np.pi**2 / 3]]),),
        curvatures=(bent([0.0], hessian=-np.pi**2 / 3),)),
    "_sinc_derivative": OpCase(one(reals(shapes()), order=st.integers(0, 4)),
                               numpy_sinc_derivative),
}
