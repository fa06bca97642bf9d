"""The adjoint equations of a backward pass, one step for each node, in the order of the sweep."""

from __future__ import annotations

import inspect
import re
import string
from itertools import zip_longest
from typing import Any

import numpy as np

from ..backend import to_host
from ..backward import pull_back
from ..primitive import Op, Primitive, registry
from ..tensor import Tensor, recorded
from .flops import FORWARD, flops
from .formulas import maths
from .formulas.stated import (
    adjoint_equations,
    conditions,
    indices,
    letters,
    meaning,
    stands_alone,
)
from .source import rules
from .walk import (
    Row,
    Tape,
    all_options,
    amount,
    arguments,
    buffers,
    kept_by_name,
    shapes,
)

STEPS = 150
"""How many steps of a backward pass are shown; of more, the oldest are left out."""

Block = tuple[str, str]
"""A kind ("title", "step", "prose", "item", "maths", "code" or "note") and its text."""


def derivation(op: Op) -> str:
    """Return the maths of an op; of a part such as `_eigh`, that of the op that it is a part of."""
    text = op.derivation
    if not adjoint_equations(text) and op.name.startswith("_"):
        whole = registry.get(op.name[1:])
        if whole is not None and whole.forward.__module__ == op.forward.__module__:
            return derivation(whole)
    return text


def statement(op: Op) -> str:
    """Return all that is said of an op: its docstring and its derivation."""
    text, maths_ = inspect.getdoc(op.forward) or "", derivation(op)
    return text if maths_ in text else f"{maths_}\n\n{text}"


def backward_pass(loss: Tensor, tape: Tape, values: bool) -> list[Block]:
    """Return the explanation of the backward pass behind a Tensor, step by step."""
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
    signs, op = _signs(tape, row, met), row.node.op
    if row.op == "_einsum":
        return _einsum(tape, row, signs)
    passed = _Passed(tape, row, statement(op))
    stated = adjoint_equations(passed.text)
    adjoints = {p: stated[z.lower()].latex for p, z in passed.letters.items()
                if p in signs and z.lower() in stated}
    if not op.variadic and adjoints.keys() == signs.keys():
        meant = meaning(passed.text, adjoints.values(), passed.known)
        formulas = [*adjoints.values(), *(e.latex for e in meant.equations)]
        if (new := passed.substituted(formulas)) is not None:
            signed = [latex.replace("=", signs.get(p, "="), 1) if p else latex for p, latex in
                      zip_longest(adjoints, new)]
            said = dict.fromkeys([*meant.clauses, *conditions(passed.text, adjoints.values())])
            words = [passed.clause(clause) for clause in said]
            return [*(("maths", latex) for latex in signed), *passed.constants(formulas, words),
                    *(("note", clause) for clause in words)]
    return _listed(passed, signs, [*adjoints.values()] or [e.latex for e in stated.values()])


def _signs(tape: Tape, row: Row, met: set[int]) -> dict[str, str]:
    """Return = or += for each parameter whose gradient is wanted, in the order of the sweep."""
    signs = {}
    for (parameter, _), parent in zip(tape.arguments(row), row.node.parents, strict=True):
        if parent is not None:
            signs[parameter] = r"\;\text{+=}\;" if tape.numbers[parent] in met else "="
            met.add(tape.numbers[parent])
    return signs


class _Passed:
    """The letters in an op's formulas, and what a call passed for them."""

    def __init__(self, tape: Tape, row: Row, text: str) -> None:
        self.tape, self.row, self.text = tape, row, text
        self.passed = dict(tape.arguments(row))
        self.letters = {p: self._letter(p) for p in self.passed}
        self.options = {name: value for name, value in all_options(row.node).items()
                        if len(name) == 1}
        on_tape = {p for (p, _), parent in zip(tape.arguments(row), row.node.parents, strict=True)
                   if parent is not None}
        new = {"g": maths.adjoint(row.name), "y": maths.symbol(row.name)}
        new |= {z: maths.symbol(self.passed[p]) for p, z in self.letters.items() if p in on_tape}
        constants = {z.upper(): z for p, z in self.letters.items() if p not in on_tape}
        self.variables = {*new.values()}
        self.new = {**{z.upper(): latex for z, latex in new.items()}, **constants, **new}
        own = {"y", "g", *self.letters.values(), *self.options}
        own |= {z.upper() for z in own if len(z) == 1}
        self.known = own | {f"\\bar {z}" for z in own}

    def _letter(self, parameter: str) -> str:
        """Return the letter of a parameter: itself, or the one that the text puts behind it."""
        if len(parameter) == 1:
            return parameter
        if place := re.fullmatch(r"(\w)\w*\[(\d+)\]", parameter):  # one of *xs
            return f"{place[1]}{place[2]}"
        match = re.search(rf"\b{re.escape(parameter)}`?\s+([A-Zb-z])\b", self.text)
        return match[1] if match else parameter

    def substituted(self, formulas: list[str]) -> list[str] | None:
        """Return the formulas in the variables that were used; None where one would mean two."""
        used = {z.rpartition(" ")[2] for latex in formulas for z in letters(latex)}
        used = (used - {*self.new}).union(*map(indices, formulas))
        used |= {"e"} if any("e^" in latex for latex in formulas) else set()
        new = [maths.substituted(latex, self.new) for latex in formulas]
        return None if None in new or used & self.variables else [x for x in new if x]

    def clause(self, text: str) -> str:
        """Return a clause whose maths is in the variables that were used."""
        text = text.removeprefix("Return ")
        return "".join(f"${maths.substituted(part, self.new) or part}$" if is_maths else part
                       for is_maths, part in maths.pieces(text))

    def constants(self, formulas: list[str], clauses: list[str]) -> list[Block]:
        """Name what the letters in formulas and clauses stand for that were not replaced."""
        used = {z for latex in formulas for z in letters(latex)}
        prose = " ".join(part for clause in clauses for is_maths, part in maths.pieces(clause)
                         if not is_maths)

        def asked(letter: str) -> bool:
            replaced = letter in self.new
            return stands_alone(letter, prose) or (
                not replaced and bool(used & {letter, letter.upper()}))

        words = [f"${z}$ = {self.passed[p]}" for p, z in self.letters.items()
                 if self.passed[p] not in ("None", z) and len(z) == 1 and asked(z)]
        words += [f"${z}$ = {self.tape.called(v)}" for z, v in self.options.items() if asked(z)]
        words += [f"$y$ = {self.row.name}"] if "y" not in self.passed and asked("y") else []
        return [("note", f"with {', '.join(words)}")] if words else []


