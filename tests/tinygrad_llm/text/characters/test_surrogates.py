import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.characters.surrogates import refuse_lone_surrogates


@given(st.text())
def test_any_text_passes(text: str) -> None:
    refuse_lone_surrogates(text)


@given(st.text(), st.characters(categories=["Cs"]), st.text())
def test_the_first_lone_surrogate_is_named(before: str, lone: str, after: str) -> None:
    with pytest.raises(UserError) as caught:
        refuse_lone_surrogates(before + lone + after + "\ud800")
    message = str(caught.value)
    assert f"U+{ord(lone):04X}, at position {len(before)}," in message
    assert 'text.encode("utf-8", "replace").decode()' in message


def test_two_halves_are_no_character() -> None:
    with pytest.raises(UserError, match=r"U\+D83D, at position 1"):
        refuse_lone_surrogates("a\ud83d\ude00")
    refuse_lone_surrogates("\U0001f600")
