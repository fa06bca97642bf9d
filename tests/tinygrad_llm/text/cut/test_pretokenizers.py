from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.characters.aligned import Aligned
from tinygrad_llm.text.cut import pretokenizers as p
from tinygrad_llm.text.cut.patterns import CL100K, CL100K_HF, GPT2, O200K

TEXT = "Hey  it's 42, 漢字-x\n"
texts = st.text(st.one_of(st.characters(exclude_categories=("Cs",)), st.sampled_from(" -a1▁'\n")))
simple = st.one_of(
    st.builds(p.ByteLevel, st.booleans(), st.booleans(), st.booleans()),
    st.builds(p.Split, st.sampled_from(["-", " ", "", "a"]),
              behavior=st.sampled_from(p.BEHAVIORS), invert=st.booleans()),
    st.builds(p.Split, st.sampled_from([r"\s+", "x*", r"(?=[A-Z])", r"\p{L}+"]),
              is_regex=st.just(True), behavior=st.sampled_from(p.BEHAVIORS), invert=st.booleans()),
    st.builds(p.Pattern, st.sampled_from([GPT2, CL100K, "a+"])),
    st.sampled_from([p.Whitespace(), p.WhitespaceSplit(), p.BertPreTokenizer()]),
    st.builds(p.Metaspace, st.sampled_from("▁_"), st.sampled_from(p.SCHEMES), st.booleans()),
    st.builds(p.Punctuation, st.sampled_from(p.BEHAVIORS)),
    st.builds(p.Digits, st.booleans()),
    st.builds(p.CharDelimiterSplit, st.sampled_from("-a ")))
any_pre_tokenizer = st.one_of(simple, st.lists(simple, max_size=3).map(p.Sequence))


@pytest.mark.parametrize(
    "behavior, pieces",
    [
        ("Removed", ["a", "b"]),
        ("Isolated", ["a", "-", "-", "b"]),
        ("MergedWithPrevious", ["a-", "-", "b"]),
        ("MergedWithNext", ["a", "-", "-b"]),
        ("Contiguous", ["a", "--", "b"]),
    ])
def test_what_becomes_of_delimiters(behavior: str, pieces: list[str]) -> None:
    assert p.Split("-", behavior=behavior)("a--b") == pieces
    assert p.Split(r"\p{Pd}", is_regex=True, behavior=behavior)("a--b") == pieces
    assert p.Split(r"\w", is_regex=True, behavior=behavior, invert=True)("a--b")[-1][-1] == "b"
    assert p.Punctuation(behavior)("a--b") == pieces


@pytest.mark.parametrize(
    "pre_tokenizer, pieces",
    [
        (p.ByteLevel(add_prefix_space=False),
         ["Hey", " ", " it", "'s", " 42", ",", " 漢字", "-", "x", "\n"]),
        (p.ByteLevel(), [" Hey", " ", " it", "'s", " 42", ",", " 漢字", "-", "x", "\n"]),
        (p.ByteLevel(use_regex=False), [" " + TEXT]),
        (p.Whitespace(), ["Hey", "it", "'", "s", "42", ",", "漢字", "-", "x"]),
        (p.WhitespaceSplit(), ["Hey", "it's", "42,", "漢字-x"]),
        (p.BertPreTokenizer(), ["Hey", "it", "'", "s", "42", ",", "漢字", "-", "x"]),
        (p.Digits(True), ["Hey  it's ", "4", "2", ", 漢字-x\n"]),
        (p.Digits(), ["Hey  it's ", "42", ", 漢字-x\n"]),
        (p.CharDelimiterSplit(" "), ["Hey", "it's", "42,", "漢字-x\n"]),
        (p.Metaspace(), ["▁Hey", "▁", "▁it's", "▁42,", "▁漢字-x\n"]),
        (p.Metaspace("_", "never", False), ["Hey__it's_42,_漢字-x\n"]),
        (p.Sequence([p.WhitespaceSplit(), p.Metaspace(prepend_scheme="first")]),
         ["▁Hey", "it's", "42,", "漢字-x"]),
        (p.Sequence([]), [TEXT]),
    ])
def test_each_cuts_where_it_says(pre_tokenizer: p.PreTokenizer, pieces: list[str]) -> None:
    assert pre_tokenizer(TEXT) == pieces


def test_only_unicode_white_space_counts() -> None:
    """U+001C to U+001F are white space to str.isspace, but not to Unicode."""
    assert p.WhitespaceSplit()("a\x1cb\u3000c\x85d") == ["a\x1cb", "c", "d"]
    assert p.BertPreTokenizer()("a\x1fb") == ["a\x1fb"]


def test_first_is_the_piece_that_begins_the_text() -> None:
    first = p.Metaspace(prepend_scheme="first")
    assert first("a") == ["▁a"] and first("a", False) == ["a"]
    after_space = p.Sequence([p.WhitespaceSplit(), first])
    assert after_space(" a b") == ["a", "b"]  # not at the beginning, for a space was dropped
    assert [a.text for a in after_space.align(Aligned.of(" a b"))] == ["a", "b"]
    after_prefix = p.Sequence([p.Metaspace(split=False), p.Whitespace(), first])
    assert after_prefix("a b") == ["▁", "▁a", "▁", "b"]  # still the beginning
    assert p.asks_for_first(after_space) and not p.asks_for_first(p.Metaspace())


