"""From bytes to text: encodings are found out, and what is no text is refused."""

import sys
from pathlib import Path

import pytest
from gathering import gather, texts

from tinygrad_llm.data.read.decoding import detect_encoding, guess_codec, is_damaged_utf8
from tinygrad_llm.host.errors import UserError

pytest.importorskip("charset_normalizer")
pytest.importorskip("selectolax")

RUSSIAN = "Быть или не быть, вот в чём вопрос.\n"

FRENCH = "Être ou ne pas être, telle est la question.\n"


@pytest.mark.parametrize("text, encoding", [
    (RUSSIAN, "utf-8"), (RUSSIAN, "utf-8-sig"), (RUSSIAN, "utf-16"), (RUSSIAN, "utf-32"),
    (RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (FRENCH, "cp1252"), (FRENCH, "latin-1"),
    ("生存还是毁灭、这是一个问题。\n", "gb18030"), ("生きるべきか死ぬべきか。\n", "shift-jis"),
    ("Wszyscy ludzie rodzą się wolni i równi. Być albo nie być.\n" * 3, "cp1250"),
])  # fmt: skip
def test_encodings_are_found_out(tmp_path: Path, text: str, encoding: str) -> None:
    for suffix in ("txt", "md", "html"):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(text.encode(encoding))
        assert [t.split() for t in texts(path)] == [text.split()]


def test_marks_of_big_endian(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xfe\xff" + RUSSIAN.encode("utf-16-be"))
    (tmp_path / "b.txt").write_bytes(b"\0\0\xfe\xff" + RUSSIAN.encode("utf-32-be"))
    assert texts(tmp_path) == [RUSSIAN, RUSSIAN]


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0", b"text\0text", bytes(range(1, 32)) * 9])
def test_binary_files_are_counted(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    assert gather(tmp_path) == ([], {"binary": 1})


def test_damaged_utf8_stays_utf8(tmp_path: Path) -> None:
    data = (RUSSIAN * 9).encode()
    (tmp_path / "a.txt").write_bytes(data[:100] + b"\xff" + data[100:])
    documents, errors = gather(tmp_path)
    assert documents[0].text.replace("\ufffd", "") == RUSSIAN * 9
    assert errors == {"bad-bytes": 1}


@pytest.mark.parametrize("head, whole, expected", [
    (b"", True, ("utf-8", 0)), (b"plain", True, ("utf-8", 0)),
    (b"\xef\xbb\xbfa", True, ("utf-8", 3)), (b"\xff\xfea\0", True, ("utf-16-le", 2)),
    (b"\xff\xfe\0\0a\0\0\0", True, ("utf-32-le", 4)), (b"\xfe\xff\0a", True, ("utf-16-be", 2)),
    ("é".encode()[:1], False, ("utf-8", 0)),  # the character may go on
    (b"\0", True, None), (b"\x01" + b"a" * 18, True, None),
    (b"\x01" + b"a" * 19, True, ("utf-8", 0)),
    (b"\x1b[31m\t\f\r\n", True, ("utf-8", 0)),  # a terminal's colours are text
])
def test_an_encoding_is_a_codec_and_the_length_of_its_mark(
        head: bytes, whole: bool, expected: tuple[str, int] | None) -> None:
    assert detect_encoding(head, whole) == expected


def test_a_cut_character_at_the_end_of_a_whole_text_is_no_utf8() -> None:
    cut = "puis un autre café".encode()[:-1]
    for whole, is_utf8 in ((False, True), (True, False)):
        encoding = detect_encoding(cut, whole)
        assert encoding and (encoding.codec == "utf-8") == is_utf8


def test_what_no_encoding_explains_is_the_commonest() -> None:
    assert guess_codec(b"only ASCII is no evidence") == "cp1252"


def test_few_faults_leave_it_utf8_and_many_do_not() -> None:
    sound = "é".encode()
    assert is_damaged_utf8(sound * 11 + b"\xff") and not is_damaged_utf8(sound * 10 + b"\xff")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    with pytest.raises(UserError, match=r"tinygrad_llm\[data\].*iconv"):
        detect_encoding(b"caf\xe9")
