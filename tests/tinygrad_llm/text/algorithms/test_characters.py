import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.algorithms.characters import Characters

any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates too


@given(any_text)
def test_ids_number_the_sorted_characters(text: str) -> None:
    model = Characters(sorted(set(text)))
    ids = model.encode_text(text)
    assert ids.dtype == np.int32 and ids.shape == (len(text),)
    assert ids.tolist() == [model.characters.index(c) for c in text] == list(
        model.encode_piece(text))
    assert model.vocab == {c: i for i, c in enumerate(sorted(set(text)))}
    assert model.piece_spans(text) == [(id, i, i + 1) for i, id in enumerate(ids.tolist())]


def test_unseen_characters_are_named() -> None:
    with pytest.raises(UserError) as caught:
        Characters("abc").encode_text("ab\U0001f600cé\U0001f600")
    message = str(caught.value)
    assert "'\U0001f600' (U+1F600)" in message and "'é' (U+00E9)" in message
    assert "2 of the text's characters" in message and "3 known" in message
    assert "the first, '\U0001f600' (U+1F600), is at position 2" in message
    assert "train anew on text that has them" in message


def test_many_unseen_characters_are_cut_short() -> None:
    with pytest.raises(UserError, match=r"'e' \(U\+0065\) and 2 more; the first, 'g'"):
        Characters("x").encode_piece("gfedcba")


def test_an_unseen_lone_surrogate_is_named() -> None:
    with pytest.raises(UserError, match=r"'\\ud800' \(U\+D800\)"):
        Characters("abc").piece_spans("a\ud800")


@pytest.mark.parametrize("characters", ["ba", "aa", ["ab"], [""], [1]])
def test_characters_must_be_single_sorted_distinct(characters: list[str]) -> None:
    with pytest.raises(ValueError, match="characters must be"):
        Characters(characters)
