"""Beam search beside a search of all texts, and what holds for the beams of any model."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.nn.cache import Cache
from tinygrad_llm.sample import Sampling, generate
from tinygrad_llm.sample.beam import Beam, beam_search
from tinygrad_llm.sample.chooser import Chooser
from tinygrad_llm.sample.logits import log_softmax

SIZE = 3
WORDS = 6  # of a script


def made(kind: str = "gpt", seed: int = 0, **options: Any) -> Any:
    """Return a model in float64 whose distributions are far from uniform and from certain."""
    sizes = {"vocab_size": SIZE, "context": 8, "layers": 1, "heads": 2, "width": 8} | options
    model: Any = GPT(GPTConfig(**sizes)) if kind == "gpt" else Llama(LlamaConfig(**sizes))
    rng = np.random.default_rng(seed)
    for p in parameters(model).values():
        p.data = 0.7 * rng.standard_normal(p.shape)
    return model


def every_text(model: Any, prompt: list[int], sampling: Sampling, penalty: float) -> list[Beam]:
    """Return all texts with their scores, best first: each by full forward passes."""
    found = []

    def go(chooser: Chooser, total: float) -> None:
        ids = chooser.ids[len(prompt) :]
        if len(ids) == sampling.max_tokens:
            found.append(Beam(ids, total / len(ids) ** penalty, "length"))
            return
        z = model(np.array([chooser.ids])).data[0, -1]
        try:
            scores = chooser.process(log_softmax(z))
        except UserError:  # nothing may follow
            return
        for token in np.flatnonzero(scores > -np.inf).tolist():
            if token in sampling.ends:
                found.append(Beam(ids, (total + scores[token]) / (len(ids) + 1) ** penalty, "end"))
                continue
            child = chooser.fork()
            child.take(token)
            go(child, total + scores[token])

    go(Chooser(sampling, prompt, SIZE), 0.0)
    return sorted(found, key=lambda beam: -beam.score)


samplings = st.builds(
    Sampling, temperature=st.sampled_from([0, 1]), max_tokens=st.integers(1, 3),
    ends=st.sampled_from([(), (0,), (0, 2)]), repetition_penalty=st.sampled_from([1.0, 1.5]),
    presence_penalty=st.sampled_from([0.0, 0.4]), no_repeat_ngram=st.sampled_from([0, 2]),
    logit_bias=st.sampled_from([{}, {1: -0.7}]))


def assert_same(got: list[Beam], expected: list[Beam]) -> None:
    assert [(beam.ids, beam.reason) for beam in got] == [
        (beam.ids, beam.reason) for beam in expected]
    np.testing.assert_allclose([beam.score for beam in got], [beam.score for beam in expected],
                               rtol=0, atol=1e-10)


@given(st.sampled_from(["gpt", "llama"]), st.integers(0, 9), samplings,
       st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=4),
       st.sampled_from([-1.0, 0.0, 0.7, 1.0, 2.0]))
def test_beams_for_all_texts_find_the_best(kind: str, seed: int, sampling: Sampling,
                                           prompt: list[int], penalty: float) -> None:
    model, beams = made(kind, seed), SIZE ** 3
    expected = every_text(model, prompt, sampling, penalty)
    got = beam_search(model, prompt, sampling, beams=beams, length_penalty=penalty, count=beams,
                      early_stopping="never")
    assert_same(got, expected)


class Script:
    """A model of a table: scores by what is seen; and a constraint, which may end a text or stick.

    Scores are few multiples of 1/4: sums are exact, and many of them equal. The cache keeps ids.
    """

    start = ()

    def __init__(self, seed: int, context: int, finished: float) -> None:
        self.seed, self.share = seed, finished
        self.config = SimpleNamespace(vocab_size=WORDS, context=context)
        self.head = SimpleNamespace(data=np.zeros(0))
        self.drawn = cache(self._drawn)

    def _drawn(self, *ids: int) -> tuple[np.ndarray, np.ndarray, bool, bool]:
        rng = np.random.default_rng([self.seed, len(ids), *ids])
        accepts, finished = rng.random(2) < (0.7, self.share)
        allowed = rng.random(WORDS) < rng.choice([0.1, 0.8, 0.8])
        return (rng.choice([0, 0, -0.25, -0.5, -1, -3], WORDS), allowed, bool(accepts),
                bool(finished))

    def scores(self, seen: Any) -> np.ndarray:
        return self.drawn(*seen)[0]

    def allowed(self, state: tuple[int, ...], left: int | None) -> np.ndarray:
        return self.drawn(*state)[1]

    def accepts(self, state: tuple[int, ...]) -> bool:
        return self.drawn(*state)[2]

    def finished(self, state: tuple[int, ...]) -> bool:
        return self.drawn(*state)[3]

    def next(self, state: tuple[int, ...], token: int) -> tuple[int, ...]:
        return *state, token

    def cache(self, rows: int) -> Cache:
        return Cache([None], rows, self.config.context, heads=1, depth=1, dtype=float)

    def next_logits(self, ids: np.ndarray, cache: Cache) -> Any:
        cache.places(*ids.shape)
        new = ids[:, :, None, None].astype(float)
        seen = cache.layers[0].extend(new, new)[0].astype(int)[:, :, 0, 0].tolist()
        cache.advance(ids.shape[1])
        return SimpleNamespace(data=np.stack([self.scores(row) for row in seen]))


def searched(script: Any, prompt: tuple[int, ...], sampling: Sampling, beams: int = 4,
             length_penalty: float = 1.0, count: int = 1, early_stopping: Any = False
             ) -> list[Beam]:
    """Return the texts that the search is defined to find, by lists of all that follows."""
    ends, context, limit = sampling.ends, script.config.context, sampling.max_tokens
    start = max(len(prompt) - context, 0)
    room = context - (len(prompt) - start) + 1
    most = room if limit is None else limit if sampling.past_context == "slide" else min(
        limit, room)
    going: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    ended: list[Beam] = []
    for length in range(1, most + 1):
        if len(prompt) + length - 1 - start > context:
            start += (context + 1) // 2
        after = [(total + scores[token], (*text, token)) for total, text in going
                 for scores in [script.scores((prompt + text)[start:])] for token in range(WORDS)
                 if (script.accepts(text) if token in ends else script.allowed(text, None)[token])]
        if not after and not ended:
            raise UserError("no token is possible")
        after.sort(key=lambda one: -one[0])
        going = []
        for rank, (total, text) in enumerate(after[: max(2, 1 + len(ends)) * beams]):
            reason = ("end" if text[-1] in ends else "length" if length == most else
                      "end" if script.finished(text) else "")
            if not reason:
                going.append((total, text))
            elif rank < beams:
                said = text[:-1] if text[-1] in ends else text
                ended.append(Beam([*said], total / length ** length_penalty, reason))
        going = going[:beams]
        ended = sorted(ended, key=lambda beam: -beam.score)[:beams]
        if not going or (early_stopping is True and len(ended) == beams):
            break
        longest = most if early_stopping == "never" and length_penalty > 0 else length
        if len(ended) == beams and going[0][0] / longest ** length_penalty <= ended[-1].score:
            break
    return ended[:count]


@draws(1000, dev=100)
@given(st.integers(0, 2**32), st.integers(2, 6), st.sampled_from([0.1, 0.4, 0.7]),
       st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=9), st.integers(1, 4),
       st.builds(Sampling, max_tokens=st.integers(1, 9), ends=st.sampled_from([(), (0,), (0, 2)]),
                 past_context=st.sampled_from(["slide", "stop"])))
def test_it_is_the_search_that_is_defined(seed: int, context: int, finished: float,
                                          prompt: list[int], beams: int, sampling: Sampling
                                          ) -> None:
    script: Any = Script(seed, context, finished)
    sampling = replace(sampling, constraint=script)
    with patch("tinygrad_llm.sample.beam.log_softmax", lambda z: z):
        for penalty, early in product((-1, 0, 0.5, 2), (False, True, "never")):
            options: Any = {"length_penalty": penalty, "early_stopping": early, "beams": beams,
                            "count": beams}
            try:
                expected = searched(script, tuple(prompt), sampling, **options)
            except UserError:
                with pytest.raises(UserError, match="no token is possible"):
                    beam_search(script, prompt, sampling, **options)
                return
            assert beam_search(script, prompt, sampling, **options) == expected
        assert beam_search(script, prompt, sampling) == searched(script, tuple(prompt), sampling)


@pytest.mark.parametrize("ends", range(4))
@pytest.mark.parametrize("done", range(6))
def test_how_many_are_looked_at(ends: int, done: int) -> None:
    """Of equals, ids 0, 1, ... end a text; the next id goes on if it is seen, and scores more."""
    model = made(vocab_size=9)
    for p in parameters(model).values():
        p.data[:] = 0
    constraint: Any = SimpleNamespace(
        start=9, next=lambda state, token: token, accepts=lambda state: True,
        allowed=lambda state, left: np.ones(9, bool), finished=lambda state: state < done)
    found, = beam_search(model, [1], Sampling(constraint=constraint, ends=range(ends),
                                              max_tokens=3),
                         beams=1, length_penalty=2, early_stopping="never")
    assert (len(found.ids) > 1) == (max(done, ends) < max(2, 1 + ends))


def test_one_beam_is_greedy() -> None:
    model = made(seed=3)
    beam, = beam_search(model, [1], Sampling(max_tokens=5), beams=1)
    ids = [1]
    for _ in range(5):
        ids.append(int(model(np.array([ids])).data[0, -1].argmax()))
    assert beam.ids == ids[1:] and beam.reason == "length"


@pytest.mark.parametrize("past", ["slide", "stop"])
def test_where_the_context_is_full(past: Any) -> None:
    """The older half is forgotten, as in a plain text: with one beam, the same text."""
    for prompt in ([1, 0, 2, 2, 1], [0, 1, 2] * 5):
        model = made(seed=5)
        sampling = Sampling(temperature=0, max_tokens=20, past_context=past)
        beam, = beam_search(model, prompt, sampling, beams=1)
        greedy = generate(model, prompt, 20, Sampling(temperature=0), np.random.default_rng(0))
        expected = list(greedy)[: 20 if past == "slide" else max(8 - len(prompt), 0) + 1]
        assert beam.ids == expected
    assert len(beam_search(made(seed=5), [1, 0, 2, 2, 1], Sampling(), beams=2)[0].ids) == 4


def score_of(model: Any, prompt: list[int], beam: Beam, penalty: float) -> float:
    """Return the score of a text by a full forward pass."""
    ids, steps = prompt + beam.ids, len(beam.ids) + (beam.reason == "end")
    log_p = log_softmax(model(np.array([ids])).data[0, len(prompt) - 1 :])
    total = log_p[np.arange(len(beam.ids)), beam.ids].sum()
    if beam.reason == "end":
        total += log_p[-1, 0]
    return float(total / steps ** penalty)


@given(st.sampled_from(["gpt", "llama"]), st.integers(0, 99), st.integers(1, 5),
       st.sampled_from([False, True, "never"]), st.sampled_from([0.0, 1.0, 1.5]))
def test_scores_are_those_of_full_forward_passes(kind: str, seed: int, beams: int, early: Any,
                                                 penalty: float) -> None:
    model = made(kind, seed, vocab_size=9, context=12)
    prompt = np.random.default_rng(seed).integers(9, size=1 + seed % 4).tolist()
    sampling = Sampling(max_tokens=8, ends=[0])
    found = beam_search(model, prompt, sampling, beams=beams, count=beams, length_penalty=penalty,
                        early_stopping=early)
    assert len(found) == beams == len({(*beam.ids, beam.reason) for beam in found})
    scores = [beam.score for beam in found]
    assert scores == sorted(scores, reverse=True)
    np.testing.assert_allclose(scores, [score_of(model, prompt, beam, penalty) for beam in found],
                               rtol=0, atol=1e-10)
    best, = beam_search(model, prompt, sampling, beams=beams, length_penalty=penalty,
                        early_stopping=early)
    assert best == found[0]


class Rising:
    """Texts whose ids rise from `start`, up to 8: a constraint that can be left at its end only."""

    start = 1

    def next(self, state: int, token: int) -> int:
        assert token > state
        return token

    def allowed(self, state: int, left: int | None) -> np.ndarray:
        return (np.arange(9) > state) & (np.arange(9) >= 9 - (left or 9))

    def accepts(self, state: int) -> bool:
        return state == 8

    finished = accepts


@pytest.mark.parametrize("ends", [[], [0]])
def test_a_beam_never_leaves_the_language(ends: list[int]) -> None:
    for seed in range(5):
        found = beam_search(made("llama", seed, vocab_size=9, context=12), [3], Sampling(
            constraint=Rising(), ends=ends, max_tokens=4), beams=5, count=5, length_penalty=0)
        assert len(found) == 5
        for beam in found:
            assert beam.ids == sorted(set(beam.ids)) and beam.ids[-1] == 8
            assert beam.reason == ("length" if len(beam.ids) == 4 else "end")


def test_texts_that_are_stuck_are_left_and_where_all_are_it_is_an_error() -> None:
    model = made(seed=1)
    options = {"no_repeat_ngram": 1, "banned": [2]}
    found = beam_search(model, [2], Sampling(max_tokens=3, ends=[0], **options), beams=3, count=3)
    assert {(*beam.ids, beam.reason) for beam in found} == {("end",), (1, "end")}
    found = beam_search(model, [2], Sampling(ends=[0], max_tokens=3, processors=[
        lambda z, ids: np.where(len(ids) > 1, -np.inf, z)]), beams=3, count=3)
    assert [(beam.ids, beam.reason) for beam in found] == [([], "end")]
    found = beam_search(model, [2], Sampling(max_tokens=2, processors=[
        lambda z, ids: np.where(ids[-1] == 1, -np.inf, z)]), beams=3, count=3)
    assert len(found) == 3 and all(beam.ids[0] != 1 for beam in found)
    with pytest.raises(UserError, match="all 3 are forbidden by no_repeat_ngram, banned;"):
        beam_search(model, [2], Sampling(max_tokens=3, **options), beams=3)


def test_weights_that_are_not_finite_are_an_error() -> None:
    model = made()
    model.head.data[:] = np.nan
    with pytest.raises(UserError, match="largest logit is nan"):
        beam_search(model, [1], Sampling(max_tokens=2))


@pytest.mark.parametrize("sampling, options, words", [
    ({"temperature": 0.7}, {}, "temperature must be 0 or 1, got 0.7"),
    ({"top_p": 0.9}, {}, "leave out top_p, got 0.9"), ({"seed": 3}, {}, "leave out seed, got 3"),
    ({"stop": ["x"]}, {}, "leave out stop"), ({"logprobs": 0}, {}, "leave out logprobs"),
    ({}, {"count": 5}, "count 5 and 4 beams"), ({}, {"beams": 0}, "count 1 and 0 beams"),
    ({}, {"count": 0}, "count 0 and 4 beams"),
    ({}, {"length_penalty": np.nan}, "length_penalty must be finite"),
    ({}, {"early_stopping": "soon"}, "False, True or 'never', got 'soon'"),
])
def test_options_that_make_no_sense_are_refused_by_name(sampling: Any, options: Any, words: str
                                                        ) -> None:
    with pytest.raises(ValueError, match=words):
        beam_search(made(), [1], Sampling(max_tokens=2, **sampling), **options)


@pytest.mark.parametrize("prompt, kind", [([], ValueError), ([3], IndexError), ([1.5], TypeError)])
def test_impossible_prompts(prompt: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        beam_search(made(), prompt, Sampling(max_tokens=2))


def test_no_tokens() -> None:
    assert beam_search(made(), [1], Sampling(max_tokens=0)) == [Beam([], 0.0, "length")]
