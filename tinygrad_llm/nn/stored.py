r"""Weights that are stored in 16 bits, of a model that computes in float32.

A token of a text asks for each weight once: where the weights are larger than a core's cache, they
are what a step waits for, and half the bytes are half the memory. So matrices may be stored in
bfloat16 or float16, while all that they are multiplied with stays float32:

$$y = \operatorname{wide}(W)\,x, \qquad W = \operatorname{round}(W_{32}) .$$

Widening is exact, so such a model is the one in float32 whose matrices were rounded. A map widens a
block of rows at a time, which fits a core's cache. Gains, biases and other vectors stay float32:
they are a thousandth of the weights, and it is their type that keeps the stream in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd.backend import wider

from .layers import Embedding
from .parameters import parameters
from .replace import replace


class WideEmbedding(Embedding):
    """A table of 16-bit numbers, whose rows come out in float32."""

    def __init__(self, table: Embedding) -> None:
        self.weight = table.weight

    def __call__(self, ids: Any) -> Any:
        """Return the rows of ids (...), shape (..., width)."""
        return wider(super().__call__(ids))


def store_weights(model: Any, dtype: Any) -> None:
    """Store what has two axes or more in bfloat16 or float16; the model is changed.

    Raises FloatingPointError where a weight is beyond the type's range.
    """
    with np.errstate(over="raise"):
        for p in parameters(model).values():
            if p.ndim > 1:
                p.data = p.data.astype(dtype)
    replace(model, Embedding, lambda name, table: WideEmbedding(table))
