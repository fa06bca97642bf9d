"""Explanations: of an op and its derivative, or of the backward pass behind a Tensor.

>>> from autograd import Tensor, tanh
>>> x = Tensor([0.5, 1.0], requires_grad=True)
>>> "x̄ = v̄₁ (1 - v₁²)" in str(explain(tanh(x).sum(), names={"x": x}))
True
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from html import escape
from linecache import getlines
from os import PathLike
from textwrap import dedent, fill, indent
from typing import Any

import numpy as np

from ..backend import to_host
from ..backward import pull_back
from ..fused import Fused
from ..primitive import Composite, Op, Primitive, registry
from ..tensor import Tensor, recorded
from . import maths
from .flops import FORWARD, flops
from .page import html_fragment, html_page, save_as
from .walk import Row, Tape, amount, arguments, buffers, read_tape, saved_names, shapes

STEPS = 150
"""How many steps of a backward pass are shown; of more, the oldest are left out."""

Block = tuple[str, str]
"""A kind ("title", "step", "prose", "maths", "code" or "note") and its text."""


def explain(thing: Any, *, names: Mapping[str, Any] | None = None,
            values: bool = False) -> Explanation:
    """Return an explanation of an op (or its name), or of the backward pass behind a Tensor.

    Of a Tensor: the adjoint equation of every node, in the order of the sweep, with estimates of
    its work; `values` also computes the gradients, without using the graph up. `names` is as in
    `trace`. Raises TypeError for anything else, KeyError for an unknown name.
    """
    if isinstance(thing, Tensor):
        return Explanation(_backward(thing, names, values))
    if isinstance(thing, str) and thing not in registry:
        near = ([name for name in registry if thing.lower() in name][:8]
                or get_close_matches(thing, registry))
        raise KeyError(f"explain: no op is called {thing!r}; "
                       f"{'similar ones are ' + ', '.join(near) if near else 'see registry'}")
    op = registry.get(thing) if isinstance(thing, str) else thing
    if not isinstance(op, Op):
        op = next((known for known in registry.values() if known.forward is thing), None)
    if op is None:
        raise TypeError(f"explain: expected an op, its name or a Tensor, "
                        f"got {type(thing).__name__} {getattr(thing, '__name__', thing)!r:.60}")
    return Explanation(_op(op))


class Explanation:
    """Text, formulas and source: printed in a terminal, shown in a notebook, saved as a page."""

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks

    def __str__(self) -> str:
        text = "\n".join(_TERMINAL[kind](text) for kind, text in self.blocks)
        return re.sub(r"\n{3,}", "\n\n", text.strip("\n"))

    __repr__ = __str__

    def html(self) -> str:
        """Return a page that stands alone; formulas are MathML where latex2mathml is installed."""
        return html_page(self.blocks[0][1], self._body())

    def latex(self) -> str:
        """Return the body of a LaTeX document; it needs the package amsmath."""
        return "\n".join(_LATEX[kind](text) for kind, text in self.blocks) + "\n"

    def _body(self) -> str:
        return "".join(_HTML[kind](text) for kind, text in self.blocks)

    def _repr_html_(self) -> str:
        return html_fragment(self._body())

    def save(self, path: str | PathLike[str]) -> None:
        """Write it as .html, .tex or .txt, by the path's suffix."""
        save_as(path, {".html": self.html, ".tex": self.latex, ".txt": lambda: f"{self}\n"})


def _prose(text: str, maths_: Callable[[str], str], rest: Callable[[str], str]) -> str:
    return "".join(maths_(part) if is_maths else rest(part)
                   for is_maths, part in maths.pieces(text))


def _paragraphs(text: str) -> str:
    def words(part: str) -> str:
        return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(part)).replace("\n\n", "</p><p>")
    return f"<p>{_prose(text, maths.mathml, words)}</p>"


def _wrapped(text: str) -> str:
    return "\n".join(fill(line, 100) if len(line) > 100 else line for line in text.split("\n"))


