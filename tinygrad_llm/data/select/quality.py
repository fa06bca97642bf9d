"""Signs of a text that is not worth learning from: each a small function, True for a good text.

What they measure is shared, so that twenty of them cut a text into words once. Fractions "of
characters" are of what is not white space.

Sources: Gopher is Rae et al., "Scaling language models: methods, analysis & insights from training
Gopher", 2021, appendix A1; C4 is Raffel et al., "Exploring the limits of transfer learning with a
unified text-to-text transformer", 2020, section 2.2; FineWeb is Penedo et al., "The FineWeb
datasets", 2024, section 3.6.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from .word_runs import UNSPACED_CHARACTER, run_hashes

# --- What is measured -------------------------------------------------------------------------


@lru_cache(maxsize=1)
def words_of(text: str) -> list[str]:
    """Return what white space parts; a character of a script without spaces is a word."""
    if not text.isascii() and UNSPACED_CHARACTER.search(text):
        text = UNSPACED_CHARACTER.sub(r" \g<0> ", text)
    return text.split()


@lru_cache(maxsize=1)
def lines_of(text: str) -> list[str]:
    """Return the lines that are not blank, without white space around."""
    return [line for line in map(str.strip, text.split("\n")) if line]


@lru_cache(maxsize=1)
def paragraphs_of(text: str) -> list[str]:
    """Return what blank lines part."""
    return [part for part in map(str.strip, PARAGRAPHS.split(text)) if part]


PARAGRAPHS = re.compile(r"\n{2,}")


@lru_cache(maxsize=1)
def word_codes_of(text: str) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return a number for each of N words, equal for equal words, and the words' lengths: (N,)."""
    words = words_of(text)
    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.uint64)
    lengths = np.fromiter(map(len, numbers), np.int64, len(numbers))
    return codes, lengths[codes.astype(np.int64)]


def repeated_piece_share(pieces: list[str], by_characters: bool) -> float:
    """Return the fraction of `pieces`, or of their characters, that repeat an earlier one."""
    if by_characters:
        counts = Counter(pieces)
        whole = sum(map(len, pieces))
        return 1 - sum(map(len, counts)) / whole if whole else 0.0
    return 1 - len(set(pieces)) / len(pieces) if pieces else 0.0


def covered_share(lengths: NDArray[np.int64], starts: NDArray[np.int64], n: int) -> float:
    """Return the fraction of characters in words that a run of n words from one of `starts`
    covers; overlaps count once."""
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.add.at(ends, starts, 1)
    np.add.at(ends, starts + n, -1)
    return float(lengths[np.cumsum(ends[:-1]) > 0].sum() / lengths.sum())


def top_ngram_share(text: str, n: int) -> float:
    """Return the fraction of characters in the n-gram of words that occurs most often.

    Of several the one that covers most; one that occurs once repeats nothing and counts 0.
    """
    codes, lengths = word_codes_of(text)
    runs = run_hashes(codes, n)
    if not len(runs):
        return 0.0
    ordered = np.sort(runs)
    edges = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1], [True])))
    counts = np.diff(edges)
    most = int(counts.max())
    if most < 2:
        return 0.0
    tops = ordered[edges[:-1][counts == most]][:TIES]
    return max(covered_share(lengths, np.flatnonzero(runs == top), n) for top in tops)


TIES = 16  # n-grams of the highest count that are compared; with more, each covers little


@lru_cache(maxsize=1)
def repeated_ngram_shares(text: str) -> dict[int, float]:
    """Return, for n = 5 to 10, the fraction of characters in n-grams of words that occur twice.

    A run of n + 1 words can only occur twice where its first n do, so most texts are done at 5.
    """
    codes, lengths = word_codes_of(text)
    shares = dict.fromkeys(range(5, 11), 0.0)
    starts = np.arange(max(len(codes) - 4, 0))
    for n in shares:
        runs = run_hashes(codes, n)
        starts = starts[starts < len(runs)]
        starts = starts[_occurs_twice(runs[starts])]
        if not len(starts):
            break
        shares[n] = covered_share(lengths, starts, n)
    return shares


