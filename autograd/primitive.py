"""Ops: an array function, with its derivative written right below it.

    @primitive
    def tanh(x, /):
        return namespace(x).tanh(x)

    @tanh.vjp
    def _(g, y):
        return g * (1 - y * y)

Called with arrays, a primitive is just its function. Called with a Tensor among its arguments it
also records a node. A rule is written with operators and primitives only, so the same text runs
on plain arrays in an ordinary backward pass and on Tensors when that pass is itself recorded, and
can then be differentiated again: written once, any order.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from functools import update_wrapper
from typing import Any, NoReturn

import numpy as np

from .backend import Array, narrowed
from .graph import Node
from .mistakes import plain
from .tensor import STATE, Tensor, recorded, values, watched
from .tree import mapped

registry: dict[str, Op] = {}
"""Every op by name: primitives, fused ops, composites, and functions without a gradient.

Where an op of another module has a name already, the newcomer is found under `module.name`.
"""


class Op(ABC):
    """The base of all ops: a name, a function of arrays, and the layout of its arguments.

    The differentiable arguments are the positional-only parameters of the function, or, where it
    has none, its positional parameters without a default, or its `*args`. All other parameters
    are options: metadata such as an axis, which may also be given by position as NumPy allows.
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        if isinstance(function, Op) or not hasattr(function, "__name__"):
            raise TypeError(f"an op is made of a function that was defined with def or lambda, "
                            f"got {function!r}")
        self.forward = function
        self.forms: dict[str | int, Callable[..., Any]] = {}
        self.name = name or function.__name__
        update_wrapper(self, function)
        self._read_signature(function)
        known = registry.get(self.name)
        taken = known is not None and known.forward.__module__ != function.__module__
        registry[f"{function.__module__}.{self.name}" if taken else self.name] = self

    def _read_signature(self, function: Callable[..., Any]) -> None:
        """Find which parameters are arrays and which are options."""
        kinds, signature = inspect.Parameter, inspect.signature(function)
        parameters = list(signature.parameters.values())
        used = {p.kind for p in parameters}
        if kinds.VAR_KEYWORD in used or used >= {kinds.POSITIONAL_ONLY, kinds.VAR_POSITIONAL}:
            raise TypeError(f"{self.name}: an op's arrays are its positional-only parameters or "
                            f"its *args, not both, and its options have names; got {signature}")
        self.variadic = next((p.name for p in parameters if p.kind is kinds.VAR_POSITIONAL), "")
        arrays = [p for p in parameters if p.kind is kinds.POSITIONAL_ONLY] or [
            p for p in parameters
            if p.kind is kinds.POSITIONAL_OR_KEYWORD and p.default is kinds.empty
        ]
        self.arrays = () if self.variadic else tuple(p.name for p in arrays)
        self.count = -1 if self.variadic else len(arrays)
        # Places of arrays that may be neither None nor left a tuple, as an index may:
        self.required = frozenset(i for i, p in enumerate(arrays) if p.default is kinds.empty
                                  and p.name not in ("index", "indices"))
        self.array_defaults = tuple(p.default for p in arrays if p.default is not kinds.empty)
        # Places of texts beside the arrays, such as the subscripts of einsum:
        self.texts = frozenset(i for i, p in enumerate(parameters) if "str" in str(p.annotation))
        options = [p for p in parameters
                   if p.name not in self.arrays and p.kind is not kinds.VAR_POSITIONAL]
        self.defaults = {p.name: None if p.default is kinds.empty else p.default for p in options}
        self.positional = tuple(p.name for p in options
                                if self.variadic or p.kind is kinds.POSITIONAL_OR_KEYWORD)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> str:
        """Copy and pickle by name, as functions are."""
        return str(getattr(self, "__qualname__", self.name))

    @abstractmethod
    def __call__(self, *args: Any, **options: Any) -> Any:
        """Apply the op."""

    def separate(self, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
        """Return the array arguments alone; put options given by position into `options`."""
        if self.variadic:
            if not args or not isinstance(args[0], (list, tuple)):
                return args
            args, extra = tuple(args[0]), args[1:]
        else:
            args, extra = args[: len(self.arrays)], args[len(self.arrays) :]
            missing = len(self.arrays) - len(args)
            if missing > len(self.array_defaults):
                raise TypeError(f"{self.name}: expected the arguments {', '.join(self.arrays)}, "
                                f"got {len(args)}: {describe(args)}")
            args += self.array_defaults[len(self.array_defaults) - missing :] if missing else ()
        if len(extra) > len(self.positional):
            raise TypeError(
                f"{self.name}: takes {len(self.arrays)} array argument(s) and at most "
                f"{len(self.positional)} option(s) by position {self.positional}, got "
                f"{len(args)} and {len(extra)}; name the options"
            )
        for name, value in zip(self.positional, extra, strict=False):
            if name in options:
                raise TypeError(f"{self.name}: got two values for {name!r}, one by position")
            options[name] = value
        return args

    def form(self, *names: str | int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Give a function of ops for calls with one of these options, or with so many arguments.

        It takes over where an option is neither None nor True, the default of NumPy's `where`.
        """
        def given(function: Callable[..., Any]) -> Callable[..., Any]:
            options = [name for name in names
                       if isinstance(name, str) and name not in self.defaults]
            self.forms |= dict.fromkeys(names, function)
            self.defaults |= dict.fromkeys(options)
            known = inspect.signature(self)
            extra = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None,
                                       annotation="Any") for name in options]
            self.__signature__ = known.replace(parameters=[*known.parameters.values(), *extra])
            return function

        return given

    def form_of(self, options: dict[str, Any]) -> Callable[..., Any] | None:
        """Return the function for a call with these options, where it is not the op's own."""
        for name in self.forms.keys() & options.keys():
            if options[name] is not None and options[name] is not True:  # type: ignore[index]
                return self.forms[name]
        for name in self.forms.keys() & options.keys():
            del options[name]  # type: ignore[arg-type]
        return None

    def take_constants(self, options: dict[str, Any],
                       constants: Collection[str] | None = None) -> None:
        """Put its values in the place of each Tensor in `options`; refuse one with a gradient.

        An op has a derivative by its arrays. What it was given as an option, also within lists,
        tuples and dicts, counts as a constant, and a gradient that is asked for must not be lost.
        With `constants` only the options of these names are looked at.
        """
        for name, value in options.items():
            if value.__class__ in PLAIN or (constants is not None and name not in constants):
                continue
            if not (found := _tensors_in(value)):
                continue
            if STATE.recording and any(tensor.node is not None for tensor in found):
                raise TypeError(f"{self.name}: the option {name} is a constant, and a Tensor in "
                                f"its place would lose its gradient; pass x.detach() or a number, "
                                f"or write the formula in ops to differentiate by it")
            options[name] = mapped(_number_or_array, value)

    def compute(self, function: Callable[..., Any], args: Sequence[Any],
                options: dict[str, Any]) -> Any:
        """Return `function(*args, **options)`; its errors name the op and the arguments' shapes."""
        try:
            return function(*args, **options)
        except WRONG_INPUT as error:
            self.refuse(error, args, options)

    def refuse(self, error: Exception, args: Sequence[Any], options: dict[str, Any]) -> NoReturn:
        """Raise the error with the op's name before it and what the op was given behind it."""
        op, _, message = str(error).partition(": ")
        if op == self.name:
            raise error
        message = message if op in registry else str(error)  # of an op that this one is made of
        kinds = (np.linalg.LinAlgError, np.exceptions.AxisError, IndexError, ValueError)
        kind = next((k for k in kinds if isinstance(error, k)), TypeError)
        raise kind(f"{self.name}: {message}; got {describe(args, options)}") from error

    def checked(self, y: Any, args: Sequence[Any], options: dict[str, Any]) -> Array:
        """Return a result that belongs to Tensors as an array, if it is one of real numbers."""
        if isinstance(y, (bool, int, float, np.generic)):
            y = np.asarray(y)
        if not hasattr(y, "dtype") or isinstance(y, Tensor):
            raise TypeError(f"{self.name}: an op must return an array, got {type(y).__name__}")
        if y.dtype.kind == "c":
            raise TypeError(f"{self.name}: the result is complex, and complex gradients are not "
                            f"supported; got {describe(args, options)}")
        if y.dtype.kind not in "biufV":
            raise TypeError(f"{self.name}: expected arrays of numbers, got {describe(args)}")
        return y

    def accepted(self, arg: Any, position: int, args: Sequence[Any]) -> Any:
        """Return an argument that array libraries take, a list as an array; refuse others."""
        if arg.__class__ is not NumPyArray:
            arg = plain(arg, self.name)
        if type(arg) in (list, tuple) and arg and (self.variadic or position in self.required):
            if not _tensors_in(arg):
                arg = self.compute(np.asarray, (arg,), {})
            elif not self.variadic:
                raise TypeError(f"{self.name}: expected an array or a Tensor, got a "
                                f"{type(arg).__name__} that holds Tensors; join them first, with "
                                f"autograd.stack([...]) or autograd.array([...])")
        numbers = getattr(arg.dtype, "kind", "?") in "fbiucV" if hasattr(arg, "dtype") else (
            isinstance(arg, INDICES) or hasattr(arg, "__array__"))
        if not numbers or (arg is None and (self.variadic or position in self.required)):
            raise TypeError(f"{self.name}: expected arrays or numbers, got {describe(args)}")
        return arg

    @property
    def derivation(self) -> str:
        """The maths of the op and of its derivative: LaTeX between dollars, from its docstring."""
        summary, _, maths = (inspect.getdoc(self.forward) or "").partition("\n\n")
        return maths or summary


INDICES = (int, float, complex, list, tuple, range, slice, type(None), type(Ellipsis))
"""The types that may stand in the place of an array, as they are or as an index."""

NumPyArray, new = np.ndarray, object.__new__

PLAIN = frozenset([int, float, bool, str, type(None), type(Ellipsis), type, slice, np.int64,
                   NumPyArray])
"""Types of options that hold no Tensor, found without a look inside."""

WRONG_INPUT = (TypeError, ValueError, IndexError, AttributeError, OverflowError)
"""The errors that array libraries raise for arguments that do not fit."""


def describe(args: Sequence[Any], options: dict[str, Any] | None = None) -> str:
    """Return the shapes and dtypes of the arguments, for an error message."""
    def one(x: Any) -> str:
        x = values(x)
        if hasattr(x, "shape") and hasattr(x, "dtype") and not isinstance(x, type):
            return f"{x.dtype}{list(x.shape)}"
        text = repr(x)
        return text if len(text) <= 60 else f"{type(x).__name__} {text[:57]}..."

    parts = [one(x) for x in args]
    parts += [f"{name}={one(value)}" for name, value in (options or {}).items()]
    return ", ".join(parts)


class Primitive(Op):
    """An op with derivative rules; made by `@primitive`, its rules given with `.vjp`."""

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(function, name)
        self.rules: tuple[Any, ...] = ()  # of Rule, or None for no derivative
        self.joint = False
        self.output = None if "y" in {*self.arrays, *self.defaults} else "y"

    def vjp(self, *rules: Callable[..., Any] | None) -> Callable[..., Any] | None:
        r"""Give the vector-Jacobian products: from $g = \partial L/\partial y$ to $g^\top J$.

        Either one rule for each array argument (None where there is no derivative), or a single
        rule that returns a tuple with one gradient for each.

        A rule's parameter names are its residuals, and nothing else is kept: `g` is the incoming
        gradient, `y` the output, an argument's name that argument, an option's name that option;
        `shape` is the shape of the first array argument, `shapes` those of all, and `wanted`
        says for which arguments a gradient is asked; `place` is the output in a recorded pass, but
        without its values, which need not be kept (see `ops/kinks.py`). Where an argument or option
        has one of these names itself, it is meant. A rule must not write into g. The engine, not
        the rule, sums over axes along which an argument was broadcast, adds up several uses, and
        skips constants.
        """
        if rules == (None,):
            rules *= max(1, len(self.arrays))
        self.joint = len(rules) == 1 and (bool(self.variadic) or len(self.arrays) > 1)
        if not self.joint and len(rules) != len(self.arrays):
            raise TypeError(
                f"{self.name}: expected one rule, or one for each of {self.arrays}, "
                f"got {len(rules)}"
            )
        self.rules = tuple(rule and Rule(self, rule) for rule in rules)
        return rules[0]

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Apply the op: on arrays plainly, on Tensors with a record of it."""
        if len(args) != self.count:
            if len(args) in self.forms:
                return self.compute(self.forms[len(args)], args, options)
            args = self.separate(args, options)
        if options:
            if self.forms and (form := self.form_of(options)):
                return self.compute(form, args, options)
            self.take_constants(options)
        arrays: list[Any] = []
        parents: list[Node | None] = []
        on_tape = recordable = number = False
        for arg in args:
            if isinstance(arg, Tensor):
                arrays.append(arg.data)
                parents.append(node := arg.node)
                on_tape = True
                if node is not None:
                    recordable = True
            else:
                if arg.__class__ is float:
                    number = True
                else:
                    arg = self.accepted(arg, len(arrays), args)
                arrays.append(arg)
                parents.append(None)
        try:
            y = self.forward(*arrays, **options) if options else self.forward(*arrays)
        except WRONG_INPUT as error:
            self.refuse(error, args, options)
        if not on_tape:
            return y
        if type(y) is not NumPyArray or y.dtype.kind != "f":
            y = self.checked(y, args, options)
            recordable = recordable and y.dtype.kind not in "biu"
        if number and y.dtype.char == "f":  # of bfloat16 and a number, NumPy makes float32
            y = narrowed(y, *arrays)
        result = new(Tensor)
        result.data = y
        if recordable and STATE.recording:
            arrays.append(y)
            kept: list[Any] = []
            for rule, node in zip(self.rules, parents):  # noqa: B905, a joint rule is the only one
                if rule is None or (node is None and not self.joint):
                    kept.append(None)
                elif rule.only_array is not None:
                    kept.append(arrays[rule.only_array])
                else:
                    kept.append(rule.residuals and [
                        self._residual(name, arrays, parents, options) for name in rule.residuals])
            result.node = Node(self, parents, tuple(kept), y.shape, y.dtype)
        else:
            result.node = None
        if watched and STATE.watch is not None:
            STATE.watch.computed(self, args, options, result)
        return result

    def _residual(self, name: str, arrays: list[Any], parents: list[Node | None],
                  options: dict[str, Any]) -> Any:
        if name in self.arrays:
            return arrays[self.arrays.index(name)]
        if name in self.defaults:
            return options.get(name, self.defaults[name])
        if name == "y":
            return arrays[-1]
        if name == "place":
            return None
        if name == "shape":
            return getattr(arrays[0], "shape", ())
        if name == "shapes":
            return tuple(getattr(x, "shape", ()) for x in arrays[:-1])
        if name == "wanted":
            return tuple(parent is not None for parent in parents)
        return tuple(arrays[:-1])  # the name of the variadic parameter

    def pull(self, node: Node, g: Any, members: Collection[Node], record: bool) -> Sequence[Any]:
        """Return the gradients of the node's parents that are members; on Tensors if `record`."""
        parts: list[Any] = []
        for rule, kept, parent in zip(self.rules, node.kept, node.parents):  # noqa: B905, as above
            if rule is None or (parent not in members and not self.joint):
                parts.append(None)
            elif record:
                parts.append(rule.function(g, *self._on_tape(rule, kept, node)))
            elif rule.only_array is not None:
                parts.append(rule.function(g, kept))
            else:
                parts.append(rule.function(g, *kept))
        if self.joint:
            return self._checked_parts(parts[0], len(node.parents))
        if not self.rules:
            raise TypeError(f"{self.name}: has no derivative rule; give one with @{self.name}.vjp")
        return parts

    def residuals(self, node: Node) -> dict[str, Any]:
        """Return by name what a node of this op keeps alive."""
        found: dict[str, Any] = {}
        for rule, parent, kept in zip(self.rules, node.parents, node.kept):  # noqa: B905, as above
            if rule is not None and (parent is not None or self.joint):
                found.update(zip(rule.residuals, [kept] if rule.only_array is not None else kept,
                                 strict=True))
        return found

    def _on_tape(self, rule: Rule, kept: Any, node: Node) -> list[Any]:
        """Return the residuals with the arguments and the output as the Tensors they were."""
        residuals = []
        kept = kept if rule.only_array is None else [kept]
        for name, value in zip(rule.residuals, kept, strict=True):
            if name in self.arrays:
                value = _tensor(value, node.parents[self.arrays.index(name)])
            elif name == self.output:
                value = recorded(value, node)
            elif name == self.variadic:
                value = tuple(map(_tensor, value, node.parents))
            elif name == "place" and name not in self.defaults:
                value = recorded(None, node)
            residuals.append(value)
        return residuals

    def _checked_parts(self, parts: Any, expected: int) -> Sequence[Any]:
        if not isinstance(parts, (tuple, list)) or len(parts) != expected:
            got = f"{len(parts)}" if isinstance(parts, (tuple, list)) else type(parts).__name__
            raise TypeError(
                f"{self.name}: its rule must return a tuple of {expected} gradients, one for each "
                f"array argument, got {got}; return None for an argument without derivative"
            )
        return parts


def _tensor(array: Any, node: Node | None) -> Any:
    return array if node is None else recorded(array, node)


def _number_or_array(x: Any) -> Any:
    """Return a Tensor's values; a float among them as a number, which widens no other dtype."""
    x = values(x)
    return x.item() if isinstance(x, NumPyArray) and not x.ndim and x.dtype.kind == "f" else x


def _tensors_in(value: Any) -> list[Tensor]:
    """Return the Tensors in lists, tuples and dicts, however deep."""
    if isinstance(value, Tensor):
        return [value]
    if not isinstance(value, (list, tuple, dict)):
        return []
    parts = value.values() if isinstance(value, dict) else value
    return [x for part in parts if part.__class__ not in PLAIN for x in _tensors_in(part)]


class Rule:
    """A derivative rule and the names of the residuals it asks for, read from its signature."""

    __slots__ = ("function", "only_array", "residuals")

    def __init__(self, op: Primitive, function: Callable[..., Any]) -> None:
        parameters = inspect.signature(function).parameters
        names = [name for name, p in parameters.items() if p.kind is not p.KEYWORD_ONLY]
        known = {*op.arrays, *op.defaults, "y", "place", "shape", "shapes", "wanted"}
        known |= {op.variadic} if op.variadic else set()
        unknown = [name for name in names[1:] if name not in known]
        if not names or names[0] != "g" or unknown or len(names) < len(parameters):
            raise TypeError(
                f"{op.name}: a rule's first parameter is g, the others name what it keeps, out of "
                f"{sorted(known)}; got {list(parameters)}"
            )
        self.function = function
        self.residuals = tuple(names[1:])
        places = {name: i for i, name in enumerate(op.arrays)} | ({"y": -1} if op.output else {})
        self.only_array = places.get(self.residuals[0]) if len(self.residuals) == 1 else None


def primitive(function: Callable[..., Any]) -> Primitive:
    """Make an op of an array function; give its derivative with `@op.vjp` (see `Primitive.vjp`)."""
    return Primitive(function)


class Nondifferentiable(Op):
    """A function whose results carry no gradient: Tensors in, plain arrays out."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Apply the function to the values of its arguments and options."""
        if self.forms and options and (form := self.form_of(options)):
            return self.compute(form, args, options)
        options = {name: values(value) for name, value in options.items()}
        if dict in map(type, args):  # NumPy's logic takes one for true
            raise TypeError(f"{self.name}: expected arrays or numbers, got {describe(args)}")
        arrays = [plain(values(arg), self.name) for arg in args]
        return self.compute(self.forward, arrays, options)


class Composite(Op):
    """A function written in other ops, which therefore needs no rule of its own.

    Options that are annotated with `float` or `Any` it may compute with, so they may be Tensors;
    others, such as an axis or an order, are constants, as the options of primitives are.
    """

    def _read_signature(self, function: Callable[..., Any]) -> None:
        super()._read_signature(function)
        found = inspect.signature(function).parameters
        self.constants = frozenset(name for name in self.defaults if not any(
            kind in str(found[name].annotation) for kind in ("float", "Any", "Array", "empty")))

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the function as it stands."""
        if options:
            if self.forms and (form := self.form_of(options)):
                return self.compute(form, args, options)
            self.take_constants(options, self.constants)
        if len(args) > len(self.arrays) and not self.variadic:
            args = self._with_constants(args)
        for i, arg in enumerate(args[: len(self.arrays)] if self.arrays else args):
            may_be = (isinstance(arg, (Tensor, list, tuple)) or (arg is None and self.variadic)
                      or (isinstance(arg, str) and i in self.texts))
            if not may_be:
                self.accepted(arg, i, args)
        return self.compute(self.forward, args, options)

    def _with_constants(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments with plain values for the constants among them."""
        count = len(self.arrays)
        given = dict(zip(self.positional, args[count:], strict=False))
        self.take_constants(given, self.constants)
        return (*args[:count], *given.values(), *args[count + len(given) :])


def nondifferentiable(function: Callable[..., Any]) -> Nondifferentiable:
    """Make a function of arrays accept Tensors; its results are plain arrays, off the tape."""
    return Nondifferentiable(function)


def composite(function: Callable[..., Any]) -> Composite:
    """Enter a function that is written in ops into the registry, beside the ops it is made of."""
    return Composite(function)
