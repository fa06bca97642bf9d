import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text.characters.unicode_versions import (
    WHITE_SPACE,
    Form,
    is_control,
    is_mark,
    is_nonspacing_mark,
    lower_case,
    normal_form,
)

FORMS: tuple[Form, ...] = ("NFC", "NFD", "NFKC", "NFKD")
MARKS = [chr(p) for p in range(0x300, 0x1000) if unicodedata.category(chr(p))[0] == "M"]
OLD_MARKS = [mark for mark in MARKS if is_mark(mark)]


@given(st.text(st.sampled_from([*OLD_MARKS, *"aé가각ᄀ\u1161ﬁ\ufdfaΩ"]), max_size=200),
       st.sampled_from(FORMS))
def test_old_characters_have_pythons_normal_forms(text: str, form: Form) -> None:
    assert normal_form(form, text) == unicodedata.normalize(form, text)


@given(st.text(st.sampled_from(OLD_MARKS), min_size=32, max_size=80), st.sampled_from(FORMS))
def test_long_rows_of_marks_too(marks: str, form: Form) -> None:
    text = "e" + marks + "\u1e69"
    assert normal_form(form, text) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("form", FORMS)
def test_long_rows_of_marks_take_linear_time(form: Form) -> None:
    text = "a" + "\u0301\u0316" * 50_000  # unicodedata alone: 6 s
    start = time.process_time()
    normalized = normal_form(form, text)
    assert time.process_time() - start < 2
    assert normalized[-49_999:] == "\u0301" * 49_999
    assert unicodedata.is_normalized(form, normalized)


def test_characters_of_later_versions_are_inert() -> None:
    assert normal_form("NFKC", "\u32ffﬁ") == "\u32fffi"  # the era Reiwa, Unicode 12.1
    assert normal_form("NFD", "\U00011938é") == "\U00011938e\u0301"  # Unicode 13
    assert normal_form("NFC", "e\u08d3\u0301") == "e\u08d3\u0301"  # a mark of Unicode 11
    assert unicodedata.normalize("NFC", "e\u08d3\u0301") == "é\u08d3"
    assert normal_form("NFD", "a\u0301" + "\u08d3" * 40) == "a\u0301" + "\u08d3" * 40
    assert not is_mark("\u08d3") and not is_nonspacing_mark("\u08d4") and is_mark("\u08d4")
    assert not is_control("\U00013430") and is_control("\u200d") and is_control("\ue000")


def test_categories_that_changed() -> None:
    assert is_mark("\u1cf2") and is_nonspacing_mark("\u1734")
    assert not is_nonspacing_mark("\u1885") and not is_nonspacing_mark("\u0903")


def test_lower_case_goes_by_single_characters() -> None:
    assert lower_case("ΟΔΟΣ ÀB") == "οδοσ àb"
    assert lower_case("İI") == "i\u0307i"
    assert lower_case("\u1c89\U00010d50Σ\U0001e921\U0001f600") == (
        "\u1c8a\U00010d70\u03c3\U0001e943\U0001f600")


def test_white_space() -> None:
    spaces = {chr(p) for p in range(sys.maxunicode + 1) if chr(p).isspace()}
    assert set(WHITE_SPACE) == spaces - set("\x1c\x1d\x1e\x1f")
    assert len(WHITE_SPACE) == len(set(WHITE_SPACE))
