"""`tinygrad-llm check` as a user meets it: what is damaged, and from where the run goes on."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from command_line import error_of, train
from small_runs import Killed, kill_before_state

from tinygrad_llm.cli import main

pytestmark = pytest.mark.usefixtures("folder")


def test_a_damaged_run_goes_on_as_the_check_says(folder: Path,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no run in runs/tiny" in error_of(capsys, "check")
    assert train("--checkpoint-every", "3") == 0
    assert main(["check"]) == 0 and "DAMAGED" not in capsys.readouterr().out
    damaged = folder / "runs/tiny/checkpoint/optimizer-0000005.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    assert main(["check", "runs/tiny"]) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "DAMAGED" in line]
    assert line.startswith("checkpoint 5, ") and damaged.name in line and "SHA-256" in line
    way_out = last.partition(": ")[2].split()
    assert way_out[0] == "tinygrad-llm" and main(way_out[1:]) == 0
    assert main(["check"]) == 0
    for path in (folder / "runs/tiny/checkpoint").glob("weights*"):
        path.unlink()
    capsys.readouterr()
    assert main(["check"]) == 1 and "no checkpoint is sound" in capsys.readouterr().out


def test_the_way_out_names_what_else_is_damaged_and_is_a_command_of_the_shell(
        folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--checkpoint-every", "3", "--out", "my run") == 0
    damaged = folder / "my run/checkpoint/weights-0000005.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    (folder / "my run/tokenizer.json").write_text("{")
    capsys.readouterr()
    assert main(["check", "my run"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("restore tokenizer.json, and go on from step 3, ")
    assert shlex.split(last.partition(": ")[2])[1:5] == ["train", "--resume", "--out", "my run"]


def test_a_run_whose_first_checkpoint_is_being_written_is_not_damaged(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_before_state(patch)
        train()
    capsys.readouterr()
    assert main(["check"]) == 0 and "DAMAGED" not in capsys.readouterr().out
    assert main(["train", "--resume"]) == 0 and main(["check"]) == 0
