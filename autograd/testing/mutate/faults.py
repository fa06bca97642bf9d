"""The faults: for each place in the text of a rule, mistakes that a tired author might make there.

A fault replaces one expression or statement of a function's syntax tree. Which faults apply is
decided by the node alone; whether the result still runs is for the checks to find out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple


class Fault(NamedTuple):
    """One fault: its kind, where it is, and what stands there instead."""

    category: str
    path: tuple[Slot, ...]
    new: ast.AST


class Slot(NamedTuple):
    """A field of a node of the tree, or one element of it."""

    node: Any
    field: str
    at: int | None = None

    @property
    def value(self) -> Any:
        """The node or list that stands there."""
        found = getattr(self.node, self.field)
        return found if self.at is None else found[self.at]

    def put(self, value: Any) -> None:
        """Put another there."""
        if self.at is None:
            setattr(self.node, self.field, value)
        else:
            getattr(self.node, self.field)[self.at] = value


CONVERSIONS = {"namespace", "values", "tuple", "list", "int", "float", "bool", "len", "range",
               "zip", "enumerate", "isinstance", "set", "dict", "slice", "iter", "next", "getattr",
               "hasattr", "type", "astype", "ascontiguousarray", "asarray", "sorted", "callable",
               "issubclass", "result_type", "errstate", "finfo"}
COMMUTATIVE = {"add", "multiply", "equal", "not_equal", "maximum", "minimum", "hypot", "isinstance",
               "logical_and", "logical_or", "logical_xor", "logaddexp", "min", "max", "zip",
               "broadcast_shapes", "result_type", "isclose"}
TRANSPOSING = {"swapaxes", "transpose", "moveaxis", "rollaxis", "matrix_transpose", "flip", "roll",
               "permute_dims", "conj", "flipud", "fliplr"}
REDUCING = {"sum", "mean", "prod", "max", "min", "sum_to", "spread", "broadcast_to", "any", "all",
            "cumsum", "cumprod", "trace", "logsumexp", "einsum", "expand_dims", "squeeze"}
PREDICATES = {"all", "any", "isinstance", "hasattr", "callable", "equal", "not_equal", "greater",
              "less", "greater_equal", "less_equal", "isnan", "isfinite", "isinf", "logical_and",
              "logical_or", "logical_not", "issubclass"}
DIVERGING = {"log", "log2", "log10", "log1p", "sqrt", "absolute", "reciprocal", "power", "divide"}
INDIFFERENT = {"dtype", "optimize", "out", "strict", "copy", "casting", "order", "stacklevel",
               "subok", "precision"}
TWINS = [("sin", "cos"), ("sinh", "cosh"), ("maximum", "minimum"), ("max", "min"), ("exp", "log"),
         ("argmax", "argmin"), ("triu", "tril"), ("any", "all"), ("floor", "ceil"),
         ("zeros", "ones"), ("zeros_like", "ones_like"), ("sum", "mean"), ("logical_and",
         "logical_or"), ("isposinf", "isneginf"), ("exp", "expm1"), ("log", "log1p")]
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE), ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,)}
OPERATORS: dict[type[ast.operator], tuple[str, type[ast.operator]]] = {
    ast.Add: ("sign", ast.Sub), ast.Sub: ("sign", ast.Add), ast.Mult: ("factor", ast.Div),
    ast.Div: ("factor", ast.Mult), ast.FloorDiv: ("factor", ast.Mult),
    ast.Mod: ("factor", ast.FloorDiv), ast.Pow: ("factor", ast.Mult),
    ast.BitAnd: ("branch", ast.BitOr), ast.BitOr: ("branch", ast.BitAnd)}


def faults(root: Any, options: set[str], known: dict[str, Any]) -> Iterator[Fault]:
    """Yield the faults of a function's tree.

    `options` are the names of its metadata, which are not mistaken for arrays; `known` are the
    global names it can use.
    """
    bound = _bound(root)
    context = Context(root, bound, options, known)
    for path in _slots(root):
        node = path[-1].value
        if isinstance(node, ast.stmt):
            found = _of_statement(node, context)
        else:
            found = _of_expression(node, path, context)
        for category, new in found:
            yield Fault(category, path, new)


class Context(NamedTuple):
    """The function around a fault: its tree, its names, its options."""

    root: Any
    bound: dict[str, int]
    options: set[str]
    known: dict[str, Any]

    def is_module(self, node: ast.AST) -> bool:
        """Whether an expression is a module, as far as its text shows."""
        if isinstance(node, ast.Name):
            return node.id in ("xp", "np") or isinstance(self.known.get(node.id), ModuleType)
        return isinstance(node, ast.Call) and name_of(node) == "namespace"


def _bound(root: Any) -> dict[str, int]:
    """Return the names that the function binds, with the line where each is bound first."""
    names = {a.arg: 0 for a in ast.walk(root.args) if isinstance(a, ast.arg)}
    for node in ast.walk(root):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, node.lineno)
    return names


def _slots(root: Any) -> Iterator[tuple[Slot, ...]]:
    """Yield every statement and expression of the body, as the path to it."""
    body = root.body if isinstance(root.body, list) else None
    if body is None:
        yield from _below((Slot(root, "body"),))
        return
    for i, statement in enumerate(body):
        docstring = i == 0 and isinstance(statement, ast.Expr) and isinstance(
            statement.value, ast.Constant)
        if not docstring:
            yield from _below((Slot(root, "body", i),))


def _below(path: tuple[Slot, ...]) -> Iterator[tuple[Slot, ...]]:
    node = path[-1].value
    if not isinstance(node, (ast.stmt, ast.expr, ast.comprehension, ast.keyword)):
        return
    if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr)) or _only_names_library(node):
        return
    if isinstance(node, ast.keyword) and node.arg in INDIFFERENT:
        return
    skipped: tuple[str, ...] = ("annotation", "args", "decorator_list", "returns")
    guard = isinstance(node, ast.If) and all(isinstance(s, ast.Raise) for s in node.body)
    if isinstance(node, (ast.stmt, ast.expr)) and not guard:
        yield path
    if isinstance(node, (ast.If, ast.IfExp)) and _asks_for_library(node.test):
        skipped = ("test", "body")  # never run with NumPy
    for field, value in ast.iter_fields(node):
        if (field in skipped and not isinstance(node, ast.Call)) or (guard and field != "orelse"):
            continue
        if isinstance(value, list):
            for i in range(len(value)):
                yield from _below((*path, Slot(node, field, i)))
        elif isinstance(value, ast.AST):
            yield from _below((*path, Slot(node, field)))


def _asks_for_library(test: ast.AST) -> bool:
    """Whether a condition contains `xp is not np`."""
    return any(isinstance(n, ast.Compare) and isinstance(n.ops[0], ast.IsNot)
               and isinstance(n.comparators[0], ast.Name) and n.comparators[0].id == "np"
               for n in ast.walk(test))


def _only_names_library(node: ast.AST) -> bool:
    """Whether a statement or call only finds out whose array something is."""
    if isinstance(node, ast.Assign):
        return _only_names_library(node.value)
    return isinstance(node, ast.Call) and name_of(node) == "namespace"


def name_of(call: ast.AST) -> str:
    """Return the last name of what is called: `sum` in `sum(x)`, `x.sum()` and `np.sum(x)`."""
    function = call.func if isinstance(call, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


Found = Iterator[tuple[str, ast.AST]]


def _of_statement(node: ast.stmt, context: Context) -> Found:
    if isinstance(node, ast.AugAssign):
        if type(node.op) in OPERATORS:
            category, other = OPERATORS[type(node.op)]
            yield category, ast.AugAssign(node.target, other(), node.value)
        yield "term", ast.Pass()
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield "term", ast.Pass()
    elif isinstance(node, ast.Assign):
        names = [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        plain = all(isinstance(t, (ast.Name, ast.Tuple)) for t in node.targets)
        if not plain or all(context.bound.get(n, 0) < node.lineno for n in names):
            yield "term", ast.Pass()


def _of_expression(node: Any, path: tuple[Slot, ...], context: Context) -> Found:
    if isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)):
        return
    if _is_result(path, context.root):
        yield from _of_result(node)
    if _is_condition(path) and not isinstance(node, (ast.Compare, ast.BoolOp)):
        yield "branch", node.operand if _is_not(node) else ast.UnaryOp(ast.Not(), node)
    specific = _SPECIFIC.get(type(node))
    if specific:
        yield from specific(node, path, context)


def _is_result(path: tuple[Slot, ...], root: Any) -> bool:
    """Whether a place is the whole of what the function returns, or one element of it."""
    for place in reversed(path):
        node = place.node
        if isinstance(node, (ast.Tuple, ast.List)) or (
                isinstance(node, ast.IfExp) and place.field != "test"):
            continue
        return node is root or isinstance(node, ast.Return)
    return False


def _of_result(node: ast.expr) -> Found:
    """Yield faults of a whole gradient."""
    if isinstance(node, (ast.Tuple, ast.List)):
        for i in range(len(node.elts) - 1):
            swapped = [*node.elts[:i], node.elts[i + 1], node.elts[i], *node.elts[i + 2 :]]
            yield "residual", type(node)(swapped, node.ctx)
        return
    shaped = name_of(node) in {"bool", "tuple", "list", "range", "len", "set"} | PREDICATES
    if shaped or isinstance(node, (ast.IfExp, ast.Constant, ast.ListComp, ast.GeneratorExp,
                                   ast.BoolOp, ast.Compare, ast.Starred)):
        return
    if isinstance(node, ast.BinOp) and getattr(node.right, "value", None) == 0:
        return  # g * 0, the rule of a step: all of these are zero too
    if not (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)):
        yield "sign", ast.UnaryOp(ast.USub(), node)
    yield "factor", ast.BinOp(ast.Constant(2), ast.Mult(), node)
    yield "missing", ast.Constant(None)


def _is_condition(path: tuple[Slot, ...]) -> bool:
    node, field = path[-1].node, path[-1].field
    return (isinstance(node, (ast.If, ast.IfExp)) and field == "test") or (
        isinstance(node, ast.comprehension) and field == "ifs")


def _is_not(node: ast.AST) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _of_binary(node: ast.BinOp, path: tuple[Slot, ...], context: Context) -> Found:
    left, right, kind = node.left, node.right, type(node.op)
    if kind in OPERATORS:
        category, other = OPERATORS[kind]
        yield category, ast.BinOp(left, other(), right)
    yield "term", left
    if kind is ast.Sub:
        yield "term", ast.UnaryOp(ast.USub(), right)
    elif kind is ast.Div:
        yield "term", ast.BinOp(ast.Constant(1), ast.Div(), right)
    else:
        yield "term", right
    if kind in (ast.MatMult, ast.Pow):
        yield "transpose", ast.BinOp(right, node.op, left)


def _of_unary(node: ast.UnaryOp, path: tuple[Slot, ...], context: Context) -> Found:
    if isinstance(node.op, ast.USub):
        yield "sign", node.operand
    elif isinstance(node.op, ast.Invert):
        yield "branch", node.operand


def _of_boolean(node: ast.BoolOp, path: tuple[Slot, ...], context: Context) -> Found:
    for i in range(len(node.values)):
        rest = node.values[:i] + node.values[i + 1 :]
        yield "branch", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
    yield "branch", ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)


def _of_compare(node: ast.Compare, path: tuple[Slot, ...], context: Context) -> Found:
    for i, op in enumerate(node.ops):
        for other in COMPARISONS[type(op)]:
            ops = [*node.ops[:i], other(), *node.ops[i + 1 :]]
            yield "comparison", ast.Compare(node.left, ops, node.comparators)


def _of_constant(node: ast.Constant, path: tuple[Slot, ...], context: Context) -> Found:
    value = node.value
    inside = any(isinstance(p.node, ast.Subscript) and p.field == "slice" for p in path)
    inferred = value == 1 and len(path) > 1 and name_of(path[-2].node) == "reshape" and (
        isinstance(path[-1].node, ast.UnaryOp))  # of a size, any negative number says this
    if isinstance(value, bool):
        yield "axis", ast.Constant(not value)
    elif inferred or _is_placeholder(value, path):
        return
    elif isinstance(value, int):
        yield "index" if inside else "factor", ast.Constant(value + 1)
    elif isinstance(value, float):
        yield "factor", ast.Constant(2 * value if value else 1.0)
    elif isinstance(value, str) and re.fullmatch(r"[a-zA-Z.]+(,[a-zA-Z.]+)*->[a-zA-Z.]*", value):
        operands, result = value.split("->")
        yield "transpose", ast.Constant(f"{operands}->{result[::-1]}")
        yield "transpose", ast.Constant(f"{','.join(operands.split(',')[::-1])}->{result}")


def _is_placeholder(value: Any, path: tuple[Slot, ...]) -> bool:
    """Whether a 1 only keeps a function off its pole: `1 / where(zero, 1.0, x)`."""
    if value != 1 or not (len(path) > 1 and name_of(path[-1].node) == "where"):
        return False
    outer = path[-2]
    if isinstance(outer.node, ast.BinOp):
        return (isinstance(outer.node.op, ast.Div) and outer.field == "right") or (
            isinstance(outer.node.op, ast.Pow) and outer.field == "left")
    return name_of(outer.node) in DIVERGING


def _of_name(node: ast.Name, path: tuple[Slot, ...], context: Context) -> Found:
    parent = path[-1].node
    called = isinstance(parent, ast.Call) and path[-1].field == "func"
    if node.id not in context.bound or node.id in context.options or called or (
            _is_condition(path)):  # then it is a flag, and negated
        return
    attribute = parent.attr if isinstance(parent, ast.Attribute) else ""
    if attribute == "dtype" or context.is_module(node):
        return
    names = [n for n, line in context.bound.items() if n not in context.options and
             line < node.lineno and n != node.id and not context.is_module(ast.Name(n))]
    if attribute in ("shape", "ndim", "size") and node.id in ("g", "y"):
        names = [n for n in names if n not in ("g", "y")]
    earlier = list(context.bound).index(node.id)
    names.sort(key=lambda n: abs(list(context.bound).index(n) - earlier))
    for other in names[:3]:
        yield "residual", ast.Name(other, ast.Load())


def _of_attribute(node: ast.Attribute, path: tuple[Slot, ...], context: Context) -> Found:
    if node.attr in ("T", "mT"):
        yield "transpose", node.value


def _of_subscript(node: ast.Subscript, path: tuple[Slot, ...], context: Context) -> Found:
    if not (isinstance(node.value, ast.Name) and node.value.id == "wanted"):
        yield "index", node.value
    for part in ast.walk(node.slice):
        if isinstance(part, ast.Slice):
            for field in ("lower", "upper"):
                bound = getattr(part, field)
                if bound is not None:
                    for other in (None, ast.BinOp(bound, ast.Add(), ast.Constant(1))):
                        changed = _with(node.slice, part, field, other)
                        yield "index", ast.Subscript(node.value, changed, node.ctx)


def _with(tree: Any, part: ast.AST, field: str, new: Any) -> Any:
    """Return a copy of the tree with one field of one of its nodes changed."""
    if tree is part:
        return type(tree)(**{**dict(ast.iter_fields(tree)), field: new})
    if isinstance(tree, list):
        return [_with(t, part, field, new) for t in tree]
    if isinstance(tree, ast.AST):
        return type(tree)(**{k: _with(v, part, field, new) for k, v in ast.iter_fields(tree)})
    return tree


def _of_call(node: ast.Call, path: tuple[Slot, ...], context: Context) -> Found:
    name, args = name_of(node), node.args
    method = isinstance(node.func, ast.Attribute) and not context.is_module(node.func.value)
    plain = not any(isinstance(a, ast.Starred) for a in args)
    if name == "where" and len(args) == 3:
        yield "term", args[1]
        yield "term", args[2]
        yield "branch", ast.Call(node.func, [args[0], args[2], args[1]], node.keywords)
    elif name not in CONVERSIONS and (method or (args and plain)):
        kind = ("transpose" if name in TRANSPOSING else
                "reduction" if name in REDUCING else "call")
        text = len(args) > 1 and isinstance(args[0], ast.Constant)  # einsum's first argument
        yield kind, node.func.value if method else args[text]  # type: ignore[attr-defined]
    if plain and name not in COMMUTATIVE | {"where"}:
        alike = _alike(node, name, method)
        for i in range(len(args) - 1):
            if i == alike:
                continue
            swapped = [*args[:i], args[i + 1], args[i], *args[i + 2 :]]
            yield "residual", ast.Call(node.func, swapped, node.keywords)
    for i, keyword in enumerate(node.keywords):
        if keyword.arg not in INDIFFERENT and keyword.arg is not None:
            rest = node.keywords[:i] + node.keywords[i + 1 :]
            yield "axis", ast.Call(node.func, args, rest)
    yield from _other_function(node, name, context)


def _alike(node: ast.Call, name: str, method: bool) -> int | None:
    """Return the position of an argument that may be exchanged with its right neighbour."""
    if name == "swapaxes":
        return 0 if method else 1
    first = node.args[0] if node.args else None
    if name == "einsum" and isinstance(first, ast.Constant) and isinstance(first.value, str):
        operands = first.value.partition("->")[0].split(",")
        return 1 if len(operands) == 2 and operands[0] == operands[1] else None
    return None


def _other_function(node: ast.Call, name: str, context: Context) -> Found:
    if name in ("equal", "greater", "less", "greater_equal", "less_equal"):
        order = node.args if name == "equal" else node.args[::-1]
        yield "comparison", ast.UnaryOp(ast.Invert(), ast.Call(node.func, order, node.keywords))
    for pair in TWINS:
        if name not in pair:
            continue
        other = pair[1 - pair.index(name)]
        if isinstance(node.func, ast.Attribute):
            function: ast.expr = ast.Attribute(node.func.value, other, ast.Load())
        elif other in context.known:
            function = ast.Name(other, ast.Load())
        else:
            continue
        yield "function", ast.Call(function, node.args, node.keywords)


_SPECIFIC: dict[type, Any] = {
    ast.BinOp: _of_binary, ast.UnaryOp: _of_unary, ast.BoolOp: _of_boolean,
    ast.Compare: _of_compare, ast.Constant: _of_constant, ast.Name: _of_name,
    ast.Attribute: _of_attribute, ast.Subscript: _of_subscript, ast.Call: _of_call,
}
