"""Boundaries found in arrays are those that the regular expressions find."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text.cut import boundaries
from tinygrad_llm.text.cut.patterns import PATTERNS, splitter

# Letters of every case, those of contractions, marks, digits of several scripts, white space of
# every kind, punctuation that some pattern singles out, and what `re` wrongly calls white space.
TELLING = st.text(st.sampled_from(
    "aAbZzsStTrReElLvVmMdD''''  \n\n\r\t.!/(09\u017f\u0130é中Éªʰǅ\u0301\u0903\xa0\u3000½٣Ⅷ😀_"
    "\x1c\x85\x00"))
KNOWN = st.sampled_from(sorted(PATTERNS.values()))


def pieces(text: str, pattern: str) -> list[str]:
    begins = boundaries.starts(text, pattern).tolist()
    return [text[a:b] for a, b in pairwise([*begins, len(text)])]


@given(TELLING | st.text(), KNOWN)
def test_the_same_as_the_regular_expression(text: str, pattern: str) -> None:
    assert pieces(text, pattern) == splitter(pattern).split(text)


@given(st.text(st.sampled_from("aB's 1\n!/\r\t'lLrRvVeEtTmMdDS")), KNOWN)
def test_the_same_in_ascii(text: str, pattern: str) -> None:
    assert pieces(text, pattern) == splitter(pattern).split(text)


@pytest.mark.parametrize("name, text, expected", [
    ("gpt2", "it's  9am\n\n", ["it", "'s", " ", " 9", "am", "\n\n"]),
    ("gpt2", "IT'S", ["IT", "'", "S"]),
    ("llama3", "IT'S 12345!\n\n ok", ["IT", "'S", " ", "123", "45", "!\n\n", " ok"]),
    ("llama3", "(a ((b\t\tc \n\n x", ["(a", " ((", "b", "\t", "\tc", " \n\n", " x"]),
    ("qwen2", "x12", ["x", "1", "2"]),
    ("o200k", "camelCase don't HTTPServer", ["camel", "Case", " don't", " HTTPServer"]),
    ("o200k", "a's's", ["a's", "'s"]),
    ("cl100k", "a\n  ", ["a", "\n  "]),
    ("cl100k", "!\n  ", ["!\n", "  "]),
    ("llama3", "a\n  ", ["a", "\n", "  "]),
])
def test_by_hand(name: str, text: str, expected: list[str]) -> None:
    assert pieces(text, PATTERNS[name]) == splitter(name).split(text) == expected


@given(st.text())
def test_byte_offsets(text: str) -> None:
    offsets = boundaries.byte_offsets(text).tolist()
    assert offsets == [len(text[:i].encode()) for i in range(len(text) + 1)]


def test_no_text_has_no_boundary() -> None:
    assert boundaries.starts("", PATTERNS["gpt2"]).tolist() == []
