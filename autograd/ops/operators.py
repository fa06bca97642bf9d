"""The table that gives Tensor its operators and methods: each is an op under another name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import broadcast
from ..tensor import Tensor
from . import arithmetic as e
from . import index, piecewise, products, reduce, shape


def _reflected(op: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: op(other, self)


def _plain(op: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **options: op(self, *args, **options)


def _reshape(self: Tensor, *sizes: Any) -> Any:
    return shape.reshape(self, sizes[0] if len(sizes) == 1 else sizes)


def _transpose(self: Tensor, *axes: Any) -> Any:
    if not axes or axes[0] is None:
        return shape.transpose(self)
    return shape.transpose(self, axes if isinstance(axes[0], int) else tuple(axes[0]))


_TABLE: dict[str, Callable[..., Any]] = {
    "__add__": e.add, "__sub__": e.subtract, "__mul__": e.multiply, "__truediv__": e.divide,
    "__pow__": e.power, "__matmul__": products.matmul, "__neg__": e.negative,
    "__abs__": piecewise.absolute, "__getitem__": index.getitem,
    "__lt__": piecewise.less, "__le__": piecewise.less_equal, "__gt__": piecewise.greater,
    "__ge__": piecewise.greater_equal, "__eq__": piecewise.equal, "__ne__": piecewise.not_equal,
    "sum": reduce.sum, "mean": reduce.mean, "max": reduce.max, "min": reduce.min,
    "var": reduce.var, "swapaxes": shape.swapaxes, "squeeze": shape.squeeze,
    "astype": broadcast.astype,
}

for _name, _op in _TABLE.items():
    setattr(Tensor, _name, _plain(_op))
for _name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
    setattr(Tensor, f"__r{_name}__", _reflected(_TABLE[f"__{_name}__"]))

Tensor.reshape = _reshape  # type: ignore[method-assign]
Tensor.transpose = _transpose  # type: ignore[method-assign]
Tensor.__pos__ = lambda self: self  # type: ignore[method-assign]
Tensor.T = property(lambda self: shape.transpose(self))  # type: ignore[assignment]
