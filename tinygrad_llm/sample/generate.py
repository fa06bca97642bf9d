"""Text from a model, one token at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from autograd import no_grad
from autograd.backend import Array

from ..models import GPT
from .logits import draw, keep_top_k, keep_top_p, scale_by_temperature


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen: temperature 0 takes the most probable one; None switches a cut off."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature must be at least 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top-k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top-p must lie in (0, 1], got {self.top_p}")

    def choose(self, logits: Array, rng: np.random.Generator) -> int:
        """Return the next token for logits of shape (V,)."""
        if self.temperature == 0:
            return int(logits.argmax())
        logits = scale_by_temperature(logits, self.temperature)
        if self.top_k is not None:
            logits = keep_top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = keep_top_p(logits, self.top_p)
        return draw(logits, rng)


def generate(model: GPT, prompt: Sequence[int] | Array, count: int, sampling: Sampling,
             rng: np.random.Generator) -> Iterator[int]:
    """Yield `count` tokens that follow the prompt, which has at least one token.

    Where the text grows longer than the context, the model sees its last part.
    """
    ids = [int(i) for i in prompt]
    if not ids:
        raise ValueError("generate: the prompt must have at least one token")
    for _ in range(count):
        window = np.array([ids[-model.config.context :]])
        with no_grad():
            logits = model.next_logits(window).data[0]
        ids.append(sampling.choose(logits, rng))
        yield ids[-1]
