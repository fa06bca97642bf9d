"""The command: it runs, lists, refuses and writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autograd import registry
from autograd.testing.mutate.__main__ import main


def test_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    assert main(["tanh", "-j", "1", "--examples", "40", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "autograd.ops.trigonometric" in printed and "survivors" not in printed
    written = json.loads(path.read_text())
    assert written["totals"]["mutants"] == len(written["units"][0]["outcomes"]) > 5


def test_command_lists_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["negative", "--list"]) == 0
    assert "negative  sign: -g  ->  g" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["tahn"])
    assert "did you mean tan" in capsys.readouterr().err


def test_cases_of_a_file_and_of_ops_defined_there(tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my_ops_and_cases.py"
    path.write_text(
        "import numpy as np\nfrom autograd import primitive\n"
        "from autograd.testing.opcase import OpCase\n"
        "from autograd.testing.strategies import anything\n\n"
        "@primitive\ndef my_cube(x, /):\n    return x**3\n\n"
        "my_cube.vjp(lambda g, x: 3 * g * x**2)\n"
        "CASES = {'my_cube': OpCase(anything, lambda x: x**3)}\n")
    assert main(["--cases", str(path), "-j", "1", "--examples", "40"]) == 0
    assert "my_ops_and_cases" in capsys.readouterr().out
    assert "my_cube" in registry


def test_a_missing_folder_is_reported_before_the_work(tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["negative", "--json", str(tmp_path / "missing" / "out.json")])
    assert "there is no folder" in capsys.readouterr().err


def test_ops_that_share_a_name_are_both_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """`gelu` is a composite of the engine and a fused op, whose rule was left out in silence."""
    import tinygrad_llm.functional  # noqa: F401

    assert main(["gelu", "--cases", "cases", "--list"]) == 0
    printed = capsys.readouterr().out
    assert ("gelu is the name of 2 ops, of autograd.ops.activations and of "
            "tinygrad_llm.functional.gelu: all are taken") in printed
    assert "gelu, of autograd.ops.activations, is written in other ops" in printed
    assert printed.count("  tinygrad_llm.functional.gelu.gelu") > 5
    assert main(["trace", "--list"]) == 0
    assert "trace is the name of 2 ops" in capsys.readouterr().out


def test_an_op_without_a_rule_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mish", "-j", "1"]) == 1
    assert "mish, of autograd.ops.activations, is written in other ops" in capsys.readouterr().out
