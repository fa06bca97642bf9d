"""From bytes to text: encodings are found out, and what is no text is refused."""

import random
import unicodedata
from pathlib import Path

import pytest
from gathering import gather, texts
from old_encodings import TEXTS, WIDE_AND_UTF7, encoded, samples

from tinygrad_llm.data.read.decoding import (
    CANDIDATES,
    detect_encoding,
    guess_encoding,
    is_damaged_utf8,
)

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
    found = detect_encoding(head, whole)
    assert found == (None if expected is None else (*expected, True))


def test_a_cut_character_at_the_end_of_a_whole_text_is_no_utf8() -> None:
    cut = "puis un autre café".encode()[:-1]
    for whole, is_utf8 in ((False, True), (True, False)):
        encoding = detect_encoding(cut, whole)
        assert encoding and (encoding.codec == "utf-8") == is_utf8


def test_without_evidence_it_is_the_commonest() -> None:
    assert guess_encoding(b"only ASCII is no evidence").codec == "cp1252"


def test_few_faults_leave_it_utf8_and_many_do_not() -> None:
    sound = "é".encode()
    assert is_damaged_utf8(sound * 11 + b"\xff") and not is_damaged_utf8(sound * 10 + b"\xff")


def reading(data: bytes) -> tuple[str | None, bool]:
    """Return what bytes are read as, with letters and their marks joined, and whether it is sure.
    """
    found = detect_encoding(data)
    if found is None:
        return None, True
    return unicodedata.normalize("NFC", data[found.mark :].decode(found.codec)), found.sure


OLD = [(language, codec) for language, (codecs, *_) in TEXTS.items() for codec in codecs]


@pytest.mark.parametrize("language, codec", OLD)
def test_a_sentence_is_read_right_and_a_word_not_wrong_in_silence(language: str, codec: str
                                                                  ) -> None:
    for size, text in samples(language).items():
        data = encoded(text, codec)
        if data is None:
            continue
        text = unicodedata.normalize("NFC", text)
        found, sure = reading(data)
        assert found == text or (size == "word" and not sure), (size, found)
        assert sure or size == "word" or (language, codec) in CLOSE, size


# A sentence of these has only two or three letters by which its reading differs from another.
CLOSE = {("ro", "cp1250"), ("ro", "iso8859_2"), ("it", "cp850"), ("it", "mac_roman"),
         ("ca", "cp850"), *(("et", codec) for codec in TEXTS["et"][0])}


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("codec", WIDE_AND_UTF7)
def test_texts_without_a_mark(language: str, codec: str) -> None:
    for text in samples(language).values():
        assert reading(text.encode(codec))[0] == text
        assert reading(text.encode()) == (text, True)


def test_all_encodings_that_are_sought_are_tried_here() -> None:
    tried = {codec for _, codec in OLD} | {"big5hkscs"}
    assert set(CANDIDATES) - tried == {
        "iso8859_3", "iso8859_4", "iso8859_14", "iso8859_16", "cp437", "kz1048", "mac_latin2",
        "mac_greek", "mac_turkish"}


@pytest.mark.parametrize("text, codec", [
    ("It’s a “test” – isn’t it? The café’s menu…", "cp1252"),
    ("water at 25°C, £5 or 7€", "cp1252"), ("x = 'µm' # Ångström", "cp1252"),
    ("Copyright © 2003 Smith & Sons. All rights reserved.", "cp1252"), ("café", "cp1252"),
    ("Dear Mr. Müller, thank you for your letter.", "cp1252"), ("naïve", "latin-1"),
    ("name,city\nJosé,Málaga\nAnn,York\n", "cp1252"), ("São Paulo", "cp1252"),
    ("Привет, world! См. http://example.com/page?id=1", "cp1251"),
    ("ПРИВЕТ", "cp1251"), ("Привет", "koi8_r"),
    ("┌────┐\n│ Меню │\n└────┘\n", "cp866"),
    ("İstanbul", "cp1254"), ("Gdańsk", "iso8859_2"), ("北京", "gb18030"),
    ("東京", "cp932"), ("서울", "cp949"), ("臺灣", "big5"),
    ("使用Python编程，版本3.11", "gb18030"),
])  # fmt: skip
def test_names_and_signs_are_read_right(text: str, codec: str) -> None:
    assert reading(text.encode(codec))[0] == text


