"""JSON text: what stands for a character, the numbers in a range, what an object has."""

from __future__ import annotations

import itertools
import json
import random
from fractions import Fraction
from typing import Any

import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st
from random_schemas import drawn

from tests.languages import matches
from tinygrad_llm.sample.constrained import json_text
from tinygrad_llm.sample.constrained.expressions import (
    ANYTHING,
    Both,
    Characters,
    Expression,
    Repeat,
    Row,
    literal,
)

EDGES = [0, 1, 7, 8, 9, 10, 11, 12, 13, 14, 31, 32, 33, 34, 35, 91, 92, 93, 126, 127, 128, 0x7FF,
         0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x103FF, 0x10400, 0x1F600, 0x10FC00, 0x10FFFF]


RIGHT = {'"': ['\\"'], "\\": ["\\\\"], "/": ["/"], "A": ["A"], "\b": ["\\b"], "\n": ["\\n"],
         "\x01": ["\\u0001"], "\x1f": ["\\u001f", "\\u001F"], "~": ["~"],
         "\x7f": ["\x7f", "\\u007f", "\\u007F"], "é": ["é", "\\u00e9", "\\u00E9"],
         "\uffff": ["\uffff", "\\uffff", "\\uFFFF"],
         "😀": ["😀", "\\ud83d\\ude00", "\\uD83D\\uDE00", "\\ud83d\\uDe00"]}


@pytest.mark.parametrize("char", RIGHT)
def test_the_writings_of_a_character(char: str) -> None:
    """Of all that a reader takes for it."""
    for text in (char, *("\\" + c for c in '"\\/bfnrt'), *(
            f"\\u{code:04{case}}" for code in (ord(char) & 0xFFFF, 0xFFFF) for case in "xX"),
            "\\ud83d\\ude00", "\\uD83D\\uDE00", "\\ud83d\\uDe00", "\\ud83d", "\\ud83d\\ud83d"):
        right = text in RIGHT[char]
        assert matches(json_text.string(literal(char)), f'"{text}"') == right, text
        assert not right or json.loads(f'"{text}"') == char


@given(st.sets(st.sampled_from(EDGES), min_size=2, max_size=2), st.sampled_from(EDGES))
@draws(500, 100)
def test_the_writings_of_a_range_are_of_its_characters(ends: set[int], code: int) -> None:
    first, last = sorted(ends)
    string = json_text.string(Characters(((first, last),)))
    for ascii in (True, False):
        text = json.dumps(chr(code), ensure_ascii=ascii)
        assert matches(string, text) == (first <= code <= last), text
    for seed in range(5):
        assert first <= ord(json.loads(drawn(string, random.Random(seed)))) <= last


def test_lone_surrogates_have_no_writing() -> None:
    for text in ('"\ud800"', '"\\ud800"', '"\\udc00"', '"\\ud800\\ud800"', '"\\ud800a"'):
        assert not matches(json_text.string(ANYTHING), text)


def test_writings_of_an_intersection() -> None:
    two = Repeat(Characters(((0x20, 0x1F600),)), 2, 2)
    string = json_text.string(Both(two, Row((ANYTHING, literal("😀")))))
    assert matches(string, '"a😀"') and matches(string, '"\\u00e9\\ud83d\\ude00"')
    assert not matches(string, '"\\n😀"') and not matches(string, '"😀a"')


BOUND = st.one_of(st.integers(-130, 130), st.integers(-10**6, 10**6), st.integers(-10**21, 10**21))


@given(BOUND, BOUND, st.booleans(), st.data())
@draws(300, 30)
def test_whole_numbers_in_a_range(low: int, high: int, strict: bool, data: Any) -> None:
    found = (json_text.numbers(None, None, low - 1, high + 1, 1) if strict
             else json_text.numbers(low, high, None, None, 1))
    least, most = max(low, 1 - 10**20), min(high, 10**20 - 1)
    if found is None:
        assert least > most
        return
    near = [low, high, low - 1, high + 1, 0, 9, 10, 99, 100, -1, 10**20, -10**20,
            data.draw(st.integers(min(least, most), max(least, most)))]
    for number in near:
        assert matches(found, str(number)) == (least <= number <= most)
    number = drawn(found, random.Random(low + high))
    assert str(int(number)) == number and least <= int(number) <= most


DECIMAL = st.one_of(st.floats(-200, 200), st.floats(-1e25, 1e25), st.integers(-30, 30),
                    st.decimals(-9, 9, places=2).map(float),
                    st.sampled_from([0, 0.1, 1e-30, -1e-8]))


@given(DECIMAL, DECIMAL, st.booleans(), st.booleans(), st.integers(0, 9))
@draws(200, 60)
def test_numbers_in_a_range_are_there_as_floats(low: float, high: float, strict_low: bool,
                                                strict_high: bool, seed: int) -> None:
    """A float is what is read, and may be on the other side of a bound that the digits keep."""
    found = json_text.numbers(None if strict_low else low, None if strict_high else high,
                              low if strict_low else None, high if strict_high else None, None)
    rng = random.Random(seed)
    for _ in range(5 if found else 0):
        read = json.loads(text := drawn(found, rng))
        assert (low < read if strict_low else low <= read), text
        assert (read < high if strict_high else read <= high), text
    inside = round((low + high) / 2, 3)
    if high - low > 1e-2 and max(abs(low), abs(high)) < 1e9:
        assert found and matches(found, str(inside or 0.0)) == (low < inside < high)


@pytest.mark.parametrize("bound", [
    0.3, 0.1, 1.1, 123.456, 9.999999999999, 100000.1, 0.30000000000000004])
def test_the_nearest_numbers_to_a_strict_bound_are_not_rounded_to_it(bound: float) -> None:
    found = json_text.numbers(None, None, bound, None, None)
    exact = Fraction(str(bound))
    for k in range(1, 25):
        for step in (1, 2, 3):
            n = (exact * 10**k).__ceil__() + step
            text = f"{str(n).zfill(k + 1)[:-k]}.{str(n).zfill(k + 1)[-k:]}"
            assert not matches(found, text) or float(text) > bound, text


def names_of(found: Expression, names: list[str]) -> list[str]:
    return [name for name in names if matches(found, name)]


@given(st.lists(st.text("ab\"é😀", max_size=3), max_size=4), st.text("ab\"é😀", max_size=4))
@draws(300, 30)
def test_other_texts_are_all_but_the_names(names: list[str], text: str) -> None:
    found = json_text.other_texts(names)
    assert matches(found, text) == (text not in names)
    assert not names_of(found, names)
    assert all(matches(found, name + "ab" * 3) for name in names)


@given(st.lists(st.booleans(), max_size=6))
@draws(100, 20)
def test_fields_are_any_that_may_miss_and_all_others(required: list[bool]) -> None:
    found = json_text.fields([(literal(str(k)), must) for k, must in enumerate(required)])
    for chosen in itertools.product([False, True], repeat=len(required)):
        text = ",".join(str(k) for k, there in enumerate(chosen) if there)
        right = all(there or not must for there, must in zip(chosen, required, strict=True))
        assert matches(found, text) == right
        assert not matches(found, f",{text}") and not matches(found, f"{text},")
    assert not matches(found, "10") and not matches(found, "1,0") and not matches(found, "01")
