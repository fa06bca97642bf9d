"""Finding the text of derivative rules, and running a changed text in its place.

A rule is found from the function that an op was given: its code names a file and a line, the file
is parsed, and the node there is the rule's, for certain, because compiling it again gives the same
bytecode. A mutant is that node with one fault, compiled. It is planted by exchanging the
function's `__code__`, so that all that refers to the function runs it: ops that share a helper,
aliases, tables. Helpers that a rule calls are found through the names in its code, and are changed
as rules are.
"""

from __future__ import annotations
import __future__

import ast
import functools
import hashlib
import linecache
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from ...fused import Fused
from ...primitive import Op, Primitive, registry
from .faults import Fault, Slot, faults

_FUTURE = functools.reduce(int.__or__, (getattr(__future__, name).compiler_flag
                                        for name in __future__.all_feature_names))


@dataclass
class Unit:
    """A piece of derivative code: a rule, or a helper, with the ops whose gradients run it."""

    name: str
    functions: list[FunctionType]
    ops: list[str]
    why_not: str = ""
    plain: bool = False
    """Whether it is the plain pair's, of an op that has twins: tried inside `plain_ops()`."""
    caches: list[Any] = field(default_factory=list)
    mutants: list[Mutant] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The file and line of the code, for people."""
        if not self.functions:
            return ""
        code = self.functions[0].__code__
        return f"{short_path(code.co_filename)}:{code.co_firstlineno}"


@dataclass(frozen=True)
class Mutant:
    """A unit's code with one fault in it."""

    unit: str
    category: str
    diff: str
    place: str
    code: CodeType

    @property
    def id(self) -> str:
        """Eight characters that stay the same as long as the unit and the change do."""
        return hashlib.sha1(f"{self.unit}: {self.diff}".encode()).hexdigest()[:8]


def short_path(filename: str) -> str:
    """Return a path relative to here, where it lies below."""
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def find_units() -> list[Unit]:
    """Return every rule in the registry, then every helper that a rule reaches, each once.

    A helper that the forward pass of an op reaches too is left out: the op's values, which are
    held against its oracle, show its faults.
    """
    found: dict[Any, Unit] = {}
    helpers: dict[Any, Unit] = {}
    with_rules = [op for op in registry.values() if isinstance(op, (Primitive, Fused))]
    forwards = [f for op in registry.values() for f in _forwards(op)]
    homes = {_package(f) for op in with_rules for f in _forwards(op)}
    forward = {id(helper) for f in forwards for helper, _ in _reached(f, homes)}
    for name, op in registry.items():
        for label, rule in _rules(name, op):
            function, caches = _python_function(rule)
            unit = _entered(found, label, function, caches, name)
            unit.plain |= isinstance(op, Fused) and bool(op.twins) and label == name
            if function is None:
                unit.why_not = _why_not(rule)
            elif not label.endswith(" reference"):
                for helper, more in _reached(function, homes | {_package(function)}):
                    where = helper.__module__.rpartition(".")[2]
                    if id(helper) not in forward:
                        _entered(helpers, f"{where}.{helper.__qualname__}", helper, more, name,
                                 unit.plain)
    units = [*found.values(), *(unit for key, unit in helpers.items() if key not in found)]
    for unit in units:
        for function in unit.functions:
            _source(function)  # now, before an editor changes it
    return units


def _package(function: FunctionType) -> str:
    """Return the package of a function's module, or its module where that stands alone.

    The engine's own modules stand alone, too: its functions are no part of the rule that calls
    them, and a fault in the sweep would spoil the records that other mutants are tried on.
    """
    package = function.__module__.rpartition(".")[0]
    return function.__module__ if package in ("", _ENGINE) else package


_ENGINE = __name__.partition(".")[0]


def _forwards(op: Op) -> list[FunctionType]:
    """Return the functions that an op may compute with."""
    twins = [forward for forward, _ in op.twins.values()] if isinstance(op, Fused) else []
    return [f for f in (op.forward, *twins) if isinstance(f, FunctionType)]


def _rules(name: str, op: Op) -> Iterator[tuple[str, Any]]:
    if isinstance(op, Fused):
        if op.rule is not None:
            yield name, op.rule
        yield from ((f"{name} {library}", backward) for library, (_, backward) in op.twins.items())
        yield f"{name} reference", op.reference
    elif isinstance(op, Primitive):
        for i, rule in enumerate(op.rules):
            if rule is not None:
                yield name if len(op.rules) == 1 else f"{name}[{op.arrays[i]}]", rule.function


