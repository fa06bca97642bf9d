import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_llm.data.select import word_runs
from tinygrad_llm.data.select.word_runs import (
    normalized_words,
    normalized_words_of_any,
    run_hashes,
    word_hashes,
)

ascii_text = st.text(st.characters(max_codepoint=127))
any_text = st.text(st.characters(exclude_categories=()))


@given(ascii_text)
def test_the_quick_way_finds_the_words_of_the_plain_one(text: str) -> None:
    assert normalized_words(text) == normalized_words_of_any(text)


@given(any_text)
@example("C:\u0327")  # without the sign they are one letter
def test_words_are_neither_empty_nor_upper_case_nor_signs(text: str) -> None:
    found = normalized_words(text)
    assert b"" not in found
    plain = " ".join(word.decode("utf-8", "surrogatepass") for word in found)
    assert normalized_words(plain) == found


@pytest.mark.parametrize(("text", "expected"), [
    ("", []),
    (" \n. - !", []),
    ("It's a well-known 3.14, isn't it?", ["its", "a", "wellknown", "314", "isnt", "it"]),
    ("snake_case $5 \x1cafter", ["snakecase", "5", "after"]),
    ("« Où ça » — là\u00a0bas…", ["où", "ça", "là", "bas"]),
    ("ÄRGER GROSS", ["ärger", "gross"]),
    ("the river--long -- flows\u2014on\u2013and on",
     ["the", "river", "long", "flows", "on", "and", "on"]),
    ("the river--long", ["the", "river", "long"]),
    ("co\xadop\u200ber \uff26\uff55\uff4c\uff4c\uff0dwidth", ["cooper", "fullwidth"]),
    ("我们2024年。ねこabc", ["我", "们", "2024", "年", "ね", "こ", "abc"]),
    ("ก็ดี", ["ก็", "ดี"]),
    ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
])
def test_what_words_are(text: str, expected: list[str]) -> None:
    assert [word.decode() for word in normalized_words(text)] == expected


@given(st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=30), st.integers(1, 6))
def test_runs_have_equal_numbers_where_their_words_are_equal(found: list[bytes],
                                                             length: int) -> None:
    numbers = run_hashes(word_hashes(found), length).tolist()
    runs = [tuple(found[i:i + length]) for i in range(len(found) - length + 1)]
    assert len(numbers) == len(runs)
    assert len(set(numbers)) == len(set(runs)) == len(set(zip(numbers, runs, strict=True)))


def test_the_bits_of_runs_are_even() -> None:
    numbers = run_hashes(word_hashes([b"%d" % i for i in range(4000)]), 5)
    ones = (numbers[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).mean(0)
    assert np.abs(ones - 0.5).max() < 4.5 * 0.5 / len(numbers) ** 0.5


def test_a_full_memo_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = word_hashes([b"a", b"b"]).tolist()
    monkeypatch.setattr(word_runs, "LARGEST_MEMO", 1)
    assert word_hashes([b"a", b"b"]).tolist() == before
    assert len(word_runs._memo) == 2


def test_numbers_are_alike_in_every_process() -> None:
    code = ("from tinygrad_llm.data.select.word_runs import *;"
            "from tinygrad_llm.data.select.dedupe import *;"
            "print(word_hashes([b'a', b'b']).tolist(), int(signature('one two three').sum()))")
    found = {subprocess.run([sys.executable, "-c", code], check=True, capture_output=True,
                            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                            ).stdout for seed in "12"}
    assert len(found) == 1 and found.pop().startswith(b"[")
