"""`tinygrad-llm tokenizer`: from text to a vocabulary, ids, text, colours and other formats."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tinygrad_llm.cli import main

TEXT = "To be, or not to be, that is the question. The question is not to be.\n" * 30


@pytest.fixture
def trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    (tmp_path / "text.txt").write_text(TEXT)
    out = tmp_path / "tokenizer.json"
    assert main(["tokenizer", "train", str(tmp_path / "text.txt"), "--out", str(out),
                 "--vocab-size", "280"]) == 0
    assert "280 tokens" in capsys.readouterr().out
    return out


def encoded(capsys: pytest.CaptureFixture[str], *args: str) -> list[int]:
    assert main(["tokenizer", "encode", *args]) == 0
    ids: list[int] = json.loads(capsys.readouterr().out)
    return ids


def test_there_and_back(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = encoded(capsys, "--tokenizer", str(trained), "--text", "to be, é 中")
    assert ids and len(ids) < len("to be, é 中".encode())
    for given in ([str(i) for i in ids], [json.dumps(ids)]):
        assert main(["tokenizer", "decode", "--tokenizer", str(trained), *given]) == 0
        assert capsys.readouterr().out == "to be, é 中\n"


def test_files_and_special_tokens(trained: Path, tmp_path: Path,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--tokenizer", str(tmp_path), "--file", str(tmp_path / "doc.txt")]
    (tmp_path / "doc.txt").write_bytes(b"be<|endoftext|>\xff")
    assert main(["tokenizer", "encode", *given, "--special", "allow"]) == 2
    assert "at offset 15" in capsys.readouterr().err
    given += ["--errors", "ignore"]
    assert main(["tokenizer", "encode", *given]) == 2
    assert "<|endoftext|>" in capsys.readouterr().err
    assert encoded(capsys, *given, "--special", "allow")[-1] == 279
    assert encoded(capsys, *given, "--special", "<|endoftext|>")[-1] == 279
    assert 279 not in encoded(capsys, *given, "--special", "text")


def test_show(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenizer", "show", "--tokenizer", str(trained), "--text", "to be or",
                 "--html", str(tmp_path / "page.html")]) == 0
    out = capsys.readouterr().out
    assert "to be or" in re.sub(r"\x1b\[[0-9;]*m", "", out) and "bytes a token" in out
    assert "<h1>Tokens</h1>" in (tmp_path / "page.html").read_text()


def test_convert(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenizer", "convert", "--tokenizer", str(trained), "--format", "gpt2",
                 "--out", str(tmp_path / "gpt2")]) == 0
    capsys.readouterr()
    expected = encoded(capsys, "--tokenizer", str(trained), "--text", "the question")
    assert encoded(capsys, "--tokenizer", str(tmp_path / "gpt2"), "--text",
                   "the question") == expected


@pytest.mark.parametrize("args, words", [
    (["encode", "--tokenizer", "none.json", "--text", "a"], "cannot be read"),
    (["decode", "--tokenizer", "none.json", "one"], "whole numbers"),
    (["decode", "--tokenizer", "none.json", "[1, true]"], "whole numbers"),
    (["train", "text.txt", "--out", "tokenizer.json"], "--force"),
    (["train", "text.txt", "--out", "new.json", "--vocab-size", "100"], "256"),
    (["convert", "--tokenizer", "tokenizer.json", "--out", "x", "--format", "other"], "known are"),
    (["decode", "--tokenizer", "tokenizer.json", "280"], "280"),
])
def test_mistakes_are_told(trained: Path, monkeypatch: pytest.MonkeyPatch, args: list[str],
                           words: str, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(trained.parent)
    assert main(["tokenizer", *args]) == 2
    assert words in capsys.readouterr().err
    assert not (trained.parent / "new.json").exists()
