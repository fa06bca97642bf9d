"""`tinygrad-llm train` as a user meets it: settings, going on, Ctrl-C, a full disk."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
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


def long_run(folder: Path, *args: str, **options: object) -> subprocess.Popen[str]:
    """Start a run that goes on and on, and return it once it has trained some steps."""
    process = command("train", "--data", "text.txt", *SMALL, "--steps", "1000000", "--out", "o",
                      "--checkpoint-every", "0", "--log-every", "1", *args, cwd=folder, **options)
    metrics = folder / "o" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size > 300):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    return process


def last_step(folder: Path) -> int:
    """Return the step of the last line of metrics.jsonl."""
    return int(json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["step"])


def saved_step(folder: Path) -> int:
    return int(json.loads((folder / "checkpoint/state.json").read_text())["step"])


@pytest.mark.parametrize("signals", [["SIGINT"], ["SIGINT", "SIGINT"], ["SIGTERM"], ["SIGHUP"],
                                     ["SIGTERM", "SIGINT", "SIGTERM"]])
def test_signals_save_and_say_how_to_go_on(folder: Path, signals: list[str]) -> None:
    process = long_run(folder)
    for name in signals:
        process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert process.returncode in {128 + getattr(signal, name) for name in signals}
    assert "Traceback" not in err and "stopping after this step, then saving" in err
    assert "and saved; go on with: tinygrad-llm train --resume --out o" in out
    step = saved_step(folder / "o")
    assert step == last_step(folder / "o"), "not one step is lost"
    assert main(["train", "--resume", "--out", "o", "--steps", str(step + 1)]) == 0


def test_a_second_run_in_its_folder_is_refused_and_a_killed_one_is_not_waited_for(
        folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = long_run(folder)
    for more in (["--resume"], ["--data", "text.txt", *SMALL]):
        message = error_of(capsys, "train", "--out", "o", *more)
        assert f"process {process.pid} on " in message and "is at work in o" in message
    assert process.poll() is None, "the first is not disturbed"
    process.kill()
    process.communicate(timeout=60)
    assert (folder / "o" / "lock").exists(), "the killed one could not clear up"
    assert main(["train", "--resume", "--out", "o", "--steps", "2"]) == 0
    assert not (folder / "o" / "lock").exists()


def test_a_reader_that_has_seen_enough_does_not_end_the_run(folder: Path) -> None:
    process = long_run(folder, "--sample-every", "5", "--eval-every", "5")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    process.stderr.close()
    seen = last_step(folder / "o")
    deadline = time.monotonic() + 60
    while last_step(folder / "o") < seen + 50:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert saved_step(folder / "o") == last_step(folder / "o")


def test_the_best_checkpoint_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--eval-every", "1", "--keep", "1") == 0
    assert main(["sample", "-n", "3", "--checkpoint", "best"]) == 0
    assert main(["sample", "-n", "3", "--checkpoint", "5"]) == 0
    assert "there are last, best and the steps 5" in error_of(capsys, "sample", "--checkpoint", "4")
    assert "give it with --resume" in error_of(capsys, "train", "--checkpoint", "5")
    assert main(["train", "--resume", "--checkpoint", "last", "--steps", "6"]) == 0


def test_a_final_evaluation_that_is_missing_is_done(folder: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    metrics = folder / "runs/tiny/metrics.jsonl"
    metrics.write_text("".join(line for line in metrics.read_text().splitlines(keepends=True)
                               if "val_loss" not in line))
    assert main(["train", "--resume"]) == 0
    assert "validation loss" in capsys.readouterr().out and "val_loss" in metrics.read_text()
    assert main(["train", "--resume"]) == 0
    assert "nothing is left to do" in capsys.readouterr().out


def test_a_full_disk_is_a_sentence_and_keeps_the_checkpoint(folder: Path) -> None:
    assert train("--width", "128") == 0  # weights that are far larger than the other files
    run = folder / "runs/tiny"
    limit = (run / "checkpoint/weights-0000005.safetensors").stat().st_size // 2
    assert all(2 * path.stat().st_size < limit for path in run.iterdir() if path.is_file())

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
    assert "settings in [model] of the TOML file, with --arch llama:" in shown
    for name, setting in {**settings(), **settings("llama")}.items():
        assert shown.count(f"\n  --{name.replace('_', '-')} ") == 1
        assert setting.help.split()[0] in shown
    for preset in PRESETS:
        assert f"\n  {preset} " in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_the_architecture_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--arch", "gpt", "--out", "o") == 0
    assert "architecture 'gtp'; did you mean 'gpt'?" in error_of(capsys, "train", "--arch", "gtp")
    assert "has a model of --arch gpt, which cannot become 'llama'" in error_of(
        capsys, "train", "--init", "o", "--arch", "llama", "--out", "p")


def test_a_resumed_run_has_its_own_architecture(folder: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    """And its own batch: flags are checked beside its settings, not beside the defaults."""
    assert train("--arch", "llama", "--theta", "500", "--batch", "20", "--out", "o") == 0
    again = ("train", "--resume", "--out", "o")
    assert "theta = 500.0, which cannot become 9.0" in error_of(capsys, *again, "--theta", "9")
    assert "bias is a setting of --arch gpt" in error_of(capsys, *again, "--bias", "true")
    assert main([*again, "--theta", "500", "--slices", "16", "--steps", "6"]) == 0


def test_bpe_is_trained_in_passing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--tokenizer", "bpe", "--vocab-size", "270", "--out", "o") == 0
    assert "tokens of 270 kinds" in capsys.readouterr().out
    table = tomllib.loads((folder / "o" / "config.toml").read_text())["data"]
    assert (table["tokenizer"], table["vocab_size"]) == ("bpe", 270)
    assert main(["train", "--resume", "--out", "o", "--steps", "6"]) == 0
    assert main(["sample", "o", "-n", "3"]) == 0
    for flags, expected in [
            (("--tokenizer", "word"), "tokenizer must be char or bpe"),
            (("--vocab-size", "300"), "vocab_size must be left out without --tokenizer bpe"),
            (("--tokenizer", "bpe", "--vocab-size", "256"), "in [257, 2**20]"),
            (("--tokenizer", "bpe", "--data", "o/data"), "has a tokenizer already")]:
        assert expected in error_of(capsys, "train", *flags, "--out", "p")
    assert "cannot become 'char'" in error_of(
        capsys, "train", "--resume", "--out", "o", "--tokenizer", "char", "--vocab-size", "0")


def test_a_packed_file_hints_at_a_build(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.jsonl").write_text('{"text": "one"}\n' * 100)
    assert "tinygrad-llm data build a.jsonl --out built" in error_of(
        capsys, "train", "--data", "a.jsonl")
