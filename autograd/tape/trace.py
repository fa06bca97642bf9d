"""The tape behind a Tensor, printed as a table or drawn.

>>> from autograd import Tensor
>>> x = Tensor([0.5, 1.0], requires_grad=True)
>>> print(trace((x * x).sum()))
3 values, oldest first: 1 leaf, 2 ops
name  op        shape  dtype    from  keeps     value  kept
x     leaf      (2,)   float64                   16 B   0 B
v1    multiply  (2,)   float64  x, x  b=x, a=x   16 B  16 B
v2    sum       ()     float64  v1                8 B   0 B
values 40 B; 16 B kept alive in 1 buffer, 16 B of them leaves
"""

from __future__ import annotations

from html import escape
from os import PathLike
from typing import Any

from ..fused import Fused
from .draw import Box, draw
from .page import html_fragment, html_page, save_as
from .walk import Row, amount, columns, read_tape

HEAD, TAIL = 60, 40
DRAWN = 600
"""How many values a drawing may show: more would be neither legible nor quick to lay out."""


def trace(loss: Any, *, names: Any = None) -> Trace:
    """Return the tape behind a Tensor: print it, or save("tape.svg") it.

    Leaves are called as the caller's variables are, those of a model by their names in it,
    `h.0.attn.qkv.weight`, all others x0, x1, ... `names` gives other names: `{"w": w}`, or an
    object that holds Tensors. Raises RuntimeError where nothing was recorded or a backward pass
    has used it up.
    """
    return Trace(loss, names)


class Trace:
    """The values on the tape, oldest first, as they stood when it was made.

    For each its name, op, shape and dtype, the values it was made from, what its rule keeps (`y`
    is the result itself, `b=v1` the argument b, which is v1), the bytes of the value, and the bytes
    that the node keeps alive: every buffer counts once, at the oldest node that keeps it, and a
    view counts as the array it looks into.
    """

    def __init__(self, loss: Any, names: Any = None) -> None:
        self.tape = read_tape(loss, names, "trace")
        self.rows = self.tape.rows

    def __str__(self) -> str:
        return "\n".join([self._heading(), *columns(self._table(), right=(6, 7)),
                          self._totals()])

    __repr__ = __str__

    def _heading(self) -> str:
        leaves = sum(row.node.op is None for row in self.rows)
        ops = len(self.rows) - leaves
        return (f"{_count(len(self.rows), 'value')}, oldest first: "
                f"{_count(leaves, 'leaf', 'leaves')}, {_count(ops, 'op')}")

    def _totals(self) -> str:
        tape = self.tape
        return (f"values {amount(sum(row.value_bytes for row in self.rows))}; "
                f"{amount(tape.kept_bytes)} kept alive in {_count(tape.buffers, 'buffer')}, "
                f"{amount(tape.leaf_bytes)} of them leaves")

    def _table(self) -> list[list[str]]:
        rows = self.rows
        table = [["name", "op", "shape", "dtype", "from", "keeps", "value", "kept"]]
        if len(rows) > HEAD + TAIL:
            out = ["...", f"{len(rows) - HEAD - TAIL} rows not shown; .rows has them all"]
            return [*table, *map(self._line, rows[:HEAD]), out + [""] * 6,
                    *map(self._line, rows[-TAIL:])]
        return table + [self._line(row) for row in rows]

    def _line(self, row: Row) -> list[str]:
        arguments = [text for _, text in self.tape.arguments(row)]
        return [row.name, row.op, str(tuple(row.node.shape)), str(row.node.dtype),
                ", ".join(a for a in arguments if a != "None"), self.tape.keeps(row),
                amount(row.value_bytes), amount(row.kept_bytes)]

    # drawings
    def _boxes(self) -> list[Box]:
        return [self._box(row) for row in self.rows]

    def _box(self, row: Row) -> Box:
        node, numbers = row.node, self.tape.numbers
        kind = "leaf" if node.op is None else "fused" if isinstance(node.op, Fused) else "op"
        kind = kind if row is not self.rows[-1] or kind == "leaf" else "result"
        title = row.name if node.op is None else f"{row.op} {row.name}"
        lines = [f"{tuple(node.shape)} {node.dtype}"]
        if row.kept_bytes:
            lines.append(f"keeps {amount(row.kept_bytes)}")
        parents = [numbers[parent] for parent in node.parents if parent is not None]
        about = title if node.op is None else f"{row.name} = {self.tape.call(row)}"
        return Box(kind, title, lines, parents, about)

    def svg(self) -> str:
        """Return a drawing of the tape, from the leaves down to the result.

        Raises ValueError where it has too many values to be seen.
        """
        if len(self.rows) > DRAWN:
            raise ValueError(f"trace: {len(self.rows)} values are too many to draw, {DRAWN} are "
                             f"the most; print the trace or save it as .dot")
        return draw(self._boxes())

    def graphviz(self) -> str:
        """Return the tape in Graphviz's language, for its `dot` to draw."""
        fills = {"leaf": "#dff3e4", "op": "#e6eefc", "fused": "#f1e6fb", "result": "#fdeedd"}
        lines = ["digraph tape {", '  node [shape=box, style="rounded,filled", fontname=monospace]']
        for i, box in enumerate(self._boxes()):
            label = "\\n".join(_quoted(s) for s in (box.title, *box.lines))
            lines.append(f'  n{i} [label="{label}", fillcolor="{fills[box.kind]}"]')
            lines += [f"  n{parent} -> n{i}" for parent in box.parents]
        return "\n".join([*lines, "}\n"])

    def mermaid(self) -> str:
        """Return the tape in Mermaid's language, which many Markdown viewers draw."""
        lines = ["flowchart TD"]
        for i, box in enumerate(self._boxes()):
            label = "<br/>".join(_entities(s) for s in (box.title, *box.lines))
            lines.append(f'  n{i}["{label}"]:::{box.kind}')
            lines += [f"  n{parent} --> n{i}" for parent in box.parents]
        return "\n".join([*lines, "  classDef leaf fill:#dff3e4", "  classDef fused fill:#f1e6fb",
                          "  classDef op fill:#e6eefc", "  classDef result fill:#fdeedd", ""])

    def _repr_html_(self) -> str:
        return html_fragment(self._body())

    def _body(self) -> str:
        def line(cells: list[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells) + "</tr>"

        head, *rest = self._table()
        drawing = self.svg() if len(self.rows) <= DRAWN else ""
        return (f"<p>{escape(self._heading())}; {escape(self._totals())}</p><table>"
                f"{line(head, 'th')}{''.join(line(cells, 'td') for cells in rest)}</table>"
                f'<div style="overflow-x:auto;margin-top:16px">{drawing}</div>')

    def save(self, path: str | PathLike[str]) -> None:
        """Write the tape as .svg, .dot, .mmd (Mermaid), .html or .txt, by the path's suffix."""
        save_as(path, {".svg": self.svg, ".dot": self.graphviz, ".mmd": self.mermaid,
                    ".html": lambda: html_page("tape", self._body()), ".txt": lambda: f"{self}\n"})


def _count(n: int, one: str, many: str | None = None) -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _entities(text: str) -> str:
    """Return the text for a Mermaid label, where only letters, digits and few signs are safe."""
    return "".join(c if c.isalnum() or c in " ._-,()" else f"#{ord(c)};" for c in text)
