"""`tinygrad-llm sweep` as a user meets it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from time import sleep

import pytest
from command_line import command, error_of

from tinygrad_llm.cli import main

FILE = """
seeds = [1, 2]
[train]
data = "text.txt"
layers = 1
heads = 2
context = 8
batch = 2
warmup = 2
steps = {steps}
eval_batches = 2
final_eval_batches = 3
sample_every = 0
eval_every = 0
[grid]
width = {widths}
"""


def test_a_sweep_its_table_and_its_picture(folder: Path, capsys: pytest.CaptureFixture[str]
                                           ) -> None:
    (folder / "widths.toml").write_text(FILE.format(steps=4, widths=[8]))
    assert "there is no sweep in" in error_of(capsys, "sweep", "widths.toml", "--table")
    assert main(["sweep", "widths.toml", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n| ") == 2 and f"drawn in {Path('runs', 'widths', 'sweep.png')}" in out
    assert main(["sweep", "widths.toml", "--table"]) == 0
    assert capsys.readouterr().out == out
    assert len(list((folder / "runs" / "widths").glob("*/metrics.jsonl"))) == 2


def test_a_run_that_failed_is_in_the_exit_code(folder: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.toml").write_text(FILE.format(steps=4, widths=[8]).replace(
        "context = 8", "context = 5000"))
    assert main(["sweep", "a.toml", "--jobs", "1"]) == 1
    assert "0; seed 1 failed; seed 2 failed" in capsys.readouterr().out


def test_mistakes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.toml").write_text(FILE.format(steps=4, widths=[8]))
    assert "--jobs must be at least 1, got 0" in error_of(capsys, "sweep", "a.toml", "--jobs", "0")
    assert "threads" in error_of(capsys, "sweep", "a.toml", "--threads", "0")
    assert "cannot read the sweep in b.toml" in error_of(capsys, "sweep", "b.toml")
    (folder / "runs/a").mkdir(parents=True)
    (folder / "runs/a/config.toml").touch()
    assert "runs/a holds a run, and a sweep has runs in" in error_of(capsys, "sweep", "a.toml")
    assert [path.name for path in (folder / "runs/a").iterdir()] == ["config.toml"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals")
@pytest.mark.long
def test_ctrl_c_saves_all_and_the_same_command_goes_on(folder: Path) -> None:
    (folder / "a.toml").write_text(FILE.format(steps=3000, widths=[8, 16]))
    process = command("sweep", "a.toml", "--jobs", "2", cwd=folder, start_new_session=True)
    while not list(folder.glob("runs/a/*/metrics.jsonl")):
        assert process.poll() is None
        sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "go on with: tinygrad-llm sweep a.toml\n" in out
    assert "Traceback" not in err
    assert list(folder.glob("runs/a/*/checkpoint/state.json"))
