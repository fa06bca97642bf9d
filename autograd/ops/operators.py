"""The table that gives Tensor its operators and methods: each is an op under another name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import broadcast
from ..tensor import Tensor, values
from . import arithmetic, index, piecewise, products, reduce, shape, sorting


def _method(op: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **options: op(self, *args, **options)


def _infix(op: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: op(self, other)  # half as long to call as `_method`


def _reflected(op: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: op(other, self)


def _reshape(self: Tensor, *sizes: Any, order: str = "C") -> Any:
    return shape.reshape(self, sizes[0] if len(sizes) == 1 else sizes, order)


def _transpose(self: Tensor, *axes: Any) -> Any:
    if not axes or axes[0] is None:
        return shape.transpose(self)
    return shape.transpose(self, axes if isinstance(axes[0], int) else tuple(axes[0]))


_OPERATORS: dict[str, Callable[..., Any]] = {
    "__neg__": arithmetic.negative, "__pos__": lambda self: self, "__abs__": piecewise.absolute,
    "__round__": piecewise.round,
    "__getitem__": index.getitem,
    "__lt__": piecewise.less, "__le__": piecewise.less_equal, "__gt__": piecewise.greater,
    "__ge__": piecewise.greater_equal, "__eq__": piecewise.equal, "__ne__": piecewise.not_equal,
    "__invert__": piecewise.bitwise_invert,
    "__contains__": lambda self, other: bool((self.data == values(other)).any()),
}

_REFLECTED: dict[str, Callable[..., Any]] = {
    "add": arithmetic.add, "sub": arithmetic.subtract, "mul": arithmetic.multiply,
    "truediv": arithmetic.divide, "floordiv": arithmetic.floor_divide, "mod": arithmetic.remainder,
    "divmod": arithmetic.divmod, "pow": arithmetic.power, "matmul": products.matmul,
    "and": piecewise.bitwise_and, "or": piecewise.bitwise_or, "xor": piecewise.bitwise_xor,
    "lshift": piecewise.bitwise_left_shift, "rshift": piecewise.bitwise_right_shift,
}

_METHODS: dict[str, Callable[..., Any]] = {
    "reshape": _reshape, "transpose": _transpose, "ravel": shape.ravel, "flatten": shape.ravel,
    "swapaxes": shape.swapaxes, "squeeze": shape.squeeze, "repeat": shape.repeat,
    "diagonal": shape.diagonal, "trace": shape.trace, "take": index.take,
    "astype": broadcast.astype, "copy": broadcast.identity,
    "sum": reduce.sum, "mean": reduce.mean, "prod": reduce.prod, "std": reduce.std,
    "var": reduce.var, "max": reduce.max, "min": reduce.min, "cumsum": reduce.cumsum,
    "cumprod": reduce.cumprod, "clip": piecewise.clip, "round": piecewise.round,
    "dot": products.dot,
    "argmax": reduce.argmax, "argmin": reduce.argmin, "argsort": sorting.argsort,
    "argpartition": sorting.argpartition, "searchsorted": sorting.searchsorted,
    "any": reduce.any, "all": reduce.all, "tolist": lambda self: self.data.tolist(),
}

_PROPERTIES: dict[str, Callable[[Any], Any]] = {
    "T": shape.transpose, "mT": shape.matrix_transpose, "at": index.At,
}

for _name, _op in {**_OPERATORS, **_METHODS}.items():
    setattr(Tensor, _name, _method(_op))
for _name, _op in _REFLECTED.items():
    setattr(Tensor, f"__{_name}__", _infix(_op))
    setattr(Tensor, f"__r{_name}__", _reflected(_op))
for _name, _op in _PROPERTIES.items():
    setattr(Tensor, _name, property(_op))
