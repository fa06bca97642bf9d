"""`tinygrad-llm inspect` as a user meets it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import error_of, train

from tinygrad_llm.cli import main
from tinygrad_llm.inspect import most_tokens

pytestmark = pytest.mark.usefixtures("folder")


def test_it_writes_a_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    capsys.readouterr()
    assert main(["inspect", "runs/tiny", "--prompt", "A sheep"]) == 0
    assert re.fullmatch(r"wrote inspect.html \(0.0\d MB\); open it in a browser\n",
                        capsys.readouterr().out)
    text = Path("inspect.html").read_text(encoding="utf-8")
    assert "<h1>tiny</h1>" in text
    assert "gpt: 1 layers, 2 heads, width 8, " in text and "; checkpoint last" in text
    Path("prompt.txt").write_text("A sheep")
    assert main(["inspect", "--prompt-file", "prompt.txt", "--checkpoint", "best",
                 "--out", "pages/best.html"]) == 0
    assert "; checkpoint best" in Path("pages/best.html").read_text(encoding="utf-8")
    assert main(["inspect", "--prompt", "A", "--out", "one.html"]) == 0


def test_mistakes(folder: Path, capsys: pytest.CaptureFixture[str],
                  monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no run in nowhere" in error_of(capsys, "inspect", "nowhere", "--prompt", "a")
    assert train() == 0
    assert "with --prompt or --prompt-file" in error_of(capsys, "inspect")
    assert "at least one character" in error_of(capsys, "inspect", "--prompt", "")
    assert "the prompt has 12 tokens, and the model's context holds 8" in error_of(
        capsys, "inspect", "--prompt", "A sheep says")
    assert "is a folder; name a file in it" in error_of(
        capsys, "inspect", "--prompt", "A", "--out", "runs")
    assert "no checkpoint '3'" in error_of(
        capsys, "inspect", "--prompt", "A", "--checkpoint", "3")
    monkeypatch.setitem(most_tokens.__globals__, "MOST_WEIGHTS", 40)
    assert "has 7 tokens, and a page shows the attention of 1 layers and 2 heads among at most 6" \
        in error_of(capsys, "inspect", "--prompt", "A sheep")
    assert not Path("inspect.html").exists()