_TERMINAL: dict[str, Callable[[str], str]] = {
    "title": lambda text: maths.readable(text), "step": lambda text: f"\n{text}",
    "prose": lambda text: f"\n{_wrapped(maths.readable(text))}\n",
    "maths": lambda text: f"      {maths.formula(text)}",
    "code": lambda text: indent(text, "    "),
    "note": lambda text: f"      {maths.readable(text)}",
}
_HTML: dict[str, Callable[[str], str]] = {
    "title": lambda text: f"<h2>{_prose(text, maths.mathml, escape)}</h2>",
    "step": lambda text: f"<h3><code>{escape(text)}</code></h3>",
    "prose": _paragraphs,
    "maths": lambda text: f'<div class="math">{maths.mathml(text)}</div>',
    "code": lambda text: f"<pre>{escape(text)}</pre>",
    "note": lambda text: f'<div class="note">{_prose(text, maths.mathml, escape)}</div>',
}
_LATEX: dict[str, Callable[[str], str]] = {
    "title": lambda text: rf"\section*{{{_prose(text, '${}$'.format, maths.escaped)}}}",
    "step": lambda text: rf"\paragraph{{\texttt{{{maths.escaped(text)}}}}}",
    "prose": lambda text: _prose(text, "${}$".format, maths.escaped) + "\n",
    "maths": lambda text: rf"\[ {text} \]",
    "code": lambda text: f"\\begin{{verbatim}}\n{text}\n\\end{{verbatim}}",
    "note": lambda text: _prose(text, "${}$".format, maths.escaped) + "\n",
}


# an op
def _op(op: Op) -> list[Block]:
    summary = (inspect.getdoc(op.forward) or "").partition("\n\n")[0]
    derivation = op.derivation
    plain = [p.replace(annotation=inspect.Parameter.empty)
             for p in inspect.signature(op.forward).parameters.values()]
    signature = inspect.Signature(plain)
    blocks = [("title", f"{op.name}{signature}"), ("prose", summary)]
    blocks += [("step", "Derivation"), ("prose", derivation)] if derivation != summary else []
    if isinstance(op, Composite):
        blocks += [("step", "A composition of ops, differentiated through them"),
                   ("code", source(op.forward))]
    elif isinstance(op, Fused):
        blocks += [("step", "Its rule"), ("code", source(op.rule) if op.rule else "none yet"),
                   ("note", f"keeps {', '.join(saved_names(op.rule)) or 'nothing'}, its arguments "
                            f"and its options"),
                   ("note", "derivatives: the first by this rule, higher ones through the "
                            "reference"),
                   ("step", "The reference"), ("code", source(op.reference))]
    elif isinstance(op, Primitive):
        blocks += [("step", "Its rule"), ("code", rules(op) or "none"), ("note", _kept(op))]
        blocks += [("note", "derivatives: of every order, as the rule is written in ops")
                   ] if op.rules else []
    else:
        blocks.append(("note", "its results carry no gradient"))
    return blocks


def _kept(op: Primitive) -> str:
    if not op.rules:
        return "has no derivative yet"
    names = ["all"] if op.joint else list(op.arrays)
    kept = [f"for {name}: " + (", ".join(rule.residuals) or "nothing" if rule else "no derivative")
            for name, rule in zip(names, op.rules, strict=True)]
    return "keeps " + "; ".join(kept).removeprefix("for all: ")


def rules(op: Primitive) -> str:
    """Return the text of the statements in which an op's rules are written."""
    return "\n\n".join(dict.fromkeys(source(rule.function) for rule in op.rules if rule))


def source(function: Callable[..., Any]) -> str:
    """Return the statement that a function is written in, for a lambda the whole of it."""
    try:
        lines, first = _parsed("".join(getlines(function.__code__.co_filename)))
    except (SyntaxError, AttributeError):
        return "(its source is not at hand)"
    if not lines:
        return "(its source is not at hand)"
    line = function.__code__.co_firstlineno
    spans = [(min([s.lineno, *(d.lineno for d in getattr(s, "decorator_list", []))]),
              s.end_lineno or s.lineno) for s in first]
    start, end = min((span for span in spans if span[0] <= line <= span[1]),
                     key=lambda span: span[1] - span[0], default=(line, line))
    return dedent("\n".join(lines[start - 1 : end]))


@cache
def _parsed(text: str) -> tuple[list[str], list[ast.stmt]]:
    return text.splitlines(), [part for part in ast.walk(ast.parse(text))
                               if isinstance(part, ast.stmt)]


