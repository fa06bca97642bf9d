"""A drawing of a directed graph in layers, in plain Python.

The steps of Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system
structures", IEEE SMC 11 (1981): a layer for each box, below everything it depends on; a joint in
every layer that an edge passes; within a layer the order of the neighbours' mean position; then
positions as close to the neighbours as the order allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise

ROW, GAP, CHARACTER, LINE, PAD = 46, 22, 7.25, 16, 10
FILLS = {"leaf": ("#dff3e4", "#3f9a5c"), "op": ("#e6eefc", "#4a72c4"),
         "fused": ("#f1e6fb", "#8650bd"), "result": ("#fdeedd", "#d07a1c")}


@dataclass(frozen=True, slots=True)
class Box:
    """The text in a box, and the numbers of the boxes above it from which arrows come."""

    kind: str
    title: str
    lines: list[str]
    parents: list[int]
    about: str = ""

    @property
    def width(self) -> float:
        """In pixels; the font is monospaced, at 12 pixels."""
        return 2 * PAD + CHARACTER * max(map(len, (self.title, *self.lines)))

    @property
    def height(self) -> float:
        """In pixels."""
        return LINE * (1 + len(self.lines)) + PAD


def draw(boxes: list[Box]) -> str:
    """Return an SVG of the boxes, each given after its parents."""
    layer = _layers(boxes)
    widths = [box.width for box in boxes]
    links = _links(boxes, layer, widths)
    rows: list[list[int]] = [[] for _ in range(max(layer) + 1)]
    for i, depth in enumerate(layer):
        rows[depth].append(i)
    above: list[list[int]] = [[] for _ in layer]
    below: list[list[int]] = [[] for _ in layer]
    for p, c in links:
        above[c].append(p)
        below[p].append(c)
    _order(rows, above, below)
    weights = [1.0 if box.parents else 0.02 for box in boxes]  # a leaf moves, but no box with it
    weights += [2.0] * (len(layer) - len(boxes))  # joints: long edges are to be straight
    x = _positions(rows, above, below, widths, weights)
    return _svg(boxes, links, rows, layer, x)


def _layers(boxes: list[Box]) -> list[int]:
    """Each box one below its lowest parent; leaves, and what only they lead to, above their use."""
    layer = [0] * len(boxes)
    for i, box in enumerate(boxes):
        layer[i] = 1 + max((layer[p] for p in box.parents), default=0)
    first_use = [layer[-1] + 1] * len(boxes)
    for i in range(len(boxes) - 1, -1, -1):
        if not any(boxes[p].parents for p in boxes[i].parents):
            layer[i] = first_use[i] - 1
        for p in boxes[i].parents:
            first_use[p] = min(first_use[p], layer[i])
    top = min(layer)
    return [depth - top for depth in layer]


def _links(boxes: list[Box], layer: list[int], widths: list[float]) -> list[tuple[int, int]]:
    """Return the links from layer to layer; long edges from one box share joints while they can."""
    links: dict[tuple[int, int], None] = {}
    joints: dict[tuple[int, int], int] = {}  # of a parent, in a layer
    for i, box in enumerate(boxes):
        for p in box.parents:
            last = p
            for depth in range(layer[p] + 1, layer[i]):
                if (p, depth) not in joints:
                    joints[p, depth] = len(layer)
                    layer.append(depth)
                    widths.append(8.0)
                links[last, joints[p, depth]] = None
                last = joints[p, depth]
            links[last, i] = None
    return list(links)


def _order(rows: list[list[int]], above: list[list[int]], below: list[list[int]]) -> None:
    """Sort each layer by the mean position of the neighbours; keep what crosses least."""
    best, kept = _crossings(rows, below), [list(row) for row in rows]
    for turn in range(16):
        down = turn % 2 == 0
        near = above if down else below
        place = {i: k for row in rows for k, i in enumerate(row)}
        for row in rows if down else rows[::-1]:
            mean = {i: sum(place[j] for j in near[i]) / len(near[i]) if near[i] else place[i]
                    for i in row}
            row.sort(key=mean.__getitem__)
            place.update((i, k) for k, i in enumerate(row))
        if (crossings := _crossings(rows, below)) < best:
            best, kept = crossings, [list(row) for row in rows]
    rows[:] = kept


def _crossings(rows: list[list[int]], below: list[list[int]]) -> int:
    place = {i: k for row in rows for k, i in enumerate(row)}
    total = 0
    for row in rows:
        ends: list[int] = []
        for i in row:
            mine = sorted(place[j] for j in below[i])
            total += sum(e > m for m in mine for e in ends)
            ends += mine
    return total


def _positions(rows: list[list[int]], above: list[list[int]], below: list[list[int]],
               widths: list[float], weights: list[float]) -> list[float]:
    """Return the centres, moved in turns towards the neighbours above, below, and on both sides."""
    x = [0.0] * len(widths)
    for turn in range(30):
        for row in rows if turn % 2 == 0 else rows[::-1]:
            wish = []
            for i in row:
                near = above[i] + below[i] if turn > 9 else (below if turn % 2 else above)[i]
                total = sum(weights[j] for j in near)
                wish.append(sum(weights[j] * x[j] for j in near) / total if near else x[i])
            placed = _apart(wish, [widths[i] for i in row], [weights[i] for i in row])
            for i, centre in zip(row, placed, strict=True):
                x[i] = centre
    left = min(centre - width / 2 for centre, width in zip(x, widths, strict=True))
    return [centre - left + GAP for centre in x]


def _apart(wish: list[float], widths: list[float], pull: list[float]) -> list[float]:
    r"""Return the $x$ with least $\sum_i p_i (x_i - w_i)^2$ whose boxes do not touch.

    Less the space that the boxes to its left need, each $x_i$ must not be smaller than the one
    before: a regression that is solved by averaging neighbours that are in the wrong order.
    """
    offset = [0.0]
    for a, b in pairwise(widths):
        offset.append(offset[-1] + (a + b) / 2 + GAP)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
    for w, o, p in zip(wish, offset, pull, strict=True):
        mean, weight, many = w - o, p, 1
        while blocks and blocks[-1][0] > mean:
            other, heavy, more = blocks.pop()
            mean = (mean * weight + other * heavy) / (weight + heavy)
            weight, many = weight + heavy, many + more
        blocks.append((mean, weight, many))
    means = [mean for mean, _, many in blocks for _ in range(many)]
    return [m + o for m, o in zip(means, offset, strict=True)]


def _svg(boxes: list[Box], links: list[tuple[int, int]], rows: list[list[int]], layer: list[int],
         x: list[float]) -> str:
    def height(i: int) -> float:
        return boxes[i].height if i < len(boxes) else 0.0  # a joint has none

    middle, top = [], float(GAP)
    for row in rows:
        tall = max(map(height, row), default=0.0)
        middle.append(top + tall / 2)
        top += tall + ROW
    wide = max(x[i] + box.width / 2 for i, box in enumerate(boxes)) + GAP
    wide = max([wide, *(centre + GAP for centre in x)])
    parts = [_svg_head(wide, top - ROW + GAP)]
    for p, c in links:
        start, end = middle[layer[p]] + height(p) / 2, middle[layer[c]] - height(c) / 2
        parts.append(_svg_link(x[p], start, x[c], end, arrow=c < len(boxes)))
    parts += [_svg_box(box, x[i], middle[layer[i]]) for i, box in enumerate(boxes)]
    return "".join(parts) + "</svg>\n"


def _svg_head(wide: float, high: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high:.0f}" '
        f'width="{wide:.0f}" height="{high:.0f}" font-size="12" '
        f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">'
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#7b8499"/></marker></defs>'
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
    )


def _svg_link(x: float, y: float, to_x: float, to_y: float, arrow: bool) -> str:
    half = (y + to_y) / 2
    tip = ' marker-end="url(#tip)"' if arrow else ""
    return (f'<path d="M{x:.1f} {y:.1f}C{x:.1f} {half:.1f} {to_x:.1f} {half:.1f} '
            f'{to_x:.1f} {to_y:.1f}" fill="none" stroke="#7b8499"{tip}/>')


def _svg_box(box: Box, x: float, y: float) -> str:
    """Return the box whose centre is (x, y)."""
    fill, stroke = FILLS[box.kind]
    left, high = x - box.width / 2, y - box.height / 2
    text = "".join(
        f'<text x="{x:.1f}" y="{high + PAD / 2 + LINE * (k + 0.8):.1f}" '
        f'text-anchor="middle"'
        + (' font-weight="bold" fill="#1d2433"' if k == 0 else ' fill="#4d5669"')
        + f">{escape(line)}</text>" for k, line in enumerate((box.title, *box.lines)))
    return (f'<g><title>{escape(box.about)}</title><rect x="{left:.1f}" y="{high:.1f}" '
            f'width="{box.width:.1f}" height="{box.height:.1f}" rx="7" fill="{fill}" '
            f'stroke="{stroke}"/>{text}</g>')
