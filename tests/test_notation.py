"""Formulas keep to docs/notation.md: a bar is a gradient, angle brackets are a mean."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("autograd", "tinygrad_llm")
FORBIDDEN = {
    r"\\overline": "a bar stands over one letter, and is its gradient; a mean has angle brackets",
    r"\\bar\s*\{[^}\\]{2,}\}": "a bar stands over one letter",
    r"\\circ": r"the product element by element is \odot",
    r"\\langle(?:(?!\\rangle)(?:\\,|[^,]))*(?<!\\),": r"an inner product is \cdot, not in brackets",
    r"\\sigma(?!\s*(?:\(|\\?'|\^))": r"\sigma is the logistic function, with its argument",
}


def formulas(path: Path) -> Iterator[str]:
    """Yield the maths between dollars in the docstrings of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            yield from re.split(r"\$\$?", ast.get_docstring(node) or "")[1::2]


def faults(formula: str) -> list[str]:
    return [reason for pattern, reason in FORBIDDEN.items() if re.search(pattern, formula)]


@pytest.mark.parametrize(
    "path", [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))],
    ids=lambda p: str(p.relative_to(ROOT)))
def test_signs_mean_one_thing(path: Path) -> None:
    for formula in formulas(path):
        assert not faults(formula), formula


@pytest.mark.parametrize("formula", [
    r"\overline{n\,dx}", r"\bar{xy}", r"A \circ B", r"\langle X, dY \rangle", r"x / \sigma"])
def test_other_signs_are_found(formula: str) -> None:
    assert faults(formula)


@pytest.mark.parametrize("formula", [
    r"\bar x = r\,(h - \langle h \rangle - n\,\langle n\,h \rangle)", r"\bar{x}", r"\bar\lambda",
    r"\sigma(2u), \sigma' = \sigma(x)", r"\bar Y \cdot dY, \langle x \rangle, y"])
def test_the_signs_of_the_page_pass(formula: str) -> None:
    assert not faults(formula)
