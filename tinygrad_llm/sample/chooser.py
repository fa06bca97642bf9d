"""From logits to tokens: the state of a text that its options look at, and the choice."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from operator import index

import numpy as np

from autograd import namespace, to_host
from autograd.backend import Array

from ..host.errors import UserError
from . import logits as filters
from .options import Sampling

Cuts = tuple[float, int | None, float | None, float | None, float | None]


class NoToken(UserError):
    """No token may follow: the options together forbid all."""


@dataclass(frozen=True)
class Choice:
    """A token that was chosen, with log-probabilities of the model's own distribution."""

    token: int
    logprob: float
    top: list[tuple[int, float]]  # the most probable tokens, falling; of equals the first id first


class Chooser:
    """The state of one text: its ids, its generator, what its options count, where a constraint is.

    `rng` replaces the generator that is made of the seed. Raises IndexError for ids outside the
    vocabulary, and UserError where all of it is banned, or what a constraint cannot do without.
    """

    def __init__(self, sampling: Sampling, prompt: Sequence[int], vocab_size: int,
                 rng: np.random.Generator | None = None) -> None:
        s = self.sampling = sampling
        self.vocab_size = vocab_size
        self.ids = [index(id) for id in prompt]  # of the prompt, and then of the answer
        self.written = 0  # tokens of the answer
        self.choices: list[Choice] = []
        self.rng = rng or np.random.Generator(np.random.Philox(s.seed))
        for name, ids in {"banned": s.banned, "logit_bias": s.logit_bias, "ends": s.ends,
                          "the prompt": self.ids}.items():
            if ids and not 0 <= min(ids) <= max(ids) < vocab_size:
                raise IndexError(f"{name}: ids must lie in [0, {vocab_size}), got {min(ids)} to "
                                 f"{max(ids)}")
        if len(s.banned) == vocab_size:
            raise UserError(f"banned forbids all {vocab_size} tokens; leave one")
        if hasattr(s.constraint, "without"):  # else a text may come where only they lead on
            s = self.sampling = replace(s, constraint=s.constraint.without([*s.banned, *s.ends]))
        self._banned, self._ends, self._biased = (
            np.fromiter(ids, int) for ids in (s.banned, s.ends, s.logit_bias))
        self._bias = np.fromiter(s.logit_bias.values(), float)
        self._counted = bool(s.presence_penalty or s.frequency_penalty)
        self._always = bool(s.logit_bias or s.repetition_penalty != 1 or self._counted
                            or s.processors or s.no_repeat_ngram or s.banned
                            or s.constraint is not None)
        self._counts = dict.fromkeys(self.ids, 0) if self._always else {}  # of ids in the answer
        self._array = np.array(self.ids if s.no_repeat_ngram else [], int)  # the ids again
        self.state = None if s.constraint is None else s.constraint.start
        self.cuts: Cuts = (0.0, None, None, None, None) if s.temperature == 0 else (
            s.temperature, s.top_k, s.top_p, s.min_p, s.typical_p)

    @property
    def plain(self) -> bool:
        """Whether `process` changes nothing at this place."""
        return not (self._always or (self.written < self.sampling.min_tokens and len(self._ends)))

    @property
    def finished(self) -> bool:
        """Whether nothing can follow under the constraint."""
        constraint = self.sampling.constraint
        return constraint is not None and constraint.finished(self.state)

    def process(self, logits: Array) -> Array:
        """Return the logits (V,) after all that comes before top-k and temperature.

        Raises UserError where no token is possible, naming the options that forbid, and where the
        model's logits are not finite.
        """
        _check_model(logits)
        processed = logits if self.plain else self._processed(logits)
        self._check(processed)
        return processed

    def filtered(self, logits: Array) -> Array:
        """Return the logits (V,) from which a token is drawn: -inf where one is impossible."""
        return filters.cut(self.process(logits), *self.cuts)

    def take(self, token: int, logits: Array | None = None) -> None:
        """Go on by a token, with the logits (V,) of the model that it was chosen by.

        They are read where log-probabilities are asked for; without them, none is added.
        """
        s, token = self.sampling, index(token)
        if s.logprobs is not None and logits is not None:
            self.choices.append(choice(logits, token, s.logprobs))
        self.ids.append(token)
        self.written += 1
        if s.no_repeat_ngram:
            self._array = np.append(self._array, token)
        if self._always:
            self._counts[token] = self._counts.get(token, 0) + 1
            if s.constraint is not None and token not in s.ends:
                self.state = s.constraint.next(self.state, token)

    def fork(self, rng: np.random.Generator | None = None) -> Chooser:
        """Return a copy: what either takes or draws, the other does not see.

        `rng` replaces the copy of the generator, which takes a millisecond.
        """
        other = copy.copy(self)
        other.ids, other.choices = self.ids.copy(), self.choices.copy()
        other.rng = rng or copy.deepcopy(self.rng)
        other._counts = self._counts.copy()
        return other

    def _processed(self, z: Array) -> Array:
        s, xp, dtype = self.sampling, namespace(z), z.dtype
        if s.logit_bias:
            z = filters.add_bias(z, self._biased, self._bias)
        if s.repetition_penalty != 1:
            z = filters.penalize_repetition(z, np.fromiter(self._counts, int),
                                            s.repetition_penalty)
        if self._counted:
            counts = np.fromiter(self._counts.values(), int)
            z = filters.penalize_counts(z, np.fromiter(self._counts, int), counts,
                                        s.presence_penalty, s.frequency_penalty)
        for function in s.processors:
            z = xp.asarray(function(z.copy(), self.ids), dtype=dtype)  # it may write into its own
            if z.shape != (self.vocab_size,):
                raise ValueError(f"processors: {function} must return logits of shape "
                                 f"({self.vocab_size},), got {z.shape}")
        if s.no_repeat_ngram:
            z = filters.forbid(z, filters.repeated(self._array, s.no_repeat_ngram))
        if s.banned:
            z = filters.forbid(z, self._banned)
        if self.written < s.min_tokens:
            z = filters.forbid(z, self._ends)
        return z if s.constraint is None else filters.keep(z, self._possible())

    def _possible(self) -> np.ndarray:
        """Return the constraint's mask (V,), with the ends where the text may end."""
        s = self.sampling
        left = None if s.max_tokens is None else s.max_tokens - self.written
        allowed: np.ndarray = s.constraint.allowed(self.state, left).copy()  # it keeps its own
        allowed[self._ends] = s.constraint.accepts(self.state)
        return allowed

    def _check(self, processed: Array) -> None:
        largest = float(processed.max())
        if isfinite(largest):
            return
        s = self.sampling
        if largest != -np.inf:
            raise UserError(f"the largest logit is {largest} after logit_bias, penalties and "
                            f"processors; make them smaller")
        active = {"processors": s.processors, "no_repeat_ngram": s.no_repeat_ngram,
                  "banned": s.banned, "min_tokens": self.written < s.min_tokens and s.ends,
                  "constraint": s.constraint is not None,
                  "max_tokens": s.constraint is not None and s.max_tokens is not None}
        names = [name for name, on in active.items() if on] or ["logit_bias", "penalties"]
        least = getattr(s.constraint, "shortest", 0)
        reason = "" if self.written or s.max_tokens is None or s.max_tokens >= least else (
            f" (the shortest text has {least} tokens, and max_tokens is {s.max_tokens})")
        raise NoToken(f"no token is possible: all {self.vocab_size} are forbidden by "
                      f"{', '.join(names)}{reason}; loosen one of these")


