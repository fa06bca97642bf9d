"""`tinygrad-llm eval` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import error_of, train

from tinygrad_llm.cli import main

pytestmark = pytest.mark.usefixtures("folder")


def test_it_is_the_loss_that_training_measured(
        folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["eval"]) == 0
    out = capsys.readouterr().out
    records = [json.loads(line) for line in
               (folder / "runs/tiny/metrics.jsonl").read_text().splitlines()]
    measured = [r for r in records if "val_loss" in r][-1]
    assert f"step 5: validation loss {measured['val_loss']:.4f} " in out
    assert "over 3 batches of 2 x 8 tokens" in out
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["eval", "runs/tiny", "--batches", "1", "--checkpoint", "best"]) == 0
    assert "over 1 batches" in capsys.readouterr().out


def test_mistakes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no run in nowhere" in error_of(capsys, "eval", "nowhere")
    (folder / "text.txt").write_text("abcdefgh" * 2)
    assert train() == 0
    assert "--batches must be at least 1" in error_of(capsys, "eval", "--batches", "0")
    assert "has no part that was kept back" in error_of(capsys, "eval")
    assert "no checkpoint '3'" in error_of(capsys, "eval", "--checkpoint", "3")


def test_a_text_of_ones_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    (folder / "other.txt").write_text("The dog says no!\n")
    capsys.readouterr()
    losses = []
    for context in ([], ["--context", "8"], ["--context", "1"]):
        assert main(["eval", "runs/tiny", "--data", "other.txt", *context]) == 0
        out = capsys.readouterr().out
        assert "over the 16 tokens of other.txt" in out
        losses.append(out.split()[1])
    assert losses[0] == losses[1] != losses[2]
    for context in ("0", "9"):
        assert "--context must lie in [1, 8]" in error_of(
            capsys, "eval", "--data", "other.txt", "--context", context)
    assert "give it with --data" in error_of(capsys, "eval", "--context", "4")
    assert "--data is measured whole" in error_of(capsys, "eval", "--data", "other.txt",
                                                  "--batches", "3")
    (folder / "other.txt").write_text("T")
    assert "has 1 tokens" in error_of(capsys, "eval", "--data", "other.txt")
