"""The command line as a user meets it: exit codes, help, sentences instead of tracebacks."""

from __future__ import annotations

import errno
import io
import sys
from pathlib import Path

import pytest
from command_line import SMALL, error_of

from tinygrad_llm.cli import main
from tinygrad_llm.text import CharTokenizer

pytestmark = pytest.mark.usefixtures("folder")


def test_places_that_cannot_be_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "file").write_text("")
    message = error_of(capsys, "train", "--data", "text.txt", *SMALL, "--out", "file/run")
    assert "cannot write to file/run" in message and "--out" in message
    message = error_of(capsys, "data", "show", "text.txt", "--text", "file/place")
    assert "cannot use file/place" in message and "name another place" in message


@pytest.mark.parametrize("args", [["train", "--steps", "many"], ["train", "--stpes", "3"], ["fly"],
                                  [], ["train", "--bias", "maybe"]])
def test_what_argparse_refuses_also_exits_with_2(args: list[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(args)
    assert exit.value.code == 2


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for args in (["--help"], ["train", "--help"], ["sample", "--help"], ["data", "--help"]):
        with pytest.raises(SystemExit) as exit:
            main(args)
        assert exit.value.code == 0
        assert "example" in capsys.readouterr().out or args[0] in ("--help", "data")


class Output(io.TextIOWrapper):
    """An output that fails at its first byte, or that knows few characters."""

    def __init__(self, error: OSError | None = None) -> None:
        raw = io.BytesIO()
        super().__init__(raw, "cp1252", write_through=True)
        self.raw_bytes, self.error = raw, error

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)

    def fileno(self) -> int:
        raise io.UnsupportedOperation


VERBS = [["doctor"], ["data", "show", "russian.txt", "--text", "copy.txt"],
         ["tokenizer", "show", "--tokenizer", "characters.json", "--text", "Я"],
         ["tokenizer", "encode", "--tokenizer", "characters.json", "--text", "Я"],
         ["tokenizer", "decode", "--tokenizer", "characters.json", "5"], ["sample", "-n", "9"]]


@pytest.fixture
def russian(folder: Path) -> Path:
    (folder / "russian.txt").write_text("Привет, Яна! " * 30, encoding="utf-8")
    CharTokenizer.from_text("Привет, Яна! ").save(folder / "characters.json")
    return folder


@pytest.mark.parametrize("args", [*VERBS, ["train", "--data", "russian.txt", *SMALL, "--steps", "2",
                                           "--sample-every", "1"]])
@pytest.mark.parametrize("kind", ["gone", "full", "cp1252", "missing"])
def test_no_verb_ends_for_its_output(russian: Path, args: list[str], kind: str,
                                     monkeypatch: pytest.MonkeyPatch,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    if args[0] == "sample":
        assert main(["train", "--data", "russian.txt", *SMALL, "--steps", "1"]) == 0
    capsys.readouterr()
    out = {"gone": Output(BrokenPipeError(errno.EPIPE, "Broken pipe")),
           "full": Output(OSError(errno.ENOSPC, "No space left on device")),
           "cp1252": Output(), "missing": None}[kind]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert main(args) == (2 if kind == "full" else 0)
    assert ("No space left" in capsys.readouterr().err) == (kind == "full")
    if args[0] == "data":
        assert (russian / "copy.txt").exists()
    if args[0] == "train":
        assert (russian / "runs/tiny/checkpoint/state.json").exists()
    if kind == "cp1252" and out is not None and args[0] in ("train", "data"):
        assert b"?" in out.raw_bytes.getvalue()


def test_memory_that_runs_out_is_a_sentence(monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    def greedy() -> None:
        raise MemoryError("Unable to allocate 745. GiB")

    monkeypatch.setattr("tinygrad_llm.host.installed.describe_setup", greedy)
    assert "memory ran out (Unable to allocate 745. GiB)" in error_of(capsys, "doctor")


@pytest.mark.parametrize("args, words", [
    (["train", "--lr", "1e-3"], "unknown option --lr; did you mean --learning-rate?"),
    (["train", "--lr=1e-3"], "unknown option --lr=1e-3; did you mean --learning-rate?"),
    (["train", "--stpes", "3"], "did you mean --steps?"),
    (["train", "--wd", "0.1"], "did you mean --weight-decay?"),
    (["sample", "--zzzz"], "unknown option --zzzz\n"),
    (["tokenizer", "show", "--tokenizer", "x", "--text", "x", "--htlm", "x"],
     "did you mean --html?"),
])
def test_an_unknown_option_names_the_nearest(args: list[str], words: str,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(args)
    message = capsys.readouterr().err
    assert exit.value.code == 2 and words in message and len(message.splitlines()) == 2
