"""Which ops have a guard: a choice in a rule or a composite that is a constant where it is made."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

GUARDS = frozenset([
    "absolute", "bend", "bend_by", "clip", "equal", "fmax", "fmin", "greater", "greater_equal",
    "isfinite", "isinf", "isnan", "less", "less_equal", "maximum", "minimum", "not_equal", "relu",
    "sign", "where",
])
"""The ops whose use is a guard."""


def guarded_ops() -> set[str]:
    """Return the names of ops in whose differentiated text there is a guard.

    That is the rule of a primitive, the whole of a composite, the reference of a fused op, and
    every function of the same module that these call.
    """
    folders = (ROOT / "autograd" / "ops", ROOT / "tinygrad_llm" / "functional")
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    return {name for path in paths if path.parent.name != "cpu"
            for name in _guarded_in(ast.parse(path.read_text(encoding="utf-8")))}


def _guarded_in(module: ast.Module) -> Iterator[str]:
    helpers, texts = {}, []
    for part in module.body:
        if isinstance(part, ast.FunctionDef):
            kinds = [ast.unparse(d).partition("(")[0] for d in part.decorator_list]
            part.decorator_list = []
            rule = next((kind for kind in kinds if kind.endswith(".vjp")), None)
            form = next((kind for kind in kinds if kind.endswith(".form")), None)
            if form:
                texts.append((form.split(".")[-2], part))
            elif rule or "composite" in kinds:
                texts.append((rule.removesuffix(".vjp") if rule else part.name, part))
            elif "fused" in kinds:
                texts.append((part.name, ast.parse("reference")))
            elif not {"primitive", "nondifferentiable"} & {*kinds}:
                helpers[part.name] = _names(part)
        elif isinstance(part, ast.Expr) and isinstance(part.value, ast.Call) and (
                ast.unparse(part.value.func).endswith(".vjp")):
            texts.append((ast.unparse(part.value.func)[:-4], ast.Tuple(part.value.args)))
    for name, text in texts:
        seen, new = set[str](), _names(text)
        while new:
            seen |= new
            new = {n for name in new & helpers.keys() for n in helpers[name]} - seen
        if seen & GUARDS:
            yield name


def _names(part: ast.AST) -> set[str]:
    """Return the names in a piece of text; of another module's only those of autograd."""
    own = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)
           and isinstance(node.ctx, ast.Store)}
    return {node.id for node in ast.walk(part) if isinstance(node, ast.Name)} - own | {
        node.attr for node in ast.walk(part) if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) == "autograd"}
