import time
import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.select.dedupe import signature
from tinygrad_llm.data.select.normal_form import normal_form
from tinygrad_llm.data.select.repair import repair_text

FORMS: tuple[Literal["NFC", "NFKC"], ...] = ("NFC", "NFKC")
MARKS = [chr(p) for p in range(0x300, 0x1E000) if unicodedata.category(chr(p))[0] == "M"]


@given(st.text(st.sampled_from(MARKS) | st.sampled_from("aéﬁ한ᄀ\u1161"), max_size=20),
       st.text(st.sampled_from(MARKS), min_size=32, max_size=90),
       st.text(max_size=5), st.sampled_from(FORMS))
def test_it_is_pythons(before: str, marks: str, after: str, form: Literal["NFC", "NFKC"]) -> None:
    text = before + marks + after
    assert normal_form(form, text) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("marks", ["\u0301\u0323", "\u0f74\u0f72\u0f71", "\u05bc\u05b7",
                                   "\u1df6\u1df7"])
def test_rows_of_marks_take_linear_time(marks: str) -> None:
    text = "a" + marks * 50_000  # unicodedata alone: 10 s and more
    start = time.process_time()
    for form in FORMS:
        normal_form(form, text)
    assert repair_text(repair_text(text)) == repair_text(text)
    signature(text)
    assert time.process_time() - start < 5
