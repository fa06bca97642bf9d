"""Patterns as trees: the language of each is what Python's `re` matches."""

from __future__ import annotations

import re
import warnings
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.draws import draws
from tests.languages import a_text, matches
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.sample.constrained.expressions import (
    ANYTHING,
    EMPTY,
    LAST,
    Both,
    Choice,
    Row,
    complement,
    literal,
    parse,
)

ATOMS = ["a", "b", "ab", "A", "_", "0", "7", " ", "é", "₂", "😀", ".", r"\d", r"\w", r"\s", r"\D",
         r"\W", r"\S", r"\n", r"\t", r"\x41", r"\u0041", r"\/", r"\.", r"\\", r"\-", r"\_", "]",
         "}", "{", "{a}", "[ab]", "[^ab]", "[a-c0-9]", r"[^\d]", r"[\D]", r"[^\W]", r"[\w-]",
         "[-a]", r"[^\s_]", r"[\b\n]", "[a^]", "[.*+?(){}|$]", r"[\]\\]", r"[^\n]", "[à-é]", ""]
QUANTIFIERS = ["", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,}", "{0,2}", "{1,3}?"]


def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    rows = st.lists(inner, max_size=3).map("".join)
    return st.tuples(st.sampled_from(["(?:", "("]), st.lists(rows, min_size=1,
                     max_size=3).map("|".join), st.sampled_from(QUANTIFIERS)).map(
                         lambda g: f"{g[0]}{g[1]}){g[2]}")


units = st.tuples(st.sampled_from(ATOMS), st.sampled_from(QUANTIFIERS)).map(
    lambda u: u[0] if u[0] in ("", "{", "ab", "{a}") else "".join(u))


def is_quick(pattern: str) -> bool:
    """Whether `re`, which tries every way to divide a text, is done with short ones at once."""
    return len(re.findall(r"[*+?]|\{\d", pattern)) <= 6


patterns = st.lists(st.recursive(units, grow, max_leaves=6), max_size=3).map("".join).filter(
    is_quick)


@st.composite
def near_texts(draw: st.DrawFn, pattern: str) -> str:
    """Return a text that matches, one that nearly does, or any; short, since re backtracks."""
    text = a_text(parse(pattern), draw(st.randoms(use_true_random=False)))
    if draw(st.booleans()):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.text("aab07 é\n٣", max_size=2)) + text[
            place + draw(st.integers(0, 1)):]
    return text[:10]


