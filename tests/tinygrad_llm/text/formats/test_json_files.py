from pathlib import Path
from typing import Any

import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.formats.json_files import parse_json, read_json_object, shortened


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
