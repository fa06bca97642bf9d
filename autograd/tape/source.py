"""Python source: of a value that it brings back exactly, of an op, of its rules."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from importlib.machinery import PathFinder
from linecache import getlines
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from ..primitive import Primitive

__all__ = ["LARGEST", "exact_literal", "rules", "source", "source_of", "written_out"]

LARGEST = 2000
"""How many numbers a file may hold."""


def exact_literal(x: Any) -> str:
    """Return source that evaluates to x, exactly; raises ValueError where there is none."""
    if isinstance(x, (np.ndarray, np.generic)):
        numbers = _numbers(x)
        flat = numbers.ravel().tolist()
        if not flat or (len(flat) > 3 and len(set(map(repr, flat))) == 1):
            return f'np.full({x.shape}, {(flat or [0])[0]!r}, dtype="{x.dtype}")'
        usual = x.dtype.name in ("float64", "int64", "bool")
        return f"np.array({numbers.tolist()!r}" + (")" if usual else f', dtype="{x.dtype}")')
    if isinstance(x, np.dtype):
        return f'np.dtype("{x}")'
    if isinstance(x, type) and x.__module__ in ("numpy", "builtins"):
        return f"np.{x.__name__}" if x.__module__ == "numpy" else x.__name__
    if isinstance(x, (tuple, list)):
        inside = ", ".join(map(exact_literal, x))
        return f"[{inside}]" if isinstance(x, list) else f"({inside}{',' * (len(x) == 1)})"
    if isinstance(x, slice):
        return f"slice({exact_literal(x.start)}, {exact_literal(x.stop)}, {exact_literal(x.step)})"
    if x is None or x is Ellipsis or isinstance(x, (bool, int, float, str)):
        return repr(x)
    raise ValueError(f"an argument of type {type(x).__name__} cannot be written as source")


def _numbers(x: Any) -> Any:
    """Return x, short floats as doubles of few digits that round to them: 0.1 for float32's."""
    if x.dtype.itemsize >= 8 or x.dtype.kind in "biu" or not x.size:
        return x
    short = np.array([float(str(v)) for v in x.ravel()]).reshape(x.shape)
    same = np.array_equal(short.astype(x.dtype).view(f"u{x.itemsize}"), x.view(f"u{x.itemsize}"))
    return short if same else x


def source_of(op: Any, wanted: set[str]) -> tuple[list[str], str]:
    """Return the lines that bring the op and `wanted` of autograd into a file, and its name."""
    for module in ("autograd", op.forward.__module__):
        own = _names_of(module)
        name = next((n for n in (op.name, *own) if own.get(n) is op), None)
        if name and PathFinder.find_spec(module.partition(".")[0]) and module != "__main__":
            lines = [] if module == "autograd" else [f"from {module} import {name}"]
            wanted = {*wanted, name} if module == "autograd" else wanted
            return [*_imports(wanted), *lines], name
    return _embedded(op, wanted), op.forward.__name__


def _names_of(module: str) -> dict[str, Any]:
    """Return what a module that was imported offers, autograd itself among them."""
    return getattr(sys.modules.get(module), "__dict__", {})


def _imports(names: set[str]) -> list[str]:
    return [f"from autograd import {', '.join(sorted(names))}"] if names else []


def _embedded(op: Any, wanted: set[str]) -> list[str]:
    """Return the source of an op that cannot be imported, with the imports that it asks for."""
    functions = [getattr(op, "reference", None), op.forward, getattr(op, "rule", None),
                 *(rule and rule.function for rule in getattr(op, "rules", ()))]
    functions = [function for function in functions if function is not None]
    sources = dict.fromkeys(textwrap.dedent(inspect.getsource(f)) for f in functions)
    used = {n.id for s in sources for n in ast.walk(ast.parse(s)) if isinstance(n, ast.Name)}
    lines, public = [], _names_of("autograd")
    for name in sorted(used - {f.__name__ for f in functions} - {"np"}):
        thing = op.forward.__globals__.get(name)
        if isinstance(thing, ModuleType):
            lines.append(f"import {thing.__name__} as {name}")
        elif thing is not None and public.get(name) is thing:
            wanted = {*wanted, name}
        elif not hasattr(builtins, name) and name not in _parameters(functions):
            lines.append(f"# to be brought in by you: {name}")
    return [*_imports(wanted), *lines, *("\n\n" + source.rstrip() for source in sources)]


def _parameters(functions: list[Any]) -> set[str]:
    return {name for f in functions for name in f.__code__.co_varnames}


def rules(op: Primitive) -> str:
    """Return the text of the statements in which an op's rules are written."""
    return "\n\n".join(dict.fromkeys(source(rule.function) for rule in op.rules if rule))


