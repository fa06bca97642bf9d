"""The command line as a user meets it: exit codes, sentences instead of tracebacks, help."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, SMALL, error_of
from runs import TEXT, write_text

from tinygrad_llm.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path)
    return tmp_path


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


def test_data_describes_a_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", "text.txt", "--text", "plain.txt"]) == 0
    out = capsys.readouterr().out
    assert f"{len(TEXT):,} characters" in out and (folder / "plain.txt").read_text() == TEXT
    assert "No such file" in error_of(capsys, "data", "show", "absent")


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for args in (["--help"], ["train", "--help"], ["sample", "--help"], ["data", "--help"]):
        with pytest.raises(SystemExit) as exit:
            main(args)
        assert exit.value.code == 0
        assert "example" in capsys.readouterr().out or args[0] in ("--help", "data")


@pytest.mark.parametrize("marker", ["", "__project__ = 'another'"])
def test_another_projects_autograd_is_explained(folder: Path, marker: str) -> None:
    (folder / "autograd").mkdir()
    (folder / "autograd" / "__init__.py").write_text(marker)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    code = subprocess.run([sys.executable, "-c", "import tinygrad_llm"], env=env, text=True,
                          capture_output=True)
    assert "ImportError: tinygrad_llm stands on its own package named 'autograd'" in code.stderr
    assert "pip uninstall -y autograd" in code.stderr
    cli = subprocess.run([sys.executable, "-m", "tinygrad_llm", "doctor"], env=env, text=True,
                         capture_output=True)
    assert cli.returncode == 2 and "Traceback" not in cli.stderr
    assert cli.stderr.startswith("tinygrad-llm: error: tinygrad_llm stands on its own")
