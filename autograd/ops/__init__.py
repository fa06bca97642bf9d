"""The ops, under NumPy's names: `autograd.ops.tanh` is also `autograd.tanh`."""

from __future__ import annotations

from ..broadcast import astype, broadcast_to, identity, sum_to
from . import (
    arithmetic,
    exponential,
    index,
    piecewise,
    products,
    reduce,
    shape,
    special,
    trigonometric,
)
from . import operators as _operators  # noqa: F401, binds Tensor's operators
from .arithmetic import *  # noqa: F403
from .exponential import *  # noqa: F403
from .index import *  # noqa: F403
from .piecewise import *  # noqa: F403
from .products import *  # noqa: F403
from .reduce import *  # noqa: F403
from .shape import *  # noqa: F403
from .special import *  # noqa: F403
from .trigonometric import *  # noqa: F403

__all__ = ["astype", "broadcast_to", "identity", "sum_to"]
for _module in (arithmetic, exponential, trigonometric, special, piecewise, shape, reduce, index,
                products):
    __all__ += _module.__all__
