"""The tape behind a Tensor as rows: the values on it, their names, and what each keeps."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import currentframe
from itertools import islice
from math import prod
from textwrap import dedent
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..backend import Shape
from ..fused import Fused
from ..graph import Leaf, Node, newest_first
from ..primitive import Op, Primitive
from ..tensor import Tensor, values

UNKNOWN = object()
"""A mark in the place of a constant that no rule asked for: the tape does not have it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One value: its number in order of creation, its name, and its memory in bytes."""

    number: int
    node: Node
    name: str
    value_bytes: int
    kept_bytes: int
    """Of the buffers that this node keeps alive and no older one does."""

    @property
    def op(self) -> str:
        """The name of the op that made it, or "leaf"."""
        return "leaf" if self.node.op is None else str(self.node.op.name)


@dataclass
class Tape:
    """The rows, oldest first; how arguments and residuals are called; and the sums."""

    rows: list[Row]
    names: Mapping[str, Any]
    numbers: dict[Node, int]
    buffers: int
    kept_bytes: int
    leaf_bytes: int
    """The part of `kept_bytes` that lies in leaves, which live as long as they have a name."""
    constants: dict[int, str] = field(init=False)

    def __post_init__(self) -> None:
        self.constants = {id(values(x)): name for name, x in self.names.items()}

    def called(self, value: Any) -> str:
        """Return the name of an argument or residual."""
        node = value if isinstance(value, Node) else getattr(value, "node", None)
        if node in self.numbers:
            return self.rows[self.numbers[node]].name
        if isinstance(value, (tuple, list)):
            inside = ", ".join(map(self.called, value[:4]))
            return f"({inside}{', ...' if len(value) > 4 else ''})"
        return self.constants.get(id(values(value))) or constant_text(value)

    def arguments(self, row: Row) -> list[tuple[str, str]]:
        """Return each argument's parameter and what was passed: a value's name, or a constant."""
        pairs = zip(arguments(row.node), row.node.parents, strict=True)
        return [(name, self.called(value if parent is None else parent))
                for (name, value), parent in pairs]

    def call(self, row: Row) -> str:
        """Return the op's call, such as `sum(v2, axis=1)`."""
        words = [text for _, text in self.arguments(row)]
        while words and words[-1] == "None":
            words.pop()
        words += [f"{name}={self.called(value)}" for name, value in options(row.node).items()]
        return f"{row.op}({', '.join(words)})"

    def keeps(self, row: Row) -> str:
        """Return the residuals that hold values: `y` is the result, `b=v1` an argument."""
        op = row.node.op
        if not isinstance(op, Op):
            return "its arguments" if op is not None and row.kept_bytes else ""
        words, passed, fused = [], dict(self.arguments(row)), isinstance(op, Fused)
        known = {id(b) for _, value in arguments(row.node) for b in buffers(value)}
        for name, value in residuals(row.node):
            held = {id(b) for b in buffers(value)}
            if name == op.variadic:
                words.append(f"{name}=({', '.join(passed.values())})")
            elif name in passed:
                text = passed[name]
                words += [name if text == name else f"{name}={text}"] if text != "None" else []
            elif held and not (fused and held <= known):
                own = fused or name == getattr(op, "output", None)
                words.append(name if own else f"{name}={self.called(value)}")
        return ", ".join(words)


def read_tape(loss: Any, names: Any, caller: str) -> Tape:
    """Return the tape behind `loss`, with the names of `names`, see `trace`.

    Raises TypeError for what is no Tensor, RuntimeError where nothing was recorded or a backward
    pass has used the record up.
    """
    _check_loss(loss, caller)
    names = _given_names(names, caller)
    order = newest_first([loss.node])[::-1]
    of_leaves = {id(b) for node in order if isinstance(node, Leaf) for b in buffers(node.owner())}
    rows: list[Row] = []
    seen: set[int] = set()
    leaf_bytes = 0
    for number, (node, name) in enumerate(zip(order, _names(order, names), strict=True)):
        size = 0
        for buffer in buffers(node.kept):
            if id(buffer) not in seen:
                seen.add(id(buffer))
                size += buffer.nbytes
                leaf_bytes += buffer.nbytes if id(buffer) in of_leaves else 0
        own = prod(node.shape) * getattr(node.dtype, "itemsize", 0)
        rows.append(Row(number, node, name, own, size))
    return Tape(rows, names, {node: i for i, node in enumerate(order)}, len(seen),
                sum(row.kept_bytes for row in rows), leaf_bytes)


