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
__all__ += arithmetic.__all__
__all__ += exponential.__all__
__all__ += trigonometric.__all__
__all__ += special.__all__
__all__ += piecewise.__all__
__all__ += shape.__all__
__all__ += reduce.__all__
__all__ += index.__all__
__all__ += products.__all__