# a backward pass
def _backward(loss: Tensor, names: Mapping[str, Any] | None, values: bool) -> list[Block]:
    tape = read_tape(loss, names, "explain")
    newest = tape.rows[::-1]
    gradients = _all_gradients(loss, newest) if values else {}
    known: dict[Any, tuple[float, float]] = {}
    counts = {row.number: flops(row.node, known) for row in newest}
    blocks = _summary(newest[0].name, tape, counts)
    ops = [row for row in newest if row.node.op is not None]
    met: set[int] = set()
    for row in ops[:STEPS]:
        blocks += _step(tape, row, counts[row.number], met, gradients)
    if len(ops) > STEPS:
        blocks.append(("step", f"... {len(ops) - STEPS} older steps are not shown"))
    leaves = [row for row in tape.rows if row.node.op is None]
    blocks.append(("step", f"That completes the gradients of {len(leaves)} "
                           f"{'leaf' if len(leaves) == 1 else 'leaves'}"))
    for row in leaves[:STEPS] if values else []:
        blocks.append(_value(row, gradients))
    return blocks


def _all_gradients(loss: Tensor, rows: list[Row]) -> dict[int, Any]:
    """Return the gradient of a scalar by the value of each row, by the row's number."""
    if loss.data.size != 1:
        raise ValueError(f"explain: values are the gradients of a scalar, got shape "
                         f"{loss.shape}; reduce it first, for example y.sum()")
    arrays = [row for row in rows if row.node.dtype is not None]
    wrt = [recorded(loss.data, row.node) for row in arrays]
    gradients = pull_back([loss], [None], wrt, retain=True)
    return {row.number: g for row, g in zip(arrays, gradients, strict=True)}


def _summary(top: str, tape: Tape, counts: dict[int, tuple[float, float]]) -> list[Block]:
    forward, backward = (sum(c[i] for c in counts.values()) for i in (0, 1))
    return [("title", f"The backward pass behind {top}, newest first"),
            ("prose", f"${maths.adjoint('v')}$ stands for the derivative of {top} by v. Work is "
                      f"estimated: an element of an elementwise op counts as 1, a matrix product "
                      f"as $2mnk$. Equations are those that the ops' docstrings state; "
                      f"explain('tanh') shows one in full. In all {amount(forward, 'FLOP')} "
                      f"forward and {amount(backward, 'FLOP')} backward, "
                      f"{amount(tape.kept_bytes)} kept.")]


def _step(tape: Tape, row: Row, work: tuple[float, float], met: set[int],
          gradients: dict[int, Any]) -> list[Block]:
    node = row.node
    blocks: list[Block] = [("step", f"({row.number}) {row.name} = {tape.call(row)}   "
                                    f"{tuple(node.shape)} {node.dtype}")]
    if row.number in gradients:
        blocks.append(_value(row, gradients))
    if not isinstance(node.op, Op):
        return [*blocks, ("note", "one result of that call" if node.dtype is not None else
                          "keeps its arguments; computed again when the backward pass reaches it, "
                          "and differentiated there: see checkpoint")]
    return [*blocks, *_adjoints(tape, row, met), *_repeated(tape, row),
            ("note", f"keeps {tape.keeps(row) or 'nothing'}"), ("note", _work(tape, row, work))]


def _adjoints(tape: Tape, row: Row, met: set[int]) -> list[Block]:
    """Return the equation for each parent's gradient, `+=` where the parent was met before."""
    blocks: list[Block] = []
    node, passed, equations = row.node, tape.arguments(row), _equations(tape, row)
    elsewhere = []
    for (parameter, name), parent in zip(passed, node.parents, strict=True):
        if parent is None:
            continue
        sign = r"\;\text{+=}\;" if tape.numbers[parent] in met else "="
        met.add(tape.numbers[parent])
        if parameter in equations:
            blocks.append(("maths", equations[parameter].replace("=", sign, 1)))
        else:
            elsewhere.append(f"${maths.adjoint(name)} {sign} {maths.adjoint(parameter)}$")
    given = [(parameter, name) for (parameter, name), parent in
             zip(passed, node.parents, strict=True) if name != "None" and (elsewhere or not parent)]
    if elsewhere:
        blocks += _own_formulas(row)
        given += [("y", row.name)] if "y" not in dict(passed) else []
    if given:
        words = [f"${maths.symbol(p)}$ = {name}" for p, name in given]
        words += [f"$g = {maths.adjoint(row.name)}$"] if elsewhere else []
        blocks.append(("note", f"with {', '.join(words)}"))
    if elsewhere:
        blocks.append(("note", f"so {', '.join(elsewhere)}"))
    return blocks


