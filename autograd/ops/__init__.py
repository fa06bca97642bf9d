"""The ops, under NumPy's names: `autograd.ops.tanh` is also `autograd.tanh`."""

from ..broadcast import astype, broadcast_to, identity, sum_to
from . import operators as _operators  # noqa: F401, binds Tensor's operators
from .elementwise import (
    absolute,
    add,
    divide,
    equal,
    erf,
    exp,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    sign,
    sqrt,
    subtract,
    tanh,
    where,
)
from .index import getitem, scatter_add, take, take_along_axis
from .linalg import einsum, matmul
from .reduce import logsumexp, max, mean, min, sum, var
from .shape import (
    concatenate,
    expand_dims,
    pad,
    reshape,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
)

abs, sub, mul, div, neg = absolute, subtract, multiply, divide, negative

__all__ = [
    "abs", "absolute", "add", "astype", "broadcast_to", "concatenate", "div", "divide", "einsum",
    "equal", "erf", "exp", "expand_dims", "getitem", "greater", "greater_equal", "identity",
    "less", "less_equal", "log", "logsumexp", "matmul", "max", "maximum", "mean", "min",
    "minimum", "mul", "multiply", "neg", "negative", "not_equal", "pad", "power", "reshape",
    "scatter_add", "sign", "split", "sqrt", "squeeze", "stack", "sub", "subtract", "sum",
    "sum_to", "swapaxes", "take", "take_along_axis", "tanh", "transpose", "var", "where",
]
