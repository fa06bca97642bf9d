"""Gradient testing, for functions and for ops of your own.

>>> import numpy as np
>>> from autograd import tanh
>>> check_grads(lambda x: (tanh(x) ** 2).sum(), np.array([0.5, -1.0]), order=3)

`check_grads(f, *xs)` checks a function at a point, `@gradcheck` at each call or at drawn inputs,
`check_op(op)` an op, and `check_vjp(f, vjp)` a pair of plain functions, of any library. The
strategies that draw inputs need Hypothesis; nothing else does.
"""

from typing import TYPE_CHECKING, Any

from .check import check_grads
from .failure import GradientError
from .gradcheck import check_op, check_vjp, gradcheck
from .opcase import OpCase

if TYPE_CHECKING:
    from .inputs import op_inputs
    from .strategies import (
        arrays,
        broadcastable_shapes,
        expressions,
        ill_scaled,
        shapes,
        spaced,
    )

__all__ = [
    "GradientError", "OpCase", "arrays", "broadcastable_shapes", "check_grads", "check_op",
    "check_vjp", "expressions", "gradcheck", "ill_scaled", "op_inputs", "shapes", "spaced",
]


def __getattr__(name: str) -> Any:
    """Import what needs Hypothesis when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import inputs, strategies

    return getattr(inputs if name == "op_inputs" else strategies, name)
