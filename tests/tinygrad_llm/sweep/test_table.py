"""Tables and pictures of sweeps whose runs are written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinygrad_llm.sweep import plot, results, table
from tinygrad_llm.sweep.grid import Sweep, make_sweep
from tinygrad_llm.sweep.table import is_done, last_step


def sweep_of(**lists: Any) -> Sweep:
    return make_sweep({"steps": 10, "final_eval_batches": 4}, lists, [1, 2])


def write(folder: Path, name: str, *records: Any) -> None:
    (folder / name).mkdir()
    (folder / name / "metrics.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in records))


def final(loss: float) -> dict[str, Any]:
    return {"step": 10, "val_loss": loss, "batches": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "width=32,seed=1", {"step": 10, "loss": 1.0}, final(2.0))
    write(tmp_path, "width=32,seed=2", {"step": 5, "val_loss": 9.0, "batches": 4}, final(2.4))
    write(tmp_path, "width=64,seed=1", final(1.5))
    write(tmp_path, "width=64,seed=2", {"step": 7, "loss": 1.0})
    write(tmp_path, "width=96,seed=1", {"step": 10, "val_loss": 0.1, "batches": 20})
    (tmp_path / "width=96,seed=1" / "failed.txt").write_text("the loss is nan")
    return tmp_path


def test_the_best_stand_first_and_unfinished_runs_are_named(folder: Path) -> None:
    found = results(sweep_of(width=[32, 64, 96, 128]), folder)
    assert [(one.point["width"], one.losses) for one in found] == [
        (64, (1.5,)), (32, (2.0, 2.4)), (96, ()), (128, ())]
    assert table(sweep_of(width=[32, 64, 96, 128]), folder).splitlines() == [
        "| width | validation loss | spread | seeds                                 |",
        "| ----- | --------------- | ------ | ------------------------------------- |",
        "| 64    | 1.5000          | -      | 1; seed 2 at step 7                   |",
        "| 32    | 2.2000          | 0.2828 | 2                                     |",
        "| 96    | -               | -      | 0; seed 1 failed; seed 2 not begun    |",
        "| 128   | -               | -      | 0; seed 1 not begun; seed 2 not begun |",
    ]


def test_only_the_final_evaluation_ends_a_run(folder: Path) -> None:
    done = {t.name: is_done(t, folder) for t in sweep_of(width=[32, 64, 96]).trials}
    assert [name for name, yes in done.items() if yes] == [
        "width=32,seed=1", "width=32,seed=2", "width=64,seed=1"]


def test_the_last_step_of_files_that_were_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert last_step(tmp_path) == 0
    path.write_text('{"step": 3, "loss": 1}\n{"step": 4, "lo')
    assert last_step(tmp_path) == 3
    path.write_text("")
    assert last_step(tmp_path) == 0
    path.write_text(f'{{"step": 8, "text": "{"x" * 50000}"}}\n{{"step": 9}}\n')
    assert last_step(tmp_path) == 9


def test_the_picture(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    assert plot(sweep_of(width=[128]), folder) is None  # nothing is known of it
    path = plot(sweep_of(width=[32, 64]), folder)
    assert path == folder / "sweep.png" and path.read_bytes()[:4] == b"\x89PNG"


def test_settings_that_are_no_numbers_are_drawn_too(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for norm in ("layer", "rms"):
        write(tmp_path, f"norm={norm},seed=1", final(2.0))
    assert plot(sweep_of(norm=["layer", "rms"]), tmp_path)
