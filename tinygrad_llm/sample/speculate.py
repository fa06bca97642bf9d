r"""Speculative decoding: a draft guesses tokens, the model reads them all in one call.

A call of k + 1 positions costs little more than a call of one, as both read every weight once. So
what a cheap draft guesses is checked by the model at once, and kept as far as it could have been
written by the model itself. Let the draft have drawn x from q, and p be the model's distribution
at that place. x is accepted with probability $\min(1, p(x) / q(x))$; at the first refusal a token
is drawn from the residual $(p - q)_+ / \beta$ instead, and what was guessed behind it is dropped.

Why the text has the distribution of plain sampling. A draft is v and accepted with probability
$q(v) \min(1, p(v) / q(v)) = \min(p(v), q(v))$, so it is refused with probability

$$\beta = 1 - \sum_v \min(p(v), q(v)) = \sum_v (p(v) - q(v))_+ ,$$

which is what the residual is divided by. The token written is v with probability

$$\min(p(v), q(v)) + \beta \, (p(v) - q(v))_+ / \beta = p(v) .$$

That holds for any q, given the tokens before; and the next place is reached by a draft only where
those tokens are the ones that its p and q were computed behind. After k acceptances one more token
is drawn from $p_{k+1}$, for which there was no guess.

A draft that is certain, $q(x) = 1$, is accepted with probability p(x), and the residual is p
without x: that is to draw from p, and to accept the draft if it was drawn. So the token is drawn as
without a draft, by the same number, and the text is the same, token for token. Look-up is certain,
and so is a draft model where the text is greedy.

Sources: Leviathan, Kalman, Matias, "Fast Inference from Transformers via Speculative Decoding",
arXiv:2211.17192, section 2.3 and appendix A.1; Chen et al., "Accelerating Large Language Model
Decoding with Speculative Sampling", arXiv:2302.01318, algorithm 2. Look-up: Saxena, "Prompt Lookup
Decoding" (2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np

from autograd import namespace, no_grad, to_host
from autograd.backend import Array

from ..host.threads import workers_unless_open
from ..models import LanguageModel
from .chooser import Chooser, NoToken, choose_all
from .logits import draw, softmax


class Draft(Protocol):
    """A source of guesses; `vocab_size` is that of the models it fits, None where it fits all."""

    vocab_size: int | None

    def propose(self, ids: Sequence[int], count: int, chooser: Chooser
                ) -> tuple[list[int], np.ndarray | None]:
        """Return at most `count` tokens that may follow a text, and q (k, V), None: all certain.

        The ids are the chooser's, of the prompt and the answer; it takes none of the tokens. What
        is drawn, is drawn by its generator, and depends on nothing but the text and that.
        """


def written(chooser: Chooser, logits: Array, drafted: Sequence[int], q: np.ndarray | None
            ) -> Iterator[int]:
    """Yield the tokens that are written where k were `drafted`: between 1 and k + 1.

    Logits (k + 1, V) are the model's at the drafts' places and behind them, q the distributions
    (k, V) that the drafts were drawn from, None where each was certain. The chooser has to take a
    token before the next is asked for. Raises UserError as `Chooser.process` does.
    """
    if q is not None:
        p = (distribution(chooser, row) for row in logits)
        yield from accept(p, q, drafted, chooser.rng)
        return
    for place in range(len(drafted) + 1):
        token, = choose_all(logits[place : place + 1], [chooser])
        yield token
        if place == len(drafted) or token != drafted[place]:
            return


def accept(p: Iterable[np.ndarray], q: np.ndarray, drafted: Sequence[int],
           rng: np.random.Generator) -> Iterator[int]:
    """Yield the tokens that are written where k were `drafted` from q (k, V).

    p are the model's distributions (k + 1, V). A row of p is taken when the token before it has
    been used: it may be computed from it then, and never is after a refusal.
    """
    rows = iter(p)
    for own, draft in zip(q, drafted, strict=True):
        token = _follow(next(rows), own, draft, rng)
        yield token
        if token != draft:
            return
    yield _drawn(next(rows), rng)


def _follow(p: np.ndarray, q: np.ndarray, draft: int, rng: np.random.Generator) -> int:
    """Return the draft if it is accepted, otherwise a token of the residual."""
    if rng.random() * q[draft] < p[draft]:
        return draft
    residual = np.maximum(p - q, 0)
    # Where p and q differ by their rounding only, nothing may be left of the difference.
    return _drawn(residual if residual.any() else p, rng)


def _drawn(weights: np.ndarray, rng: np.random.Generator) -> int:
    """Return a token drawn with probabilities proportional to the weights (V,)."""
    with np.errstate(divide="ignore"):
        return draw(np.log(weights), rng)


def distribution(chooser: Chooser, logits: Array) -> np.ndarray:
    """Return the probabilities (V,) from which the chooser's next token is drawn, in float64."""
    p: np.ndarray = softmax(to_host(chooser.filtered(logits)))
    return p


