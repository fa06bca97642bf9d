r"""Arithmetic on each element: $y_i = f(x_i)$, so $\bar x_i = \bar y_i f'(x_i)$.

Names and semantics are NumPy's. Arguments broadcast; the engine sums their gradients back.
"""

from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np

from ..backend import Array, namespace, widened
from ..broadcast import astype
from ..primitive import composite, primitive
from ..tensor import Tensor, values
from .exponential import like, log
from .kinks import bend
from .piecewise import equal, rint, sign, times, where

__all__ = [
    "add", "cbrt", "copysign", "div", "divide", "divmod", "float_power", "floor_divide", "fmod",
    "hypot", "ldexp", "mod", "mul", "multiply", "neg", "negative", "positive", "pow", "power",
    "reciprocal", "remainder", "sqrt", "square", "sub", "subtract", "true_divide",
]


@primitive
def add(a: Array, b: Array, /) -> Array:
    r"""Return a + b.

    $dy = da + db$, so $\bar a = \bar y$, $\bar b = \bar y$.
    """
    return namespace(a, b).add(a, b)


add.vjp(lambda g: g, lambda g: g)


@primitive
def subtract(a: Array, b: Array, /) -> Array:
    r"""Return a - b.

    $dy = da - db$, so $\bar a = \bar y$, $\bar b = -\bar y$.
    """
    return namespace(a, b).subtract(a, b)


subtract.vjp(lambda g: g, lambda g: -g)


@primitive
def multiply(a: Array, b: Array, /) -> Array:
    r"""Return a b.

    $(a + da)(b + db) = a b + b\,da + a\,db$ to first order: $dy = b\,da + a\,db$, so
    $\bar a = \bar y\,b$, $\bar b = \bar y\,a$.
    """
    return namespace(a, b).multiply(a, b)


multiply.vjp(lambda g, b: g * b, lambda g, a: g * a)


@primitive
def divide(a: Array, b: Array, /) -> Array:
    r"""Return a / b.

    $y b = a$, so $b\,dy + y\,db = da$ and $dy = (da - y\,db) / b$: $\bar a = \bar y / b$,
    $\bar b = -\bar y\,y / b$.
    """
    return namespace(a, b).divide(a, b)


divide.vjp(lambda g, b: g / b, lambda g, b, y: -g * y / b)


@primitive
def positive(x: Array, /) -> Array:
    r"""Return +x.

    $dy = dx$, so $\bar x = \bar y$.
    """
    return namespace(x).positive(x)


positive.vjp(lambda g: g)


@primitive
def negative(x: Array, /) -> Array:
    r"""Return -x.

    $dy = -dx$, so $\bar x = -\bar y$.
    """
    return namespace(x).negative(x)


negative.vjp(lambda g: -g)


@primitive
def reciprocal(x: Array, /) -> Array:
    r"""Return 1 / x.

    $y x = 1$, so $x\,dy + y\,dx = 0$ and $dy = -y^2\,dx$, as 1 / x is y: $\bar x = -\bar y\,y^2$.
    """
    return namespace(x).reciprocal(x)


reciprocal.vjp(lambda g, y: -g * y * y)


# powers and roots


@primitive
def power(a: Array, b: Array, /) -> Array:
    r"""Return $y = a^b$, NaN for a negative a and a fractional b.

    For a > 0 $y = e^{b \ln a}$, so $dy = y\,(b\,da / a + \ln a\,db)$:
    $\bar a = [b \ne 0]\,\bar y\,b\,a^{b-1}$, $\bar b = [a \ne 0]\,\bar y\,y \ln a$. The first holds
    for every a; the second is NaN for a < 0, and at a = 0 its limit for b > 0, which is 0.
    """
    return namespace(a, b).power(a, b)


