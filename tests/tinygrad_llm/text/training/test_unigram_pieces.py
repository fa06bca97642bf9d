import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.algorithms.unigram import Unigram
from tinygrad_llm.text.training.unigram_pieces import (
    LONGEST_WORD,
    Lattices,
    digamma,
    learn_pieces,
    m_step,
)

counted = st.dictionaries(
    st.text("abc", min_size=1, max_size=7), st.integers(1, 5), min_size=1, max_size=6
)
SENTENCE = (
    "the cat sat on the mat and the other cat sat on the other mat while the dog ran after "
    "the cat that sat there thinking nothing other than that the mat was thin "
)
WORDS = Counter("▁" + word for word in (SENTENCE * 3).split())


def segmentations(word: str, scores: dict[str, float]) -> list[tuple[float, list[str]]]:
    """Return the weight and the pieces of every way to cut `word`."""
    found = []
    for size in range(len(word)):
        for cuts in itertools.combinations(range(1, len(word)), size):
            parts = [word[i:j] for i, j in itertools.pairwise([0, *cuts, len(word)])]
            if all(part in scores for part in parts):
                found.append((sum(scores[part] for part in parts), parts))
    return found


@st.composite
def scored(draw: st.DrawFn) -> tuple[dict[str, int], Lattices, np.ndarray]:
    words = draw(counted)
    lattices = Lattices.of(words, draw(st.integers(1, 5)), 100)
    chosen = st.floats(-8, 0)
    scores = draw(st.lists(chosen, min_size=lattices.size, max_size=lattices.size))
    return words, lattices, np.array(scores)


@given(scored())
def test_expected_counts_are_sums_over_all_segmentations(
    case: tuple[dict[str, int], Lattices, np.ndarray],
) -> None:
    words, lattices, scores = case
    named = dict(zip(lattices.pieces(), scores.tolist(), strict=True))
    counts, likelihood = lattices.expected_counts(scores)
    expected: Counter[str] = Counter()
    total = 0.0
    for word, n in words.items():
        everything = segmentations(word, named)
        log_sum = float(np.logaddexp.reduce([weight for weight, _ in everything]))
        total += n * log_sum
        for weight, parts in everything:
            for part in parts:
                expected[part] += n * math.exp(weight - log_sum)  # type: ignore[assignment]
    assert likelihood == pytest.approx(total)
    assert counts == pytest.approx([expected[piece] for piece in named])


@given(scored())
def test_the_best_alternative_of_a_piece(
    case: tuple[dict[str, int], Lattices, np.ndarray],
) -> None:
    _, lattices, scores = case
    named = dict(zip(lattices.pieces(), scores.tolist(), strict=True))
    for piece, found in zip(named, lattices.best_alternatives(scores), strict=True):
        others = [weight for weight, parts in segmentations(piece, named) if len(parts) > 1]
        assert found == pytest.approx(max(others, default=-math.inf))


@given(counted, st.integers(1, 5))
def test_seeds_are_the_substrings_that_come_twice(words: dict[str, int], longest: int) -> None:
    seeds = Lattices.of(words, longest, 10**6)
    count: Counter[str] = Counter()
    for word, n in words.items():
        for i, j in itertools.combinations(range(len(word) + 1), 2):
            count[word[i:j]] += n
    for piece, frequency in zip(seeds.pieces(), seeds.frequency, strict=True):
        assert count[piece] == frequency
    found = set(seeds.pieces())
    assert found >= {character for word in words for character in word}
    assert len(found) == seeds.size
    for piece, frequency in count.items():
        if 1 < len(piece) <= longest and frequency >= 2 and piece not in found:
            longer = [c + piece for c in "abc"] + [piece + c for c in "abc"]
            assert len(piece) < longest and any(count[one] == frequency for one in longer)


@given(counted, st.integers(2, 5))
def test_em_never_lowers_the_likelihood(words: dict[str, int], longest: int) -> None:
    lattices = Lattices.of(words, longest, 100)
    scores = np.full(lattices.size, -math.log(lattices.size))
    likelihoods = []
    for _ in range(4):
        counts, likelihood = lattices.expected_counts(scores)
        likelihoods.append(likelihood)
        if counts.min() < 0.5:  # `m_step` raises such counts, and is no M step then
            break
        scores = m_step(counts, bayesian=False)
    assert all(b >= a - 1e-9 * abs(a) for a, b in itertools.pairwise(likelihoods))