def source(function: Callable[..., Any]) -> str:
    """Return the statement that a function is written in, for a lambda the whole of it.

    A docstring of more than a line, or with maths, is left out: it is shown beside the source.
    """
    function = inspect.unwrap(function)
    try:
        lines, statements = _parsed("".join(getlines(function.__code__.co_filename)))
    except (SyntaxError, AttributeError):
        return "(its source is not at hand)"
    if not lines:
        return "(its source is not at hand)"
    line = function.__code__.co_firstlineno
    around = [s for s in statements if _span(s)[0] <= line <= _span(s)[1]]
    if not around:
        return textwrap.dedent(lines[line - 1])
    first, last = _span(found := min(around, key=lambda s: _span(s)[1] - _span(s)[0]))
    text = lines[first - 1 : last]
    own = ast.get_docstring(found) or "" if isinstance(found, ast.FunctionDef) else ""
    if isinstance(found, ast.FunctionDef) and len(found.body) > 1 and ("\n" in own or "$" in own):
        start, end = _span(found.body[0])
        del text[start - first : end - first + 1]
    return textwrap.dedent("\n".join(text))


def _span(statement: ast.stmt) -> tuple[int, int]:
    """Return the first and the last line of a statement, with what decorates it."""
    decorators = [d.lineno for d in getattr(statement, "decorator_list", [])]
    return min([statement.lineno, *decorators]), statement.end_lineno or statement.lineno


@cache
def _parsed(text: str) -> tuple[list[str], list[ast.stmt]]:
    return text.splitlines(), [part for part in ast.walk(ast.parse(text))
                               if isinstance(part, ast.stmt)]


def written_out(thing: Any, name: str) -> list[str]:
    """Return lines that define a local function or op, with all that it uses, under this name.

    Raises ValueError where a part of it cannot be written as source.
    """
    lines: list[str] = []
    _bring(thing, name, lines, {})
    return list(dict.fromkeys(lines))


def _bring(thing: Any, name: str, lines: list[str], done: dict[str, Any]) -> None:
    if name in done:
        if done[name] is not thing:
            raise ValueError(f"{name} is the name of two things")
        return
    done[name] = thing
    if isinstance(thing, ModuleType):
        lines.append(f"import {thing.__name__} as {name}")
    elif _names_of("autograd").get(name) is thing:
        lines.append(f"from autograd import {name}")
    elif isinstance(thing, Primitive):
        parts = [thing.forward, *(rule.function for rule in thing.rules if rule)]
        names = [f"{name}_forward", *(f"{name}_rule{i}" for i in range(1, len(parts)))]
        for part, of_part in zip(parts, names, strict=True):
            _bring(part, of_part, lines, done)
        given = iter(names[1:])
        rules_given = ", ".join(next(given) if rule else "None" for rule in thing.rules)
        lines += ["from autograd import primitive", f"{name} = primitive({names[0]})",
                  f"{name}.vjp({rules_given})"]
    elif isinstance(thing, FunctionType):
        for inner, value in _used(thing):
            if value is not thing:
                _bring(value, inner, lines, done)
        lines += _definition(thing, name)
    elif isinstance(thing, type) or not hasattr(thing, "__qualname__"):
        literal = exact_literal(thing)
        lines += ["from numpy import inf, nan"] * any(word in literal for word in ("inf", "nan"))
        lines += ["import numpy as np"] * ("np." in literal) + [f"{name} = {literal}"]
    else:
        raise ValueError(f"{name} cannot be written as source")


def _used(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the names that a function's code asks for outside of it, and what they stand for."""
    known = inspect.getclosurevars(function)
    yield from {**known.globals, **known.nonlocals}.items()


def _bare(node: ast.FunctionDef, text: str) -> str:
    """Return the source of a definition without decorators, and without what annotates it."""
    arguments = [a for a in ast.walk(node.args) if isinstance(a, ast.arg)]
    if not node.returns and not any(a.annotation for a in arguments):
        return textwrap.dedent("\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno]))
    for a in arguments:
        a.annotation = None
    node.returns, node.decorator_list = None, []
    return ast.unparse(node)


def _definition(function: FunctionType, name: str) -> list[str]:
    """Return the lines of a function's own definition, without decorators."""
    text = "".join(getlines(function.__code__.co_filename))
    line, found = function.__code__.co_firstlineno, []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name == function.__name__ and (
                _span(node)[0] == line):
            alias = [f"{name} = {node.name}"] * (name != node.name)
            return ["\n".join([_bare(node, text), *alias])]
        if isinstance(node, ast.Lambda) and node.lineno == line and (
                [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
                == list(function.__code__.co_varnames[: function.__code__.co_argcount])):
            found.append(ast.unparse(node))
    if len(set(found)) != 1:
        raise ValueError(f"the source of {name} is not to be found")
    return [f"{name} = {found[0]}"]
