import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.formats.json_files import (
    parse_json,
    read_json_object,
    read_number,
    shortened,
    spell_number,
)


@pytest.mark.parametrize("content, value", [
    (b'{"a": [1, 2.5, null, true, "\xc3\xa9"]}', {"a": [1, 2.5, None, True, "é"]}),
    (b'"\\ud83d\\ude00"', "\U0001f600"), (b'{"a": 1, "b": {"a": 2}}', {"a": 1, "b": {"a": 2}}),
])
def test_json_is_read(content: bytes, value: Any) -> None:
    assert parse_json(content) == value


@pytest.mark.parametrize("content, fault", [
    (b'{"a": ', "no JSON that can be read: Expecting value"),
    (b'{"a": 0, "b": {"c": 1, "d": 2, "c": 3}}', "an object names 'c' twice"),
    (b"[NaN]", "NaN is no number of JSON's"), (b"[-Infinity]", "-Infinity is no number"),
    (b"[" * 200_000, "no JSON that can be read"), (b'"\xff"', "no JSON that can be read"),
    (b"9" * 10_000, "no JSON that can be read"), (b"", "no JSON that can be read"),
    (b'{"\\uD800": 1}', "a lone surrogate"), (b'["\\udc00\\ud800"]', "a lone surrogate"),
])
def test_what_is_no_json_is_refused(content: bytes, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        parse_json(content)


def test_a_file_holds_an_object(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b'{"a": 1}')
    assert read_json_object(path) == {"a": 1}
    for content, fault in ((b"[1]", "expected an object, got a list"), (b"", "no JSON"),
                           (b'{"a": 1, "a": 2}', "names 'a' twice")):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"file\.json cannot be read: .*{fault}.*fetch it"):
            read_json_object(path)
    with pytest.raises(UserError, match=r"absent\.json cannot be read: No such file"):
        read_json_object(tmp_path / "absent.json")


def test_a_message_holds_the_beginning_of_a_value() -> None:
    assert shortened("a") == "'a'" and shortened(None) == "None"
    assert shortened([1, 2]) == "a list of 2" and shortened({"a": 1}) == "an object of 1"
    assert shortened("x" * 500) == "'" + "x" * 79 + "..."


finite = st.floats(allow_nan=False, allow_infinity=False, max_value=1e300, min_value=-1e300)


@pytest.mark.parametrize(("text", "value"), [
    ("-14.512523234209537", -14.512523234209535),  # the nearest is another
    ("-3.8437448898053916", -3.843744889805392), ("0.1", 0.1), ("-0", -0.0), ("1E2", 100.0),
    ("184467440737095516150", 184467440737095516150.0), ("5e-324", 5e-324), ("1e-400", 0.0),
    ("0e99999", 0.0), ("36893488147419103232.5", 36893488147419103230.0), ("25e-1", 2.5),
])
def test_digits_are_one_number_and_the_point_another(text: str, value: float) -> None:
    assert read_number(text) == value
    assert math.copysign(1, read_number(text)) == math.copysign(1, value)


@given(st.integers(0, 2**53), st.integers(-22, 22))
def test_numbers_of_few_digits_are_the_nearest(digits: int, exponent: int) -> None:
    exact = Fraction(digits) * Fraction(10) ** exponent
    assert read_number(f"{digits}e{exponent}") == float(exact)


@given(finite)
def test_it_is_never_far_off(x: float) -> None:
    assert abs(read_number(repr(x)) - x) <= 4 * math.ulp(x)


@given(finite)
def test_what_was_read_is_spelled_so_that_it_is_read_again(x: float) -> None:
    read = read_number(repr(x))
    assert read_number(spell_number(read)) == read
    assert float(spell_number(x)) == pytest.approx(x, rel=1e-14)


@pytest.mark.parametrize("text", ["1e309", "-1e99999", "9" * 320, "9" * 30 + ".5e290"])
def test_too_large_a_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is too large"):
        read_number(text)
