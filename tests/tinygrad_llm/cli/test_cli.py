"""The command line as a user meets it: exit codes, sentences instead of tracebacks, Ctrl-C."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tinygrad_llm.cli import main

ROOT = Path(__file__).parents[3]
TEXT = "".join(f"A sheep says number {i * i}.\nThe dog {i}: no!\n" for i in range(60))
SMALL = ["--layers", "1", "--heads", "2", "--width", "8", "--context", "8", "--batch", "2",
         "--warmup", "2", "--eval-batches", "2", "--final-eval-batches", "3",
         "--sample-tokens", "5"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


def train(*args: str) -> int:
    return main(["train", "--data", "text.txt", *SMALL, "--steps", "5", *args])


def error_of(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Run a command that must fail; return its one-line error."""
    capsys.readouterr()
    assert main(list(args)) == 2
    message = capsys.readouterr().err
    assert message.startswith("tinygrad-llm: error: ") and "Traceback" not in message
    return message


def command(*args: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "tinygrad_llm", *args], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, "PYTHONPATH": str(ROOT)}, **options)  # type: ignore[call-overload]


def test_train_then_sample(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    out = capsys.readouterr().out
    assert "training in runs/tiny" in out and "tinygrad-llm sample --run runs/tiny" in out
    texts = []
    for seed in ("1", "1", "2"):
        assert main(["sample", "--prompt", "The", "-n", "30", "--seed", seed, "--top-k", "9",
                     "--top-p", "0.9", "--temperature", "1.1"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2] and len(texts[0]) == 3 + 30 + 1


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


def test_mistakes_of_sampling(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no run in runs/tiny; train one" in error_of(capsys, "sample")
    assert train() == 0
    assert "'Ω' (U+03A9)" in error_of(capsys, "sample", "--prompt", "The Ω")
    assert "at least one character" in error_of(capsys, "sample", "--prompt", "")
    assert "temperature" in error_of(capsys, "sample", "--temperature", "-1")
    assert "top-k" in error_of(capsys, "sample", "--top-k", "0")
    assert "top-p" in error_of(capsys, "sample", "--top-p", "2")
    assert "-n must be" in error_of(capsys, "sample", "-n", "-3")
    assert "--seed must be" in error_of(capsys, "sample", "--seed", "-3")
    (weights,) = (folder / "runs/tiny/checkpoint").glob("weights-*")
    weights.write_bytes(weights.read_bytes()[:200])
    assert "damaged or truncated" in error_of(capsys, "sample")
    weights.unlink()
    assert "is missing" in error_of(capsys, "sample")
    (folder / "runs/tiny/tokenizer.json").write_text("{}")
    assert "tokenizer" in error_of(capsys, "sample")


def test_a_text_without_line_ends_needs_no_prompt(
        folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "text.txt").write_text("abc" * 100)
    assert train() == 0
    capsys.readouterr()
    assert main(["sample", "-n", "20"]) == 0
    assert set(capsys.readouterr().out.strip()) <= set("abc")


def test_data_describes_a_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "show", "text.txt", "--text", "plain.txt"]) == 0
    out = capsys.readouterr().out
    assert f"{len(TEXT):,} characters" in out and (folder / "plain.txt").read_text() == TEXT
    assert "No such file" in error_of(capsys, "data", "show", "absent")


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for word in ("tinygrad_llm", "ours, in", "numpy", "BLAS", "cores", "GPU"):
        assert word in out


def test_the_doctor_lists_what_the_extras_bring(monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: (
        None if name in ("charset_normalizer", "zstandard") else find(name, *more)))
    assert main(["doctor"]) == 0
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    for name in ("charset-normalizer", "zstandard"):
        assert told[name] == 'not installed; pip install "tinygrad_llm[data]"'
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for name in extras["project"]["optional-dependencies"]["data"]:
        assert name.partition(">")[0] in told


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for args in (["--help"], ["train", "--help"], ["sample", "--help"], ["data", "--help"]):
        with pytest.raises(SystemExit) as exit:
            main(args)
        assert exit.value.code == 0
        assert "example" in capsys.readouterr().out or args[0] in ("--help", "data")


def test_ctrl_c_saves_and_tells_how_to_go_on(folder: Path) -> None:
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


def test_the_reader_may_stop_reading(folder: Path) -> None:
    assert train() == 0
    process = command("sample", "-n", "100000", cwd=folder)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(50)
    process.stdout.close()
    assert process.wait(timeout=60) == 0 and "Traceback" not in process.stderr.read()
    process.stderr.close()


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
