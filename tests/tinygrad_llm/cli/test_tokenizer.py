"""`tinygrad-llm tokenizer`: from text to a vocabulary, ids, text, colours and other formats."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from tinygrad_llm.cli import main
from tinygrad_llm.host.output import SteadyStream
from tinygrad_llm.text import CharTokenizer

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


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SteadyStream, "isatty", lambda self: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_without_a_terminal_or_colours_bars_divide_the_tokens(
        trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    show = ["tokenizer", "show", "--tokenizer", str(trained), "--text", "to be\nor"]
    for _ in ("a pipe", "a terminal with NO_COLOR"):
        assert main(show) == 0
        out = capsys.readouterr().out
        shown, _, facts = out.rpartition("\n8 characters")
        assert "\x1b" not in out and shown.replace("|", "") == "to be\nor" and facts
        tokens = int(re.findall(r"(\d+) tokens", facts)[0])
        assert shown.count("|") == tokens - 1 > 0
        monkeypatch.setattr(SteadyStream, "isatty", lambda self: True, raising=False)
        monkeypatch.setenv("NO_COLOR", "1")


@pytest.mark.usefixtures("terminal")
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
    (["train", "text.txt", "--out", "."], "is a folder"),
    (["show", "--tokenizer", "tokenizer.json", "--text", "a", "--html", "."], "is a folder"),
    (["encode", "--tokenizer", "tokenizer.json", "--text", "a", "--special", "b"], "--special 'b'"),
])
def test_mistakes_are_reported(trained: Path, monkeypatch: pytest.MonkeyPatch, args: list[str],
                               words: str, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(trained.parent)
    assert main(["tokenizer", *args]) == 2
    assert words in capsys.readouterr().err
    assert not (trained.parent / "new.json").exists()


def test_unigram(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "unigram.json")
    args = ["tokenizer", "train", str(trained.parent / "text.txt"), "--kind", "unigram",
            "--out", out, "--force", "--vocab-size", "300"]
    assert main([*args, "--special", "[DOC]"]) == 0
    capsys.readouterr()
    ids = encoded(capsys, "--tokenizer", out, "--text", "to be é[DOC]", "--special", "allow")
    assert ids[-1] == 1 and 0 not in ids
    assert main(["tokenizer", "decode", "--tokenizer", out, "--skip-special", *map(str, ids)]) == 0
    assert capsys.readouterr().out == "to be é\n"
    assert main([*args, "--min-frequency", "3"]) == 2
    assert "--min-frequency is not for --kind unigram" in capsys.readouterr().err


def test_wordpiece(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "wordpiece.json")
    args = ["tokenizer", "train", str(tmp_path / "text.txt"), "--kind", "wordpiece", "--out", out]
    assert main([*args, "--vocab-size", "60", "--lowercase", "--special", "[DOC]"]) == 0
    capsys.readouterr()
    ids = encoded(capsys, "--tokenizer", out, "--text", "to be")
    assert [ids[0], ids[-1]] == [2, 3] and 1 not in ids
    assert encoded(capsys, "--tokenizer", out, "--text", "To [DOC]", "--special", "allow",
                   "--no-template")[-1] == 5
    assert main([*args, "--force"]) == 0  # all that comes twice is merged, in the end
    capsys.readouterr()
    ids = encoded(capsys, "--tokenizer", out, "--text", "To be, question", "--no-template")
    assert len(ids) == 4
    assert main([*args, "--force", "--pattern", "gpt2"]) == 2
    assert "--kind bpe" in capsys.readouterr().err
    for option in (["--lowercase"], ["--limit-alphabet", "5"]):
        assert main(["tokenizer", "train", *args[2:3], "--out", out, "--force", *option]) == 2
        assert "--kind wordpiece" in capsys.readouterr().err


def test_nothing_is_written_over_unasked(trained: Path, tmp_path: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    for format, out in (("gpt2", tmp_path / "gpt2"), ("tiktoken", tmp_path / "ranks")):
        args = ["tokenizer", "convert", "--tokenizer", str(trained), "--format", format, "--out",
                str(out)]
        assert main(args) == 0 and main([*args, "--force"]) == 0
        before = sorted(tmp_path.rglob("*"))
        assert main(args) == 2
        assert "--force" in capsys.readouterr().err and sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("terminal")
def test_the_terminal_gets_no_commands(trained: Path, tmp_path: Path,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd.txt").write_text("a\x1b[31m\x07\x9b\x7f\r\n\tb")
    assert main(["tokenizer", "show", "--tokenizer", str(trained), "--file",
                 str(tmp_path / "odd.txt")]) == 0
    out = re.sub(r"\x1b\[(30;48;5;\d+|0)m", "", capsys.readouterr().out)
    assert out.startswith("a␛[31m␇\ufffd␡␍⏎\n⇥\tb\n")


def test_errors_name_options(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
                             ) -> None:
    (tmp_path / "bad.txt").write_bytes(b"a\xff")
    for verb in ("encode", "show"):
        args = ["tokenizer", verb, "--tokenizer", str(trained)]
        assert main([*args, "--text", "be<|endoftext|>"]) == 2
        message = capsys.readouterr().err
        assert "; give --special text to" in message and "--special '<|endoftext|>'" in message
        assert main([*args, "--file", str(tmp_path / "bad.txt")]) == 2
        assert "--errors replace, ignore or backslashreplace" in capsys.readouterr().err


@pytest.mark.parametrize("source, options, words", [
    ("text.txt", ["--vocab-size", "5"], "--vocab-size must be in"),
    ("text.txt", ["--kind", "wordpiece", "--vocab-size", "5"], "with --limit-alphabet"),
    ("text.txt", ["--kind", "wordpiece", "--min-frequency", "0"], "--min-frequency must be"),
    ("bad.txt", [], "iconv -t UTF-8\n"), ("folder", [], "; give a folder that has some"),
])
def test_errors_of_training_name_options(tmp_path: Path, source: str, options: list[str],
                                         words: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be")
    (tmp_path / "bad.txt").write_bytes(b"a\xff")
    (tmp_path / "folder").mkdir()
    out = str(tmp_path / "out.json")
    assert main(["tokenizer", "train", str(tmp_path / source), "--out", out, *options]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("given, words", [
    (b"\xff\xfe", "whole numbers"), (b"9" * 30, "no id of any tokenizer"), (b"280", "280"),
    (b"[" * 100_000, "whole numbers"), (b"1 2.5", "whole numbers"),
])
def test_ids_from_standard_input(trained: Path, monkeypatch: pytest.MonkeyPatch, given: bytes,
                                 words: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["tokenizer", "decode", "--tokenizer", str(trained)]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert main(args) == 2 and words in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"[39, 40]\n")))
    assert main(args) == 0 and capsys.readouterr().out == "HI\n"


def test_a_rank_file_is_said_to_need_its_pattern(trained: Path, tmp_path: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    ranks = str(tmp_path / "new" / "ranks.tiktoken")
    assert main(["tokenizer", "convert", "--tokenizer", str(trained), "--format", "tiktoken",
                 "--out", ranks]) == 0
    assert "load it with --pattern gpt2\n" in capsys.readouterr().out
    assert main(["tokenizer", "encode", "--tokenizer", ranks, "--text", "to be"]) == 2
    assert "name it with --pattern" in capsys.readouterr().err
    expected = encoded(capsys, "--tokenizer", str(trained), "--text", "to be")
    assert encoded(capsys, "--tokenizer", ranks, "--pattern", "gpt2", "--text", "to be") == expected
    assert main(["tokenizer", "convert", "--tokenizer", str(trained), "--out", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_the_tokenizer_of_a_run_of_characters(tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tokenizer.json"
    CharTokenizer.from_text("to be\n").save(path)
    assert encoded(capsys, "--tokenizer", str(tmp_path), "--text", "be to") == [2, 3, 1, 5, 4]
    assert main(["tokenizer", "encode", "--tokenizer", str(path), "--text", "bee é"]) == 2
    assert "'é' (U+00E9), is at position 4" in capsys.readouterr().err
    convert = ["tokenizer", "convert", "--tokenizer", str(path), "--out", str(tmp_path / "copy")]
    assert main(convert) == 0 and (tmp_path / "copy").read_bytes() == path.read_bytes()
    assert main([*convert, "--force", "--format", "huggingface"]) == 0  # BPE without merges
    capsys.readouterr()
    copy = str(tmp_path / "copy")
    assert encoded(capsys, "--tokenizer", copy, "--text", "be to") == [2, 3, 1, 5, 4]
    assert main([*convert, "--force", "--format", "tiktoken"]) == 2
    assert "Characters" in capsys.readouterr().err