def _occurs_twice(runs: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of `runs` have an equal one, bool of the same shape."""
    ordered = np.sort(runs)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return np.zeros(len(runs), np.bool_)
    found = np.minimum(np.searchsorted(twice, runs), len(twice) - 1)
    return np.asarray(twice[found] == runs)


# --- Gopher -----------------------------------------------------------------------------------

STOP_WORDS = frozenset(["the", "be", "to", "of", "and", "that", "have", "with"])
BULLETS = ("•", "‣", "◦", "⁃", "●", "○", "▪", "-", "*", "–")  # noqa: RUF001
ELLIPSES = ("...", "…", ". . .")


def has_word_count(text: str, least: int = 50, most: int = 100_000) -> bool:
    """Whether it has `least` to `most` words."""
    return least <= len(words_of(text)) <= most


def has_word_length(text: str, least: float = 3, most: float = 10) -> bool:
    """Whether words have `least` to `most` characters on average.

    Words of scripts without spaces are left out; a text mostly in one of them passes.
    """
    words = words_of(text)
    if not text.isascii():
        spaced = [word for word in words if not UNSPACED_CHARACTER.match(word)]
        if 2 * len(spaced) < len(words):
            return True
        words = spaced
    return least * len(words) <= sum(map(len, words)) <= most * len(words)


def has_few_symbols(text: str, most: float = 0.1) -> bool:
    """Whether neither hash signs nor ellipses are more than `most` for each word."""
    limit = most * len(words_of(text))
    return text.count("#") <= limit and sum(map(text.count, ELLIPSES)) <= limit


def has_few_bullets(text: str, most: float = 0.9) -> bool:
    """Whether at most the fraction `most` of lines begins with a bullet."""
    lines = lines_of(text)
    return sum(line.startswith(BULLETS) for line in lines) <= most * len(lines)


def has_few_ellipses(text: str, most: float = 0.3) -> bool:
    """Whether at most the fraction `most` of lines ends with an ellipsis."""
    lines = lines_of(text)
    return sum(line.endswith(ELLIPSES) for line in lines) <= most * len(lines)


def has_letters(text: str, least: float = 0.8) -> bool:
    """Whether at least the fraction `least` of words has a letter."""
    words = words_of(text)
    return sum(1 for _ in filter(LETTER.search, words)) >= least * len(words)


LETTER = re.compile(r"[^\W\d_]")


def has_stop_words(text: str, least: int = 2) -> bool:
    """Whether at least `least` of the English stop words occur."""
    found = STOP_WORDS.intersection(map(str.lower, words_of(text)))
    return len(found) >= least


def has_few_repeated_lines(text: str, most: float = 0.3, by_characters: bool = False) -> bool:
    """Whether at most the fraction `most` of lines, or of their characters, repeats one before."""
    return repeated_piece_share(lines_of(text), by_characters) <= most


def has_few_repeated_paragraphs(
    text: str, most: float = 0.3, by_characters: bool = False
) -> bool:
    """Whether at most the fraction `most` of paragraphs repeats one before."""
    return repeated_piece_share(paragraphs_of(text), by_characters) <= most


def has_no_dominant_ngram(text: str, n: int, most: float) -> bool:
    """Whether the most frequent n-gram covers at most the fraction `most` of characters."""
    return top_ngram_share(text, n) <= most


def has_few_repeated_ngrams(text: str, n: int, most: float) -> bool:
    """Whether n-grams that occur twice cover at most the fraction `most` of characters."""
    return repeated_ngram_shares(text)[n] <= most


# --- C4 ---------------------------------------------------------------------------------------

TERMINALS = (".", "!", "?", '"', "”", "。", "！", "？", "」", "।", "؟", "۔")  # noqa: RUF001
SENTENCE_ENDS = re.compile(r"[.!?](?=[\"”')\]]*(?:\s|\Z))|[。！？।؟۔]")  # noqa: RUF001
NOTICES = re.compile(
    r"javascript|terms of use|privacy policy|cookie policy|uses? cookies|use of cookies",
    re.IGNORECASE,
)


def has_no_lorem_ipsum(text: str) -> bool:
    """Whether it is without "lorem ipsum", what stands where no text is yet."""
    return "lorem ipsum" not in text.lower()


def has_no_curly_brackets(text: str) -> bool:
    """Whether it is without "{", which says that it is code."""
    return "{" not in text


def has_ended_lines(text: str, least: float = 0.12) -> bool:
    """Whether more than the fraction `least` of lines ends in a terminal punctuation mark.

    C4 takes the other lines out; the threshold for whole documents is FineWeb's.
    """
    lines = lines_of(text)
    return sum(line.endswith(TERMINALS) for line in lines) > least * len(lines)


def has_sentences(text: str, least: int = 3, line_words: int = 5) -> bool:
    """Whether it has `least` sentences in lines that C4 keeps.

    Those end in a terminal punctuation mark, have at least `line_words` words, and are no notice
    about JavaScript, cookies or a policy.
    """
    found = 0
    for line in lines_of(text):
        if line.endswith(TERMINALS) and not NOTICES.search(line):
            if len(words_of_line(line)) >= line_words:
                found += max(len(SENTENCE_ENDS.findall(line)), 1)
            if found >= least:
                return True
    return False


def words_of_line(line: str) -> list[str]:
    """Return the words of one line."""
    return words_of.__wrapped__(line)


# --- Texts of any kind ------------------------------------------------------------------------


def has_some_text(text: str, least: int = 20) -> bool:
    """Whether it has at least `least` letters or digits."""
    found = 0
    for piece in chain.from_iterable(map(str.split, lines_of(text))):
        found += sum(map(str.isalnum, piece))
        if found >= least:
            return True
    return False


def is_no_single_run(text: str, most: float = 0.5) -> bool:
    """Whether no character but a space or a line's end makes up more than the fraction `most`."""
    counts = Counter(text[:SAMPLE])
    for space in " \n\t":
        del counts[space]
    return max(counts.values(), default=0) <= most * counts.total()


SAMPLE = 1 << 12
