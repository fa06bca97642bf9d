"""The options of an op, and values to try them with: read from its signature and its code.

An option's annotation says it best: `bool`, `Literal["mean", "sum"]`, an Enum, `int`, `float`, or a
union of these. Without one the type of its default counts; and for an axis, its name. To these are
added the constants that the op or its rules compare the option with, as in `mode == "mean"`, and
numbers beside them. A value that the op refuses is left out, unless the caller asked for it.
"""

from __future__ import annotations

import ast
import enum
import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["is_strategy", "option_parameters", "values_to_try"]

_AXES = {"axis", "axes", "dim", "dims", "axis1", "axis2"}
_MOST = 10
_LARGEST = 100  # a larger number may ask for any amount of memory


def values_to_try(op: Any) -> dict[str, list[Any]]:
    """Return by name the values to try for each option of an op or function, its default first.

    >>> def f(x, /, *, axis=None, keepdims: bool = False, scale: float = 3.0): ...
    >>> values_to_try(f)["axis"]
    [None, 0, -1, 1, (0, 1)]
    >>> values_to_try(f)["keepdims"], values_to_try(f)["scale"]
    ([False, True], [3.0, 0.5, 1.5, 2.0])
    """
    functions = list(_functions(op))
    return {p.name: _distinct([*_default(p), *_by_type(p), *_compared(functions, p.name)])
            for p in option_parameters(op)}


def option_parameters(op: Any) -> list[inspect.Parameter]:
    """Return the parameters of an op, or of any function, that are not arrays."""
    found = list(_signature(getattr(op, "forward", op)).parameters.values())
    if hasattr(op, "defaults"):
        return [p for p in found if p.name in op.defaults]
    return [p for p in found if p.kind is p.KEYWORD_ONLY or
            (p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty)]


def is_strategy(x: Any) -> bool:
    """Whether x draws values; Hypothesis is not imported to find out."""
    return any(kind.__name__ == "SearchStrategy" and kind.__module__.startswith("hypothesis.")
               for kind in type(x).__mro__)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature, its annotations evaluated where they can be."""
    try:
        return inspect.signature(function, eval_str=True)
    except Exception:  # a name that is imported for type checkers alone
        return inspect.signature(function)


def _functions(op: Any) -> Iterator[Callable[..., Any]]:
    """Yield the functions whose code may ask for the value of an option."""
    yield from (f for f in (getattr(op, "forward", op), getattr(op, "reference", None),
                            getattr(op, "rule", None)) if f is not None)
    yield from (rule.function for rule in getattr(op, "rules", ()) if rule is not None)


def _default(p: inspect.Parameter) -> list[Any]:
    return [] if p.default is p.empty else [p.default]


def _by_type(p: inspect.Parameter) -> Iterator[Any]:
    given = p.annotation if p.annotation not in (p.empty, Any) else None
    wanted = {"bool": bool, "int": int, "float": float}.get(given, given) if isinstance(
        given, str) else given
    if p.name in _AXES and wanted is not int:
        yield from (*(() if p.default is not None and p.default is not p.empty else (None,)),
                    0, -1, 1, (0, 1))
    elif wanted is None and p.default is not p.empty:
        yield from _of(type(p.default), p.default)
    else:
        yield from _of(wanted, p.default)


def _of(kind: Any, default: Any) -> Iterator[Any]:
    """Yield values of a type: truth values, all alternatives, or numbers of the default's sign."""
    if typing.get_origin(kind) is typing.Literal:
        yield from typing.get_args(kind)
    elif typing.get_origin(kind) in (typing.Union, types.UnionType):
        for part in typing.get_args(kind):
            yield from _of(part, default)
    elif kind is bool:
        yield from (False, True)
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        yield from kind
    elif kind is int:
        known = isinstance(default, int) and not isinstance(default, bool)
        yield from ((1, 2, 3) if not known or default > 0 else (0, 1, -1, 2, -2))
    elif kind is float:  # multiples of 1/2: where kinks lie, inputs do not
        sign = -1 if isinstance(default, (int, float)) and default < 0 else 1
        yield from (sign * 0.5, sign * 1.5, sign * 2.0)
        if default == 0:
            yield -0.5


def _compared(functions: list[Callable[..., Any]], name: str) -> Iterator[Any]:
    """Yield the constants that code compares a name with, and the numbers beside them."""
    for function in functions:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        except (OSError, TypeError, SyntaxError):  # no file, or a lambda within a statement
            continue
        for node in ast.walk(tree):
            for value in _constants_beside(node, name):
                yield value
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    yield from (value + 1, value - 1)


def _constants_beside(node: ast.AST, name: str) -> Iterator[Any]:
    def is_it(x: Any) -> bool:
        return isinstance(x, ast.Name) and x.id == name

    sides: list[Any] = []
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        sides = sides if any(map(is_it, sides)) else []
    elif isinstance(node, ast.Match) and is_it(node.subject):
        sides = [part.value for case in node.cases for part in ast.walk(case.pattern)
                 if isinstance(part, ast.MatchValue)]
    elif isinstance(node, ast.Subscript) and is_it(node.slice) and isinstance(node.value, ast.Dict):
        sides = list(node.value.keys)
    for side in sides:
        for part in getattr(side, "elts", [side]):
            value = part.value if isinstance(part, ast.Constant) else None
            if isinstance(value, str) or (isinstance(value, (int, float))
                                          and abs(value) <= _LARGEST):
                yield value


def _distinct(values: list[Any]) -> list[Any]:
    return list({(type(v), repr(v)): v for v in values}.values())[:_MOST]
