"""The common steps of readers: long texts are cut, faults are counted, memory is bounded."""

import io
from pathlib import Path

import pytest
from gathering import gather, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_llm.data.read import text_pieces
from tinygrad_llm.data.read.documents import Document
from tinygrad_llm.data.read.gather import find_units, read_unit
from tinygrad_llm.data.read.text_pieces import Losses, ReadJob, Refused


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
        patch.setattr(text_pieces, "PART", 16)
        patch.setattr(text_pieces, "CHUNK", 5)
        documents, _ = gather(path)
    pieces = [d.text for d in documents]
    assert all(len(piece) <= 16 for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    if len(pieces) > 1:
        assert [d.name for d in documents] == [f"{path}#{i + 1}" for i in range(len(pieces))]


def test_where_text_is_cut() -> None:
    assert text_pieces.cut_place("ab cd\n\nef gh\nij", 11) == 7
    assert text_pieces.cut_place("abcdefgh ij\nkl mno", 15) == 12
    assert text_pieces.cut_place("abcdefgh ijklmno", 14) == 9
    assert text_pieces.cut_place("e\u0301" * 20, 15) == 14
    assert text_pieces.cut_place("x" * 20 + "\u0301" * 99, 40) == 40  # within bounds in any case
    family = "\U0001f468\u200d\U0001f469"
    assert text_pieces.cut_place("x" * 13 + family, 14) == 13


def test_one_line_of_100_mb(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with open(path, "wb") as file:
        for _ in range(100):
            file.write(b"word " * 200_000)
    documents = [d for unit in find_units([str(path)]) for d in read_unit(unit, Losses())]
    assert sum(len(d.text) for d in documents) == 100_000_000
    assert max(len(d.text) for d in documents) <= text_pieces.PART
    assert all(d.text.endswith("word ") for d in documents)


def test_a_file_that_ends_within_a_character_is_counted(tmp_path: Path) -> None:
    for name, data in (("a.txt", "ein Käse".encode("utf-16")[:-1]),
                       ("b.txt", "viel Käse für Bär, Löwe und Wölfe: ä".encode() * 9 + b"\xc3")):
        (tmp_path / name).write_bytes(data)
        (document,), errors = gather(tmp_path / name)
        assert document.text.endswith("\ufffd") and errors == {"bad-bytes": 1}


def test_a_reader_names_its_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_pieces, "PART", 4)
    job = ReadJob("source", Losses())
    assert [*job.documents(["ab", "c"], "x.txt")] == [Document("abc", "source", "x.txt")]
    assert [*job.documents(["ab c", "d ef"], "x.txt")] == [
        Document("ab ", "source", "x.txt#1"), Document("cd ", "source", "x.txt#2"),
        Document("ef", "source", "x.txt#3")]
    assert job.errors == {}
    assert [*job.documents([" \n", "    "], "x.txt")] == [] and job.errors == {"empty": 1}


def test_parts_of_white_space_are_left_out_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_pieces, "PART", 4)
    job = ReadJob("source", Losses())
    assert [d.text for d in job.documents(["ab\n\n", "    ", "cd"], "x")] == ["ab\n\n", "cd"]
    assert job.errors == {}


def test_a_stream_is_read_whole_up_to_a_limit() -> None:
    assert text_pieces.read_whole(io.BytesIO(b"12345"), 5) == b"12345"
    with pytest.raises(Refused, match="too large to hold in memory") as caught:
        text_pieces.read_whole(io.BytesIO(b"123456"), 5)
    assert caught.value.reason == "too-large"


def test_line_ends_across_pieces_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_pieces, "PART", 1)
    monkeypatch.setattr(text_pieces, "CHUNK", 1)
    stream = io.BufferedReader(io.BytesIO(b"a\r\nb\rc"))  # type: ignore[arg-type]
    assert "".join(text_pieces.decoded(stream, "x", Losses())) == "a\nb\nc"
