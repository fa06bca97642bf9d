"""Gradients that are written straight to where they belong, without an array of their own.

The gradient of a large table or weight is needed only to be added to others of its kind. A rule
that returns it as a `Deferred` leaves that to the place that adds, which then needs no second
array of that size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .backend import Array, namespace, wide, wider


class Deferred:
    """A gradient that has not been made: it is written, or added, straight to where it belongs.

    A rule may return one for a large argument, whose shape and dtype are those of the array `like`;
    of half precision it is float32, to be summed. `write(total, add)` adds the gradient to such an
    array, or sets it to the gradient. `sparse` says that most of it is 0, so that making an array
    of it would be the larger part of the work.
    """

    __slots__ = ("dtype", "like", "shape", "sparse", "write")

    def __init__(self, like: Array, write: Callable[[Array, bool], None],
                 sparse: bool = False) -> None:
        self.shape, self.dtype, self.like = like.shape, wide(like.dtype), like
        self.write, self.sparse = write, sparse

    def array(self) -> Array:
        """Return the gradient as an array."""
        total = namespace(self.like).empty_like(self.like, dtype=self.dtype)
        self.write(total, False)
        return total


def accumulate(a: Any, b: Any, owned: bool) -> Array:
    """Return a + b, of gradients made or deferred; written into `a` where the caller owns it."""
    if type(b) is Deferred:
        a = a.array() if type(a) is Deferred else a if owned else a.copy()
        a = wider(a)
        b.write(a, True)
        return a
    if owned and a.shape and a.dtype == b.dtype:
        a += b
        return a
    return (a.array() if type(a) is Deferred else a) + b