def _check_loss(loss: Any, caller: str) -> None:
    if not isinstance(loss, Tensor):
        raise TypeError(f"{caller}: expected a Tensor, got {type(loss).__name__}")
    if loss.node is None:
        raise RuntimeError(
            f"{caller}: nothing was recorded for this result; it depends on no Tensor made with "
            f"requires_grad=True, or was computed inside no_grad()"
        )


def _given_names(names: Any, caller: str) -> dict[str, Any]:
    """Return Tensors and arrays by name, of a mapping or an object that holds Tensors."""
    if names is None:
        return {}
    if isinstance(names, Mapping):
        found: dict[str, Any] = {}
        for name, x in names.items():
            found |= {str(name): x} if hasattr(values(x), "dtype") else dict(held(x, str(name)))
    else:
        found = dict(held(names))
    if not found and names != {}:
        raise TypeError(f"{caller}: names must map names to Tensors, such as {{'w': w}}, or hold "
                        f"Tensors, as a model does; got {type(names).__name__}")
    return found


def _names(order: Sequence[Node], names: Mapping[str, Any]) -> Iterator[str]:
    """Yield each node's name: the given one, or of a leaf that of the caller's variable.

    Without either, x0, x1, ... for leaves and v2, ... for others.
    """
    given = {x.node: name for name, x in names.items() if isinstance(x, Tensor) and x.node}
    bare = {node for node in order if node.op is None and node not in given}
    given |= _names_by_caller(bare, {*given.values()}) if bare else {}
    leaves = 0
    for number, node in enumerate(order):
        yield given.get(node) or (f"x{leaves}" if node.op is None else f"v{number}")
        leaves += node.op is None


_SKIPPED = (str, bytes, int, float, complex, type(None), type, ModuleType, FunctionType, MethodType,
            np.ndarray, np.generic)
_MOST, _LONGEST, _DEEPEST = 10_000, 1000, 12
"""How many objects are looked into for Tensors, how many parts of each, and how deep."""


