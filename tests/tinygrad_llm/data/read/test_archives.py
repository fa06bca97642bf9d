"""Archives: members as documents, nothing unpacked without end, damage counted."""

import gzip
import io
import os
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from gathering import gather, texts, write_parquet

from tinygrad_llm.data.read import archives, text_pieces

pytest.importorskip("pyarrow")
zstandard = pytest.importorskip("zstandard")


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
        assert set(errors) <= set(text_pieces.REASONS)
        if trial % 2 and name not in ("a.tar", "a.zip") and len(data) < len(whole) // 2:
            assert errors, (name, trial)


def test_an_encrypted_member_is_counted(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": b"secret", "b.txt": b"open"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    (tmp_path / "a.zip").write_bytes(data)
    documents, errors = gather(tmp_path)
    assert [d.text for d in documents] == ["open"] and errors == {"encrypted": 1}


@pytest.mark.parametrize("name, kind", [
    ("a.txt", "text"), ("A.TXT", "text"), ("a.tar", "tar"), ("a.zip", "zip"), ("a.tgz", "gz tar"),
    ("a.tar.gz", "gz tar"), ("a.jsonl.zst", "zst jsonl"), ("a.gz", "gz text"),
    ("a.txt.gz.gz", "gz gz text"), ("a.bin.gz", None), ("a.bin", None), ("a", None),
    (".txt", None)])
def test_a_name_says_how_to_read_a_file(name: str, kind: str | None) -> None:
    assert archives.kind_by_suffix(name) == kind
    named = archives.kind_or_text(name)
    assert named == kind or (kind is None and named in ("text", "gz text"))


@pytest.mark.parametrize("name, hidden", [
    ("a/b.txt", False), ("a/.b.txt", True), (".git/b.txt", True), ("../../b.txt", False),
    ("__MACOSX/b.txt", True), ("./b.txt", False)])
def test_hidden_members(name: str, hidden: bool) -> None:
    assert archives.is_hidden(name) == hidden


def test_an_allowance_is_spent_by_all_streams_that_share_it() -> None:
    allowance = archives.Allowance(1)
    whole = archives.ALWAYS_ALLOWED + archives.EXPANSION
    assert allowance.left == whole
    first, second = (archives.buffered(io.BytesIO(b"x" * 10), allowance) for _ in range(2))
    assert first.read() + second.read() == b"x" * 20 and allowance.left == whole - 20
    allowance.spend(allowance.left)
    with pytest.raises(archives.Bomb, match="unpack to far more"):
        archives.buffered(io.BytesIO(b"x"), allowance).read()


def test_a_slice_of_a_stream_ends_where_it_ends() -> None:
    stream = io.BytesIO(b"0123456789")
    part = archives.buffered(stream, None, 4)
    assert part.readable() and part.read(2) == b"01" and part.readline() == b"23"
    assert part.read() == b"" and stream.tell() == 4