def check(pattern: str, text: str, search: bool = False) -> None:
    """Compare the language with `re`: equal on plain texts, within both its readings on all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        method = "search" if search else "fullmatch"
        ascii, unicode = (bool(getattr(re.compile(pattern, flag), method)(text))
                          for flag in (re.ASCII, re.UNICODE))
    found = matches(parse(pattern, search=search), text)
    assert not found or (ascii and unicode), (pattern, text)
    if all(char == "\n" or char == "\t" or " " <= char <= "~" for char in text):
        assert found == ascii == unicode, (pattern, text)


@given(st.data())
@draws(150, dev=150)
def test_a_pattern_has_the_language_that_re_gives_it(data: st.DataObject) -> None:
    pattern = data.draw(patterns)
    check(pattern, data.draw(near_texts(pattern)))


@given(st.data())
@draws(100, dev=60)
def test_a_search_finds_what_re_finds(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(st.sampled_from(["", "^", "(?:^|b)", "(?:^a|^)"]), patterns,
                                        st.sampled_from(["", "$", "(?:$|a)", "($)"])),
                              min_size=1, max_size=3))
    pattern = "|".join(f"{before}(?:{row}){after}" for before, row, after in rows)
    before, after = (data.draw(st.text("ab0 ", max_size=2)) for _ in range(2))
    text = before + data.draw(near_texts(data.draw(st.sampled_from(rows))[1])) + after
    if not text.endswith("\n"):  # where Python's $ matches twice
        check(pattern, text, search=True)


@given(patterns, st.text("ab07_ é٣\n\r\u2028\xa0", max_size=4))
@example("[^\\d]", "٣")
@example(".", "\r")
@example("\\S", "\ufeff")
@draws(100, dev=60)
def test_a_text_of_the_language_matches_in_every_reading(pattern: str, text: str) -> None:
    check(pattern, text)


@pytest.mark.parametrize(("pattern", "text", "found"), [
    (r"\u{1F600}", "😀", True), (r"\uD83D\uDE00", "😀", True),
    (r"[\uD83D\uDE00-\u{1f602}]", "😁", 1),
    (r"(?<year>\d+)-(?P<b>\0)", "12-\0", True), ("\\S", "\ufeff", False), (".", "\u2028", False),
    ("^a|b$", "a", True), ("(^a$)|(?:^(b))", "b", True), ("^$", "", True), ("^^a$$", "a", True),
    ("", "", True), ("[^\\s\\S]", "a", False), ("a{0}", "", True), ("a{2}", "aaa", False)])
def test_what_re_spells_otherwise(pattern: str, text: str, found: bool) -> None:
    assert matches(parse(pattern), text) == bool(found)


@pytest.mark.parametrize(("pattern", "reason", "place"), [
    (r"(a)\1", "backreference", 3), (r"(?P<x>a)(?P=x)", "backreference", 8),
    (r"\k<a>", "backref", 0),
    ("a(?=b)", "lookahead", 1), ("(?!b)", "lookahead", 0), ("(?<=b)", "lookbehind", 0),
    ("(?<!b)a", "lookbehind", 0), (r"a\b", "word boundary", 1), (r"\B", "word boundary", 0),
    ("(?i)a", "flag", 0), ("(?i:a)", "flag", 0), ("(?>a)", "atomic", 0), ("a*+", "possessive", 1),
    ("a**", "quantifier of a quantifier", 1), ("a{2}{3}", "quantifier of a quantifier", 1),
    ("*a", "nothing before", 0), ("a|+", "nothing before", 2), ("{2}", "nothing before", 0),
    ("a^", "not at an end", 1), ("$a", "not at an end", 0), ("(a^b)*", "not at an end", 2),
    ("(^a)*", "not at an end", 1), ("^*", "quantifier of ^", 1), ("a{3,2}", "below its least", 1),
    ("a{10001}", "above 10000", 1), ("a{1,99999999999999999999}", "above 10000", 1),
    ("(a", "without its )", 0), ("a)", "closes nothing", 1), ("[a", "without its ]", 0),
    ("[]", "empty", 0), ("[^]a]", "empty", 0), ("[b-a]", "range", 1), (r"[a-\d]", "range", 1),
    (r"[\d-z]", "range", 1), ("a{,3}", "least number", 1), (r"\p{L}", "Unicode property", 0),
    (r"\q", "unknown escape", 0), ("a\\", "unknown escape", 1), (r"\u{110000}", "10FFFF", 0),
    (r"\x4", "unknown escape", 0), (r"\cA", "control", 0), (r"\01", "unknown escape", 0),
    (r"\A", "anchor", 0), ("(?#x)", "comment", 0), ("(?(1)a)", "condition", 0),
    ("(?", "unknown", 0),
    ("(" * 101 + ")" * 101, "100 groups", 100)])
def test_what_is_not_supported_is_refused_by_name_and_place(
        pattern: str, reason: str, place: int) -> None:
    with pytest.raises(UserError) as error:
        parse(pattern)
    assert reason in str(error.value) and f"at position {place};" in str(error.value)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(
    lambda r: (min(r), max(r))), max_size=4))
def test_a_complement_has_all_others(ranges: list[tuple[int, int]]) -> None:
    inside = {c for first, last in ranges for c in range(first, last + 1)}
    found = complement(ranges)
    assert {c for first, last in found for c in range(first, min(last, 50) + 1)} == set(
        range(51)) - inside
    assert found[-1][1] == LAST and all(b[0] > a[1] + 1 for a, b in pairwise(found))


def test_parts_that_others_build_on() -> None:
    assert matches(literal("a😀"), "a😀") and not matches(literal("a"), "b")
    assert matches(EMPTY, "") and matches(ANYTHING, "a\n\r") and not matches(Choice(()), "")
    assert matches(Both(parse("a*b"), parse(".{3}")), "aab")
    assert not matches(Both(parse("a*b"), parse(".{3}")), "ab")
    assert hash(parse("(a|b)*[c-e]{2,3}")) == hash(parse("(a|b)*[c-e]{2,3}"))


def test_long_patterns_are_read_in_no_time() -> None:
    assert isinstance(parse("(a*)*" * 20_000), Row)
