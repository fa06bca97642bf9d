"""Drawings of graphs in layers: boxes that do not touch, few crossings, text that is safe."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tapes import leaf

from autograd import concatenate, tanh
from autograd.tape import trace
from autograd.tape.draw import FILLS, Box, draw

Rectangle = tuple[float, ...]


def box(*parents: int, title: str = "op", kind: str = "op") -> Box:
    return Box(kind, title, ["(2,) float64"], list(parents))


def drawn(svg: str) -> list[Rectangle]:
    """Return x, y, width and height of each box, in their order."""
    tag = "{http://www.w3.org/2000/svg}"
    return [tuple(float(r.attrib[k]) for k in ("x", "y", "width", "height"))
            for g in ElementTree.fromstring(svg).iter(f"{tag}g") for r in g.iter(f"{tag}rect")]


def check_apart(svg: str) -> list[Rectangle]:
    """Return the boxes; none touches another or leaves the picture."""
    found, root = drawn(svg), ElementTree.fromstring(svg)
    for x, y, w, h in found:
        assert x >= 0 and x + w <= float(root.attrib["width"])
        assert y >= 0 and y + h <= float(root.attrib["height"])
    for (x, y, w, h), (a, b, c, d) in combinations(found, 2):
        assert x + w <= a or a + c <= x or y + h <= b or b + d <= y
    return found


@st.composite
def graphs(draw: Any) -> list[Box]:
    found: list[Box] = []
    for i in range(draw(st.integers(1, 14))):
        parents = draw(st.lists(st.integers(0, i - 1), max_size=3)) if i else []
        found.append(box(*parents, title="x" * draw(st.integers(1, 20))))
    return found


@given(boxes=graphs())
def test_any_graph(boxes: list[Box]) -> None:
    found = check_apart(draw(boxes))
    assert len(found) == len(boxes)
    for (_, y, _, _), made in zip(found, boxes, strict=True):
        for parent in made.parents:
            _, above, _, high = found[parent]
            assert above + high < y, "a box stands below all that it depends on"


def test_a_recurrent_network() -> None:
    h: Any = np.zeros(4)
    w = leaf(4, 4)
    for _ in range(8):
        h = tanh(h @ w + np.ones(3) @ leaf(3, 4))
    found = check_apart(trace(concatenate([h, h * leaf(4), *(leaf(2) for _ in range(6))])).svg())
    assert len(found) == 8 * 4 + 1 + 8 + 9


def test_a_leaf_stands_right_above_its_use() -> None:
    top, _, _, late, bottom = drawn(draw([box(), box(0), box(1), box(), box(2, 3)]))
    _, y, _, h = late
    assert y > top[1] and y + h < bottom[1] < y + h + 100


def test_links_that_can_be_drawn_without_crossing_are() -> None:
    """Two chains whose ends are given crosswise: a's end stands on a's side."""
    found = drawn(draw([box(), box(), box(1), box(0), box(2, 3)]))
    a, b, under_b, under_a = (x + w / 2 for x, _, w, _ in found[:4])
    assert (a < b) == (under_a < under_b)


def test_boxes_are_as_wide_as_their_text_and_coloured_by_kind() -> None:
    short, long = box(title="ab"), box(title="a much longer title than that")
    assert long.width > short.width and short.height == long.height
    for kind, (fill, stroke) in FILLS.items():
        assert f'fill="{fill}" stroke="{stroke}"' in draw([box(kind=kind)])


@pytest.mark.parametrize("text", ["<script>", '"quoted" & more', "]]>"])
def test_text_is_escaped(text: str) -> None:
    svg = draw([Box("op", text, [text], [], text)])
    found = [t for t in ElementTree.fromstring(svg).itertext()]
    assert found.count(text) == 3 and "<script" not in svg


def test_long_edges_of_one_box_share_their_way() -> None:
    chain = [box(), box(0), box(1), box(2), box(3, 0), box(4, 0)]
    paths = draw(chain).count("<path d=\"M") - 1  # less the arrow's tip
    # 5 short edges, and from 0 one way of 4 joints, the last two edges leaving it
    assert paths == 5 + 3 + 1 + 1 + 1
