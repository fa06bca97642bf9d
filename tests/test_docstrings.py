"""Docstrings: their examples are true, and every hand-derived op carries its derivation."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import sys
from pathlib import Path

import pytest

import tinygrad_llm.functional  # noqa: F401
from autograd import Fused, registry

ROOT = Path(__file__).parents[1]
SOURCES = [path for package in ("autograd", "tinygrad_llm")
           for path in sorted((ROOT / package).rglob("*.py"))]
WITH_EXAMPLES = [path for path in SOURCES if ">>> " in path.read_text()]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda p: str(p.relative_to(ROOT)))
def test_examples_in_docstrings(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    importlib.import_module(name := ".".join(p for p in parts if p != "__init__"))
    result = doctest.testmod(sys.modules[name])
    assert result.attempted > 0 and result.failed == 0


@pytest.mark.parametrize("name", sorted(n for n, op in registry.items() if isinstance(op, Fused)))
def test_hand_derived_ops_carry_their_derivation(name: str) -> None:
    derivation = sys.modules[registry[name].forward.__module__].__doc__ or ""
    for part in ("$$", r"\bar", "Kept"):
        assert part in derivation, f"{name}: the docstring has no {part}"
    assert inspect.getdoc(registry[name].reference) == "The definition, in primitives."


def test_every_op_says_what_it_returns() -> None:
    for name, op in registry.items():
        if not op.forward.__module__.startswith(("autograd.", "tinygrad_llm.")):
            continue  # made by a test
        assert name.startswith("_") or (inspect.getdoc(op) or "").startswith("Return"), name


def test_no_backslash_of_a_formula_is_lost() -> None:
    r"""Unless a docstring is raw, the \t of \top is a tab."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node, clean=False) or ""
                assert text.replace("\n", "").isprintable(), f"{path}: {text!r}: make it raw"
