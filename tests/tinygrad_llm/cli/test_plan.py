"""`tinygrad-llm plan` as a user meets it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT, SMALL, error_of

import tinygrad_llm.plan
from tinygrad_llm.cli import main
from tinygrad_llm.host import machine


@pytest.fixture(autouse=True)
def short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tinygrad_llm.plan, "SECONDS", 0.05)


def test_a_page_and_nothing_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    assert main(["plan", "--data", "text.txt", *SMALL]) == 0
    assert capsys.readouterr().out.startswith("tiny: gpt, ")
    assert sorted(folder.rglob("*")) == before


def test_json_has_the_settings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "my.toml").write_text('preset = "baby"\nlayers = 2\n')
    assert main(["plan", "--data", "text.txt", "--config", "my.toml", "--width", "16", "--heads",
                 "2", "--context", "8", "--json", "--threads", "1", "--tokenizer", "bpe",
                 "--vocab-size", "300"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["layers"] == 2 and found["settings"]["batch"] == 64
    assert found["threads"] == 1 and found["vocab_size"] == 300
    assert found["parameters"]["embeddings"] == (300 + 8) * 16


def test_settings_of_memory_are_chosen_for_a_limit(
        folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that took little before, unlike one of tests."""
    monkeypatch.setattr(machine, "_resident", lambda: machine.Memory(50 << 20, 60 << 20))
    args = ["--data", "text.txt", *SMALL, "--layers", "2", "--width", "64", "--context", "64",
            "--batch", "32", "--max-memory"]
    assert main(["plan", *args, "1TB", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["chosen"].startswith("the run fits into 931.32 GiB as it is")
    error = error_of(capsys, "plan", *args, "1MB")
    least = re.search(r"the smallest takes ([\d.]+) MiB, with .*--accumulate", error)
    assert least
    assert main(["plan", *args, f"{float(least[1]) + 8:.1f}MiB", "--json"]) == 0
    chosen = json.loads(capsys.readouterr().out)
    assert chosen["chosen"].startswith("to fit into ") and chosen["settings"] != plain["settings"]
    for size in ("5", ""):
        assert "--max-memory: expected a size with its unit" in error_of(
            capsys, "plan", *args, size)


def test_training_chooses_too_and_what_does_not_fit_leaves_nothing(
        folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--data", "text.txt", *SMALL, "--steps", "1", "--out", "run", "--max-memory"]
    assert "no run of this model fits into 1.0 MiB" in error_of(capsys, "train", *args, "1MB")
    assert not (folder / "run").exists()
    assert main(["train", *args, "1TB"]) == 0
    assert "the run fits into 931.32 GiB as it is" in capsys.readouterr().out
    assert "--max-memory chooses settings as a run begins" in error_of(
        capsys, "train", "--resume", "--out", "run", "--max-memory", "1GB")


@pytest.mark.parametrize("args", [
    ["--data", "absent.txt"], ["--preset", "tony"], ["--data", "text.txt", "--width", "30"],
    ["--data", "text.txt", "--context", "100000"], ["--data", "text.txt", "--threads", "0"],
    ["--data", "text.txt", "--learning-rate", "1e-9"], ["--data", "text.txt", "--slices", "99"],
    ["--config", "absent.toml"], ["--data", "text.txt", "--arch", "lama"]])
def test_mistakes_are_those_of_training(folder: Path, capsys: pytest.CaptureFixture[str],
                                        args: list[str]) -> None:
    assert error_of(capsys, "plan", *args) == error_of(capsys, "train", *args)


@pytest.mark.long
def test_the_verb_predicts_what_a_run_then_takes(folder: Path) -> None:
    """In processes of their own; and no picture is drawn for a plan."""
    args = ["--data", "text.txt", "--batch", "96", "--layers", "2", "--steps", "2", "--threads",
            "2", "--eval-every", "0", "--final-eval-batches", "0", "--warmup", "1"]
    (folder / "text.txt").write_text((folder / "text.txt").read_text() * 20)
    code = ("import sys; from tinygrad_llm.cli import main; main(sys.argv[1:]); "
            "assert 'matplotlib' not in sys.modules")
    plan, train = (subprocess.run(
        [sys.executable, "-c", code, *verb, *args], cwd=folder, text=True, capture_output=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""}) for verb in (["plan", "--json"], ["train"]))
    assert plan.returncode == 0, plan.stderr
    line = next(line for line in train.stdout.splitlines() if line.startswith("predicted"))
    measured = float(line.partition("a step")[2].split(" / ")[1].split()[0]) * 2**20
    assert 0.9 < json.loads(plan.stdout)["memory"]["peak"] / measured < 1.1
