"""An OpCase says how to draw valid inputs of one op, and what its result must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hypothesis import strategies as st

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class OpCase:
    """The valid inputs of one op and its definition.

    `inputs` draws `(args, options)`; the float64 arrays among `args` are those to be
    differentiated. `oracle` computes the result with NumPy, or with what defines it. The op is
    differentiated `order` times, and smooth within 2e-3 max(1, |x|) of every drawn x.
    """

    inputs: st.SearchStrategy[Inputs]
    oracle: Callable[..., Any]
    order: int = 2
    edges: tuple[Any, ...] = ()
    """At kinks and limits: (args, options, cotangent, gradients expected), one for each.

    Where the rule is to refuse, the one thing expected is the class of what it raises.
    """
    curvatures: tuple[Any, ...] = ()
    """There too: (args, options, f, Hessian of f(op(*args, **options)) by all elements of args).

    Entries that do not exist, infinite or NaN, are given as NaN; a number stands for all entries.
    """


def floating(args: tuple[Any, ...]) -> list[int]:
    """Return the positions of the arguments to be differentiated."""
    return [i for i, x in enumerate(args) if isinstance(x, np.ndarray) and x.dtype == np.float64]
