"""Ops that work by blocks of rows: the blocks change nothing, nor do the threads that take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd import vjp
from tinygrad_llm.functional import (
    dropout,
    embedding,
    gelu,
    layer_norm,
    linear,
    linear_cross_entropy,
    softmax_cross_entropy,
)
from tinygrad_llm.host import threads as parallel

rng = np.random.default_rng(0)
IDS = rng.integers(0, 5, (7, 6))
TARGETS = np.where(rng.random((7, 6)) < 0.3, -100, IDS)
X = rng.normal(size=(7, 6, 10)) * 3

OPS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "layer_norm": (layer_norm, (X, rng.normal(size=10), rng.normal(size=10))),
    "layer_norm without bias": (lambda x, w: layer_norm(x, w, None), (X, rng.normal(size=10))),
    "gelu": (gelu, (X,)),
    "exact gelu": (lambda x: gelu(x, approximate="none"), (X,)),
    "dropout": (lambda x: dropout(x, p=0.4, key=3), (X,)),
    "linear": (linear, (X, rng.normal(size=(5, 10)), rng.normal(size=5))),
    "embedding": (lambda w: embedding(IDS, w), (rng.normal(size=(5, 3)),)),
    "softmax_cross_entropy": (lambda z: softmax_cross_entropy(z, TARGETS), (X,)),
    "linear_cross_entropy": (lambda x, w: linear_cross_entropy(x, w, TARGETS),
                             (X, rng.normal(size=(5, 10)))),
}


def run(name: str, dtype: str) -> list[np.ndarray]:
    """Return the op's result and its gradients."""
    op, args = OPS[name]
    y, pull = vjp(op, *[x.astype(dtype) for x in args])
    g = np.random.default_rng(1).normal(size=np.shape(y)).astype(dtype)
    return [y, *pull(g)]


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("size", [1, 500, 1100])  # one row a block; a few; uneven ones
def test_blocks_change_nothing(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(name, "float64")
    monkeypatch.setattr(parallel, "BLOCK_BYTES", size)
    for expected, got in zip(whole, run(name, "float64"), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13, strict=True)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_change_no_bit(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "BLOCK_BYTES", 300)
    monkeypatch.setattr(parallel, "_WORTH_HANDING_OUT", 0)
    monkeypatch.setattr(parallel, "_WORTH_A_SPLIT", 0)
    monkeypatch.setattr(parallel, "_PIECE", 2)
    with parallel.workers(1):
        expected = run(name, dtype)
    for _ in range(5):
        with parallel.workers(3):
            assert all(map(np.array_equal, run(name, dtype), expected))