@given(any_pre_tokenizer, texts, st.booleans())
def test_aligned_pieces_are_the_pieces(
    pre_tokenizer: p.PreTokenizer, text: str, first: bool
) -> None:
    pieces = pre_tokenizer(text, first)
    aligned = pre_tokenizer.align(Aligned.of(text), first)
    assert [a.text for a in aligned] == pieces and all(pieces)
    for a in aligned:
        for char, start, end in zip(a.text, a.starts, a.ends, strict=True):
            assert char == text[start:end] or (char in " ▁_" and text[start:end] in ("", " "))
    starts = np.concatenate([a.starts for a in aligned] or [np.zeros(0)])
    assert (np.diff(starts) >= 0).all()


@given(simple, texts)
def test_what_is_neither_removed_nor_added_stays(pre_tokenizer: p.PreTokenizer, text: str) -> None:
    joined = "".join(pre_tokenizer(text))
    kept = getattr(pre_tokenizer, "behavior", "Isolated") != "Removed"
    if isinstance(pre_tokenizer, p.Split | p.Punctuation | p.Digits | p.Pattern) and kept:
        assert joined == text
    if isinstance(pre_tokenizer, p.ByteLevel):
        assert joined.removeprefix(" ") == text.removeprefix(" ")


@pytest.mark.parametrize(
    "pre_tokenizer, pattern",
    [
        (p.ByteLevel(False), GPT2),
        (p.Pattern(CL100K), CL100K),
        (p.Sequence([p.Pattern(CL100K), p.ByteLevel(False, use_regex=False)]), CL100K),
        (p.Sequence([p.Split(O200K, is_regex=True), p.ByteLevel(False, use_regex=False)]), O200K),
        (p.Sequence([p.Split(CL100K_HF, is_regex=True, behavior="Removed", invert=True),
                     p.ByteLevel(False, use_regex=False)]), CL100K_HF),
        (None, None),
        (p.ByteLevel(True), None),
        (p.ByteLevel(False, use_regex=False), None),
        (p.Sequence([p.Split(O200K, is_regex=True), p.ByteLevel(True, use_regex=False)]), None),
        (p.Sequence([p.Split(O200K, is_regex=True), p.ByteLevel(False)]), None),
        (p.Sequence([p.Split(O200K), p.ByteLevel(False, use_regex=False)]), None),
        (p.Sequence([p.Split(O200K, is_regex=True, behavior="Removed"),
                     p.ByteLevel(False, use_regex=False)]), None),
        # Oniguruma takes {1,3}+ for one or more of {1,3}.
        (p.Sequence([p.Split(CL100K, is_regex=True), p.ByteLevel(False, use_regex=False)]), None),
    ])
def test_single_pattern(pre_tokenizer: p.PreTokenizer | None, pattern: str | None) -> None:
    assert p.single_pattern(pre_tokenizer) == pattern


@given(st.sampled_from([GPT2, CL100K_HF, O200K]), texts)
def test_a_single_pattern_is_all_that_is_done(pattern: str, text: str) -> None:
    cut = p.Sequence([p.Split(pattern, is_regex=True), p.ByteLevel(False, use_regex=False)])
    assert p.single_pattern(cut) == pattern
    assert p.Pattern(pattern)(text) == cut(text)


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(UserError, match="behavior 'removed' is not known; it may be Removed"):
        p.Split("-", behavior="removed")
    with pytest.raises(UserError, match="prepend_scheme 'last'"):
        p.Metaspace(prepend_scheme="last")
    with pytest.raises(UserError, match="replacement must be one character, got '__'"):
        p.Metaspace("__")
    with pytest.raises(UserError, match=r"pattern '\(' cannot be used: a \( without its \)"):
        p.Split("(", is_regex=True)


def test_equal_settings_are_equal_pre_tokenizers() -> None:
    assert p.Digits(True) == p.Digits(True) != p.Digits(False)
    assert p.Whitespace() != p.WhitespaceSplit()
    assert len({p.Split("a"), p.Split("a"), p.Split("a", is_regex=True)}) == 2
    assert repr(p.Metaspace()) == "Metaspace(replacement='▁', prepend_scheme='always', split=True)"


@pytest.mark.parametrize("pre_tokenizer", [
    p.ByteLevel(), p.BertPreTokenizer(), p.Metaspace(), p.Split("x*", is_regex=True),
    p.Split("-", behavior="MergedWithNext")])
def test_long_runs_take_linear_time(pre_tokenizer: p.PreTokenizer) -> None:
    assert sum(map(len, pre_tokenizer("-" * 100_000))) >= 100_000
    assert sum(map(len, pre_tokenizer("a" * 100_000))) >= 100_000


def test_kinds_of_characters_are_those_of_the_versions_promised() -> None:
    later = "a\U00016ea0b"  # a letter from Unicode 17 on, unassigned before
    for cut in (p.Whitespace(), p.ByteLevel(add_prefix_space=False)):
        assert cut(later) == ["a", "\U00016ea0", "b"]
    for cut in (p.Punctuation(), p.BertPreTokenizer()):
        assert cut("a\u2e43b\u166dc") == ["a\u2e43b", "\u166d", "c"]  # as in Unicode 8
    digits = "a\U00011de0\U0001246fb"  # numbers of Unicode 17 and of Unicode 18
    assert p.Digits()(digits) == ["a", "\U00011de0", "\U0001246fb"]
