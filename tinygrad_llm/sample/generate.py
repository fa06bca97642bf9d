"""Text from a model, one token at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from operator import index
from typing import Any

import numpy as np

from autograd import namespace, no_grad
from autograd.backend import Array

from ..host.errors import UserError
from ..models import LanguageModel
from .logits import draw, keep_top_k, keep_top_p, scale_by_temperature


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen: temperature 0 takes the most probable one; None switches a cut off."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not self.temperature >= 0:  # NaN too
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


class Writer:
    """A text that grows: the logits of the token that follows it, by the model's own call.

    With its cache, a new token costs one position; without, all of them. The writer belongs to the
    model's weights as they are now: make another one after they have changed.
    """

    def __init__(self, model: LanguageModel, cached: bool = True) -> None:
        self.model, self.cached = model, cached
        self.cache = model.cache() if cached else None

    @property
    def length(self) -> int:
        """The number of tokens whose keys and values are kept."""
        return 0 if self.cache is None else self.cache.length

    def begin(self, ids: Sequence[int]) -> Array:
        """Forget what was before; return the logits (V,) of the token that follows `ids`."""
        self.cache = self.model.cache() if self.cached else None
        return self._extend(ids)

    def step(self, token: int) -> Array:
        """Return the logits (V,) of the token that follows the text so far and `token`."""
        return self._extend([token])

    def _extend(self, ids: Sequence[int]) -> Array:
        xp = namespace(self.model.head.data)
        with no_grad():
            return self.model.next_logits(xp.asarray([[*ids]]), cache=self.cache).data[0]


writers: list[Callable[[Any], Any | None]] = []
"""Faster twins of `Writer`: each a function that returns one for a model that it knows, or None."""


def generate(model: LanguageModel, prompt: Sequence[int] | Array, count: int, sampling: Sampling,
             rng: np.random.Generator, *, cache: bool = True) -> Iterator[int]:
    """Return an iterator over `count` tokens that follow the prompt.

    The model sees the end of the prompt and what it has written since, `context` tokens at most:
    where that many are in its window, the older half (rounded up) is dropped before the next one
    is added. Were it one token at a time, all others would move to another position each time,
    and nothing of what was computed for them could be used again.

    With `cache`, the keys and values of earlier tokens are kept; see `nn.cache`. The text is the
    same without, up to a choice between tokens whose logits differ in the last digits only (but
    not with dynamic rotary scaling, under which kept keys stay as they were; see `nn.positions`).
    Weights must not change before the last token.

    Raises ValueError for an empty prompt and a negative count, TypeError for ids that are not
    integers, IndexError for those that the model does not have; and, while it writes, UserError
    where the model's logits are not finite.
    """
    ids = [index(i) for i in prompt]
    if not ids:
        raise ValueError("generate: the prompt must have at least one token")
    if min(ids) < 0 or max(ids) >= model.config.vocab_size:
        raise IndexError(f"generate: ids must lie in [0, {model.config.vocab_size}), got "
                         f"{min(ids)} to {max(ids)}; was the prompt encoded by another tokenizer?")
    if count < 0:
        raise ValueError(f"generate: count must be at least 0, got {count}")
    twins = (make(model) for make in writers) if cache else iter(())
    writer = next((twin for twin in twins if twin is not None), None) or Writer(model, cache)
    return _write(writer, ids, model.config.context, count, sampling, rng)


def _write(writer: Any, ids: list[int], context: int, count: int, sampling: Sampling,
           rng: np.random.Generator) -> Iterator[int]:
    window = ids[-context:]
    for _ in range(count):
        if writer.length + 1 == len(window):  # it has seen all but the last
            logits = writer.step(window[-1])
        else:  # the prompt, or what is left of a window that was full
            logits = writer.begin(window)
        _check(logits)
        token = sampling.choose(logits, rng)
        yield token
        if len(window) == context:
            del window[: (context + 1) // 2]
        window.append(token)


def _check(logits: Array) -> None:
    """Raise UserError where the logits leave nothing to choose: NaN or infinity spreads to all."""
    largest = float(logits.max())
    if not isfinite(largest):
        raise UserError(f"the model's largest logit is {largest}, so it cannot choose a token: "
                        f"its weights are not finite, or far too large; take an earlier "
                        f"checkpoint, or train again with a smaller learning rate")