def _by_base(g: Any, a: Any, b: Any, place: Any) -> Any:
    if isinstance(b, (int, float)):
        return g * b * a ** (b - 1) if b else g * 0
    at = equal(a, 0) & equal(b, 0)  # there b a^(b - 1) would be 0 times infinity
    less = like(g, b - 1.0)  # of unsigned integers 0 - 1 would not be -1
    slope = b * _log_power(where(at, 1.0, a), less, 0)
    return bend(g * slope, g, place, b, at=at, slope=nan)


def _by_exponent(g: Any, a: Any, b: Any, y: Any) -> Any:
    if isinstance(a, (int, float)) and a:
        return g * y * float(log(a))
    at = equal(a, 0) & equal(b, 0)
    slope = where(at, 0.0, _log_power(a, b, 1, values(y)))
    return bend(g * slope, g, y, a, b, at=at, slope=nan)


power.vjp(widened(_by_base), _by_exponent)


@primitive
def _log_power(a: Array, b: Array, /, n: int, power: Array | None = None) -> Array:
    r"""Return $y = a^b (\ln a)^n$ with its limits at a = 0; $a^b$ may be given.

    They are the derivatives of $a^b$ by b:
    $dy = a^{b-1} (b\,(\ln a)^n + n\,(\ln a)^{n-1})\,da + a^b (\ln a)^{n+1}\,db$, so
    $\bar a = \bar y\,a^{b-1} (b\,(\ln a)^n + n\,(\ln a)^{n-1})$ and
    $\bar b = \bar y\,a^b (\ln a)^{n+1}$.
    """
    xp = namespace(a, b)
    y = xp.power(a, b) if power is None else power
    if not n:
        return y
    a = xp.asarray(a, dtype=y.dtype)  # a number alone would be float64
    zero = xp.equal(a, 0)
    y = y * xp.log(xp.where(zero, 1, a)) ** n
    return xp.where(zero, xp.where(xp.greater(b, 0), 0, (-1) ** n * xp.full_like(y, inf)), y)


@_log_power.vjp
def _(g: Any, a: Any, b: Any, n: int, wanted: tuple[bool, bool]) -> tuple[Any, ...]:
    da = db = None
    if wanted[0]:
        at = equal(a, 0) & equal(b, 0)
        slope = b * _log_power(where(at, 1.0, a), b - 1.0, n)
        slope = slope + n * _log_power(a, b - 1.0, n - 1) if n else slope
        da = bend(like(g, times(g, slope)), g, None, b, at=at)
    if wanted[1]:
        db = times(g, _log_power(a, b, n + 1))
    return da, db


def float_power(a: Any, b: Any) -> Any:
    """Return $a^b$ in float64 at least, of integers and float32 too; see `power`."""
    xp = namespace(values(a), values(b))
    a, b = (x if isinstance(x, Tensor) else xp.asarray(x) for x in (a, b))
    dtype = np.result_type(a.dtype, b.dtype, np.float64)
    return power(astype(a, dtype), astype(b, dtype))


@primitive
def square(x: Array, /) -> Array:
    r"""Return $x^2$.

    $(x + dx)^2 = x^2 + 2x\,dx$ to first order: $dy = 2x\,dx$, so $\bar x = 2 \bar y\,x$.
    """
    return namespace(x).square(x)


square.vjp(lambda g, x: 2 * g * x)


@primitive
def sqrt(x: Array, /) -> Array:
    r"""Return $\sqrt x$ for x >= 0.

    $y^2 = x$, so $2y\,dy = dx$ and $\bar x = \bar y / (2y)$. The slope at 0 is infinite.
    """
    return namespace(x).sqrt(x)


sqrt.vjp(lambda g, y: 0.5 * g / y)


@primitive
def cbrt(x: Array, /) -> Array:
    r"""Return $\sqrt[3] x$ of any sign.

    $y^3 = x$, so $3y^2\,dy = dx$ and $\bar x = \bar y / (3y^2)$. The slope at 0 is infinite.
    """
    return namespace(x).cbrt(x)


cbrt.vjp(lambda g, y: g / (3 * y * y))


