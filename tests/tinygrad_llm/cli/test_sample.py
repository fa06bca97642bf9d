"""`tinygrad-llm sample` as a user meets it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from command_line import command, error_of, train

from tinygrad_llm.cli import main

pytestmark = pytest.mark.usefixtures("folder")


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


def test_the_reader_may_stop_reading(folder: Path) -> None:
    assert train() == 0
    process = command("sample", "-n", "100000", cwd=folder)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(50)
    process.stdout.close()
    assert process.wait(timeout=60) == 0 and "Traceback" not in process.stderr.read()
    process.stderr.close()


def test_prompts_from_anywhere(folder: Path, capsys: pytest.CaptureFixture[str],
                               monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "text.txt").write_text("-hello --out\n" * 30)
    assert train() == 0
    (folder / "prompt.txt").write_text("hell")
    (folder / "latin1.txt").write_bytes(b"caf\xe9")
    (folder / "none.txt").write_text("")
    for args, prompt in ((["--prompt", "-hello"], "-hello"), (["--prompt", "--out"], "--out"),
                         (["--prompt=-h"], "-h"), (["--prompt-file", "prompt.txt"], "hell")):
        capsys.readouterr()
        assert main(["sample", "-n", "3", *args]) == 0
        assert capsys.readouterr().out.startswith(prompt)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"out")))
    assert main(["sample", "-n", "3", "--prompt-file", "-"]) == 0
    assert capsys.readouterr().out.startswith("out")
    for args, words in ((["prompt.txt", "--prompt", "h"], "exclude each other"),
                        (["absent.txt"], "cannot read --prompt-file absent.txt"),
                        (["latin1.txt"], "not UTF-8 at byte 3"), (["none.txt"], "at least one")):
        assert words in error_of(capsys, "sample", "--prompt-file", *args)
