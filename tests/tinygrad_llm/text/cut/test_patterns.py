"""Splitting by a pattern loses nothing, the user's own patterns included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.cut import boundaries, expressions
from tinygrad_llm.text.cut.patterns import PATTERNS, Splitter, splitter


@given(st.text(), st.sampled_from([*PATTERNS, r"\d+", r"a*", r"(?=b)|c"]))
def test_pieces_are_the_text_in_order(text: str, pattern: str) -> None:
    pieces = splitter(pattern).split(text)
    assert "".join(pieces) == text
    assert all(pieces)


def test_what_a_pattern_does_not_match_is_a_piece() -> None:
    assert Splitter(r"\d+").split("ab12cd") == ["ab", "12", "cd"]


def test_no_regular_expression() -> None:
    with pytest.raises(UserError, match="not a regular expression"):
        Splitter("(")


def test_a_pattern_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expressions, "SECONDS", 0.1)
    with pytest.raises(UserError, match=r"the pattern '\(a\|aa\)\+\$' takes more than"):
        Splitter("(a|aa)+$").split("a" * 99 + "b")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_letters_of_later_versions_are_none(pattern: str) -> None:
    pieces = splitter(pattern).split("a\U00016ea0b")
    assert pieces[0] == "a" and boundaries.starts("a\U00016ea0b", PATTERNS[pattern])[1] == 1
