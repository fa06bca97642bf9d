"""The speedrun, a few steps of it, and its report card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_runs import write_text

from benchmarks import speedrun
from tinygrad_llm.train import loop, make_config

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "plot_loss", lambda records, path: True)


def run(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run a quick one; return its records."""
    speedrun.main(["--quick", "--data", str(folder / "text.txt"), "--out", str(folder / "out"),
                   "--threads", "1", *arguments])
    return [json.loads(line) for line in (folder / "out" / "speedrun.jsonl").read_text(
        ).splitlines()]


def test_it_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(tmp_path)
    first = run(tmp_path, "--only", "tiny", "--seeds", "1")
    with open(tmp_path / "out" / "speedrun.jsonl", "a") as file:
        file.write('{"part": "ti')  # cut short by a kill
    both = run(tmp_path, "--only", "tiny", "--seeds", "1", "2")
    assert both[0] == first[0] and [r["seed"] for r in both] == [1, 2]
    assert both[1]["val_loss"] != both[0]["val_loss"] and both[1]["seconds"] > 0
    assert [step for step, _, _ in both[0]["curve"]] == [4, 8]
    card = json.loads((tmp_path / "out" / "speedrun.json").read_text())
    assert card["results"][0]["seeds"] == [1, 2] and card["results"][0]["times_tiny"] == 1
    row = f"| tiny | {both[0]['parameters']:,} | 8 | 2 | {card['results'][0]['val_loss']:.3f} |"
    assert row in (tmp_path / "out" / "speedrun.md").read_text()
    assert "validation loss" in capsys.readouterr().out


def test_a_part_by_itself_leaves_the_others_on_the_card(tmp_path: Path) -> None:
    write_text(tmp_path)
    run(tmp_path, "--only", "tiny", "--seeds", "1", "2")
    run(tmp_path, "--only", "recipes", "--seeds", "1")
    card = json.loads((tmp_path / "out" / "speedrun.json").read_text())
    assert [(one["name"], one["seeds"]) for one in card["results"]] == [
        ("tiny", [1, 2]), *((name, [1]) for name in speedrun.RECIPES)]


def test_records_of_another_text_are_not_taken_for_this_one(tmp_path: Path) -> None:
    write_text(tmp_path)
    run(tmp_path, "--only", "tiny", "--seeds", "1")
    (tmp_path / "text.txt").write_text("All that glisters is not gold. " * 60)
    assert len(run(tmp_path, "--only", "tiny", "--seeds", "1")) == 2


@pytest.mark.oracle
def test_pytorch_sees_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_text(tmp_path)
    ours, theirs = run(tmp_path, "--only", "tiny", "torch", "--seeds", "1")
    assert theirs["torch"] and theirs["parameters"] == ours["parameters"]
    for (step, _, loss), (same, _, other) in zip(ours["curve"], theirs["curve"], strict=True):
        assert step == same and other == pytest.approx(loss, abs=2e-4)


def test_the_time_to_a_loss() -> None:
    curve = [(100, 10.0, 3.0), (200, 20.0, 2.0), (300, 30.0, 1.8), (400, 40.0, 1.9)]
    assert speedrun.seconds_to(curve, 1.895) == pytest.approx(25.0)
    assert speedrun.seconds_to(curve, 1.5) is None
    assert speedrun.seconds_to(curve, 3.0) == 10.0
    assert speedrun.seconds_to([], 3.0) is None


RECIPE = speedrun.RECIPES[-1]


def test_the_report_names_seeds_that_missed_a_mark_and_a_busy_machine() -> None:
    base = {"part": "tiny", "name": "tiny", "parameters": 800000, "steps": 2000, "step_ms": 40.0,
            "cpu": "a processor", "threads": 2, "cores": 2, "python": "3.11", "numpy": "2.4",
            "blas": "openblas", "blas_architecture": "Haswell", "torch": None, "date": "2026",
            "data": "t.txt", "others_share": 0.2}
    records = [{**base, "seed": 1, "val_loss": 1.88, "seconds": 80.0, "curve": [
        (1000, 40.0, 1.985), (2000, 80.0, 1.885)]}, {**base, "seed": 2, "val_loss": 1.9,
        "seconds": 84.0, "curve": [(2000, 84.0, 1.9)]}, {
        **base, "name": RECIPE, "part": "recipes", "seed": 1, "val_loss": 1.6,
        "seconds": 120.0, "curve": [(2000, 120.0, 1.6)]}]
    tiny, best = speedrun.summary(records)
    assert tiny["marks"]["1.88"] == {"seconds": 80.0, "reached": 1} and tiny["val_loss"] == 1.89
    assert best["times_tiny"] == 1.5 and best["spread"] is None
    text = speedrun.report(records)
    assert "80 (1 of 2 seeds)" in text and "up to 20% of the cores' time during 'tiny'" in text


def test_a_text_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speedrun.main(["--data", str(tmp_path / "none.txt")])
    assert "there is no such file; name a text" in capsys.readouterr().err


def test_what_competes_is_what_is_said() -> None:
    """As many tokens as `tiny` at most, in the same windows, and about as many parameters."""
    tiny = make_config({})
    size = sum(p.size for p in speedrun.parameters(tiny.new_model(65, None)).values())
    for entry in speedrun.ENTRIES:
        config = make_config(entry.settings)
        assert config.run.steps <= tiny.run.steps and config.data.batch == tiny.data.batch
        assert config.context == tiny.context
        own = sum(p.size for p in speedrun.parameters(config.new_model(65, None)).values())
        assert own == pytest.approx(size, rel=0.02), entry.name
