"""Text from a model, one token at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from autograd import namespace, no_grad
from autograd.backend import Array

from ..models import LanguageModel
from .batcher import Batcher
from .chooser import Chooser, choose_all
from .handle import Handle
from .options import Sampling


def generate(model: LanguageModel, prompt: Sequence[int] | Array, count: int, sampling: Sampling,
             rng: np.random.Generator | None = None, *, cache: bool = True) -> Iterator[int]:
    """Return an iterator over `count` tokens that follow the prompt, fewer where one ends the text.

    The model sees the end of the prompt and what it has written since, `context` tokens at most:
    where that many are in its window, the older half (rounded up) is dropped before the next one
    is added. Were it one token at a time, all others would move to another position each time,
    and nothing of what was computed for them could be used again. `rng` draws the tokens in the
    place of a generator of `sampling.seed`.

    With `cache`, it is a `Batcher` of one text: the keys and values of earlier tokens are kept.
    Without, all is computed anew for each token, which is the definition. The text is the same, up
    to a choice between tokens whose logits differ in the last digits only (but not with dynamic
    rotary scaling, under which kept keys stay as they were; see `nn.positions`). Weights must not
    change before the last token.

    Raises ValueError for an empty prompt, a negative count and stop strings, which need a Batcher
    with a tokenizer, TypeError for ids that are not integers, IndexError for those that the model
    does not have; and, while it writes, UserError where the model's logits are not finite.
    """
    if count < 0:
        raise ValueError(f"generate: count must be at least 0, got {count}")
    most = sampling.max_tokens
    sampling = replace(sampling, max_tokens=count if most is None else min(count, most))
    batcher = Batcher(model, rows=1)
    handle = batcher.add(prompt, sampling, truncate="left", rng=rng)
    return _stepped(batcher, handle) if cache else _anew(model, handle, rng)


def _stepped(batcher: Batcher, handle: Handle) -> Iterator[int]:
    written = 0
    while not handle.done:
        batcher.step()
        yield from handle.ids[written:]
        written = len(handle.ids)
    if handle.error is not None:
        raise handle.error


def _anew(model: LanguageModel, handle: Handle, rng: np.random.Generator | None) -> Iterator[int]:
    sampling, window, context = handle.sampling, [*handle.prompt], model.config.context
    chooser = Chooser(sampling, window, model.config.vocab_size, rng)
    while chooser.written != sampling.max_tokens and not chooser.finished:
        with no_grad():
            logits = model.next_logits(namespace(model.head.data).asarray([window])).data
        token, = choose_all(logits, [chooser])
        if token in sampling.ends:
            return
        chooser.take(token, logits[0])
        yield token
        if len(window) == context:
            del window[: (context + 1) // 2]
        window.append(token)
