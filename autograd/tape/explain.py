"""Explanations: of an op and its derivative, or of the backward pass behind a Tensor.

>>> from autograd import Tensor, tanh
>>> x = Tensor([0.5, 1.0], requires_grad=True)
>>> "x̄ = v̄₁ (1 - v₁²)" in str(explain(tanh(x).sum()))
True
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from html import escape
from os import PathLike
from textwrap import fill, indent
from types import FunctionType, ModuleType
from typing import Any

from ..fused import Fused
from ..primitive import Composite, Op, Primitive, registry
from ..tensor import Tensor
from .adjoints import Block, backward_pass, derivation
from .formulas import maths
from .formulas.prose import blocks
from .formulas.stated import equations, side_by_side
from .page import html_fragment, html_page, save_as
from .source import rules, source
from .walk import read_tape, saved_names


def explain(thing: Any, *, names: Any = None, values: bool = False) -> Explanation:
    """Return an explanation of an op (or its name), or of the backward pass behind a Tensor.

    Of a Tensor: the adjoint equation of every node, in the order of the sweep, with estimates of
    its work; `values` also computes the gradients, without using the graph up. `names` is as in
    `trace`. Of a name that several ops have: each of them. Of another function or class: the maths
    in its docstring and its file's, such as an optimizer's. Raises TypeError for anything else,
    KeyError for an unknown name.
    """
    if isinstance(thing, Tensor):
        return Explanation(backward_pass(thing, read_tape(thing, names, "explain"), values))
    ops = _named(thing) if isinstance(thing, str) else _made_of(thing)
    if ops:
        return Explanation([block for op in ops for block in _op(op, named=len(ops) > 1)])
    documented = _documented(thing)
    if not documented:
        name = getattr(thing, "__name__", "")
        hint = f"; explain({name!r}) explains the op of this name" if name in registry else ""
        raise TypeError(f"explain: expected an op, its name, a Tensor, or a function or class with "
                        f"maths in its docstring, got {type(thing).__name__} "
                        f"{name or repr(thing):.60}{hint}")
    return Explanation(documented)


def _named(name: str) -> list[Op]:
    """Return the ops of a name, or of the end of a dotted one; those derived by hand first."""
    found, end = list[Op](), f".{name}"
    while not found and end:
        found = [op for op in registry.values()
                 if f".{op.forward.__module__}.{op.name}".endswith(end)]
        end = "".join(end[1:].partition(".")[1:])  # of np.tanh, tanh
    if not found:
        near = ([known for known in registry if name.lower() in known][: 8 if name else 0]
                or get_close_matches(name, registry))
        raise KeyError(f"explain: no op is called {name!r}; "
                       f"{'similar ones are ' + ', '.join(near) if near else 'see registry'}")
    return sorted(found, key=lambda op: not isinstance(op, Fused))


def _made_of(thing: Any) -> list[Op]:
    """Return the op that a thing is, or that a function or a method of Tensor calls."""
    if isinstance(thing, Op):
        return [thing]
    cells = getattr(getattr(thing, "__func__", thing), "__closure__", None) or ()
    return [op for op in registry.values() if op.forward is thing] or [
        cell.cell_contents for cell in cells if isinstance(cell.cell_contents, Op)]


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


def _html(text: str) -> str:
    return _prose(text, maths.mathml,
                  lambda part: re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(part)))


def _latex(text: str) -> str:
    return _prose(text, "${}$".format, maths.escaped)


def _wrapped(text: str, first: str, rest: str) -> str:
    """Return the text in lines of 100, each formula whole as long as it is no longer than 50."""
    whole = _prose(text, lambda part: _unbroken(maths.formula(part)), str)
    lines = fill(whole, 100, initial_indent=first, subsequent_indent=rest,
                 break_long_words=False, break_on_hyphens=False)
    return lines.replace(_NO_BREAK, " ")


_NO_BREAK = "\xa0"


def _unbroken(formula: str) -> str:
    return formula.replace(" ", _NO_BREAK) if len(formula) <= 50 else formula


_TERMINAL: dict[str, Callable[[str], str]] = {
    "title": lambda text: f"\n{maths.readable(text)}", "step": lambda text: f"\n{text}",
    "prose": lambda text: f"\n{_wrapped(text, '', '')}\n",
    "item": lambda text: _wrapped(text, "  ", "     "),
    "maths": lambda text: "\n".join(
        _wrapped(f"${part}$", "      ", "        ") for part in side_by_side(text)),
    "code": lambda text: indent(text, "    "),
    "note": lambda text: _wrapped(text, "      ", "        "),
}
_HTML: dict[str, Callable[[str], str]] = {
    "title": lambda text: f"<h2>{_prose(text, maths.mathml, escape)}</h2>",
    "step": lambda text: f"<h3><code>{escape(text)}</code></h3>",
    "prose": lambda text: f"<p>{_html(text)}</p>",
    "item": lambda text: f'<p class="item">{_html(text)}</p>',
    "maths": lambda text: "".join(
        f'<div class="math">{maths.mathml(part)}</div>' for part in side_by_side(text)),
    "code": lambda text: f"<pre>{escape(text)}</pre>",
    "note": lambda text: f'<div class="note">{_html(text)}</div>',
}
_LATEX: dict[str, Callable[[str], str]] = {
    "title": lambda text: rf"\section*{{{_latex(text)}}}",
    "step": lambda text: rf"\paragraph{{\texttt{{{maths.escaped(text)}}}}}",
    "prose": lambda text: f"{_latex(text)}\n",
    "item": lambda text: f"\\par\\hangindent=2em {_latex(text)}\n",
    "maths": lambda text: rf"\[ {text} \]",
    "code": lambda text: f"\\begin{{verbatim}}\n{text}\n\\end{{verbatim}}",
    "note": lambda text: f"{_latex(text)}\n",
}


# an op
def _op(op: Op, named: bool) -> list[Block]:
    """Return the explanation of an op, in its title its module where others have its name."""
    where = f", {op.forward.__module__}" if named else ""
    summary, _, rest = (inspect.getdoc(op.forward) or "").partition("\n\n")
    found = [("title", f"{op.name}{_signature(op.forward)}{where}"), *blocks(summary)]
    if derivation(op) not in (summary, rest):  # that of its file
        found += [*blocks(rest), *_headed(derivation(op))]
    else:
        found += _headed(rest)
    if isinstance(op, Composite):
        return [*found, ("step", "A composition of ops, differentiated through them"),
                ("code", source(op.forward))]
    if isinstance(op, Fused):
        return [*found, ("step", "Its rule"), ("code", source(op.rule) if op.rule else "none yet"),
                ("note", f"keeps {', '.join(saved_names(op.rule)) or 'nothing'}, its arguments "
                         f"and its options"),
                ("note", "derivatives: the first by this rule, higher ones through the reference"),
                ("step", "The reference"), ("code", source(op.reference))]
    if not isinstance(op, Primitive):
        return [*found, ("note", "its results carry no gradient")]
    found += [("step", "Its rule"), ("code", rules(op) or "none"), ("note", _kept(op))]
    return [*found, ("note", "derivatives: of every order, as the rule is written in ops")
            ] if op.rules else found


def _signature(function: Any) -> str:
    """Return the parameters without their types, long defaults as dots."""
    plain = [p.replace(annotation=p.empty, default=p.default if len(repr(p.default)) < 30 else ...)
             for p in inspect.signature(function).parameters.values()]
    return str(inspect.Signature(plain)).replace("Ellipsis", "...")


_DIFFERENTIAL = re.compile(r"(?<![A-Za-z\\])d(?:[A-Za-z]|\\[a-z]+)")


def _headed(text: str) -> list[Block]:
    """Return the blocks of a text under a heading: a derivation has a differential and a gradient.
    """
    formulas = [part for is_maths, part in maths.pieces(text) if is_maths]
    stated = any(e.left.startswith("\\bar") for e in equations(text))
    derived = stated and any(map(_DIFFERENTIAL.search, formulas))
    heading = "Derivation" if derived else "Gradient" if stated else "Notes"
    return [("step", heading), *blocks(text)] if text else []


def _kept(op: Primitive) -> str:
    if not op.rules:
        return "has no derivative yet"
    names = ["all"] if op.joint else list(op.arrays)
    kept = [f"for {name}: " + (", ".join(rule.residuals) or "nothing" if rule else "no derivative")
            for name, rule in zip(names, op.rules, strict=True)]
    return "keeps " + "; ".join(kept).removeprefix("for all: ")


# another function or class
def _documented(thing: Any) -> list[Block]:
    """Return the maths in the docstrings of a function, a class or a module, and of its file.

    Where there is none, that of the files of what it is made of.
    """
    if not isinstance(thing, (type, FunctionType, ModuleType)):
        thing = getattr(thing, "__func__", type(thing))  # of an object its class
    name, own = thing.__name__, inspect.getdoc(thing) or ""
    files = [] if isinstance(thing, ModuleType) else [thing.__module__]
    if "$" not in own + "".join(map(_file, files)):
        files = [file for file in _files_of_parts(thing) if "$" in _file(file)]
        if not files:
            return []
    signature = "" if isinstance(thing, ModuleType) else _signature(thing)
    found = [("title", name + signature), *blocks(own)]
    for file in files:
        found += [("step", f"From {file}"), *blocks(_file(file))] if "$" in _file(file) else []
    return found


def _file(module: str) -> str:
    return inspect.getdoc(sys.modules.get(module)) or ""


def _files_of_parts(thing: Any) -> Iterator[str]:
    """Yield the modules of the functions, classes and ops of its package that the code names."""
    functions = [f for f in (thing, *getattr(thing, "__dict__", {}).values())
                 if isinstance(f, FunctionType)]
    seen = {getattr(thing, "__module__", "")}
    for function in functions:
        names = function.__code__.co_names
        known = [function.__globals__[name] for name in names if name in function.__globals__]
        known += [vars(part).get(name) for part in known if isinstance(part, ModuleType)
                  for name in names]
        for part in known:
            if isinstance(part, (type, FunctionType, Op)) and part.__module__ not in seen:
                seen.add(part.__module__)
                if _package(part.__module__) == _package(thing.__module__):
                    yield part.__module__


def _package(module: str) -> str:
    return module.partition(".")[0]
