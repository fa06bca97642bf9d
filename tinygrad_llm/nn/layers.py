"""Layers: plain classes that hold their parameters and call one fused op."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd import Tensor, fold_in

from ..functional import dropout, embedding, gelu, layer_norm, linear
from .init import normal, ones, zeros


class Linear:
    """$y = x W^\\top + b$ with W of shape (outputs, inputs)."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator, *,
                 bias: bool = True, std: float = 0.02) -> None:
        self.weight = normal(rng, (outputs, inputs), std)
        self.bias = zeros((outputs,)) if bias else None

    def __call__(self, x: Any) -> Any:
        """Map the last axis of x, of length `inputs`, to one of length `outputs`."""
        return linear(x, self.weight, self.bias)


class Embedding:
    """A table of `count` rows, each `width` wide, looked up by integer."""

    def __init__(self, count: int, width: int, rng: np.random.Generator, *,
                 std: float = 0.02) -> None:
        self.weight = normal(rng, (count, width), std)

    def __call__(self, ids: Any) -> Any:
        """Return the rows of ids (...), shape (..., width)."""
        return embedding(ids, self.weight)


class LayerNorm:
    """Normalisation over the last axis with a learnt scale and shift."""

    def __init__(self, width: int, *, bias: bool = True, eps: float = 1e-5) -> None:
        self.weight = ones((width,))
        self.bias = zeros((width,)) if bias else None
        self.eps = eps

    def __call__(self, x: Any) -> Any:
        """Return x of shape (..., width) normalised, scaled and shifted."""
        return layer_norm(x, self.weight, self.bias, eps=self.eps)


class MLP:
    """Two linear maps with a GELU between them, four times as wide inside."""

    def __init__(self, width: int, rng: np.random.Generator, *, bias: bool = True,
                 residual_std: float = 0.02) -> None:
        self.up = Linear(width, 4 * width, rng, bias=bias)
        self.down = Linear(4 * width, width, rng, bias=bias, std=residual_std)

    def __call__(self, x: Any) -> Any:
        """Map each position by itself: (..., width) to (..., width)."""
        return self.down(gelu(self.up(x)))


def drop(x: Tensor, p: float, key: int | None) -> Tensor:
    """Return x with dropout where a key is given (training), else x."""
    return x if key is None or p == 0 else dropout(x, p=p, key=key)


def subkey(key: int | None, use: int) -> int | None:
    """Return a key for the use numbered `use`; None stays None."""
    return None if key is None else fold_in(key, use)
