"""`tinygrad-llm train` as a user meets it: settings, going on, Ctrl-C, a full disk."""

from __future__ import annotations

import json
import resource
import signal
import time
import tomllib
from pathlib import Path

import pytest
from command_line import SMALL, command, error_of, train

from tinygrad_llm.cli import main
from tinygrad_llm.train import PRESETS
from tinygrad_llm.train.settings import settings

pytestmark = pytest.mark.usefixtures("folder")


def test_flags_override_the_file_which_overrides_the_preset(folder: Path) -> None:
    (folder / "my.toml").write_text('preset = "baby"\nbatch = 3\nsteps = 2\nlayers = 2\n')
    assert train("--config", "my.toml", "--layers", "1", "--out", "o", "--bias", "false") == 0
    settings = (folder / "o" / "config.toml").read_text()
    assert "\nlayers = 1 " in settings and "\nsteps = 5 " in settings and "bias = false" in settings
    assert "\ndropout = 0.2 " in settings


def test_resume(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    assert main(["train", "--resume", "--steps", "7"]) == 0
    assert "resuming runs/tiny after step 5 of 7" in capsys.readouterr().out
    assert main(["train", "--resume"]) == 0
    assert "nothing is left to do" in capsys.readouterr().out


def test_mistakes_of_training(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No such file" in error_of(capsys, "train", "--data", "absent.txt")
    (folder / "empty.txt").write_text(" \n")
    assert "holds no text" in error_of(capsys, "train", "--data", "empty.txt")
    (folder / "short.txt").write_text("abc" * 10)
    assert "need 65; give more text" in error_of(capsys, "train", "--data", "short.txt")
    (folder / "typo.toml").write_text("stpes = 3\n")
    assert "did you mean 'steps'?" in error_of(capsys, "train", "--config", "typo.toml")
    assert "unknown preset 'tony'" in error_of(capsys, "train", "--preset", "tony")
    assert "multiple of heads" in error_of(capsys, "train", "--data", "text.txt", "--width", "30")
    assert "no run to resume" in error_of(capsys, "train", "--resume")
    assert not (folder / "runs").exists()
    assert train() == 0
    assert "already holds a run" in error_of(capsys, "train", "--data", "text.txt")
    assert "cannot become 4" in error_of(capsys, "train", "--resume", "--layers", "4")
    assert "layers" in error_of(capsys, "train", "--resume", "--layers", "0")


def test_ctrl_c_saves_and_says_how_to_go_on(folder: Path) -> None:
    process = command("train", "--data", "text.txt", *SMALL, "--steps", "1000000", "--out", "o",
                      cwd=folder)
    metrics = folder / "o" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size > 300):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert "and saved; go on with: tinygrad-llm train --resume --out o" in out
    step = json.loads((folder / "o/checkpoint/state.json").read_text())["step"]
    assert main(["train", "--resume", "--out", "o", "--steps", str(step + 1)]) == 0


def test_a_full_disk_is_a_sentence_and_keeps_the_checkpoint(folder: Path) -> None:
    assert train() == 0
    limit = (folder / "runs/tiny/checkpoint/weights-0000005.safetensors").stat().st_size // 2

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = command("train", "--resume", "--steps", "6", cwd=folder, preexec_fn=small_disk)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "Traceback" not in err
    assert "cannot save the checkpoint of step 6" in err and "step 5 is untouched" in err
    assert json.loads((folder / "runs/tiny/checkpoint/state.json").read_text())["step"] == 5
    assert main(["sample", "-n", "3"]) == 0


def test_a_file_with_tables_and_one_of_version_0_1(folder: Path) -> None:
    (folder / "new.toml").write_text("[model]\nlayers = 2\n[optimizer]\nclip = 0.5\n[run]\n"
                                     "slices = 2\n")
    (folder / "old.toml").write_text("layers = 2\nclip = 0.5\nshards = 2\n")
    tables = []
    for name in ("new", "old"):
        assert main(["train", "--data", "text.txt", *SMALL[2:], "--steps", "2", "--config",
                     f"{name}.toml", "--out", name]) == 0
        tables.append(tomllib.loads((folder / name / "config.toml").read_text()))
    assert tables[0] == tables[1]
    assert tables[0]["model"]["layers"] == 2 and tables[0]["model"]["arch"] == "gpt"
    assert tables[0]["optimizer"]["clip"] == 0.5 and tables[0]["run"]["slices"] == 2
    assert main(["train", "--resume", "--out", "new", "--config", "old.toml", "--steps", "3"]) == 0


def test_the_old_flag_for_slices_is_accepted_and_hidden(
        folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--shards", "2", "--out", "o") == 0
    assert tomllib.loads((folder / "o" / "config.toml").read_text())["run"]["slices"] == 2
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = capsys.readouterr().out
    assert "--slices N" in shown and "--shards" not in shown


def test_help_shows_each_setting_in_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = capsys.readouterr().out
    for table in ("model", "data", "optimizer", "run"):
        assert f"settings in [{table}] of the TOML file:" in shown
    for name, setting in settings().items():
        assert f"--{name.replace('_', '-')} " in shown
        assert setting.help.split()[0] in shown
    for preset in PRESETS:
        assert f"\n  {preset} " in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_the_architecture_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--arch", "gpt", "--out", "o") == 0
    assert "architecture 'gtp'; did you mean 'gpt'?" in error_of(capsys, "train", "--arch", "gtp")
