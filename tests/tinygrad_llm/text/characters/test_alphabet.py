import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text.characters.alphabet import (
    BYTE_ORDER,
    BYTE_TO_CHAR,
    CHAR_TO_BYTE,
    printable,
    unprintable,
)


def test_the_alphabet_is_256_printable_characters_without_space() -> None:
    assert len(BYTE_TO_CHAR) == len(CHAR_TO_BYTE) == len(set(BYTE_TO_CHAR)) == 256
    assert all(char.isprintable() and not char.isspace() for char in BYTE_TO_CHAR)


def test_latin_1s_printable_characters_spell_themselves() -> None:
    for byte in range(256):
        if chr(byte).isprintable() and not chr(byte).isspace():
            assert BYTE_TO_CHAR[byte] == chr(byte)
        else:
            assert BYTE_TO_CHAR[byte] >= "\u0100"


def test_gpt_2s_best_known_bytes() -> None:
    assert (BYTE_TO_CHAR[0x20], BYTE_TO_CHAR[0x0A], BYTE_TO_CHAR[0x00]) == ("Ġ", "Ċ", "Ā")
    assert (BYTE_TO_CHAR[0x7F], BYTE_TO_CHAR[0xA0], BYTE_TO_CHAR[0xAD]) == ("ġ", "ł", "Ń")
    assert (BYTE_ORDER[0], BYTE_ORDER[93], BYTE_ORDER[188], BYTE_ORDER[255]) == (33, 126, 0, 0xAD)


def test_the_order_is_that_of_the_characters() -> None:
    assert [BYTE_TO_CHAR[byte] for byte in BYTE_ORDER] == sorted(BYTE_TO_CHAR)


@given(st.binary())
def test_unprintable_undoes_printable(b: bytes) -> None:
    assert unprintable(printable(b)) == b
    assert printable(b) == "".join(BYTE_TO_CHAR[byte] for byte in b)


@given(st.text(st.sampled_from(BYTE_TO_CHAR)))
def test_printable_undoes_unprintable(s: str) -> None:
    assert printable(unprintable(s)) == s


@pytest.mark.parametrize(("wrong", "named"), [(" ", "' '"), ("\u0144", "'ń'"), ("\ud800", "D800")])
def test_other_characters_are_refused(wrong: str, named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        unprintable("ab" + wrong)
    assert "position 2" in str(caught.value)
