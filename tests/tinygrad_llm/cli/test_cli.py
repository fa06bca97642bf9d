"""The command line as a user meets it: exit codes, help, sentences instead of tracebacks."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import SMALL, error_of

from tinygrad_llm.cli import main

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