@primitive
def hypot(a: Array, b: Array, /) -> Array:
    r"""Return $y = \sqrt{a^2 + b^2}$ without overflow.

    $y\,dy = a\,da + b\,db$, so $\bar a = [y \ne 0]\,\bar y\,a / y$ and
    $\bar b = [y \ne 0]\,\bar y\,b / y$: both are taken as 0 at the kink a = b = 0.
    """
    return namespace(a, b).hypot(a, b)


hypot.vjp(lambda g, a, y: along(g, a, y), lambda g, b, y: along(g, b, y))


def along(g: Any, x: Any, y: Any) -> Any:
    """Return g x / y, the gradient of a length y by the coordinate x; 0 where y is 0."""
    return bend(g * (x / where(equal(y, 0), inf, y)), g, y, x)


# whole quotients and their remainders: a = n b + r


@primitive
def floor_divide(a: Array, b: Array, /) -> Array:
    r"""Return $\lfloor a / b \rfloor$.

    y is constant between its jumps: $dy = 0$, so $\bar a = 0$, $\bar b = 0$, also at the jumps.
    """
    return namespace(a, b).floor_divide(a, b)


floor_divide.vjp(lambda g: g * 0, lambda g: g * 0)


@primitive
def remainder(a: Array, b: Array, /) -> Array:
    r"""Return $a - n\,b$ with $n = \lfloor a / b \rfloor$, which has the sign of b.

    n is constant between its jumps: $dy = da - n\,db$, so $\bar a = \bar y$, $\bar b = -\bar y\,n$,
    also at the jumps.
    """
    return namespace(a, b).remainder(a, b)


remainder.vjp(lambda g: g, lambda g, a, b: -g * floor_divide(a, b))


@primitive
def fmod(a: Array, b: Array, /) -> Array:
    r"""Return $y = a - n\,b$ with $n = \operatorname{trunc}(a / b)$, which has the sign of a.

    n is constant between its jumps: $dy = da - n\,db$, so $\bar a = \bar y$, $\bar b = -\bar y\,n$,
    also at the jumps. The rule finds n as $(a - y) / b$, a whole number but for rounding, where
    a / b itself might be rounded up to one.
    """
    return namespace(a, b).fmod(a, b)


fmod.vjp(lambda g: g, lambda g, a, b, y: -g * rint((a - y) / b))


@composite
def divmod(a: Any, b: Any) -> tuple[Any, Any]:
    """Return `floor_divide(a, b)` and `remainder(a, b)`."""
    return floor_divide(a, b), remainder(a, b)


# of signs and binary exponents


@primitive
def copysign(a: Array, b: Array, /) -> Array:
    r"""Return $|a|$ with the sign of b, that of -0.0 too.

    $y = |a| \operatorname{sign}(b)$, so $dy = \operatorname{sign}(a) \operatorname{sign}(b)\,da$:
    $\bar a = \bar y \operatorname{sign}(a) \operatorname{sign}(b)$, 0 at the kink a = 0;
    $\bar b = 0$, also at the jump.
    """
    return namespace(a, b).copysign(a, b)


copysign.vjp(lambda g, a, y: bend(g * sign(a) * sign(y), g, y, a, slope=0.0), lambda g: g * 0)


@primitive
def ldexp(x: Array, n: Array, /) -> Array:
    r"""Return $x\,2^n$ for integers n.

    $dy = 2^n\,dx$, so $\bar x = \bar y\,2^n$.
    """
    xp = namespace(x, n)
    if getattr(n, "dtype", None) == xp.int64:  # which NumPy's ldexp refuses on Windows
        n = xp.clip(n, -(2**30), 2**30).astype(xp.int32)
    return xp.ldexp(x, n)


ldexp.vjp(lambda g, n: ldexp(g, n), None)


sub, mul, div, neg = subtract, multiply, divide, negative
true_divide, mod, pow = divide, remainder, power