def _repeated(tape: Tape, row: Row) -> list[Block]:
    """Name the arguments whose gradients the engine sums, as they were broadcast."""
    node = row.node
    if row.op in FORWARD or not isinstance(node.op, Primitive):
        return []
    try:
        if np.broadcast_shapes(*shapes(node)) != node.shape:
            return []
    except ValueError:
        return []
    names = [tape.called(p) for p in node.parents if p is not None and p.shape != node.shape]
    return [("note", f"summed over the axes along which {' and '.join(dict.fromkeys(names))} "
                     f"was repeated")] if names else []


def _work(tape: Tape, row: Row, work: tuple[float, float]) -> str:
    def size(values: Any) -> int:
        return sum({id(b): b.nbytes for b in buffers(list(values))}.values())

    parents = {tape.numbers[p] for p in row.node.parents if p is not None}
    known = sum(tape.rows[n].value_bytes for n in parents)
    constants = size(value for (_, value), parent in
                     zip(arguments(row.node), row.node.parents, strict=True) if parent is None)
    read_back = row.value_bytes + size([row.node.kept])
    return (f"forward {amount(work[0], 'FLOP')}, {amount(known + constants)} read, "
            f"{amount(row.value_bytes)} written; backward {amount(work[1], 'FLOP')}, "
            f"{amount(read_back)} read, {amount(known)} written")


def _equations(tape: Tape, row: Row) -> dict[str, str]:
    r"""Return the adjoint equation of each argument whose op states it as `\bar a = ...`.

    The letters of arguments on the tape, of y and of g are replaced by what they stand for; those
    of constants stay. Only of primitives, and only where no letter would then mean two things:
    elsewhere the op's own formulas are shown beside what their letters mean.
    """
    op, passed = row.node.op, tape.arguments(row)
    letters = {parameter for parameter, _ in passed}
    symbols = {"g": maths.adjoint(row.name), "y": maths.symbol(row.name)}
    if not isinstance(op, Primitive) or max(map(len, letters)) > 1 or letters & set(symbols):
        return {}
    for (parameter, name), parent in zip(passed, row.node.parents, strict=True):
        if parent is not None:
            symbols[parameter] = maths.symbol(name)
    if {*symbols.values()} & (letters - {*symbols}):
        return {}
    symbols = dict(zip(letters, letters, strict=True)) | symbols
    symbols |= {letter.upper(): latex for letter, latex in symbols.items()}
    found: dict[str, str] = {}
    for formula in maths.formulas(op.derivation):
        left = re.match(r"\\bar\s*\{?([A-Za-z])\}?[^=]*=", formula)
        letter = left[1].lower() if left else ""
        if letter not in letters or letter in found:
            continue
        latex = maths.substituted(formula, symbols)
        unknown = [z for z in re.findall(r"\\bar\W*([A-Za-z]+)", formula) if z not in symbols]
        if latex is None or unknown:
            return {}
        found[letter] = latex
    return found


def _own_formulas(row: Row) -> list[Block]:
    op = row.node.op
    stated = [f for f in dict.fromkeys(maths.formulas(op.derivation)) if "=" in f]
    adjoints = [f for f in stated if f.startswith("\\bar")] or stated
    if adjoints:
        return [("maths", formula) for formula in adjoints]
    return [("code", rules(op) if isinstance(op, Primitive) else f"see explain({op.name!r})")]


def _value(row: Row, gradients: dict[int, Any]) -> Block:
    g = gradients[row.number]
    text = "0, it was not reached" if g is None else " ".join(np.array2string(
        to_host(g), precision=4, threshold=8, edgeitems=3 if g.ndim < 2 else 1,
        separator=", ").split()).replace(" ]", "]")
    return "note", f"${maths.adjoint(row.name)}$ = {text}"