def _entered(found: dict[Any, Unit], label: str, function: FunctionType | None, caches: list[Any],
             op: str, plain: bool = False) -> Unit:
    key = id(function.__code__) if function is not None else label
    unit = found.setdefault(key, Unit(label, [], [], plain=plain))
    if op not in unit.ops:
        unit.ops.append(op)
    if function is not None and not any(function is f for f in unit.functions):
        unit.functions.append(function)
        unit.caches += caches
    return unit


def _python_function(rule: Any) -> tuple[FunctionType | None, list[Any]]:
    """Return the Python function inside of partials, methods and wrappers; caches on the way."""
    caches = []
    while not isinstance(rule, FunctionType):
        if hasattr(rule, "cache_clear"):
            caches.append(rule)
        if isinstance(rule, Op):
            return None, []
        if isinstance(rule, functools.partial):
            rule = rule.func
        elif isinstance(rule, MethodType):
            rule = rule.__func__
        elif hasattr(rule, "__wrapped__"):
            rule = rule.__wrapped__
        elif isinstance(vars(type(rule)).get("__call__"), FunctionType):
            rule = vars(type(rule))["__call__"]
        else:
            return None, []
    inner = getattr(rule, "__wrapped__", None)
    return (inner if isinstance(inner, FunctionType) else rule), caches


def _why_not(rule: Any) -> str:
    if isinstance(rule, Op):
        return f"the rule is the op {rule.name} itself"
    return f"the rule is a {type(rule).__name__}, not a Python function"


def _reached(function: FunctionType, homes: set[str]) -> list[tuple[FunctionType, list[Any]]]:
    """Return the helpers in these packages that a function's code names, and those they name."""
    seen: dict[int, tuple[FunctionType, list[Any]]] = {}
    stack = [function]
    while stack:
        for value in _named(stack.pop()):
            helper, caches = (None, []) if isinstance(value, type) else _python_function(value)
            if helper is not None and _package(helper) in homes and helper is not function and (
                    id(helper) not in seen):
                seen[id(helper)] = helper, caches
                stack.append(helper)
    return list(seen.values())


def _named(function: FunctionType) -> Iterator[Any]:
    """Yield what a function's code may call: globals, members of modules, closure, defaults."""
    names = [n for code in _codes(function.__code__) for n in code.co_names]
    values = [function.__globals__[n] for n in names if n in function.__globals__]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not bound yet
            continue
    values += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for value in values:
        if isinstance(value, ModuleType):
            yield from (vars(value)[n] for n in names if n in vars(value))
        elif isinstance(value, (tuple, list)):
            yield from (v for v in value if callable(v))
        elif isinstance(value, dict):
            yield from (v for v in value.values() if callable(v))
        elif callable(value):
            yield value


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


# the text of a function

@functools.cache
def _parsed(filename: str, source: str) -> ast.Module:
    return ast.parse(source, filename)


def _source(function: FunctionType) -> str:
    return "".join(linecache.getlines(function.__code__.co_filename, function.__globals__))


def _node_of(function: FunctionType) -> Any:
    """Return the node of a function's definition; ValueError says why there is none."""
    code = function.__code__
    source = _source(function)
    if not source:
        raise ValueError("its source is not to be found")
    try:
        tree = _parsed(code.co_filename, source)
    except SyntaxError as error:
        raise ValueError(f"its source does not parse: {error}") from error
    same = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)) and _starts(node) == code.co_firstlineno:
            again = _compiled(node, function)
            if again is not None and _shape(again) == _shape(code):
                if list(again.co_positions()) == list(code.co_positions()):
                    return node
                same.append(node)
    if len(same) == 1:
        return same[0]
    raise ValueError("its source has changed since it was imported" if not same else
                     "several functions alike stand on its line")


def _starts(node: Any) -> int:
    lines: list[int] = [node.lineno, *[d.lineno for d in getattr(node, "decorator_list", [])]]
    return min(lines)


@functools.cache
def _imports(filename: str, source: str) -> list[ast.stmt]:
    """Return a module's imports: of `m.f(x)` Python makes other code where m was imported."""
    found: list[ast.stmt] = []
    stack = list(reversed(_parsed(filename, source).body))
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.append(node)
        elif isinstance(node, (ast.If, ast.Try)):
            stack += reversed([*node.body, *node.orelse])
    return found


