"""The ops, under NumPy's names: `autograd.ops.tanh` is also `autograd.tanh`."""

# mypy: implicit-reexport

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import broadcast
from ..broadcast import *  # noqa: F403
from . import (
    activations,
    arithmetic,
    convolution,
    exponential,
    index,
    linalg,
    losses,
    piecewise,
    products,
    reduce,
    running,
    shape,
    sorting,
    special,
    trigonometric,
)
from . import chosen as _chosen  # noqa: F401, gives the reductions where= and initial=
from . import operators as _operators  # noqa: F401, binds Tensor's operators
from .activations import *  # noqa: F403
from .arithmetic import *  # noqa: F403
from .convolution import *  # noqa: F403
from .exponential import *  # noqa: F403
from .index import *  # noqa: F403
from .linalg import *  # noqa: F403
from .losses import *  # noqa: F403
from .piecewise import *  # noqa: F403
from .products import *  # noqa: F403
from .reduce import *  # noqa: F403
from .running import *  # noqa: F403
from .shape import *  # noqa: F403
from .sorting import *  # noqa: F403
from .special import *  # noqa: F403
from .trigonometric import *  # noqa: F403

if not TYPE_CHECKING:  # type checkers read the imports above
    __all__ = []
    for _module in (broadcast, piecewise, exponential, arithmetic, trigonometric, special, shape,
                    reduce, index, running, sorting, products, linalg, convolution, activations,
                    losses):
        __all__ += _module.__all__
