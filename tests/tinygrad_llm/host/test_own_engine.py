"""The engine that Python imports is ours, or the way out is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_llm.host import own_engine
from tinygrad_llm.host.own_engine import check_engine, engine_is_ours

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("marker", ["", "__project__ = 'another'"])
def test_another_projects_autograd_is_explained(tmp_path: Path, marker: str) -> None:
    (tmp_path / "autograd").mkdir()
    (tmp_path / "autograd" / "__init__.py").write_text(marker)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    code = subprocess.run([sys.executable, "-c", "import tinygrad_llm"], env=env, text=True,
                          cwd=tmp_path, capture_output=True)
    assert "ImportError: tinygrad_llm stands on its own package named 'autograd'" in code.stderr
    assert "pip uninstall -y autograd" in code.stderr
    cli = subprocess.run([sys.executable, "-m", "tinygrad_llm", "doctor"], env=env, text=True,
                         cwd=tmp_path, capture_output=True)
    assert cli.returncode == 2 and "Traceback" not in cli.stderr
    assert cli.stderr.startswith("tinygrad-llm: error: tinygrad_llm stands on its own")


def test_our_own_is_known_by_its_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_is_ours()
    check_engine()
    monkeypatch.setattr(own_engine.autograd, "__project__", "another")
    assert not engine_is_ours()
    monkeypatch.setattr(sys, "argv", ["script.py"])
    with pytest.raises(ImportError, match=r"imports, .*autograd/__init__\.py, is another"):
        check_engine()
    monkeypatch.delattr(own_engine.autograd, "__file__")
    with pytest.raises(ImportError, match="imports, a folder without files, is another"):
        check_engine()


@pytest.mark.parametrize("program", ["-m", "/usr/bin/tinygrad-llm"])
def test_the_command_line_prints_the_sentence_alone(
        program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(own_engine.autograd, "__project__", "another")
    monkeypatch.setattr(sys, "argv", [program, "doctor"])
    with pytest.raises(SystemExit) as exit:
        check_engine()
    assert exit.value.code == 2
    assert capsys.readouterr().err.startswith("tinygrad-llm: error: tinygrad_llm stands on its own")