def held(thing: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the Tensors in attributes, items and entries: `h.0.attn.qkv.weight`, each once."""
    stack, seen = [(thing, name, 0)], set[int]()
    while stack and len(seen) < _MOST:
        thing, name, depth = stack.pop()
        if isinstance(thing, _SKIPPED) or id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Tensor):
            yield name, thing
        elif depth < _DEEPEST:
            stack += [(x, f"{name}.{key}" if name else str(key), depth + 1)
                      for key, x in reversed(parts(thing))]


def parts(thing: Any) -> list[tuple[Any, Any]]:
    """Return what stands in an object, a list, a tuple or a dictionary, each with its key."""
    if isinstance(thing, (list, tuple)):
        return list(enumerate(thing[:_LONGEST]))
    plain = not isinstance(thing, _SKIPPED) and hasattr(thing, "__dict__")
    entries = thing if isinstance(thing, dict) else vars(thing) if plain else {}
    return list(islice(entries.items(), _LONGEST))


def _names_by_caller(bare: Collection[Node], taken: set[str]) -> dict[Node, str]:
    """Return names for leaves that the caller's variables hold: `w`, or of a model its own name.

    Of several, that of a variable itself, or else of the first that leads to the leaf.
    """
    frame = currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    known = {**frame.f_locals, **frame.f_globals, **frame.f_locals} if frame else {}
    variables = [(name, thing) for name, thing in known.items()
                 if name.isidentifier() and name[0] != "_" and name not in _NOTEBOOK]
    found: dict[Node, str] = {}
    for variable, thing in sorted(variables, key=lambda v: not isinstance(v[1], Tensor)):
        for name, x in held(thing, variable if isinstance(thing, (Tensor, list, tuple)) else ""):
            if (node := x.node) is not None and node in bare and node not in found:
                found[node] = name if name not in taken else f"{variable}.{name}"
                taken.add(found[node])
    return found


_NOTEBOOK = {"In", "Out", "exit", "quit"}  # they lead, a long way round, to all of its variables
_HERE = os.path.dirname(__file__) + os.sep


def kept_by_name(node: Node) -> dict[str, Any]:
    """Return the residuals of a primitive's rules, by the names under which these ask for them."""
    return dict(node.op.residuals(node)) if isinstance(node.op, Primitive) else {}


def arguments(node: Node) -> list[tuple[str, Any]]:
    """Return each array argument's parameter name and value, UNKNOWN where it was not kept."""
    op = node.op
    if not isinstance(op, Op):  # a leaf, or a call under checkpoint
        return [(f"x{i}", UNKNOWN) for i in range(len(node.parents))]
    if isinstance(op, Fused):
        passed = node.kept[1]
    elif op.variadic:
        passed = kept_by_name(node).get(op.variadic, [UNKNOWN] * len(node.parents))
    else:
        have = kept_by_name(node)
        passed = [have.get(name, UNKNOWN) for name in op.arrays]
    names = op.arrays or [f"{op.variadic}[{i}]" for i in range(len(passed))]
    return list(zip(names, passed, strict=True))


def shapes(node: Node) -> list[Shape]:
    """Return the shapes of the arguments; () for constants that the tape does not have."""
    if not isinstance(node.op, Fused) and "shapes" in (have := kept_by_name(node)):
        return list(have["shapes"])
    return [getattr(value, "shape", ()) if parent is None else parent.shape
            for (_, value), parent in zip(arguments(node), node.parents, strict=True)]


def options(node: Node) -> dict[str, Any]:
    """Return the options that the tape has and that are not the defaults."""
    return {name: value for name, value in all_options(node).items()
            if constant_text(value) != constant_text(node.op.defaults[name])}


def all_options(node: Node) -> dict[str, Any]:
    """Return the options that the tape has."""
    if not isinstance(node.op, Op):
        return {}
    if isinstance(node.op, Fused):
        return {**node.op.defaults, **node.kept[2]}
    given = kept_by_name(node)
    return {name: given[name] for name in node.op.defaults if name in given}


def residuals(node: Node) -> list[tuple[str, Any]]:
    """Return the names and values of what the node keeps; a fused op's arguments come first."""
    if not isinstance(node.op, Fused):
        return list(kept_by_name(node).items())
    saved, names = node.kept[0], saved_names(node.kept[3])
    if not isinstance(saved, tuple) or len(names) != len(saved):
        names, saved = [names[0] if len(names) == 1 else "saved"], (saved,)
    return arguments(node) + [pair for pair in zip(names, saved, strict=True)
                              if pair[0] not in node.op.arrays]


def saved_names(rule: Any) -> list[str]:
    """Return what a fused op's rule calls the parts of `saved`: `n, r, w = saved` in its text."""
    if rule is None:
        return []
    name = list(inspect.signature(rule).parameters)[1]
    try:
        tree = ast.parse(dedent(inspect.getsource(rule)))
    except (OSError, SyntaxError):
        return [name]
    for part in ast.walk(tree):
        if isinstance(part, ast.Assign) and getattr(part.value, "id", "") == name:
            return [getattr(x, "id", "_") for x in getattr(part.targets[0], "elts", [])] or [name]
    return [name]


def buffers(value: Any) -> Iterator[Any]:
    """Yield the memory behind the arrays in a residual: of a view, the array that it views."""
    stack = [value]
    while stack:
        x = values(stack.pop())
        if isinstance(x, (tuple, list)):
            stack.extend(x)
        elif isinstance(x, dict):
            stack.extend(x.values())
        elif hasattr(x, "leaves"):  # a call under checkpoint, which keeps its arguments
            stack.extend(x.leaves)
        elif hasattr(x, "nbytes") and hasattr(x, "shape") and not isinstance(x, np.generic):
            while hasattr(getattr(x, "base", None), "nbytes"):
                x = x.base
            yield x


def constant_text(value: Any) -> str:
    """Return a constant in a few characters: numbers, strings and slices as they are written."""
    if isinstance(value, slice):
        ends = ["" if v is None else str(v) for v in (value.start, value.stop)]
        return ":".join([*ends, str(value.step)] if value.step is not None else ends)
    if value is None or isinstance(value, (bool, int, float, str, np.generic)):
        return str(value) if isinstance(value, np.generic) else repr(value)[:40]
    if isinstance(value, (tuple, list)):
        return f"({', '.join(constant_text(v) for v in value)})"[:40]
    if value is Ellipsis:
        return "..."
    return "const" if value is UNKNOWN or hasattr(value, "dtype") else getattr(
        value, "__name__", type(value).__name__)


def amount(size: float, unit: str = "B") -> str:
    """Return a number of bytes (or of what `unit` says) with three digits and a prefix."""
    for prefix in ("", "k", "M", "G", "T"):
        if size < 999.5 or prefix == "T":
            return f"{size:.3g} {prefix}{unit}"
        size /= 1000
    raise AssertionError


def columns(table: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    """Return the lines of a table in columns, those in `right` flush right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.rjust(width) if i in right else cell.ljust(width)
                      for i, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
            for line in table]
