"""Layers: plain classes that hold their parameters and call one fused op."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from autograd import Tensor, fold_in

from ..functional import (
    dropout,
    embedding,
    geglu,
    gelu,
    layer_norm,
    linear,
    relu_squared,
    rms_norm,
    swiglu,
)
from .init import normal, ones, zeros


class Linear:
    """$y = x W^\\top + b$ with W of shape (outputs, inputs)."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator | None, *,
                 bias: bool = True, std: float = 0.02) -> None:
        self.weight = normal(rng, (outputs, inputs), std)
        self.bias = zeros((outputs,)) if bias else None

    def __call__(self, x: Any) -> Any:
        """Map the last axis of x, of length `inputs`, to one of length `outputs`."""
        return linear(x, self.weight, self.bias)


class Embedding:
    """A table of `count` rows, each `width` wide, looked up by integer."""

    def __init__(self, count: int, width: int, rng: np.random.Generator | None, *,
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


class RMSNorm:
    """Division by the root mean square over the last axis, with a learnt scale.

    The scale is the weight plus `offset`: with 1, as in Gemma, weights begin at 0.
    """

    def __init__(self, width: int, *, eps: float = 1e-5, offset: float = 0.0) -> None:
        self.weight = zeros((width,)) if offset else ones((width,))
        self.eps, self.offset = eps, offset

    def __call__(self, x: Any) -> Any:
        """Return x of shape (..., width) normalised and scaled."""
        w = self.weight + self.offset if self.offset else self.weight
        return rms_norm(x, w, eps=self.eps)


class MLP:
    """Two linear maps with an activation between them, `inner` columns wide inside."""

    def __init__(self, width: int, inner: int, rng: np.random.Generator | None, *,
                 bias: bool = True, activation: str = "gelu", residual_std: float = 0.02) -> None:
        self.activation = activation
        self.up = Linear(width, inner, rng, bias=bias)
        self.down = Linear(inner, width, rng, bias=bias, std=residual_std)

    def __call__(self, x: Any) -> Any:
        """Map each position by itself: (..., width) to (..., width)."""
        return self.down(ACTIVATIONS[self.activation](self.up(x)))


class GatedMLP:
    """Two linear maps side by side, the second multiplied by the activated first, and one back.

    `gate_up` holds the `inner` rows of the gate and behind them those of what it multiplies.
    """

    def __init__(self, width: int, inner: int, rng: np.random.Generator | None, *,
                 activation: str = "silu", bias: bool = False, residual_std: float = 0.02) -> None:
        self.activation = activation
        self.gate_up = Linear(width, 2 * inner, rng, bias=bias)
        self.down = Linear(inner, width, rng, bias=bias, std=residual_std)

    def __call__(self, x: Any) -> Any:
        """Map each position by itself: (..., width) to (..., width)."""
        return self.down(GATED[self.activation](self.gate_up(x)))


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"gelu": gelu, "relu_squared": relu_squared}
GATED: dict[str, Callable[[Any], Any]] = {
    "silu": swiglu, "gelu_tanh": geglu, "gelu": partial(geglu, approximate="none")}


def gated_inner(width: int) -> int:
    """Return the inner width at which three matrices have as many numbers as two of 4 C.

    That is $\\tfrac83 C$, rounded up to a multiple of 8.

    Source: Shazeer, "GLU Variants Improve Transformer", arXiv:2002.05202, section 3.
    """
    return -(-8 * width // 24) * 8


def drop(x: Tensor, p: float, key: int | None) -> Tensor:
    """Return x with dropout where a key is given (training), else x."""
    return x if key is None or p == 0 else dropout(x, p=p, key=key)


def subkey(key: int | None, use: int) -> int | None:
    """Return a key for the use numbered `use`; None stays None."""
    return None if key is None else fold_in(key, use)
