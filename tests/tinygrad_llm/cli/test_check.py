"""`tinygrad-llm check` as a user meets it: what is damaged, and from where the run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import error_of, train

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
