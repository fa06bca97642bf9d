"""Splitting by a pattern loses nothing, the user's own patterns included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
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
