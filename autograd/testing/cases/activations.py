"""Cases of the ops in `autograd.ops.activations`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import anything, one, reals, shapes, spaced
from .exponential import numpy_sigmoid
from .piecewise import bent

kinked = one(spaced(shapes()))


@st.composite
def along(draw: Any) -> Inputs:
    x = draw(reals(st.sampled_from([(3, 2), (2, 3, 2), (3,), (1, 3), (2, 1), ()])))
    axes = [None, 0, -1, tuple(range(x.ndim)), (0, -1)[: x.ndim]] if x.ndim else [None]
    return (x,), {"axis": draw(st.sampled_from(axes)) if x.ndim != 1 else 0}


@st.composite
def normalising(draw: Any, bias: bool) -> Inputs:
    x = draw(reals(shapes(least=0, min_dims=1), -3, 3).filter(lambda x: x.shape[-1]))
    w = draw(st.one_of(st.none(), reals(x.shape[-1:])))
    b = (draw(st.one_of(st.none(), reals(x.shape[-1:]))),) if bias else ()
    return (x, w, *b), {"eps": draw(st.sampled_from([0.01, 0.5]))}


@st.composite
def halving(draw: Any) -> Inputs:
    shape = draw(shapes(min_dims=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    double = tuple(2 * n if i == axis % len(shape) else n for i, n in enumerate(shape))
    return (draw(reals(double)),), {"axis": axis}


def numpy_softmax(x: np.ndarray, axis: Any) -> np.ndarray:
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


def numpy_standardize(x: np.ndarray, axis: Any, eps: float) -> np.ndarray:
    mean = x.mean(axis=axis, keepdims=True)
    return (x - mean) / np.sqrt(x.var(axis=axis, keepdims=True) + eps)


def numpy_layer_norm(x: np.ndarray, w: Any, b: Any, eps: float) -> np.ndarray:
    n = numpy_standardize(x, -1, eps)
    return n * (1 if w is None else w) + (0 if b is None else b)


def numpy_rms_norm(x: np.ndarray, w: Any, eps: float) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * (1 if w is None else w)


def numpy_gelu(x: np.ndarray, approximate: str) -> np.ndarray:
    if approximate == "none":
        return x * 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def numpy_glu(x: np.ndarray, axis: int) -> np.ndarray:
    a, b = np.split(x, 2, axis)
    return a * numpy_sigmoid(b)


def numpy_elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, x, alpha * (np.exp(x) - 1))


CASES: dict[str, OpCase] = {
    "softmax": OpCase(along(), numpy_softmax, order=3),
    "log_softmax": OpCase(along(), lambda x, axis: np.log(numpy_softmax(x, axis)), order=3),
    "standardize": OpCase(one(reals((2, 3, 2)), axis=st.sampled_from([-1, 0, (0, 2), None]),
                              eps=st.sampled_from([0.1, 0.5])), numpy_standardize),
    "layer_norm": OpCase(normalising(bias=True), numpy_layer_norm),
    "rms_norm": OpCase(normalising(bias=False), numpy_rms_norm),
    "glu": OpCase(halving(), numpy_glu),
    "softplus": OpCase(anything, lambda x: np.log(1 + np.exp(x)), order=3),
    "log_sigmoid": OpCase(anything, lambda x: np.log(numpy_sigmoid(x)), order=3),
    "silu": OpCase(anything, lambda x: x * numpy_sigmoid(x), order=3),
    "gelu": OpCase(one(reals(shapes(), -3, 3), approximate=st.sampled_from(["none", "tanh"])),
                   numpy_gelu, order=3, curvatures=(
                       bent([-30.0, 30.0]), bent([-30.0, 30.0], approximate="tanh"))),
    "mish": OpCase(anything, lambda x: x * np.tanh(np.log(1 + np.exp(x)))),
    "relu": OpCase(kinked, lambda x: x * (x > 0), curvatures=(bent([0.0]),)),
    "leaky_relu": OpCase(one(spaced(shapes()), negative_slope=st.sampled_from([0.01, 0.3])),
                         lambda x, negative_slope: np.maximum(x, 0) + negative_slope
                         * np.minimum(x, 0), curvatures=(bent([0.0]),)),
    "elu": OpCase(one(spaced(shapes()), alpha=st.sampled_from([1.0, 0.3])), numpy_elu,
                  curvatures=(bent([0.0], alpha=0.3, hessian=0.3),)),
    "selu": OpCase(kinked, lambda x: 1.0507009873554804934193349852946
                   * numpy_elu(x, 1.6732632423543772848170429916717)),
    "softsign": OpCase(kinked, lambda x: x / (1 + np.abs(x)), curvatures=(bent([0.0]),)),
    "hard_tanh": OpCase(one(spaced(shapes()), min_val=st.sampled_from([-1.0, -0.4]),
                            max_val=st.just(0.8)),
                        lambda x, min_val, max_val: np.minimum(np.maximum(x, min_val), max_val),
                        curvatures=(bent([-1.0, 1.0]),)),
}