@settings(max_examples=30)
@given(scored(), st.data())
def test_pruning_renumbers(
    case: tuple[dict[str, int], Lattices, np.ndarray], data: st.DataObject
) -> None:
    _, lattices, _ = case
    keep = [k for k in range(lattices.size) if lattices.lengths[k] == 1 or data.draw(st.booleans())]
    pruned = lattices.only(np.array(keep))
    pieces = lattices.pieces()
    assert pruned.pieces() == [pieces[k] for k in keep]
    counts, _ = pruned.expected_counts(np.full(pruned.size, -1.0))
    kept, _ = lattices.expected_counts(
        np.where(np.isin(np.arange(lattices.size), keep), -1.0, -1e9)
    )
    assert counts == pytest.approx(kept[keep])


def test_a_vocabulary_has_its_size_and_all_characters() -> None:
    pieces = learn_pieces(WORDS, 40)
    assert len(pieces) == len(dict(pieces)) == 40
    assert {character for word in WORDS for character in word} <= dict(pieces).keys()
    assert [score for _, score in pieces] == sorted((s for _, s in pieces), reverse=True)
    assert {"▁the", "▁cat"} <= dict(pieces).keys()
    assert pieces == learn_pieces(dict(reversed(WORDS.items())), 40)  # whatever the order


def test_learnt_pieces_beat_characters() -> None:
    few, many = (Unigram(learn_pieces(WORDS, size), None) for size in (20, 60))
    lengths = [sum(len(model.encode_piece(word)) * n for word, n in WORDS.items())
               for model in (few, many)]  # fmt: skip
    characters = sum(len(word) * n for word, n in WORDS.items())
    assert lengths[1] < lengths[0] < characters and lengths[1] < characters / 3


def test_probabilities_sum_to_one() -> None:
    scores = [score for _, score in learn_pieces(WORDS, 40, bayesian=False)]
    assert sum(map(math.exp, scores)) == pytest.approx(1)
    bayesian = [score for _, score in learn_pieces(WORDS, 40)]
    assert sum(map(math.exp, bayesian)) < 1


def test_fewer_pieces_where_the_words_have_no_more() -> None:
    assert dict(learn_pieces({"ab": 1}, 100)).keys() == {"a", "b"}
    assert dict(learn_pieces({"ab": 2}, 100)).keys() == {"a", "b", "ab"}
    assert max(len(piece) for piece, _ in learn_pieces(WORDS, 100, max_piece_length=3)) == 3


def test_rare_characters_may_be_left_out() -> None:
    words = {"aab": 50, "axb": 1, "yy": 1}
    assert {"x", "y"} <= dict(learn_pieces(words, 10)).keys()
    covered = dict(learn_pieces(words, 10, character_coverage=0.98)).keys()
    assert {"a", "b", "aab"} <= covered and not any("x" in p or "y" in p for p in covered)
    assert "\ud800" not in dict(learn_pieces({"a\ud800b": 2}, 10))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({}, "no words to learn from"),
        ({"": 3}, "no words to learn from"),
        ({"abc": 1}, "3 different characters.*vocab_size is 2"),
        ({"a": 0}, "counted 0 times"),
        ({"a": 1.5}, "counted 1.5 times"),
    ],
)
def test_bad_input_is_refused(words: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        learn_pieces(words, 2)
    with pytest.raises(UserError, match="max_piece_length must be"):
        learn_pieces({"a": 1}, 2, max_piece_length=0)


def test_digamma() -> None:
    euler = 0.57721566490153286
    x = np.array([0.5, 1.0, 1.5, 2.0, 10.0, 1e6])
    known = [-euler - 2 * math.log(2), -euler, 2 - euler - 2 * math.log(2), 1 - euler,
             sum(1 / k for k in range(1, 10)) - euler, math.log(1e6) - 0.5e-6 - 1e-12 / 12]
    assert digamma(x) == pytest.approx(known, rel=1e-12)


def test_a_giant_word_is_learnt_from_in_parts() -> None:
    word = "abcd" * LONGEST_WORD
    whole, parts = (dict(learn_pieces(words, 12)) for words in (
        {word: 1}, {word[:LONGEST_WORD]: 4}))
    assert whole == parts and max(map(len, whole)) > 1
