"""The tape as a table and as drawings."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, checkpoint, concatenate, exp, fused, multiply, no_grad, reshape, tanh
from autograd.tape import trace


def leaf(*shape: int) -> Tensor:
    return Tensor(np.linspace(-1, 1, int(np.prod(shape))).reshape(shape), requires_grad=True)


def toy() -> tuple[Tensor, dict[str, Tensor]]:
    w, b = leaf(3, 4), leaf(4)
    return (tanh(np.ones((5, 3)) @ w + b) ** 2).mean() + 0.1 * (w * w).sum(), {"w": w, "b": b}


def test_the_table_tells_ops_names_and_residuals() -> None:
    loss, names = toy()
    lines = str(trace(loss, names=names)).splitlines()
    assert lines[0] == "11 values, oldest first: 2 leaves, 9 ops"
    cells = [[c.strip() for c in line.split("  ") if c.strip()] for line in lines]
    assert cells[2][:4] == ["0", "leaf w", "(3, 4)", "float64"]
    assert cells[4] == ["2", "matmul", "(5, 4)", "float64", "const, #0", "a=const", "160 B",
                        "120 B"]
    assert cells[6][1:] == ["tanh", "(5, 4)", "float64", "#3", "y", "160 B", "160 B"]
    assert cells[9][4:6] == ["#0, #0", "b=#0, a=#0"]
    assert repr(trace(loss)) == str(trace(loss)) and "leaf x1" in str(trace(loss))


def test_a_buffer_counts_once_and_a_view_as_what_it_views() -> None:
    x = leaf(1000)
    y = exp(x)
    loss = (multiply(reshape(y, (10, 100)), y[:1] * 1.0) + reshape(y, (10, 100)) ** 2).sum()
    tape = trace(loss).tape
    assert tape.kept_bytes == 8000 + 8  # exp's y, of which the power's a is a view, and one element
    assert tape.leaf_bytes == 0
    assert trace((x * x).sum()).tape.leaf_bytes == 8000


def test_constants_have_names_too() -> None:
    c = np.ones(3)
    assert "b=c" in str(trace(leaf(3) * c, names={"c": c}))


def test_a_fused_op_tells_what_its_rule_calls_its_residuals() -> None:
    @fused(lambda x: x * x)
    def _square(x: Any, /) -> Any:
        return x * x, (x, 2 * x)

    @_square.vjp
    def _(g: Any, saved: Any) -> Any:
        _, slope = saved
        return g * slope

    assert "x=#0, slope" in str(trace(_square(leaf(3))))


@pytest.mark.parametrize("what, error, words", [
    (Tensor([1.0]), RuntimeError, "nothing was recorded"), (3.0, TypeError, "expected a Tensor")])
def test_nothing_to_trace(what: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        trace(what)


def test_a_graph_that_is_used_up_or_was_never_recorded_says_so() -> None:
    loss, _ = toy()
    loss.backward()
    with pytest.raises(RuntimeError, match="already used"):
        trace(loss)
    with no_grad(), pytest.raises(RuntimeError, match="no_grad"):
        trace(toy()[0])


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


def boxes(svg: str) -> list[tuple[float, ...]]:
    tag = "{http://www.w3.org/2000/svg}"
    return [tuple(float(r.attrib[k]) for k in ("x", "y", "width", "height"))
            for g in ElementTree.fromstring(svg).iter(f"{tag}g") for r in g.iter(f"{tag}rect")]


def test_boxes_do_not_touch_and_lie_in_the_picture() -> None:
    h: Any = np.zeros(4)
    w = leaf(4, 4)
    for _ in range(8):
        h = tanh(h @ w + np.ones(3) @ leaf(3, 4))
    svg = trace(concatenate([h, h * leaf(4), *(leaf(2) for _ in range(6))])).svg()
    drawn = boxes(svg)
    root = ElementTree.fromstring(svg)
    assert len(drawn) == 8 * 4 + 1 + 8 + 9
    for i, (x, y, w_, h_) in enumerate(drawn):
        assert x >= 0 and x + w_ <= float(root.attrib["width"])
        assert y >= 0 and y + h_ <= float(root.attrib["height"])
        assert all(x + w_ <= a or a + c <= x or y + h_ <= b or b + d <= y
                   for a, b, c, d in drawn[:i])


def test_a_hundred_thousand_values() -> None:
    y = x = leaf(2)
    for _ in range(100_000):
        y = y * 1.0
    t = trace(y.sum(), names={"x": x})
    assert len(t.rows) == 100_002
    assert "99902 rows not shown" in str(t) and len(str(t).splitlines()) == 104
    assert t.graphviz().count("->") == 100_001
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


def test_an_unknown_kind_of_file_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.svg, \.dot"):
        trace(toy()[0]).save(tmp_path / "tape.png")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder .*missing"):
        trace(toy()[0]).save(tmp_path / "missing" / "tape.svg")


def test_checkpointed_calls() -> None:
    x, w = leaf(2, 3), leaf(3, 2)
    a, b = checkpoint(lambda x: (tanh(x @ w), (x * 2).sum()))(x)
    t = trace((a * a).sum() + b, names={"x": x, "w": w})
    call = next(row for row in t.rows if row.op == "checkpoint(<lambda>)")
    assert call.kept_bytes == x.data.nbytes and "its arguments" in str(t)
    assert f"{x.data.nbytes} B of them leaves" in str(t)
    ElementTree.fromstring(t.svg())


def test_a_view_of_a_leaf_is_counted_as_one() -> None:
    x = leaf(1000)
    view = x[:10]
    assert "8 kB kept alive in 1 buffer, 8 kB of them leaves" in str(trace((view * view).sum()))


def test_names_are_a_mapping() -> None:
    loss, *_ = toy()
    with pytest.raises(TypeError, match="must map names"):
        trace(loss, names=["x"])  # type: ignore[arg-type]
