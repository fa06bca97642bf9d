"""Exponentials and logarithms of each element."""

from __future__ import annotations

from ..backend import Array, namespace
from ..primitive import primitive

__all__ = ["exp", "log"]


@primitive
def exp(x: Array, /) -> Array:
    """Return e**x."""
    return namespace(x).exp(x)


exp.vjp(lambda g, y: g * y)


@primitive
def log(x: Array, /) -> Array:
    """Return the natural logarithm of x."""
    return namespace(x).log(x)


log.vjp(lambda g, x: g / x)
