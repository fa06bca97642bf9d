"""The measures behind the rules, against their definitions spelt out."""

import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_llm.data.select import quality

WORDS = [f"word{i}" for i in range(500)]


def test_text_without_spaces_has_words() -> None:
    text = "天気が良いので散歩に行きましょう" * 10
    assert len(quality.words_of(text)) == len(text)
    assert quality.has_word_length(text) and quality.has_word_count(text)
    assert not quality.has_word_length("天気 " + "abcdefghijklmnop " * 9)


few_words = st.lists(st.sampled_from(["a", "a bb", "bb ccc a d bb", "e f", "e g h"]),
                     min_size=4, max_size=25).map(" ".join)  # fmt: skip


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def covered(text: str, n: int, chosen: set[tuple[str, ...]]) -> float:
    words = text.split()
    marked = {i + j for i, gram in enumerate(ngrams(text, n)) if gram in chosen for j in range(n)}
    whole = sum(map(len, words))
    return sum(len(words[i]) for i in marked) / whole if whole else 0.0


@given(few_words, st.integers(5, 10))
@settings(max_examples=100)
def test_repeated_ngrams_by_definition(text: str, n: int) -> None:
    counts = Counter(ngrams(text, n))
    twice = {gram for gram, count in counts.items() if count > 1}
    found = quality.repeated_ngram_shares(text)[n]
    assert found == pytest.approx(covered(text, n, twice), abs=1e-12)


@given(few_words, st.integers(2, 4))
@settings(max_examples=100)
def test_the_top_ngram_by_definition(text: str, n: int) -> None:
    counts = Counter(ngrams(text, n))
    most = max(counts.values(), default=0)
    tops = [gram for gram, count in counts.items() if count == most > 1]
    expected = max((covered(text, n, {gram}) for gram in tops), default=0.0)
    found = quality.top_ngram_share(text, n)
    assert found == pytest.approx(expected, abs=1e-12) or len(tops) > quality.TIES


@given(st.lists(st.sampled_from(["a", "bb", "", "ccc "])))
def test_repeated_lines_by_definition(lines: list[str]) -> None:
    kept = [line.strip() for line in lines if line.strip()]
    again = [line for i, line in enumerate(kept) if line in kept[:i]]
    whole = quality.lines_of("\n".join(lines))
    assert whole == kept
    share = len(again) / max(len(kept), 1)
    assert quality.repeated_piece_share(whole, False) == pytest.approx(share)
    characters = sum(map(len, again)) / max(sum(map(len, kept)), 1)
    assert quality.repeated_piece_share(whole, True) == pytest.approx(characters)


def test_thresholds_are_where_the_paper_has_them() -> None:
    generator = random.Random(0)
    base = generator.sample(WORDS, 200)
    for n, most in ((5, 0.15), (10, 0.10)):
        for share, kept in ((most - 0.03, True), (most + 0.03, False)):
            half = base[: round(200 * share / (2 - share))]  # what repeats, once more at the end
            text = " ".join(base + half)
            assert quality.has_few_repeated_ngrams(text, n, most) is kept


@pytest.mark.parametrize("check, good, bad", [
    (quality.has_word_count, "word " * 50, "word " * 49),
    (quality.has_few_symbols, "# " + "word " * 9, "# # " + "word " * 9),
    (quality.has_few_bullets, "- a\n" * 9 + "b", "- a\n" * 10),
    (quality.has_few_ellipses, "a...\n" * 3 + "b\n" * 7, "a…\n" * 4 + "b\n" * 6),
    (quality.has_letters, "a b c d 5", "a b c 4 5"),
    (quality.has_stop_words, "The end OF it", "the the it"),
    (quality.has_no_lorem_ipsum, "lorem", "a LOREM Ipsum b"),
    (quality.has_no_curly_brackets, "(a)", "{"),
    (quality.has_ended_lines, "a.\n" + "b\n" * 7, "a.\n" + "b\n" * 8),
    (quality.has_some_text, "a1 " * 10, "a1 " * 9 + "! ?" * 9),
    (quality.is_no_single_run, "ab" + " " * 90, "aab"),
])
def test_each_threshold_is_where_it_is_said_to_be(
        check: Callable[[str], bool], good: str, bad: str) -> None:
    assert check(good) and not check(bad)


def test_sentences_are_counted_in_lines_that_c4_keeps() -> None:
    line = "One two three four five. Six seven! Eight?"
    assert quality.has_sentences(line) and not quality.has_sentences(line, least=4)
    assert not quality.has_sentences(line.rstrip("?") + ",")  # does not end
    assert not quality.has_sentences("One two three four.\n" * 9)  # too short
    assert not quality.has_sentences("This site uses cookies for you.\n" * 9)
    assert quality.has_sentences("人人生而自由。在尊严上平等。他们有理性。")


def test_paragraphs_and_lines_are_without_what_is_blank() -> None:
    text = " a \n\n\n b\nc \n \n\n"
    assert quality.lines_of(text) == ["a", "b", "c"]
    assert quality.paragraphs_of(text) == ["a", "b\nc"]
    codes, lengths = quality.word_codes_of("to be or not to be")
    assert codes.tolist() == [0, 1, 2, 3, 0, 1] and lengths.tolist() == [2, 2, 2, 3, 2, 2]


def test_repetition_counts_overlaps_once() -> None:
    lengths = np.array([1, 2, 3, 4])
    assert quality.covered_share(lengths, np.array([0, 1]), 2) == 0.6
    assert quality.covered_share(lengths, np.array([], np.int64), 2) == 0.0