@pytest.mark.parametrize("text", [
    "C++ and a+b- c+AAB-", "+1-800-555", "x~{}~ y ~{ab~}", "[31mred[0m", "a+b+c+d-e",
    "base64 aGVsbG8+d29ybGQ+AAA+BBB-", "f(x)=x+ABC-3", "git+https://x+yzw-1", "$ (0",
    "x = a+bcd+efgh-\n" * 9, "y+abQ-z", "i+aaa-", "k+key-value", "c+Zzg-1"])
def test_ascii_is_not_taken_for_escapes(text: str) -> None:
    assert detect_encoding(text.encode()) == ("utf-8", 0, True)


def test_escapes_that_python_lacks_are_unsure() -> None:
    assert detect_encoding(b"$)A1>") == ("utf-8", 0, False)


def test_random_bytes_with_a_nul_are_no_text() -> None:
    for seed in range(200):
        data = bytes(random.Random(seed).choices(range(256), k=2 * (8 + seed))) + b"\0\0"
        assert detect_encoding(data) is None


def test_what_stays_unsure_is_read_and_counted_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("É".encode("cp1252"))
    (tmp_path / "b.txt").write_bytes(FRENCH.encode("cp1252"))
    (tmp_path / "c.html").write_bytes("<p>É</p>".encode("cp1252"))
    (tmp_path / "d.html").write_bytes("<meta charset=latin1><p>É</p>".encode("cp1252"))
    documents, errors = gather(tmp_path)
    assert len(documents) == 4 and errors == {"unsure-encoding": 2}
    assert [Path(name).name for name in errors.names["unsure-encoding"]] == ["a.txt", "c.html"]


@pytest.mark.parametrize("declared, codec", [
    ("iso-8859-1", "cp1252"), ("gb2312", "gb18030"), ("shift_jis", "cp932"), ("utf-16", "cp1252"),
    ("cp037", "cp1252"), ("iso-8859-9", "cp1254"), ("koi8-r", "koi8_r")])
def test_a_page_means_what_browsers_take_it_for(tmp_path: Path, declared: str, codec: str) -> None:
    words = {"gb18030": "鍭镕", "cp932": "①髙", "cp1254": "’şimdi",
             "koi8_r": "да"}.get(codec, "“déjà vu”")
    (tmp_path / "a.html").write_bytes(f"<meta charset={declared}><p>{words}".encode(codec))
    assert texts(tmp_path) == [words]


def test_a_declaration_is_believed_unless_the_text_is_against_it(tmp_path: Path) -> None:
    russian = samples("ru")["paragraph"].strip()
    for name, declared, text, codec in [
            ("a", "iso-8859-1", russian, "cp1251"), ("b", "windows-1251", russian, "koi8_r"),
            ("c", "windows-1251", "\u0414\u0430", "cp1251"),
            ("d", "koi8-r", "\u0434\u0430", "koi8_r"),
            ("e", "iso-8859-2", "\u0141\u00f3d\u017a", "iso8859_2"),
            ("f", "utf-8", samples("pl")["paragraph"].strip(), "cp1250"),
            ("g", "x-mac-cyrillic", russian, "mac_cyrillic"), ("h", "cp1140", russian, "cp1251")]:
        (tmp_path / f"{name}.html").write_bytes(f"<meta charset={declared}><p>{text}".encode(codec))
        assert texts(tmp_path / f"{name}.html") == [text], name


def test_utf16_without_a_mark_is_not_cut_into_slices(tmp_path: Path) -> None:
    text = "Ċਊ Hello, this is a line of text.\n" * 50
    (tmp_path / "a.txt").write_bytes(text.encode("utf-16-le"))
    assert texts(tmp_path, unit_bytes=100) == [text]
