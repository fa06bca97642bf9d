"""Each kind of fault is made where it applies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mutants import diffs, square


@pytest.mark.parametrize("text, change", [
    ("lambda g, x: g * x", "g * x  ->  g / x"),
    ("lambda g, x: g * x", "g * x  ->  2 * (g * x)"),
    ("lambda g, x: g * x", "g * x  ->  -(g * x)"),
    ("lambda g, x: g * x", "g * x  ->  None"),
    ("lambda g, x, y: g * x", "g * x  ->  g * y"),
    ("lambda g, x: g - x", "g - x  ->  -x"),
    ("lambda g, x: (g @ x.T).sum(axis=0)", "(g @ x.T).sum(axis=0)  ->  g @ x.T"),
    ("lambda g, x: (g @ x.T).sum(axis=0)", "(g @ x.T).sum(axis=0)  ->  (g @ x).sum(axis=0)"),
    ("lambda g, x: (g @ x.T).sum(axis=0)", "(g @ x.T).sum(axis=0)  ->  (x.T @ g).sum(axis=0)"),
    ("lambda g, x: (g @ x.T).sum(axis=0)", "(g @ x.T).sum(axis=0)  ->  (g @ x.T).sum()"),
    ("lambda g, x: g * (x > 0)", "g * (x > 0)  ->  g * (x >= 0)"),
    ("lambda g, x: where(x, g, 0.0)", "where(x, g, 0.0)  ->  where(x, 0.0, g)"),
    ("lambda g, x: g[1:]", "g[1:]  ->  g[1 + 1:]"),
    ("lambda g, x: g[..., 0]", "g[..., 0]  ->  g[..., 1]"),
    ("lambda g, x: 0.5 * g", "0.5 * g  ->  1.0 * g"),
])
def test_faults(text: str, change: str, tmp_path: Path) -> None:
    path = tmp_path / "rule.py"
    path.write_text(f"from autograd import where\nrule = {text}\n")
    scope: dict[str, Any] = {"__name__": "rule"}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    square(scope["rule"])
    assert change in diffs("_square")
