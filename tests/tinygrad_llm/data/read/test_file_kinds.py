"""Files by their kinds: Markdown, pages, lines of JSON."""

import sys
from pathlib import Path

import pytest
from gathering import gather, texts

from tinygrad_llm.data.read import file_kinds
from tinygrad_llm.data.read.gather import Unit, read_unit
from tinygrad_llm.data.read.text_pieces import Losses
from tinygrad_llm.host.errors import UserError

pytest.importorskip("selectolax")


@pytest.mark.parametrize("matter", ["---\ntitle: x\nb: [1]\n---\n", '+++\n"title" = 1\n+++\n', ""])
def test_front_matter_goes_and_markdown_stays(tmp_path: Path, matter: str) -> None:
    body = "# Title\n\n* a\n* b\n\n---\n\n[x](y)\n"
    (tmp_path / "a.md").write_text(matter + body)
    assert texts(tmp_path) == [body]


@pytest.mark.parametrize("body", ["---\n\nA break.\n\n---\n\nb", "---\nkey: never closed\n", "---"])
def test_what_is_no_front_matter_stays(tmp_path: Path, body: str) -> None:
    (tmp_path / "a.md").write_text(body)
    assert texts(tmp_path) == [body]


def test_a_page_says_its_encoding(tmp_path: Path) -> None:
    page = "<html><head><meta charset=iso-8859-7></head><body><p>Ω ω</p></body></html>"
    (tmp_path / "a.html").write_bytes(page.encode("iso-8859-7"))
    assert texts(tmp_path) == ["Ω ω"]


@pytest.mark.parametrize("name", ["hex", "rot13", "future_typing", "no-such", "zip"])
def test_a_page_cannot_name_another_codec(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.htm").write_bytes(f"<meta charset={name}><p>".encode() + b"\xe9t\xe9 en mai")
    assert texts(tmp_path) == ["été en mai"]


def test_a_page_nested_without_end_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<div>" * 100_000)
    assert gather(tmp_path) == ([], {"nested-too-deep": 1})


def test_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [b'{"text": "one", "content": "no"}', b'{"id": 1, "content": "two"}', b'"three"', b"",
             b"{broken", b'{"id": 2}', b'{"text": 7}', b"[" * 100_000, b'{"text": "\xff"}',
             b'{"text": "\\ud83d\\ude00 \\ud800"}', b'{"text": " "}', b"null"]
    path.write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines))
    documents, errors = gather(path)
    assert [d.text for d in documents] == ["one", "two", "three", "\U0001f600 \ufffd"]
    assert errors == {"broken-line": 3, "no-text": 3, "empty": 1}
    assert [d.name for d in documents][:2] == [f"{path}#0", f"{path}#{len(lines[0]) + 4}"]


def test_the_key_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text('{"text": "a", "story": "b"}\n{"text": "c"}')
    documents, errors = gather(tmp_path, text_key="story")
    assert [d.text for d in documents] == ["b"] and errors == {"no-text": 1}


def test_a_line_longer_than_memory_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_kinds, "LINE_LIMIT", 20)
    monkeypatch.setattr(file_kinds, "CHUNK", 7)
    lines = ['"before"', '"' + "x" * 100 + '"', '"' + "y" * 17 + '"', '"after"']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    documents, errors = gather(tmp_path)
    assert [d.text for d in documents] == ["before", "y" * 17, "after"]
    assert errors == {"too-large": 1}
    assert documents[-1].name.endswith(f"#{sum(map(len, lines[:3])) + 3}")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.html").write_text("<p>x")
    monkeypatch.setitem(sys.modules, "selectolax.lexbor", None)
    with pytest.raises(UserError, match=r"tinygrad_llm\[data\]"):
        gather(tmp_path)


def test_every_suffix_has_a_reader() -> None:
    assert set(file_kinds.KIND_OF_SUFFIX.values()) | {"play"} == set(file_kinds.READERS)


@pytest.mark.parametrize("name, known", [
    ("utf-8", True), ("UTF_8", True), ("latin-1", True), ("cp1251", True), ("Shift-JIS", True),
    ("rot13", False), ("hex", False), ("zlib", False), ("", False), ("no-such", False)])
def test_codecs_for_text_are_pythons_own(name: str, known: bool) -> None:
    assert file_kinds.is_codec(name) == known


@pytest.mark.parametrize("text, expected", [
    ("plain é", "plain é"), ("\ud83d\ude00", "\U0001f600"), ("a\ud800b", "a\ufffdb"),
    ("\ude00\ud83d", "\ufffd\ufffd")])
def test_surrogates_are_joined_or_replaced(text: str, expected: str) -> None:
    assert file_kinds.well_formed(text) == expected


def test_a_play_is_its_speeches(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A Play\n\n**A**  \n_Enter B_\nOne.\n")
    unit = Unit("shakespeare", str(tmp_path / "a.md"), "play")
    assert [d.text for d in read_unit(unit, Losses())] == ["A:\nOne.\n"]
