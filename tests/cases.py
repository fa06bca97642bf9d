"""The cases of every op: the engine's own, and those of the hand-derived layers.

Weights are drawn at natural scale, so that no factor hides.
"""

from __future__ import annotations

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

import autograd.testing.cases
import tinygrad_llm.functional  # noqa: F401, enters the fused ops into the registry
from autograd.testing.opcase import Inputs, OpCase, floating
from autograd.testing.strategies import one, shapes, values

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
def attending(draw: Any) -> Inputs:
    batch, time = draw(st.integers(1, 2)), draw(st.integers(1, 4))
    heads, d = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    options = {"heads": heads}
    if draw(st.booleans()):
        options |= {"dropout": 0.5, "key": draw(st.integers(0, 9))}
    return (draw(values((batch, time, 3 * heads * d))),), options


def numpy_attention(qkv: np.ndarray, heads: int, dropout: float = 0.0,
                    key: int | None = None) -> np.ndarray:
    """The definition, element by element."""
    from tinygrad_llm.functional.dropout import keep_mask

    batch, time, width = qkv.shape
    d = width // (3 * heads)
    mask = np.ones((batch, heads, time, time))
    if key is not None:
        mask = keep_mask(mask.shape, dropout, key, mask)
    out = np.zeros((batch, time, heads, d))
    packed = qkv.reshape(batch, time, 3, heads, d)
    for b in range(batch):
        for h in range(heads):
            for i in range(time):
                q, k, v = packed[b, i, 0, h], packed[b, : i + 1, 1, h], packed[b, : i + 1, 2, h]
                e = np.exp(k @ q / math.sqrt(d))
                out[b, i, h] = (e / e.sum() * mask[b, h, i, : i + 1]) @ v
    return out.reshape(batch, time, heads * d)


@st.composite
def classifying(draw: Any) -> Inputs:
    lead, v = draw(shapes(dims=2)), draw(st.integers(1, 4))
    targets = draw(hnp.arrays(np.int64, lead, elements=st.sampled_from([*range(v), -100])))
    return (draw(values((*lead, v), -3, 3)), targets), {}


def numpy_cross_entropy(z: np.ndarray, targets: np.ndarray) -> float:
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    losses = [-np.log(p[i][t]) for i, t in np.ndenumerate(targets) if t != -100]
    return float(np.mean(losses)) if losses else 0.0


def dropped(x: np.ndarray, p: float, key: int) -> np.ndarray:
    from tinygrad_llm.functional.dropout import keep_mask

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
    "causal_attention": OpCase(attending(), numpy_attention),
    "softmax_cross_entropy": OpCase(classifying(), numpy_cross_entropy, order=3),
}
