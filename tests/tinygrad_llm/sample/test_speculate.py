"""Speculative decoding: the distribution of plain sampling, by enumeration of all that may happen.

First the rule on distributions, then look-up, then a batcher's texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import strict_cupy
from branching import distribution
from draws import draws
from hypothesis import given
from hypothesis import strategies as st
from writers import LETTERS, VOCABULARY, gpt, llama, made, models, prompts

from tinygrad_llm.models import GPTConfig, LlamaConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.sample import Batcher, Chooser, Handle, Sampling, generate, speculate
from tinygrad_llm.sample.constrained import regular_expression
from tinygrad_llm.sample.logits import draw
from tinygrad_llm.sample.speculate import LookUp, ModelDraft, accept, written

SIZE, DRAFTS = 3, 2


@st.composite
def distributions(draw: st.DrawFn) -> np.ndarray:
    """A distribution over SIZE tokens; some have zeros, some are nearly certain."""
    weights = np.array(draw(st.lists(st.sampled_from([0.0, 0.0, 1e-9, 1.0, 2.0, 3.5, 1e3]),
                                     min_size=SIZE, max_size=SIZE)))
    weights[draw(st.integers(0, SIZE - 1))] += 1.0
    return weights / weights.sum()


def texts(size: int) -> Iterator[tuple[int, ...]]:
    return np.ndindex(*[SIZE] * size)


@st.composite
def trees(draw: st.DrawFn) -> dict[tuple[int, ...], np.ndarray]:
    """A language model: the distribution of the next token behind each text of up to DRAFTS."""
    return {text: draw(distributions()) for size in range(DRAFTS + 1) for text in texts(size)}


def drawn(p: np.ndarray, rng: Any) -> int:
    with np.errstate(divide="ignore"):
        return draw(np.log(p), rng)


def plain(p: dict[tuple[int, ...], np.ndarray], rng: Any) -> tuple[int, ...]:
    """Return a text of DRAFTS + 1 tokens, one drawn behind the other."""
    text: tuple[int, ...] = ()
    for _ in range(DRAFTS + 1):
        text += (drawn(p[text], rng),)
    return text


def speculative(p: dict[tuple[int, ...], np.ndarray], rng: Any, guess: Callable[..., Any]
                ) -> tuple[int, ...]:
    """Return a text of DRAFTS + 1 tokens that begins with what was written for drafts."""
    drafted, q = guess(rng)
    text: tuple[int, ...] = ()
    for token in speculate.accept((p[text] for _ in range(DRAFTS + 1)), q, drafted, rng):
        text += (token,)
    while len(text) <= DRAFTS:
        text += (drawn(p[text], rng),)
    return text


def guess_by(q: dict[tuple[int, ...], np.ndarray]) -> Callable[..., Any]:
    def guess(rng: Any) -> tuple[list[int], np.ndarray]:
        drafted: list[int] = []
        for _ in range(DRAFTS):
            drafted.append(drawn(q[tuple(drafted)], rng))
        return drafted, np.array([q[tuple(drafted[:place])] for place in range(DRAFTS)])

    return guess


def assert_plain(p: dict[tuple[int, ...], np.ndarray], guess: Callable[..., Any]) -> None:
    got = distribution(lambda rng: speculative(p, rng, guess))
    expected = distribution(lambda rng: plain(p, rng))
    for text in got.keys() | expected.keys():
        assert abs(got.get(text, 0) - expected.get(text, 0)) < 1e-12, text


@given(trees(), trees())
def test_the_distribution_is_that_of_plain_sampling(p: Any, q: Any) -> None:
    assert_plain(p, guess_by(q))


def test_the_enumeration_is_one_of_independent_draws() -> None:
    p = {text: np.array([0.5, 0.25, 0.25]) for size in range(3) for text in texts(size)}
    got = distribution(lambda rng: plain(p, rng))
    assert len(got) == 27
    assert got[0, 0, 0] == 1 / 8 and got[1, 0, 2] == 1 / 32


def from_p(p: np.ndarray, q: Any, draft: int, rng: Any) -> int:
    """Draw from p where the residual belongs."""
    return draft if rng.random() * q[draft] < p[draft] else drawn(p, rng)


def unscaled(p: np.ndarray, q: Any, draft: int, rng: Any) -> int:
    """Accept with probability p, not p / q."""
    residual = np.maximum(p - q, 0)
    return draft if rng.random() < p[draft] else drawn(residual if residual.any() else p, rng)


def always(p: np.ndarray, q: Any, draft: int, rng: Any) -> int:
    return draft


@pytest.mark.parametrize("wrong", [from_p, unscaled, always])
def test_a_wrong_rule_is_found(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speculate, "_follow", wrong)
    rng = np.random.default_rng(0)
    p, q = ({text: rng.dirichlet(np.ones(SIZE)) for size in range(DRAFTS + 1)
             for text in texts(size)} for _ in range(2))
    with pytest.raises(AssertionError):
        assert_plain(p, guess_by(q))


def test_where_p_and_q_are_equal_all_is_accepted_and_one_token_more_is_drawn() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(7), 5)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        drafted = [drawn(row, rng) for row in p[:4]]
        got = list(accept(p, p[:4], drafted, rng))
        assert got[:4] == drafted and len(got) == 5


def test_no_more_distributions_are_taken_than_are_needed() -> None:
    rows, q = iter(np.eye(4)[[2, 1, 3, 0]]), np.eye(4)[[2, 1, 0]]
    assert list(accept(rows, q, [2, 1, 0], np.random.default_rng(0))) == [2, 1, 3]
    assert next(rows).argmax() == 0
    assert list(accept(np.eye(4)[:1], q[:0], [], np.random.default_rng(0))) == [0]


def test_a_draft_of_a_token_that_cannot_be_is_never_written() -> None:
    p, q = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 0.0]])
    assert distribution(lambda rng: tuple(accept(p, q, [0], rng))) == {(1,): 1.0}
    with np.errstate(divide="ignore"):
        logits = np.log(p)
    assert distribution(lambda rng: tuple(written(
        Chooser(Sampling(), [1], 2, rng), logits, [0], None))) == {(1,): 1.0}


def test_of_certain_drafts_no_more_are_written_than_were_chosen() -> None:
    logits = 9.0 * np.eye(4)[[2, 1, 3, 0]]
    chooser = Chooser(Sampling(temperature=0), [1], 4)
    for drafted, expected in (([2, 1, 3], [2, 1, 3, 0]), ([2, 1, 0], [2, 1, 3]), ([0], [2]),
                              ([], [2])):
        assert list(written(chooser, logits, drafted, None)) == expected


def slow_look_up(ids: list[int], ngram: int, count: int) -> list[int]:
    """The definition: try places from the last; copy token by token."""
    for start in range(len(ids) - ngram - 1, -1, -1):
        if ids[start : start + ngram] == ids[-ngram:]:
            text = list(ids)
            for place in range(count):
                text.append(text[start + ngram + place])
            return text[len(ids) :]
    return []


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 6),
       st.integers(1, 6))
def test_look_up_goes_on_as_after_the_last_n_gram(ids: list[int], ngram: int, count: int,
                                                  most: int) -> None:
    expected = slow_look_up(ids, ngram, min(count, most))
    assert LookUp(ngram, count).propose(ids, most, None) == (expected, None)


def test_look_up_in_a_text() -> None:
    draft = LookUp(ngram=2, count=3)
    assert draft.propose([5, 1, 2, 7, 8, 9, 3, 1, 2], 9, None)[0] == [7, 8, 9]
    assert draft.propose([1, 2, 7, 1, 2], 9, None)[0] == [7, 1, 2] and draft.propose(
        [3, 1, 2, 1, 2], 9, None)[0] == [1, 2, 1]  # and through the guess
    assert draft.propose([1, 2, 3], 9, None)[0] == draft.propose([2, 1, 2, 2], 9, None)[0] == []
    with pytest.raises(ValueError, match="at least 1, got 0 and 3"):
        LookUp(0, 3)


def texts_of(batcher: Batcher, prompts: Sequence[list[int]], samplings: Sequence[Sampling]
             ) -> list[Handle]:
    return batcher.run([batcher.add(prompt, sampling) for prompt, sampling in zip(
        prompts, samplings, strict=True)])


def assert_same(got: Handle, expected: Handle) -> None:
    assert (got.ids, got.text, got.reason) == (expected.ids, expected.text, expected.reason)
    assert str(got.error) == str(expected.error)
    assert [[c.token, *(id for id, _ in c.top)] for c in got.choices] == [
        [c.token, *(id for id, _ in c.top)] for c in expected.choices]
    np.testing.assert_allclose([c.logprob for c in got.choices],
                               [c.logprob for c in expected.choices], atol=1e-9)


@st.composite
def all_options(draw: st.DrawFn, temperatures: Sequence[float] = (0.0, 0.7, 1.3)) -> Sampling:
    """Options of every kind, most of them off."""
    def some(*values: Any) -> Any:
        return draw(st.sampled_from(values))

    temperature, most, least = some(*temperatures), draw(st.integers(1, 14)), some(0, 0, 3)
    return Sampling(
        temperature=temperature, top_k=some(None, None, 3), top_p=some(None, None, 0.8),
        min_p=some(None, None, 0.1), typical_p=some(None, None, 0.9) if temperature else None,
        repetition_penalty=some(1, 1, 1.3), presence_penalty=some(0, 0, 0.5),
        frequency_penalty=some(0, 0, -0.3), no_repeat_ngram=some(0, 0, 0, 3),
        logit_bias=some({}, {}, {2: 1.5}), banned=some((), (), (5,)), max_tokens=most,
        min_tokens=min(least, most), ends=some((), (3,), (1, 4)),
        stop=some((), (), ("bc", "a"), ("hh",)), seed=draw(st.integers(0, 99)),
        logprobs=some(None, None, 2), past_context="slide" if least else some("slide", "stop"),
        constraint=some(None, None, None, WORDS), processors=some((), (), (halved,)))


def halved(logits: Any, ids: Sequence[int]) -> Any:
    return logits / 2


WORDS = regular_expression("([a-c]{1,4}[d-i])*", LETTERS, VOCABULARY)
drafts = st.builds(LookUp, st.integers(1, 3), st.integers(1, 6)) | st.builds(
    ModelDraft, models(), st.integers(1, 5))
certain = st.builds(LookUp, st.integers(1, 3), st.integers(1, 6))


@draws(200, 12)
@given(models(), st.data())
def test_with_look_up_every_text_is_the_same(model: Any, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    samplings = [data.draw(all_options()) for _ in range(count)]
    begun = [data.draw(prompts(model.config.context)) for _ in range(count)]
    bits, rows = data.draw(st.sampled_from([None, 8])), data.draw(st.integers(1, 3))
    expected = texts_of(Batcher(model, LETTERS, bits=bits), begun, samplings)
    got = texts_of(Batcher(model, LETTERS, bits=bits, rows=rows, chunk=3,
                           draft=data.draw(certain)), begun, samplings)
    for one, other in zip(got, expected, strict=True):
        assert_same(one, other)


@draws(200, 10)
@given(models(), st.data())
def test_with_any_draft_greedy_texts_are_the_same(model: Any, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    samplings = [data.draw(all_options((0.0,))) for _ in range(count)]
    begun = [data.draw(prompts(model.config.context)) for _ in range(count)]
    expected = texts_of(Batcher(model, LETTERS), begun, samplings)
    got = texts_of(Batcher(model, LETTERS, rows=data.draw(st.integers(1, 3)), chunk=3,
                           draft=data.draw(drafts)), begun, samplings)
    for one, other in zip(got, expected, strict=True):
        assert_same(one, other)


@draws(100, 6)
@given(models(), models(), st.data())
def test_a_drafted_text_does_not_depend_on_the_others(model: Any, small: Any,
                                                      data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 4))
    samplings = [data.draw(all_options()) for _ in range(count)]
    begun = [data.draw(prompts(model.config.context)) for _ in range(count)]
    together = texts_of(Batcher(model, LETTERS, rows=data.draw(st.integers(1, 4)), chunk=3,
                                draft=ModelDraft(small, 3)), begun, samplings)
    for prompt, sampling, got in zip(begun, samplings, together, strict=True):
        alone, = texts_of(Batcher(model, LETTERS, draft=ModelDraft(small, 3)), [prompt],
                          [sampling])
        assert_same(got, alone)


def tiny(kind: str, seed: int, context: int = 4) -> Any:
    """Return a model of SIZE tokens whose distributions are neither uniform nor certain."""
    sizes: Any = {"vocab_size": SIZE, "context": context, "layers": 1, "heads": 2, "width": 8}
    return made(GPTConfig(**sizes) if kind == "gpt" else LlamaConfig(**sizes, window=2), seed, 0.5)


few_options = st.builds(
    Sampling, temperature=st.sampled_from([0.7, 1.0]), top_k=st.sampled_from([None, 2]),
    top_p=st.sampled_from([None, 0.9]), repetition_penalty=st.sampled_from([1.0, 1.5]),
    frequency_penalty=st.sampled_from([0.0, 0.5]), no_repeat_ngram=st.sampled_from([0, 0, 2]),
    logit_bias=st.sampled_from([{}, {1: 0.5}]), ends=st.sampled_from([(), (2,)]),
    min_tokens=st.integers(0, 1), max_tokens=st.integers(1, 3),
    constraint=st.sampled_from([None, None, regular_expression("a*b?a*", LETTERS, SIZE)]))


def assert_distribution(model: Any, draft: Any, prompt: list[int], sampling: Sampling) -> None:
    """Compare the probabilities of all texts."""
    def text(draft: Any, rng: Any) -> tuple[Any, ...]:
        batcher = Batcher(model, LETTERS, draft=draft)
        handle, = batcher.run([batcher.add(prompt, sampling, rng=rng)])
        return (*handle.ids, handle.reason, str(handle.error))

    expected = distribution(lambda rng: text(None, rng))
    got = distribution(lambda rng: text(draft, rng))
    for one in got.keys() | expected.keys():
        assert abs(got.get(one, 0) - expected.get(one, 0)) < 1e-12, one


@draws(60, 6)
@given(st.sampled_from(["gpt", "llama"]), st.integers(0, 99), st.integers(0, 99), st.integers(1, 3),
       st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=4), few_options)
def test_texts_have_the_distribution_of_plain_sampling(
        kind: str, seed: int, other: int, count: int, prompt: list[int], sampling: Sampling
        ) -> None:
    model = tiny(kind, seed)
    for draft in (LookUp(2, count), ModelDraft(tiny("gpt", other, context=3), count)):
        assert_distribution(model, draft, prompt, sampling)


class Stubborn:
    """A draft that always guesses the same, and says how sure it is, rightly or not."""

    def __init__(self, drafted: list[int], q: Any) -> None:
        self.drafted, self.q, self.vocab_size = drafted, q, None

    def propose(self, ids: Sequence[int], count: int, chooser: Any) -> tuple[list[int], Any]:
        return self.drafted[:count], None if self.q is None else self.q[:count]


def test_a_draft_that_hides_how_it_guesses_is_found_by_the_enumeration() -> None:
    with pytest.raises(AssertionError):
        assert_distribution(tiny("gpt", 0), Stubborn([1, 1], np.full((2, SIZE), 1 / SIZE)), [1],
                            Sampling(max_tokens=3))
    assert_distribution(tiny("gpt", 0), Stubborn([1, 1], None), [1], Sampling(max_tokens=3))


def test_frequencies_of_drafted_texts() -> None:
    """Chi-square, of the texts of two tokens: 8 degrees of freedom, 26.1 at 0.001."""
    model, count = tiny("llama", 5), 600
    sampling = Sampling(max_tokens=2, top_p=0.95)
    expected = distribution(lambda rng: tuple(generate(model, [1, 2], 2, sampling, rng)))
    batcher = Batcher(model, draft=ModelDraft(tiny("gpt", 2), 2))
    found = texts_of(batcher, [[1, 2]] * count,
                     [replace(sampling, seed=seed) for seed in range(count)])
    ids = [tuple(handle.ids) for handle in found]
    assert {*ids} <= expected.keys()
    chi = sum((ids.count(text) - count * p) ** 2 / (count * p) for text, p in expected.items())
    assert chi < 26.1


def test_what_is_right_is_accepted_and_a_token_more_is_written() -> None:
    model, calls = gpt(context=40), []
    greedy, call = Sampling(temperature=0, max_tokens=20), type(model).__call__
    plain, = texts_of(Batcher(model), [[1, 2]], [greedy])

    class Counted(type(model)):
        def __call__(self, ids: Any, *args: Any, **options: Any) -> Any:
            calls.append(ids.shape)
            return call(self, ids, *args, **options)

    model.__class__ = Counted
    drafted, = texts_of(Batcher(model, draft=ModelDraft(gpt(context=40), 4)), [[1, 2]], [greedy])
    assert drafted.ids == plain.ids and calls == [(1, 5)] * 4
    assert Batcher(model, draft=LookUp()).draft is not None


def test_no_more_is_guessed_than_may_be_written_or_the_model_sees() -> None:
    asked: list[int] = []

    class Asked(Stubborn):
        def propose(self, ids: Sequence[int], count: int, chooser: Any) -> tuple[list[int], Any]:
            asked.append(count)
            return [], None

    texts_of(Batcher(gpt(context=8), draft=Asked([], None)), [[1, 2, 3]],
             [Sampling(temperature=0, max_tokens=12)])
    assert asked == [5, 4, 3, 2, 1, 0, 3, 2, 1, 0, 1, 0]


@pytest.mark.parametrize("drafted", [[1, 2, 3, 4], [9], [-1]])
def test_a_draft_that_guesses_what_it_must_not_ends_the_text(drafted: list[int]) -> None:
    class Wrong(Stubborn):
        def propose(self, ids: Sequence[int], count: int, chooser: Any) -> tuple[list[int], Any]:
            return (drafted if ids[0] == 1 else []), None

    wrong, right = texts_of(Batcher(gpt(), draft=Wrong([], None)), [[1], [2]],
                            [Sampling(temperature=0, max_tokens=4)] * 2)
    assert wrong.reason == "error" and "must guess at most 3 ids in [0, 9), got" in str(wrong.error)
    assert right.reason == "length"


def test_what_drafts_refuse() -> None:
    with pytest.raises(ValueError, match="count of at least 1, got 0"):
        ModelDraft(gpt(), 0)
    with pytest.raises(ValueError, match="vocabulary of 3 tokens, and the model of 9; .*same ids"):
        Batcher(gpt(), draft=ModelDraft(tiny("gpt", 0)))


def test_a_draft_model_that_is_not_finite_ends_the_text() -> None:
    broken = gpt()
    broken.wte.weight.data[1] = np.nan
    text, other = texts_of(Batcher(gpt(), draft=ModelDraft(broken)), [[1], [1, 2]],
                           [Sampling(seed=1, max_tokens=4)] * 2)
    assert text.reason == other.reason == "error" and "largest logit is nan" in str(text.error)


def test_a_draft_under_a_dynamic_rule_is_the_same_however_much_is_read_at_once() -> None:
    model = made(LlamaConfig(VOCABULARY, 12, layers=2, heads=2, width=8,
                             rope_scaling="dynamic factor=3 original=4"))
    ids, q = [1, 2, 3, 4, 5, 6, 7, 8, 0, 1], []
    for lengths in ([9], [2, 5, 6, 9]):
        draft, chooser = ModelDraft(model, 1), Chooser(Sampling(seed=1), ids, VOCABULARY)
        q.append([draft.propose(ids[:length], 1, chooser)[1] for length in lengths][-1])
    np.testing.assert_allclose(q[0], q[1], rtol=1e-10)


class Told:
    """A draft that guesses what it is told."""

    vocab_size = None

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = [*ids]

    def propose(self, ids: Sequence[int], count: int, chooser: Chooser) -> tuple[list[int], None]:
        return self.ids[:count], None


def test_behind_an_end_that_was_guessed_nothing_is_chosen() -> None:
    each_once = Sampling(temperature=0, no_repeat_ngram=1)
    ids = list(generate(gpt(), [1, 2], 3, each_once))
    seen: list[list[int]] = []

    def watch(logits: Any, ids: Sequence[int]) -> Any:
        seen.append([*ids])
        return logits

    text, = texts_of(Batcher(gpt(), draft=Told(ids)), [[1, 2]], [
        replace(each_once, ends=ids[1:2], max_tokens=9, processors=(watch,))])
    assert (text.reason, seen) == ("end", [[1, 2], [1, 2, ids[0]]])


def test_a_draft_forgets_texts_that_are_gone() -> None:
    draft = ModelDraft(gpt())
    batcher = Batcher(llama(), draft=draft)
    texts_of(batcher, [[1], [2]], [Sampling(seed=1, max_tokens=4)] * 2)
    assert len(draft._texts) == 0


def test_with_drafts_texts_on_a_device_are_the_same() -> None:
    def texts(move: Any, draft: Callable[[Any], Any]) -> list[Handle]:
        model, small = llama(8, 1, window=3), gpt(6, 2)
        for p in [*parameters(model).values(), *parameters(small).values()]:
            p.data = move(p.data)
        return texts_of(Batcher(model, rows=2, draft=draft(small)), [[1, 2, 1, 2], [3], [4, 4]],
                        [Sampling(temperature=0, max_tokens=9), Sampling(seed=1, max_tokens=7),
                         Sampling(seed=2, max_tokens=7, logprobs=1, top_p=0.9)])

    for draft in (ModelDraft, lambda _: LookUp(1, 3)):
        for one, other in zip(texts(strict_cupy.asarray, draft), texts(np.array, draft),
                              strict=True):
            assert_same(one, other)
