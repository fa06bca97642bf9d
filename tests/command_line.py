"""Shared by tests of the command line: a small run, a command that must fail, a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import TEXT as TEXT

from tinygrad_llm.cli import main

ROOT = Path(__file__).parents[1]
SMALL = ["--layers", "1", "--heads", "2", "--width", "8", "--context", "8", "--batch", "2",
         "--warmup", "2", "--eval-batches", "2", "--final-eval-batches", "3",
         "--sample-tokens", "5"]


def train(*args: str) -> int:
    return main(["train", "--data", "text.txt", *SMALL, "--steps", "5", *args])


def error_of(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Run a command that must fail; return its one-line error."""
    capsys.readouterr()
    assert main(list(args)) == 2
    message = capsys.readouterr().err
    assert message.startswith("tinygrad-llm: error: ") and "Traceback" not in message
    return message


STARTED: list[subprocess.Popen[str]] = []
"""The processes of the test that is running, which conftest ends after it, however it went."""


def command(*args: str, **options: object) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-m", "tinygrad_llm", *args], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": str(ROOT)}, **options)  # type: ignore[call-overload]
    STARTED.append(process)
    return process
