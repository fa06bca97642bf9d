"""Text from a model, one token at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import index
from typing import Any

import numpy as np

from autograd import namespace, no_grad
from autograd.backend import Array

from ..models import LanguageModel
from .chooser import Chooser, choose_all
from .options import Sampling


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
    """Return an iterator over `count` tokens that follow the prompt, fewer where one ends the text.

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
    chooser = Chooser(sampling, ids, model.config.vocab_size, rng)
    return _write(writer, ids, model.config.context, count, chooser)


def _write(writer: Any, ids: list[int], context: int, count: int, chooser: Chooser
           ) -> Iterator[int]:
    window = ids[-context:]
    for _ in range(count):
        if writer.length + 1 == len(window):  # it has seen all but the last
            logits = writer.step(window[-1])
        else:  # the prompt, or what is left of a window that was full
            logits = writer.begin(window)
        token, = choose_all(logits[None], [chooser])
        if token in chooser.sampling.ends:
            return
        chooser.take(token, logits)
        yield token
        if len(window) == context:
            del window[: (context + 1) // 2]
        window.append(token)
