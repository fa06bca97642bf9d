r"""Arithmetic on each element: $y_i = f(x_i)$, so $\bar x_i = \bar y_i f'(x_i)$.

Names and semantics are NumPy's. Arguments broadcast; the engine sums their gradients back.
"""

from __future__ import annotations

from typing import Any

from ..backend import Array, namespace
from ..primitive import primitive
from .exponential import log
from .piecewise import equal, where

__all__ = [
    "add", "div", "divide", "mul", "multiply", "neg", "negative", "power", "sqrt", "sub",
    "subtract",
]


@primitive
def add(a: Array, b: Array, /) -> Array:
    """Return a + b."""
    return namespace(a, b).add(a, b)


add.vjp(lambda g: g, lambda g: g)


@primitive
def subtract(a: Array, b: Array, /) -> Array:
    """Return a - b."""
    return namespace(a, b).subtract(a, b)


subtract.vjp(lambda g: g, lambda g: -g)


@primitive
def multiply(a: Array, b: Array, /) -> Array:
    """Return a * b."""
    return namespace(a, b).multiply(a, b)


multiply.vjp(lambda g, b: g * b, lambda g, a: g * a)


@primitive
def divide(a: Array, b: Array, /) -> Array:
    r"""Return a / b; $\partial_b (a/b) = -y/b$."""
    return namespace(a, b).divide(a, b)


divide.vjp(lambda g, b: g / b, lambda g, b, y: -g * y / b)


@primitive
def negative(x: Array, /) -> Array:
    """Return -x."""
    return namespace(x).negative(x)


negative.vjp(lambda g: -g)


@primitive
def power(a: Array, b: Array, /) -> Array:
    r"""Return $a^b$; $\partial_a = b\,a^{b-1}$ (0 where b is 0), $\partial_b = a^b \ln a$.

    At a = 0 the derivative by the exponent is taken as its limit for b > 0, which is 0.
    """
    return namespace(a, b).power(a, b)


@power.vjp
def _(g: Any, a: Any, b: Any, y: Any, wanted: tuple[bool, bool]) -> tuple[Any, Any]:
    da = g * b * _guarded(a, b) ** (b - 1) if wanted[0] else None
    db = g * y * log(where(equal(a, 0), 1.0, a)) if wanted[1] else None
    return da, db


def _guarded(a: Any, b: Any) -> Any:
    """Return a, but 1 where a and b are both 0: there b a^(b - 1) would be 0 times infinity."""
    if isinstance(b, (int, float)) and b:
        return a
    return where(equal(a, 0) & equal(b, 0), 1.0, a)




@primitive
def sqrt(x: Array, /) -> Array:
    r"""Return $\sqrt x$; $y^2 = x$, so $2y\,dy = dx$."""
    return namespace(x).sqrt(x)


sqrt.vjp(lambda g, y: 0.5 * g / y)


sub, mul, div, neg = subtract, multiply, divide, negative
