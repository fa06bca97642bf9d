r"""Ops on each element that have kinks or jumps, and comparisons.

At a kink the rule gives one subgradient, named in the op's docstring.
"""

from __future__ import annotations

from typing import Any

from ..backend import Array, namespace
from ..primitive import nondifferentiable, primitive

__all__ = [
    "abs", "absolute", "equal", "greater", "greater_equal", "less", "less_equal", "maximum",
    "minimum", "not_equal", "sign", "where",
]


@primitive
def sign(x: Array, /) -> Array:
    """Return -1, 0 or 1; the derivative is 0 everywhere."""
    return namespace(x).sign(x)


sign.vjp(lambda g: g * 0)


@primitive
def absolute(x: Array, /) -> Array:
    """Return |x|; the derivative at 0 is taken as 0."""
    return namespace(x).absolute(x)


absolute.vjp(lambda g, x: g * sign(x))


@primitive
def maximum(a: Array, b: Array, /) -> Array:
    """Return the larger one; where both are equal, each receives half of the gradient."""
    return namespace(a, b).maximum(a, b)


maximum.vjp(lambda g, a, b: _share(g, a, b, a > b), lambda g, a, b: _share(g, a, b, b > a))


@primitive
def minimum(a: Array, b: Array, /) -> Array:
    """Return the smaller one; where both are equal, each receives half of the gradient."""
    return namespace(a, b).minimum(a, b)


minimum.vjp(lambda g, a, b: _share(g, a, b, a < b), lambda g, a, b: _share(g, a, b, b < a))


def _share(g: Any, a: Any, b: Any, won: Any) -> Any:
    return g * won + 0.5 * g * equal(a, b)


@primitive
def where(condition: Array, a: Array, b: Array, /) -> Array:
    """Return a where the condition holds, else b."""
    y = namespace(condition, a, b).where(condition, a, b)
    return y if y.shape else y[()]  # of numbers a number, which goes with any library's arrays


where.vjp(None, lambda g, condition: where(condition, g, 0.0),
          lambda g, condition: where(condition, 0.0, g))




# comparisons: plain boolean arrays, off the tape


@nondifferentiable
def equal(a: Array, b: Array, /) -> Array:
    """Return a == b, element by element."""
    return namespace(a, b).equal(a, b)


@nondifferentiable
def not_equal(a: Array, b: Array, /) -> Array:
    """Return a != b, element by element."""
    return namespace(a, b).not_equal(a, b)


@nondifferentiable
def less(a: Array, b: Array, /) -> Array:
    """Return a < b, element by element."""
    return namespace(a, b).less(a, b)


@nondifferentiable
def less_equal(a: Array, b: Array, /) -> Array:
    """Return a <= b, element by element."""
    return namespace(a, b).less_equal(a, b)


@nondifferentiable
def greater(a: Array, b: Array, /) -> Array:
    """Return a > b, element by element."""
    return namespace(a, b).greater(a, b)


@nondifferentiable
def greater_equal(a: Array, b: Array, /) -> Array:
    """Return a >= b, element by element."""
    return namespace(a, b).greater_equal(a, b)


abs = absolute
