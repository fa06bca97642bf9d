r"""Beam search: the texts of the highest score that a narrow search finds.

The score of a text $y_1 \dots y_L$, an id that ends it among them, is

$$s(y) = \frac{1}{L^\alpha} \sum_{t \le L} \ell_t(y_t), \qquad
  \ell_t = \mathrm{options}(\log \mathrm{softmax}(z_t)),$$

with the `length_penalty` $\alpha$: the larger, the longer the texts, as logarithms are below 0. At
0 it is the log-probability, at 1 that of a token. What options make of the log-probabilities is
added as it is, and not normalised again.

At each length the `beams` best open texts go on, by the sum. The best 2 `beams` of what follows
them (more, where more than one id ends a text) are looked at: those that have ended enter the list
of `beams` ended ones, by the score, if they are among the first `beams`; the best of the others go
on. It is over when no open text can enter that list, or, with `early_stopping`, when it is full. Of
equals those that are found first come first: shorter ones, of better parents, of smaller ids.

Sources: Wu et al., "Google's Neural Machine Translation System", arXiv:1609.08144, section 7, for
normalised scores; the rules of transformers 5, `GenerationMixin._beam_search`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import isfinite
from operator import index
from typing import Literal

import numpy as np

from autograd import namespace, no_grad, to_host
from autograd.backend import Array

from ..models import LanguageModel
from .batcher import checked_ids
from .chooser import Chooser, NoToken
from .logits import largest, log_softmax
from .options import Sampling

SENSELESS = ("top_k", "top_p", "min_p", "typical_p", "stop", "seed", "logprobs")


@dataclass(frozen=True)
class Beam:
    """A text that was found: its ids, without one that ended it, its score, and why it ended.

    The reason is "end" or "length", as a handle's.
    """

    ids: list[int]
    score: float
    reason: str


def beam_search(model: LanguageModel, prompt: Sequence[int], sampling: Sampling, *,
                beams: int = 4, length_penalty: float = 1.0, count: int = 1,
                early_stopping: bool | Literal["never"] = False) -> list[Beam]:
    """Return the `count` best texts that the search finds, best first.

    All options that change logits before the temperature hold for each text: biases, penalties,
    bans, lengths and constraints. Without `max_tokens` a text ends where the context is full.
    `early_stopping` True ends the search at `beams` ended texts; False when no open text would
    enter their list if it ended now; "never" when none could at its best length. Fewer than
    `count` are returned where the options leave fewer. Raises ValueError for numbers that
    contradict each other, and for options of drawing, by their names; otherwise as `generate`.
    """
    _check(sampling, beams, length_penalty, count, early_stopping)
    ids = checked_ids(prompt, model.config.vocab_size)
    reader = _Reader(model, len(ids), sampling, beams)
    sampling = replace(sampling, max_tokens=reader.most)  # by then a constraint must be met
    keep = max(2, 1 + len(sampling.ends)) * beams
    texts = [_Text(0.0, 0, Chooser(sampling, ids, model.config.vocab_size))]
    ended: list[Beam] = []
    for length in range(1, reader.most + 1):
        try:
            following = _following(texts, reader.logits(texts), keep)
        except NoToken:
            if ended:
                break
            raise
        texts = [text for text in following if not text.reason][:beams]
        ended += [Beam(text.chooser.ids[len(ids) :], text.total / length ** length_penalty,
                       text.reason) for text in following[:beams] if text.reason]
        ended = sorted(ended, key=lambda beam: -beam.score)[:beams]  # of equals the earlier first
        best = reader.most if early_stopping == "never" and length_penalty > 0 else length
        if not texts or (len(ended) == beams and (
                early_stopping is True
                or texts[0].total / best ** length_penalty <= ended[-1].score)):
            break
    return ended[:count] or [Beam([], 0.0, "length")]


@dataclass(frozen=True)
class _Text:
    """The sum of a text's log-probabilities, its parent's row, its state, and why it ended."""

    total: float
    row: int
    chooser: Chooser
    reason: str = ""


def _following(texts: list[_Text], logits: Array, keep: int) -> list[_Text]:
    """Return the `keep` best texts that are one token longer, best first.

    Raises NoToken where no text may go on.
    """
    scores, stuck = np.full(logits.shape, -np.inf), []
    for text, row, z in zip(texts, scores, logits, strict=True):
        try:
            row[:] = text.total + to_host(text.chooser.process(log_softmax(z)))
        except NoToken as error:
            stuck.append(error)
    if len(stuck) == len(texts):
        raise stuck[0]
    flat = scores.ravel()
    found = largest(flat, keep)  # rising, with all equals of the last
    found = found[np.argsort(-flat[found], kind="stable")][:keep]
    following = []
    for place in found[flat[found] > -np.inf]:
        row, token = divmod(int(place), logits.shape[1])
        following.append(_longer(texts[row].chooser, row, token, float(flat[place])))
    return following


def _longer(parent: Chooser, row: int, token: int, total: float) -> _Text:
    sampling = parent.sampling
    if token in sampling.ends:
        return _Text(total, row, parent, "end")
    chooser = parent.fork(parent.rng)  # nothing is drawn
    chooser.take(token)
    if chooser.written == sampling.max_tokens:
        return _Text(total, row, chooser, "length")
    return _Text(total, row, chooser, "end" if chooser.finished else "")


class _Reader:
    """The logits behind texts of one length, by a cache with a row for each."""

    def __init__(self, model: LanguageModel, prompt: int, sampling: Sampling, beams: int) -> None:
        self.model, self.context = model, model.config.context
        self.start = max(prompt - self.context, 0)  # the first token that the model sees
        room, limit = self.context - (prompt - self.start) + 1, sampling.max_tokens
        self.most = room if limit is None else (
            limit if sampling.past_context == "slide" else min(limit, room))
        self.cache = model.cache(rows=beams)

    def logits(self, texts: list[_Text]) -> Array:
        """Return the logits (n, V) of the tokens that follow n texts."""
        self.cache.reorder([text.row for text in texts])
        if len(texts[0].chooser.ids) - self.start > self.context:
            self.start += (self.context + 1) // 2
            for row in range(self.cache.rows):
                self.cache.clear(row)
        part = self.cache.part(0, len(texts))
        seen = self.start + part.length
        ids = namespace(self.model.head.data).asarray([text.chooser.ids[seen:] for text in texts])
        with no_grad():
            return self.model.next_logits(ids, part).data


def _check(sampling: Sampling, beams: int, length_penalty: float, count: int,
           early_stopping: object) -> None:
    for field in fields(Sampling):
        name, value = field.name, getattr(sampling, field.name)
        if name in SENSELESS and value != field.default:
            raise ValueError(f"beam search draws no tokens and reports no text: leave out {name}, "
                             f"got {value!r}")
    if sampling.temperature not in (0, 1):
        raise ValueError(f"beam search draws no tokens: temperature must be 0 or 1, got "
                         f"{sampling.temperature}")
    if not 1 <= index(count) <= index(beams):
        raise ValueError(f"beam search: expected 1 <= count <= beams, got count {count} and "
                         f"{beams} beams")
    if not isfinite(length_penalty):
        raise ValueError(f"beam search: length_penalty must be finite, got {length_penalty}")
    if early_stopping not in (False, True, "never"):
        raise ValueError(f"beam search: early_stopping must be False, True or 'never', got "
                         f"{early_stopping!r}")
