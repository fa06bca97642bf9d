"""The tape as a table and as drawings."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from tapes import leaf, toy

from autograd import tanh
from autograd.tape import explain, trace


def test_the_table_shows_ops_names_and_residuals() -> None:
    loss, names = toy()
    lines = str(trace(loss, names=names)).splitlines()
    assert lines[0] == "11 values, oldest first: 2 leaves, 9 ops"
    cells = [[c.strip() for c in line.split("  ") if c.strip()] for line in lines]
    assert cells[2][:4] == ["w", "leaf", "(3, 4)", "float64"]
    assert cells[4] == ["v2", "matmul", "(5, 4)", "float64", "const, w", "a=const", "160 B",
                        "120 B"]
    assert cells[6][1:] == ["tanh", "(5, 4)", "float64", "v3", "y", "160 B", "160 B"]
    assert cells[9][4:6] == ["w, w", "b=w, a=w"]
    assert repr(trace(loss)) == str(trace(loss))


def test_a_value_has_one_name_everywhere() -> None:
    """In the table, the drawing and the explanation, where it is v and the number of its row."""
    y = leaf(2)
    for _ in range(40):
        y = tanh(y)
    rows = trace(y).rows
    assert [row.name for row in rows] == ["x0", *(f"v{i}" for i in range(1, 41))]
    table, drawing, text = str(trace(y)), trace(y).svg(), str(explain(y))
    for name in ("v31", "v32"):
        assert f"\n{name} " in table and f"tanh {name}" in drawing and f"{name} = tanh(" in text
    assert "#3" not in table


def test_reading_uses_nothing_up() -> None:
    loss, names = toy()
    trace(loss).svg()
    loss.backward()
    assert names["w"].grad is not None


def test_a_leaf_alone() -> None:
    t = trace(leaf(2))
    assert "1 leaf, 0 ops" in str(t)
    ElementTree.fromstring(t.svg())


def test_names_are_escaped_everywhere() -> None:
    evil = '<script>"x" & ]\n'
    x = leaf(2)
    t = trace(tanh(x), names={evil: x})
    assert "<script>" not in t._repr_html_() and "<script>" not in t.mermaid()
    assert '\\"x\\"' in t.graphviz() and '"x"' not in t.mermaid()
    ElementTree.fromstring(t.svg())


@pytest.mark.parametrize("n", [5000, pytest.param(100_000, marks=pytest.mark.long)])
def test_many_values(n: int) -> None:
    y = x = leaf(2)
    for _ in range(n):
        y = y * 1.0
    t = trace(y.sum(), names={"x": x})
    assert len(t.rows) == n + 2
    assert f"{n - 98} rows not shown" in str(t) and len(str(t).splitlines()) == 104
    assert t.graphviz().count("->") == n + 1
    assert "<svg" not in t._repr_html_()
    with pytest.raises(ValueError, match="too many to draw"):
        t.svg()


@pytest.mark.parametrize("suffix, start", [
    ("svg", "<svg"), ("dot", "digraph"), ("mmd", "flowchart"), ("html", "<!doctype html>"),
    ("txt", "11 values")])
def test_files(tmp_path: Path, suffix: str, start: str) -> None:
    path = tmp_path / f"tape.{suffix}"
    path.write_text("old")
    trace(toy()[0]).save(path)
    assert path.read_text(encoding="utf-8").startswith(start)
    assert list(tmp_path.iterdir()) == [path]
