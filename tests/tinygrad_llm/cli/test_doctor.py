"""`tinygrad-llm doctor` as a user meets it."""

from __future__ import annotations

import importlib.util
import tomllib

import pytest
from command_line import ROOT

from tinygrad_llm.cli import main


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for word in ("tinygrad_llm", "ours, in", "numpy", "BLAS", "cores", "GPU"):
        assert word in out


def test_the_doctor_lists_what_the_extras_bring(monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: (
        None if name in ("selectolax", "zstandard") else find(name, *more)))
    assert main(["doctor"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    for name in ("selectolax", "zstandard"):
        assert rows[name] == 'not installed; pip install "tinygrad_llm[data]"'
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for name in extras["project"]["optional-dependencies"]["data"]:
        assert name.partition(">")[0] in rows