def _listed(passed: _Passed, signs: dict[str, str], formulas: list[str]) -> list[Block]:
    """Show the op's formulas in its own letters, and what these stand for in this call."""
    op, tape, row = passed.row.node.op, passed.tape, passed.row
    if not formulas:
        code = rules(op) if isinstance(op, Primitive) else f"see explain({op.name!r})"
        blocks: list[Block] = [("code", code)]
    else:
        meant = meaning(passed.text, formulas, passed.known)
        shown = dict.fromkeys([*formulas, *(e.latex for e in meant.equations)])
        blocks = [*(("maths", latex) for latex in shown), *(("note", c) for c in meant.clauses)]
    words = [f"${maths.symbol(z)}$ = {passed.passed[p]}" for p, z in passed.letters.items()
             if passed.passed[p] not in ("None", z)]
    words += [f"${z}$ = {tape.called(value)}" for z, value in passed.options.items()]
    words += [f"$y$ = {row.name}"] if "y" not in (*passed.passed, row.name) else []
    so = [f"${maths.adjoint(passed.passed[p])} {sign} {maths.adjoint(passed.letters[p])}$"
          for p, sign in signs.items() if (passed.passed[p], sign) != (passed.letters[p], "=")]
    blocks.append(("note", f"with {', '.join([*words, f'$g = {maths.adjoint(row.name)}$'])}"))
    return [*blocks, ("note", f"so {', '.join(so)}")] if so else blocks


def _einsum(tape: Tape, row: Row, signs: dict[str, str]) -> list[Block]:
    """Return the equations of a sum of products in the letters of its own subscripts."""
    kept = kept_by_name(row.node)
    operands, result, blocks = kept["operands"], kept["result"], []
    names = [maths.symbol(name) for _, name in tape.arguments(row)]
    g = _indexed(maths.adjoint(row.name), result)
    for k, (parameter, name) in enumerate(tape.arguments(row)):
        if parameter not in signs:
            continue
        own, on_diagonal = "", ""
        spare = (z for z in _SPARE if z not in "".join((*operands, result)))
        for letter in operands[k]:
            twin = next(spare) if letter in own else letter
            on_diagonal += rf"[{letter} = {twin}]\," if twin != letter else ""
            own += twin
        others = [i for i in range(len(names)) if i != k]
        summed = dict.fromkeys(z for z in "".join([result, *(operands[i] for i in others)])
                               if z not in operands[k])
        total = rf"\sum_{{{''.join(summed)}}} " if summed else ""
        product = r"\,".join([g, *(_indexed(names[i], operands[i]) for i in others)])
        blocks.append(("maths", f"{_indexed(maths.adjoint(name), own)} {signs[parameter]} "
                                f"{on_diagonal}{total}{product}"))
    return blocks


_SPARE = "ijklmnpqrstuvwxyz" + string.ascii_letters
"""Letters for a second index on a diagonal, the usual ones first."""


def _indexed(latex: str, index: str) -> str:
    """Return a variable with an index, which follows the number that it may have already."""
    if not index:
        return latex
    numbered = re.fullmatch(r"(.*_\{\d+)\}", latex)
    return f"{numbered[1]},{index}}}" if numbered else f"{{{latex}}}_{{{index}}}"


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


def _value(row: Row, gradients: dict[int, Any]) -> Block:
    g = gradients[row.number]
    text = "0, it was not reached" if g is None else " ".join(np.array2string(
        to_host(g), precision=4, threshold=8, edgeitems=3 if g.ndim < 2 else 1,
        separator=", ").split()).replace(" ]", "]")
    return "note", f"${maths.adjoint(row.name)}$ = {text}"
