"""Stop strings against their definition, under any cut of the text into pieces."""

from __future__ import annotations

import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.sample import StopStrings


def defined(text: str, stops: list[str]) -> tuple[str, str | None]:
    """Return what is shown of a text and what ended it: letter by letter, the longest at an end."""
    for end in range(len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            stop = max(ending, key=len)
            return text[: end - len(stop)], stop
    return text, None


words = st.text("ab", max_size=6)


@draws(200, 50)
@given(st.lists(words, max_size=8), st.lists(st.text("ab", min_size=1, max_size=5), max_size=4))
def test_any_cut_of_any_text(pieces: list[str], stops: list[str]) -> None:
    text, shown = StopStrings(stops), ""
    whole = "".join(pieces)
    expected, found = defined(whole, stops)
    for piece in pieces:
        shown += text.push(piece)
        assert expected.startswith(shown)  # what is shown is never taken back
    assert (shown + text.finish(), text.found) == (expected, found)
    assert found is None or whole.find(found) == len(expected)
    assert text.push("c") == ("c" if found is None else "")


@draws(200, 50)
@given(st.text("abc", max_size=9), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3))
def test_no_more_is_held_back_than_may_begin_a_stop_string(whole: str, stops: list[str]) -> None:
    text, shown = StopStrings(stops), ""
    for end, letter in enumerate(whole, 1):
        shown += text.push(letter)
        if text.found is None:
            held = whole[len(shown) : end]
            assert not held or any(stop != held and stop.startswith(held) for stop in stops)


@pytest.mark.parametrize("stops, whole, shown, found", [
    (["aab"], "aaab", "a", "aab"), (["bcd", "bc"], "abcd", "a", "bc"),
    (["abcd", "bc"], "abcd", "a", "bc"), (["b", "aab"], "aaab", "a", "aab"),
    (["ab", "b"], "b", "", "b"), (["\n\n"], "a\n", "a\n", None), ([], "ab", "ab", None),
    (["é"], "cafe é", "cafe ", "é"),
])
def test_examples(stops: list[str], whole: str, shown: str, found: str | None) -> None:
    assert defined(whole, stops) == (shown, found)
    for pieces in ([whole], [*whole]):
        text = StopStrings(stops)
        got = "".join(map(text.push, pieces)) + text.finish()
        assert (got, text.found) == (shown, found)


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one character"):
        StopStrings(["a", ""])
