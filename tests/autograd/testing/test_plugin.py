"""The plugin: profiles on the command line, nothing at all without the option."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autograd.testing import plugin

ROOT = Path(__file__).parents[3]


def python(code: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    where = os.pathsep.join(str(p) for p in (path, ROOT) if p is not None)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=path, env={**os.environ, "PYTHONPATH": where})


@pytest.mark.parametrize("name, examples", [
    ("dev", 10), pytest.param("ci", 25, marks=pytest.mark.long),
    pytest.param("intense", 400, marks=pytest.mark.long)])
def test_profiles_on_the_command_line(name: str, examples: int, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "from hypothesis import settings\n"
        "from autograd.testing.check import effort\n"
        f"def test(): assert settings().max_examples == {examples}\n"
        f"def test_order(): assert effort.order == {3 if name == 'intense' else 2}\n"
        f"def test_half(): assert effort.half == {name == 'intense'}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:gradcheck",
         "-p", "autograd.testing.plugin", "--gradcheck-profile", name, str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout
    assert f"profile {name}" in done.stdout or "3 passed" in done.stdout


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown profile 'fast'"):
        plugin.load_profile("fast")


def test_the_file_alone_imports_nothing_heavy() -> None:
    """It can be a pytest plugin by itself, and costs nothing where the option is not given."""
    done = python(
        "import sys, importlib.util as u\n"
        f"spec = u.spec_from_file_location('alone', {str(plugin.__file__)!r})\n"
        "module = u.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "class Config:\n"
        "    def getoption(self, *_): return None\n"
        "module.pytest_configure(Config())\n"
        "assert not {'numpy', 'hypothesis', 'autograd'} & set(sys.modules)")
    assert done.returncode == 0, done.stderr


def test_another_autograd_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "autograd.py").write_text("")
    done = python(
        "import importlib.util as u\n"
        f"spec = u.spec_from_file_location('alone', {str(plugin.__file__)!r})\n"
        "module = u.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "module.load_profile('dev')", tmp_path)
    assert "is another project's" in done.stderr


def test_without_hypothesis_all_but_the_strategies_work(tmp_path: Path) -> None:
    (tmp_path / "hypothesis.py").write_text("raise ImportError('not installed')")
    done = python(
        "import numpy as np, autograd, autograd.testing as t\n"
        "from autograd.testing.plugin import load_profile\n"
        "load_profile('intense')\n"
        "t.gradcheck(autograd.tanh, np.ones(2)); t.check_grads(autograd.tanh, 0.5)\n"
        "try: t.gradcheck(autograd.absolute, np.zeros(2))\n"
        "except t.GradientError: print('caught')\n"
        "try: t.arrays\n"
        "except ImportError as error: print(error)", tmp_path)
    assert "caught" in done.stdout, done.stderr
    assert 'pip install "tinygrad_llm[test]"' in done.stdout
