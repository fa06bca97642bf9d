"""Speculative decoding: the distribution of plain sampling, by enumeration of all that may happen.

First the function on distributions, then whole texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from branching import distribution
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.sample import speculate
from tinygrad_llm.sample.logits import draw
from tinygrad_llm.sample.speculate import LookUp, accept

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


@given(trees(), st.tuples(*[st.integers(0, SIZE - 1)] * DRAFTS))
def test_a_certain_draft_leaves_the_distribution_as_it_is(p: Any, drafted: Any) -> None:
    assert_plain(p, lambda rng: (drafted, None))


def test_the_enumeration_is_one_of_independent_draws() -> None:
    p = {text: np.array([0.5, 0.25, 0.25]) for size in range(3) for text in texts(size)}
    got = distribution(lambda rng: plain(p, rng))
    assert len(got) == 27
    assert got[0, 0, 0] == 1 / 8 and got[1, 0, 2] == 1 / 32


def from_p(p: np.ndarray, q: Any, draft: int, rng: Any) -> int:
    """Draw from p where the residual belongs."""
    return draft if rng.random() * (1 if q is None else q[draft]) < p[draft] else drawn(p, rng)


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
    rows = iter(np.eye(4)[[2, 1, 3, 0]])
    assert list(accept(rows, None, [2, 1, 0], np.random.default_rng(0))) == [2, 1, 3]
    assert next(rows).argmax() == 0
    assert list(accept(np.eye(4)[:1], None, [], np.random.default_rng(0))) == [0]


def test_a_draft_of_a_token_that_cannot_be_is_never_written() -> None:
    p, q = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 0.0]])
    for sure in (q, None):
        got = distribution(lambda rng, sure=sure: tuple(accept(p, sure, [0], rng)))
        assert got == {(1,): 1.0}


def slow_look_up(ids: list[int], ngram: int, count: int) -> list[int]:
    """The definition: try n-grams from the longest, places from the last; copy token by token."""
    for size in range(min(ngram, len(ids)), 0, -1):
        for start in range(len(ids) - size - 1, -1, -1):
            if ids[start : start + size] == ids[-size:]:
                text = list(ids)
                for place in range(count):
                    text.append(text[start + size + place])
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
    assert draft.propose([1, 2, 7, 1, 2, 8, 2], 9, None)[0] == [8, 2, 8]  # and through the guess
    assert draft.propose([1, 2, 3], 9, None)[0] == []
    with pytest.raises(ValueError, match="at least 1, got 0 and 3"):
        LookUp(0, 3)
