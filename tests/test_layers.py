"""The house's rule: each part imports only from parts before it, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each row may import from its own package's earlier rows and from the rows above.
AUTOGRAD = ["backend", "graph", "tensor", "primitive", "broadcast", "deferred", "backward", "fused",
            "ops.piecewise", "ops.exponential", "ops.arithmetic", "ops.trigonometric",
            "ops.special", "ops.shape", "ops.reduce", "ops.index", "ops.sorting", "ops.products",
            "ops.linalg", "ops.convolution", "ops.activations", "ops.losses", "ops.operators",
            "ops", "tree", "transforms", "checkpoint", "tape", "testing"]
TINYGRAD_LLM = ["host", "functional", "nn", "models", "optim", "text", "data", "sample", "train",
                "cli", "__main__"]


def modules(package: str) -> dict[str, Path]:
    """Return the dotted name, without the package's, of every file."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT / package).with_suffix("").parts
        found[".".join(p for p in parts if p != "__init__")] = path
    return found


def imports(path: Path, package: str, name: str) -> set[str]:
    """Return the modules that a file imports, anywhere in it, as full dotted names."""
    here = f"{package}.{name}".rstrip(".").split(".")
    base = here if path.name == "__init__.py" else here[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = base[: len(base) - node.level + 1] if node.level else []
            module = ".".join([*start, *((node.module or "").split(".") if node.module else [])])
            submodules = {m for m in (f"{module}.{alias.name}" for alias in node.names)
                          if is_module(m)}
            found |= submodules
            if len(submodules) < len(node.names):
                found.add(module)
    return found


def is_module(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def row(name: str, rows: list[str]) -> int | None:
    """Return the row that a module belongs to: its own, or that of a package it lies in."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in rows:
            return rows.index(".".join(parts[:length]))
    return None


@pytest.mark.parametrize(
    "package, rows", [("autograd", AUTOGRAD), ("tinygrad_llm", TINYGRAD_LLM)])
def test_imports_point_upwards(package: str, rows: list[str]) -> None:
    for name, path in modules(package).items():
        own = row(name, rows) if name else len(rows)
        assert own is not None, f"{package}.{name} is not in the list of rows"
        for imported in imports(path, package, name):
            if not imported.startswith(f"{package}."):
                continue
            other = row(imported.removeprefix(f"{package}."), rows)
            assert other is not None, imported
            same_package = "." in name and rows[own] == name.split(".")[0]
            assert other < own or (other == own and (same_package or path.name == "__init__.py")), (
                f"{package}.{name} imports {imported}, which stands below it")


def test_the_engine_can_be_held_whole() -> None:
    """Without ops, gradient tests and the tape's viewers it has about 1,560 lines of text, and 65
    more that declare Tensor's methods for type checkers."""
    files = [path for name, path in modules("autograd").items()
             if name.split(".")[0] not in ("ops", "testing", "tape")]
    lines = [line for path in files for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) < 1800, len(lines)


def test_the_engine_knows_nothing_of_language_models() -> None:
    for name, path in modules("autograd").items():
        assert not any(i.startswith("tinygrad_llm") for i in imports(path, "autograd", name)), name


def test_no_circle_within_a_package() -> None:
    """Files of one package of tinygrad_llm import each other in one direction only."""
    edges: dict[str, set[str]] = {}
    known = modules("tinygrad_llm")
    for name, path in known.items():
        full = {i.removeprefix("tinygrad_llm.") for i in imports(path, "tinygrad_llm", name)
                if i.startswith("tinygrad_llm.")}
        edges[name] = {i for i in full if i in known and i != name}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for other in edges[name]:
                visit(other, (*trail, name))
            done.add(name)

    done: set[str] = set()
    for name in edges:
        visit(name, ())


def test_cupy_is_imported_by_the_doctor_only() -> None:
    for package in ("autograd", "tinygrad_llm"):
        for name, path in modules(package).items():
            found = {i.split(".")[0] for i in imports(path, package, name)}
            assert "cupy" not in found or name == "host.installed", name