def choose_all(logits: Array, choosers: Sequence[Chooser]) -> list[int]:
    """Return one token for each row of logits (n, V), by the chooser of that row.

    A text draws one number a token from its own generator, so its token is the same whatever the
    other rows hold. No chooser takes its token. Raises UserError as `Chooser.process` does, before
    a number is drawn from any generator.
    """
    if not filters.finite_largest(logits):
        for row in logits:
            _check_model(row)
    if changed := [row for row, chooser in enumerate(choosers) if not chooser.plain]:
        logits = logits.copy()
        for row in changed:
            logits[row] = choosers[row]._processed(logits[row])
        if not filters.finite_largest(logits):
            for row in changed:
                choosers[row]._check(logits[row])
    kinds: dict[Cuts, list[int]] = {}
    for row, chooser in enumerate(choosers):
        kinds.setdefault(chooser.cuts, []).append(row)
    if len(kinds) == 1:
        return _choose(logits, choosers)
    tokens = [0] * len(choosers)
    for rows in kinds.values():
        part = logits[namespace(logits).asarray(rows)]
        for row, token in zip(rows, _choose(part, [choosers[r] for r in rows]), strict=True):
            tokens[row] = token
    return tokens


def _choose(logits: Array, choosers: Sequence[Chooser]) -> list[int]:
    """Return a token for each row; the choosers have the same cuts."""
    cuts, xp = choosers[0].cuts, namespace(logits)
    if cuts[0] == 0:
        tokens: list[int] = to_host(logits.argmax(axis=-1)).tolist()
        return tokens
    if xp is np and logits.shape[-1] >= WIDE:
        return [_choose_wide(row, cuts, chooser.rng)
                for row, chooser in zip(logits, choosers, strict=True)]
    uniforms = xp.asarray([chooser.rng.random() for chooser in choosers])
    tokens = to_host(filters.draw_rows(filters.cut(logits, *cuts), uniforms)).tolist()
    return tokens


WIDE = 2**13
"""From this vocabulary on a row is cut by itself: what is computed for it stays in fast memory."""


def _choose_wide(logits: Array, cuts: Cuts, rng: np.random.Generator) -> int:
    """Draw from `cut`, but take the possible tokens out before each step that looks at all.

    They are left with the same logits, and sums over them have the same bits, as they are added
    one after the other. (Those of `keep_typical` are not: it gets all.)
    """
    temperature, top_k, *others = cuts
    ids = np.arange(len(logits))
    if top_k is not None and others[-1] is None:
        ids = filters.largest(logits, top_k)
        logits, top_k = logits[ids], None
    logits = filters.cut(logits, temperature, top_k, *others)
    if others == [None] * 3:
        return int(ids[filters.draw(logits, rng)])
    possible = np.flatnonzero(logits > -np.inf)
    return int(ids[possible[filters.draw(logits[possible], rng)]])


def choice(logits: Array, token: int, count: int) -> Choice:
    """Return what is reported of a token: its log-probability, and `count` of the largest."""
    log_p = filters.log_softmax(to_host(logits))
    ids = filters.largest(log_p, count).tolist() if count else []
    best = sorted(ids, key=lambda id: -log_p[id])[:count]  # stable: of equals the first id first
    return Choice(token, float(log_p[token]), [(id, float(log_p[id])) for id in best])


def _check_model(logits: Array) -> None:
    """Raise UserError where the logits leave nothing to choose: NaN or infinity spreads to all."""
    largest = float(logits.max())
    if not isfinite(largest):
        raise UserError(f"the model's largest logit is {largest}, so it cannot choose a token: "
                        f"its weights are not finite, or far too large; take an earlier "
                        f"checkpoint, or train again with a smaller learning rate")