def _compiled(node: Any, function: FunctionType) -> CodeType | None:
    """Return the code of a definition as it would be in the function's own scope."""
    old = function.__code__
    statement = node if isinstance(node, ast.stmt) else ast.Expr(node)
    imports = _imports(old.co_filename, _source(function))
    body = ast.Module([*imports, statement], [])
    if old.co_freevars:
        names = [ast.arg(name) for name in old.co_freevars]
        scope = ast.FunctionDef("scope", ast.arguments([], names, None, [], [], None, []),
                                [statement], [])
        body = ast.Module([*imports, scope], [])
    ast.fix_missing_locations(body)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fault may be nonsense even to the compiler
        outer = compile(body, old.co_filename, "exec", flags=old.co_flags & _FUTURE,
                        dont_inherit=True)
    name = getattr(node, "name", "<lambda>")
    if old.co_freevars:
        outer = next(c for c in outer.co_consts if isinstance(c, CodeType))
    inside = [c for c in outer.co_consts if isinstance(c, CodeType) and c.co_name == name]
    return inside[-1].replace(co_qualname=old.co_qualname) if inside else None


def _shape(code: CodeType) -> Any:
    """Return what two codes have in common if they do the same."""
    constants = [_shape(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars


# its mutants

def mutate(unit: Unit) -> None:
    """Fill in the unit's mutants, or why it has none."""
    if unit.mutants or unit.why_not:
        return
    function = unit.functions[0]
    try:
        node = _node_of(function)
    except ValueError as error:
        unit.why_not = str(error)
        return
    options = {"shape", "shapes", "wanted", "axis", "axes", "keepdims", "self"}
    for name in unit.ops:
        options |= set(registry[name].defaults)
    seen, diffs = {ast.unparse(node)}, Counter[str]()
    for fault in faults(node, options, function.__globals__):
        mutant = _mutant(unit, node, fault, seen, diffs)
        if mutant is not None:
            unit.mutants.append(mutant)
    if not unit.mutants:
        unit.why_not = "no fault applies to it"


def _mutant(unit: Unit, root: Any, fault: Fault, seen: set[str],
            diffs: Counter[str]) -> Mutant | None:
    slot, function = fault.path[-1], unit.functions[0]
    old, wide = slot.value, _widest(fault.path)
    before = ast.unparse(wide.value)
    for node in ast.walk(fault.new):
        if not hasattr(node, "lineno"):
            ast.copy_location(node, old)
    slot.put(fault.new)
    try:
        text, after = ast.unparse(root), ast.unparse(wide.value)
        if text in seen:
            return None
        seen.add(text)
        code = _with_free_variables(root, function)
    except (SyntaxError, ValueError):
        return None
    finally:
        slot.put(old)
    if code is None or _shape(code) == _shape(function.__code__):
        return None
    diff = _counted(f"{_one_line(before)}  ->  {_one_line(after)}", diffs)
    where = f"{short_path(function.__code__.co_filename)}:{old.lineno}:{old.col_offset + 1}"
    return Mutant(unit.name, fault.category, diff, where, code)


def _counted(diff: str, diffs: Counter[str]) -> str:
    """Return the change; with a number where the unit has had the same one before."""
    diffs[diff] += 1
    return diff + (f"  ({diffs[diff]})" if diffs[diff] > 1 else "")


def _widest(path: Sequence[Slot]) -> Slot:
    """Return the largest piece around a fault that is still readable in one line."""
    shown = path[-1]
    for place in reversed(path):
        node = place.value
        if isinstance(node, (ast.keyword, ast.comprehension)):
            continue
        if not isinstance(node, (ast.expr, ast.Assign, ast.AugAssign, ast.Return, ast.Expr)):
            break
        if len(ast.unparse(node)) > 70 and place is not path[-1]:
            break
        shown = place
    return shown


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _with_free_variables(root: Any, function: FunctionType) -> CodeType | None:
    """Compile a mutant; a closure variable that it no longer uses is named all the same."""
    code = _compiled(root, function)
    if code is None or code.co_freevars == function.__code__.co_freevars:
        return code
    names: list[ast.expr] = [ast.Name(n, ast.Load()) for n in function.__code__.co_freevars]
    body = root.body
    try:
        if isinstance(root, ast.Lambda):
            whole = ast.Tuple([body, *names], ast.Load())
            root.body = ast.Subscript(whole, ast.Constant(0), ast.Load())
        else:
            root.body = [ast.Expr(ast.Tuple(names, ast.Load())), *body]
        return _compiled(root, function)
    finally:
        root.body = body


@contextmanager
def planted(unit: Unit, mutant: Mutant) -> Iterator[None]:
    """Run a mutant in the place of its unit; the unit itself is back afterwards, in any case."""
    codes = [function.__code__ for function in unit.functions]
    try:
        _exchange(unit, [mutant.code] * len(codes))
        yield
    finally:
        _exchange(unit, codes)


def _exchange(unit: Unit, codes: Sequence[CodeType]) -> None:
    for function, code in zip(unit.functions, codes, strict=True):
        function.__code__ = code
    for cached in unit.caches:
        cached.cache_clear()
