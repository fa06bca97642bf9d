r"""Trigonometric and hyperbolic functions: $y_i = f(x_i)$, so $\bar x_i = \bar y_i f'(x_i)$.

Outside their domain the inverse functions are NaN; at its edges their slopes are infinite.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import Array, namespace, widened
from ..primitive import primitive
from .arithmetic import hypot, sqrt
from .kinks import bend
from .piecewise import equal, where

__all__ = [
    "acos", "acosh", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh",
    "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "deg2rad", "degrees", "rad2deg",
    "radians", "sin", "sinc", "sinh", "tan", "tanh", "unwrap",
]


@primitive
def sin(x: Array, /) -> Array:
    r"""Return the sine.

    $\sin(x + dx) = \sin x \cos dx + \cos x \sin dx$, where to first order $\cos dx$ is 1 and
    $\sin dx$ is dx: $dy = \cos x\,dx$, so $\bar x = \bar y \cos x$.
    """
    return namespace(x).sin(x)


@sin.vjp
def _(g: Any, x: Any) -> Any:
    return g * cos(x)


@primitive
def cos(x: Array, /) -> Array:
    r"""Return the cosine.

    $\cos(x + dx) = \cos x \cos dx - \sin x \sin dx$, where to first order $\cos dx$ is 1 and
    $\sin dx$ is dx: $dy = -\sin x\,dx$, so $\bar x = -\bar y \sin x$.
    """
    return namespace(x).cos(x)


cos.vjp(lambda g, x: -g * sin(x))


@primitive
def tan(x: Array, /) -> Array:
    r"""Return the tangent.

    $y = \sin x / \cos x$, so $dy = (\cos^2 x + \sin^2 x) / \cos^2 x\,dx = (1 + y^2)\,dx$ and
    $\bar x = \bar y\,(1 + y^2)$.
    """
    return namespace(x).tan(x)


tan.vjp(widened(lambda g, y: g * (1 + y * y)))


@primitive
def arcsin(x: Array, /) -> Array:
    r"""Return the angle from $-\pi/2$ to $\pi/2$ whose sine is x.

    $\sin y = x$, so $\cos y\,dy = dx$, where $\cos y = \sqrt{1 - x^2}$:
    $\bar x = \bar y / \sqrt{1 - x^2}$. The slope at -1 and 1 is infinite.
    """
    return namespace(x).arcsin(x)


arcsin.vjp(lambda g, x: g / sqrt((1 - x) * (1 + x)))  # exact near 1, where 1 - x^2 cancels


@primitive
def arccos(x: Array, /) -> Array:
    r"""Return the angle from 0 to $\pi$ whose cosine is x.

    $\cos y = x$, so $-\sin y\,dy = dx$, where $\sin y = \sqrt{1 - x^2}$:
    $\bar x = -\bar y / \sqrt{1 - x^2}$. The slope at -1 and 1 is infinite.
    """
    return namespace(x).arccos(x)


arccos.vjp(lambda g, x: -g / sqrt((1 - x) * (1 + x)))


@primitive
def arctan(x: Array, /) -> Array:
    r"""Return the angle in $(-\pi/2, \pi/2)$ whose tangent is x.

    $\tan y = x$, so $(1 + x^2)\,dy = dx$ (see `tan`) and $\bar x = \bar y / (1 + x^2)$.
    """
    return namespace(x).arctan(x)


@arctan.vjp
def _(g: Any, x: Any) -> Any:
    r = hypot(x, 1.0)  # the square of a large x would overflow
    return g / r / r


@primitive
def arctan2(a: Array, b: Array, /) -> Array:
    r"""Return the angle in $[-\pi, \pi]$ of the point at height a above b.

    $a = r \sin y$ and $b = r \cos y$ with $r^2 = a^2 + b^2$, so $b\,da - a\,db = r^2\,dy$ and
    $\bar a = [r \ne 0]\,\bar y\,b / r^2$, $\bar b = -[r \ne 0]\,\bar y\,a / r^2$: both are taken
    as 0 at the origin. On the line a = 0 > b the angle jumps, but has the same slope on both sides.
    """
    return namespace(a, b).arctan2(a, b)


@arctan2.vjp
def _(g: Any, a: Any, b: Any, place: Any, wanted: tuple[bool, bool]) -> tuple[Any, Any]:
    r = hypot(a, b)
    at = equal(r, 0)
    r = where(at, math.inf, r)
    da, db = g * (b / r / r) if wanted[0] else None, -g * (a / r / r) if wanted[1] else None
    da, db = (bend(part, g, place, a, b, at=at, slope=math.nan) for part in (da, db))
    return da, db


@primitive
def deg2rad(x: Array, /) -> Array:
    r"""Return x degrees in radians, $\pi x / 180$.

    $dy = \pi\,dx / 180$, so $\bar x = \pi \bar y / 180$.
    """
    return namespace(x).deg2rad(x)


deg2rad.vjp(lambda g: deg2rad(g))


@primitive
def rad2deg(x: Array, /) -> Array:
    r"""Return x radians in degrees, $180 x / \pi$.

    $dy = 180\,dx / \pi$, so $\bar x = 180 \bar y / \pi$.
    """
    return namespace(x).rad2deg(x)


rad2deg.vjp(lambda g: rad2deg(g))


@primitive
def unwrap(p: Array, /, discont: float | None = None, axis: int = -1, *,
           period: float = 2 * math.pi) -> Array:
    r"""Return p with multiples of the period added, so that no step is longer than half of it.

    Steps shorter than `discont` (half a period if that is more) stay. What is added is constant
    between jumps: $dy = dp$, so $\bar p = \bar y$.
    """
    return namespace(p).unwrap(p, discont, axis, period=period)


unwrap.vjp(lambda g: g)


# hyperbolic functions


@primitive
def sinh(x: Array, /) -> Array:
    r"""Return $(e^x - e^{-x}) / 2$.

    $dy = (e^x + e^{-x}) / 2\,dx = \cosh x\,dx$, so $\bar x = \bar y \cosh x$.
    """
    return namespace(x).sinh(x)


@sinh.vjp
def _(g: Any, x: Any) -> Any:
    return g * cosh(x)


@primitive
def cosh(x: Array, /) -> Array:
    r"""Return $(e^x + e^{-x}) / 2$.

    $dy = (e^x - e^{-x}) / 2\,dx = \sinh x\,dx$, so $\bar x = \bar y \sinh x$.
    """
    return namespace(x).cosh(x)


cosh.vjp(lambda g, x: g * sinh(x))


@primitive
def tanh(x: Array, /) -> Array:
    r"""Return $\sinh x / \cosh x$.

    $dy = (\cosh^2 x - \sinh^2 x) / \cosh^2 x\,dx = (1 - y^2)\,dx$, so $\bar x = \bar y\,(1 - y^2)$.
    """
    return namespace(x).tanh(x)


tanh.vjp(lambda g, y: g * (1 - y * y))


@primitive
def arcsinh(x: Array, /) -> Array:
    r"""Return the number whose sinh is x.

    $\sinh y = x$, so $\cosh y\,dy = dx$, where $\cosh y = \sqrt{x^2 + 1}$:
    $\bar x = \bar y / \sqrt{x^2 + 1}$.
    """
    return namespace(x).arcsinh(x)


arcsinh.vjp(lambda g, x: g / hypot(x, 1.0))


@primitive
def arccosh(x: Array, /) -> Array:
    r"""Return the number >= 0 whose cosh is x >= 1.

    $\cosh y = x$, so $\sinh y\,dy = dx$, where $\sinh y = \sqrt{x^2 - 1}$:
    $\bar x = \bar y / \sqrt{x^2 - 1}$. The slope at 1 is infinite.
    """
    return namespace(x).arccosh(x)


arccosh.vjp(lambda g, x: g / (sqrt(x - 1) * sqrt(x + 1)))  # exact near 1, no overflow


@primitive
def arctanh(x: Array, /) -> Array:
    r"""Return the number whose tanh is x, -1 < x < 1.

    $\tanh y = x$, so $(1 - x^2)\,dy = dx$ (see `tanh`) and $\bar x = \bar y / (1 - x^2)$.
    """
    return namespace(x).arctanh(x)


arctanh.vjp(lambda g, x: g / ((1 - x) * (1 + x)))


# sin(pi x) / (pi x)


@primitive
@widened
def _sinc_derivative(x: Array, /, order: int) -> Array:
    r"""Return $\operatorname{sinc}^{(n)}(x)$, the derivative of the order n.

    $dy = \operatorname{sinc}^{(n+1)}(x)\,dx$, so $\bar x = \bar y \operatorname{sinc}^{(n+1)}(x)$.
    With $z = \pi x$ and $s_n = \frac{d^n}{dz^n} \frac{\sin z}{z}$, differentiating
    $z\,s_0 = \sin z$ n times gives $z\,s_n + n\,s_{n-1} = \sin^{(n)} z$, stable for large z. For
    small z the power series: $s_n = \sum_{2k \ge n} \frac{(-1)^k z^{2k-n}}{(2k+1)\,(2k-n)!}$.
    Either loses digits: float16 is computed in float32.
    """
    xp = namespace(x)
    x = xp.asarray(x)
    dtype = x.dtype if x.dtype.kind in "fV" else np.dtype(float)
    z = math.pi * x.astype(np.promote_types(dtype, np.float32))
    limit = float(max(2, order))
    small = xp.absolute(z) < limit
    near, far = xp.where(small, z, 0), xp.where(small, limit, z)
    first = (order + 1) // 2
    series = 0 * near
    for k in reversed(range(first, first + 14 + 2 * order)):
        series = series * (near * near) + (-1) ** k / ((2 * k + 1) * math.factorial(2 * k - order))
    series = series * near if order % 2 else series
    cycle = xp.sin(far), xp.cos(far), -xp.sin(far), -xp.cos(far)
    s = cycle[0] / far
    for n in range(1, order + 1):
        s = (cycle[n % 4] - n * s) / far
    return (math.pi**order * xp.where(small, series, s)).astype(dtype, copy=False)


@_sinc_derivative.vjp
def _(g: Any, x: Any, order: int) -> Any:
    return g * _sinc_derivative(x, order + 1)


@primitive
@widened
def sinc(x: Array, /) -> Array:
    r"""Return $\operatorname{sinc}(x) = \frac{\sin \pi x}{\pi x}$, 1 at 0.

    $dy = \operatorname{sinc}'(x)\,dx$, so $\bar x = \bar y \operatorname{sinc}'(x)$. A formula for
    this slope, $(\cos \pi x - \operatorname{sinc} x) / x$, would cancel near 0: the derivatives
    have a function of their own.
    """
    return namespace(x).sinc(x)


sinc.vjp(lambda g, x: g * _sinc_derivative(x, 1))


asin, acos, atan, atan2 = arcsin, arccos, arctan, arctan2
asinh, acosh, atanh = arcsinh, arccosh, arctanh
radians, degrees = deg2rad, rad2deg