class ModelDraft:
    """Drafts by a smaller model of the same vocabulary, with the options of the text.

    It has a cache for each text, which is forgotten with it. Where its own context is full, it
    forgets the older half of the text.
    """

    def __init__(self, model: LanguageModel, count: int = 4) -> None:
        if count < 1:
            raise ValueError(f"a model's draft: expected a count of at least 1, got {count}")
        self.model, self.count = model, count
        self.vocab_size: int | None = model.config.vocab_size
        self._texts: WeakKeyDictionary[Chooser, _Followed] = WeakKeyDictionary()

    def propose(self, ids: Sequence[int], count: int, chooser: Chooser
                ) -> tuple[list[int], np.ndarray | None]:
        """Return at most `count` tokens that the model writes behind `ids`, and its q (k, V)."""
        if (text := self._texts.get(chooser)) is None:
            text = self._texts[chooser] = _Followed(self.model)
        writer = chooser.fork(chooser.rng)  # by a copy's numbers the draft would be accepted, too
        certain = chooser.sampling.temperature == 0
        q: list[np.ndarray] = []
        text.begin(ids)
        for _ in range(min(count, self.count, text.room)):
            try:
                token = self._next(writer, text.logits(), None if certain else q)
            except NoToken:
                break
            text.ids.append(token)
            if token in chooser.sampling.ends:
                break
            writer.take(token)
        return text.ids[len(ids) :], None if certain else np.array(q)

    def _next(self, writer: Chooser, logits: Array, q: list[np.ndarray] | None) -> int:
        """Return a token, and add what it was drawn from to q if it was drawn."""
        if q is None:
            return choose_all(logits[None], [writer])[0]
        q.append(distribution(writer, logits))
        return _drawn(q[-1], writer.rng)


class _Followed:
    """A text as a draft model has read it: `ids` from `start` on, as far as the cache is long."""

    def __init__(self, model: LanguageModel) -> None:
        self.model, self.context = model, int(model.config.context)
        self.cache = model.cache(1, min(CAPACITY, self.context), rotate=False)  # it can forget
        self.ids: list[int] = []
        self.start = self.sure = 0  # ids up to there are the text's own, and no guess

    @property
    def room(self) -> int:
        """How many tokens may be drawn, which are read but for the last."""
        return self.context - (len(self.ids) - self.start) + 1

    def begin(self, ids: Sequence[int]) -> None:
        """Go on from `ids`: forget guesses that are not among them, and what is too long ago."""
        same = self.sure
        while same < min(len(self.ids), len(ids) - 1) and self.ids[same] == ids[same]:
            same += 1
        self.ids, self.sure = [*ids], len(ids) - 1  # the last is read anew, for its logits
        half = (self.context + 1) // 2
        start = -(-max(len(ids) - self.context, 0) // half) * half  # by the text's length alone
        kept = min(same - start, self.cache.length) if start == self.start else 0
        self.start = start
        self.cache.truncate(0, kept)
        self.cache.begun[:] = 1  # keys are turned by their places, however much is read at once

    def logits(self) -> Array:
        """Return the logits (V,) of the token that follows."""
        cache, xp = self.cache, namespace(self.model.head.data)
        new = self.ids[self.start + cache.length :]
        cache.reserve(cache.length + len(new), self.context)
        with workers_unless_open(), no_grad():
            for start in range(0, len(new) - CAPACITY, CAPACITY):
                self.model.hidden(xp.asarray([new[start : start + CAPACITY]]), cache=cache)
            new = self.ids[self.start + cache.length :]
            return self.model.next_logits(xp.asarray([new]), cache).data[0]


CAPACITY = 256
"""Positions that a draft's cache begins with, and ids of a prompt that are read at once."""


class LookUp:
    """Drafts by what stood behind the same words before, in the prompt or in the answer.

    The last `ngram` tokens are looked for in what is before them, from its end. The text is guessed
    to go on as it did there, at most `count` tokens long, through the guess itself where it comes
    to the end of the text. The fewer tokens must agree, the more guesses, and the more in vain.
    """

    def __init__(self, ngram: int = 2, count: int = 10) -> None:
        if ngram < 1 or count < 1:
            raise ValueError(f"look-up: expected an n-gram and a count of at least 1, got {ngram} "
                             f"and {count}")
        self.ngram, self.count = ngram, count
        self.vocab_size: int | None = None  # it fits every model

    def propose(self, ids: Sequence[int], count: int, chooser: object) -> tuple[list[int], None]:
        """Return at most `count` tokens that may follow `ids`, and None: each is certain."""
        last = ids[-self.ngram :]
        for place in range(len(ids) - 1, self.ngram - 1, -1):
            if ids[place - 1] == last[-1] and ids[place - self.ngram : place] == last:
                period = len(ids) - place
                return [ids[place + k % period] for k in range(min(count, self.count))], None
        return [], None
