"""The cases of every op: the engine's own, and those of the hand-derived layers.

Weights are drawn at natural scale, so that no factor hides.
"""

from __future__ import annotations

import math
from typing import Any

import attention_cases
import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

import autograd.testing.cases
import tinygrad_llm.functional  # noqa: F401, enters the fused ops into the registry
from autograd.testing.opcase import Inputs, OpCase, floating
from autograd.testing.strategies import one, shapes, values
from tinygrad_llm.functional.dropout import keep_mask

__all__ = ["CASES", "floating"]


@st.composite
def affine(draw: Any) -> Inputs:
    lead = draw(shapes(dims=2))
    i, o = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    b = draw(st.one_of(st.none(), values((o,))))
    return (draw(values((*lead, i))), draw(values((o, i))), b), {}


@st.composite
def looking_up(draw: Any) -> Inputs:
    v, c = draw(st.sampled_from([(4, 3), (1, 2), (1030, 1)])), 2
    ids = draw(hnp.arrays(np.int64, shapes(dims=2), elements=st.integers(0, v[0] - 1)))
    table = draw(values((v[0], c))) if v[0] < 9 else draw(values((v[0], 1)))
    return (ids, table), {}


@st.composite
def normalising(draw: Any) -> Inputs:
    lead, c = draw(shapes(dims=2)), draw(st.integers(1, 5))
    x = draw(values((*lead, c), -3, 3))
    b = draw(st.one_of(st.none(), values((c,))))
    return (x, draw(values((c,))), b), {"eps": draw(st.sampled_from([0.01, 0.5]))}


def numpy_layer_norm(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, eps: float) -> np.ndarray:
    n = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return n * w + (0 if b is None else b)


def numpy_gelu(x: np.ndarray, approximate: str) -> np.ndarray:
    if approximate == "none":
        return x * 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@st.composite
def classifying(draw: Any) -> Inputs:
    lead, v = draw(shapes(dims=2)), draw(st.integers(1, 4))
    targets = draw(hnp.arrays(np.int64, lead, elements=st.sampled_from([*range(v), -100])))
    return (draw(values((*lead, v), -3, 3)), targets), {}


def numpy_cross_entropy(z: np.ndarray, targets: np.ndarray, ignore_index: int = -100) -> float:
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    losses = [-np.log(p[i][t]) for i, t in np.ndenumerate(targets) if t != ignore_index]
    return float(np.mean(losses)) if losses else 0.0


@st.composite
def predicting(draw: Any) -> Inputs:
    lead, v, c = draw(shapes(dims=2)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    ignored = draw(st.sampled_from([-100, 7]))
    targets = draw(hnp.arrays(np.int64, lead, elements=st.sampled_from([*range(v), ignored])))
    return (draw(values((*lead, c), -2, 2)), draw(values((v, c), -2, 2)), targets), {
        "ignore_index": ignored}


@st.composite
def splitting(draw: Any) -> Inputs:
    lead, depth = draw(shapes(dims=2)), draw(st.integers(1, 2))
    first, count, after = draw(st.integers(0, 2)), draw(st.integers(1, 2)), draw(st.integers(0, 3))
    width = (first + count) * depth + after
    return (draw(values((*lead, width))),), {"first": first, "count": count, "depth": depth}


def numpy_split_heads(x: np.ndarray, first: int, count: int, depth: int) -> np.ndarray:
    heads = [x[..., h * depth : (h + 1) * depth] for h in range(first, first + count)]
    return np.stack(heads, -2)


def dropped(x: np.ndarray, p: float, key: int) -> np.ndarray:
    return x * keep_mask(x.shape, p, key, x)


CASES: dict[str, OpCase] = {
    **autograd.testing.cases.CASES,
    "linear": OpCase(affine(), lambda x, w, b: x @ w.T + (0 if b is None else b)),
    "embedding": OpCase(looking_up(), lambda ids, w: w[ids]),
    "tinygrad_llm.functional.layer_norm.layer_norm": OpCase(normalising(), numpy_layer_norm),
    "tinygrad_llm.functional.gelu.gelu": OpCase(
        one(values(shapes(), -3, 3), approximate=st.sampled_from(["tanh", "none"])),
        numpy_gelu, order=3),
    "dropout": OpCase(one(values(shapes()), p=st.sampled_from([0.0, 0.3]), key=st.integers(0, 9)),
                      dropped),
    "attention": OpCase(attention_cases.attending(), attention_cases.in_loops,
                        edges=attention_cases.EDGES),
    "split_heads": OpCase(splitting(), numpy_split_heads),
    "softmax_cross_entropy": OpCase(
        classifying(), numpy_cross_entropy, order=3,
        edges=(((np.array([[1e3, 0.0], [0.0, 1e3]]), np.array([0, 0])), {}, np.array(1.0),
                [np.array([[0.0, 0.0], [-0.5, 0.5]])]),
               ((np.array([[np.inf, 0.0], [0.0, 0.0]]), np.array([-100, 1])), {}, np.array(1.0),
                [np.array([[0.0, 0.0], [0.5, -0.5]])]),
               ((np.ones((2, 2)), np.array([-100, -100])), {}, np.array(1.0),
                [np.zeros((2, 2))]))),
    "linear_cross_entropy": OpCase(
        predicting(), lambda x, w, targets, ignore_index: numpy_cross_entropy(
            x @ w.T, targets, ignore_index), order=3,
        edges=(((np.array([[1e3], [-1e3]]), np.array([[1.0], [0.0]]), np.array([1, 1])), {},
                np.array(1.0), [np.array([[0.5], [0.0]]), np.array([[500.0], [-500.0]])]),
               ((np.ones((2, 1)), np.ones((2, 1)), np.array([-100, -100])), {}, np.array(1.0),
                [np.zeros((2, 1)), np.zeros((2, 1))]))),
}


EQUIVALENT: dict[tuple[str, str], str] = {}
