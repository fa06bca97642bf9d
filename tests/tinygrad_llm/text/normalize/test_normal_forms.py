import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text.characters.aligned import Aligned
from tinygrad_llm.text.normalize.normal_forms import NFC, NFD, NFKC, NFKD, _begins_sequence

FORMS = [NFC(), NFD(), NFKC(), NFKD()]
old = st.text(st.sampled_from("ab éÅﬁ²½각ᄀ\u1161\u11a8かガｶﾞ\u3099\u0301\u0316\u0323\u0344"
                              "\u0f71\u0f73\u0903\u09be\U0001d15e\u2126\u1e9b"), max_size=20)
Form = NFC | NFD | NFKC | NFKD


@pytest.mark.parametrize("form", FORMS, ids=repr)
@given(text=old)
def test_the_normal_form_is_pythons(form: Form, text: str) -> None:
    """Of characters that existed in Unicode 9."""
    expected = unicodedata.normalize(form.form, text)
    a = form.align(Aligned.of(text))
    assert form(text) == a.text == expected
    assert form(expected) == expected and form.align(a).starts.tolist() == a.starts.tolist()


@pytest.mark.parametrize("form", FORMS, ids=repr)
@given(text=old)
def test_a_span_has_the_normal_form_of_its_source(form: Form, text: str) -> None:
    a = form.align(Aligned.of(text))
    made: dict[tuple[int, int], str] = {}
    for char, start, end in zip(a.text, a.starts.tolist(), a.ends.tolist(), strict=True):
        made[start, end] = made.get((start, end), "") + char
    for (start, end), chars in made.items():
        assert start < end and form(text[start:end]) == chars
    assert "".join(text[start:end] for start, end in made) == text  # each character once


def spans(form: Form, text: str) -> list[tuple[str, int, int]]:
    a = form.align(Aligned.of(text))
    return list(zip(a.text, a.starts.tolist(), a.ends.tolist(), strict=True))


def test_where_characters_come_from() -> None:
    assert spans(NFD(), "aé") == [("a", 0, 1), ("e", 1, 2), ("\u0301", 1, 2)]
    assert spans(NFC(), "ae\u0301b") == [("a", 0, 1), ("é", 1, 3), ("b", 3, 4)]
    assert spans(NFKC(), "ﬁx") == [("f", 0, 1), ("i", 0, 1), ("x", 1, 2)]
    assert spans(NFKD(), "²é") == [("2", 0, 1), ("e", 1, 2), ("\u0301", 1, 2)]
    assert spans(NFD(), "é\u0316") == [("e", 0, 2), ("\u0316", 0, 2), ("\u0301", 0, 2)]
    assert spans(NFC(), "ᄀ\u1161\u11a8!") == [("각", 0, 3), ("!", 3, 4)]


def test_a_text_in_normal_form_stays_as_it_is() -> None:
    a = Aligned.of("abc é")
    assert NFC().align(a) is a and NFD().align(a) is not a


def test_forms_of_one_name_are_equal() -> None:
    assert NFC() == NFC() and NFC() != NFD() and len({NFC(), NFC(), NFKC()}) == 2


def test_sequences_can_be_normalised_by_themselves() -> None:
    """A character that composes or reorders with the one before it begins no sequence."""
    for point in range(sys.maxunicode + 1):
        char = chr(point)
        if unicodedata.combining(unicodedata.normalize("NFKD", char)[0]):
            assert not _begins_sequence(char), hex(point)
        parts = unicodedata.decomposition(char).split()
        if len(parts) == 2 and parts[0][0] != "<":
            assert not _begins_sequence(chr(int(parts[1], 16))), hex(point)
    for syllable in ("각", "가"):
        first, *others = unicodedata.normalize("NFD", syllable)
        assert _begins_sequence(first) and not any(map(_begins_sequence, others))
