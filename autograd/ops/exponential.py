r"""Exponentials and logarithms of each element: $y_i = f(x_i)$, so $\bar x_i = \bar y_i f'(x_i)$.

Logarithms are NaN below their domain and $-\infty$ at its edge, where the slope is infinite.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import Array, namespace
from ..broadcast import astype
from ..primitive import primitive
from .kinks import bend
from .piecewise import equal, isinf, minimum, where

__all__ = [
    "exp", "exp2", "expit", "expm1", "log", "log1p", "log2", "log10", "logaddexp", "logaddexp2",
    "sigmoid", "xlogy",
]

_LN2, _LN10 = math.log(2), math.log(10)


def like(g: Any, part: Any) -> Any:
    """Return part in the dtype of g, where a number or integers among arguments widened it."""
    return part if part.dtype == g.dtype else astype(part, g.dtype)


@primitive
def exp(x: Array, /) -> Array:
    r"""Return $e^x$.

    $e^{x + dx} = e^x e^{dx}$, and to first order $e^{dx} = 1 + dx$: $dy = y\,dx$, so
    $\bar x = \bar y\,y$.
    """
    return namespace(x).exp(x)


exp.vjp(lambda g, y: g * y)


@primitive
def exp2(x: Array, /) -> Array:
    r"""Return $2^x$.

    $y = e^{x \ln 2}$, so $dy = y \ln 2\,dx$ and $\bar x = \bar y\,y \ln 2$.
    """
    return namespace(x).exp2(x)


exp2.vjp(lambda g, y: g * (y * _LN2))


@primitive
def expm1(x: Array, /) -> Array:
    r"""Return $e^x - 1$, precise for small x.

    The constant has no slope: $dy = e^x\,dx$, so $\bar x = \bar y\,e^x$.
    """
    return namespace(x).expm1(x)


expm1.vjp(lambda g, x: g * exp(x))  # y + 1 would lose e^x for very negative x


@primitive
def log(x: Array, /) -> Array:
    r"""Return the natural logarithm of x > 0.

    $e^y = x$, so $e^y\,dy = dx$, where $e^y$ is x: $\bar x = \bar y / x$.
    """
    return namespace(x).log(x)


log.vjp(lambda g, x: g / x)


@primitive
def log2(x: Array, /) -> Array:
    r"""Return the logarithm to base 2 of x > 0.

    $y = \ln x / \ln 2$, so $dy = dx / (x \ln 2)$ and $\bar x = \bar y / (x \ln 2)$.
    """
    return namespace(x).log2(x)


log2.vjp(lambda g, x: g / _LN2 / x)


@primitive
def log10(x: Array, /) -> Array:
    r"""Return the logarithm to base 10 of x > 0.

    $y = \ln x / \ln 10$, so $dy = dx / (x \ln 10)$ and $\bar x = \bar y / (x \ln 10)$.
    """
    return namespace(x).log10(x)


log10.vjp(lambda g, x: g / _LN10 / x)


@primitive
def log1p(x: Array, /) -> Array:
    r"""Return $\ln(1 + x)$ for x > -1, precise for small x.

    $e^y = 1 + x$, so $e^y\,dy = dx$, where $e^y$ is 1 + x: $\bar x = \bar y / (1 + x)$.
    """
    return namespace(x).log1p(x)


log1p.vjp(lambda g, x: g / (1 + x))


@primitive
def sigmoid(x: Array, /) -> Array:
    r"""Return $\sigma(x) = 1 / (1 + e^{-x})$ without overflow.

    With $u = 1 + e^{-x}$, $dy = -du / u^2 = (1/u)\,(e^{-x} / u)\,dx = \sigma(x)\,\sigma(-x)\,dx$,
    so $\bar x = \bar y\,y\,\sigma(-x)$, precise in both tails, where $1 - y$ would not be.
    """
    xp = namespace(x)
    return xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-xp.absolute(x)))


sigmoid.vjp(lambda g, x, y: g * (y * sigmoid(-x)))


@primitive
def logaddexp(a: Array, b: Array, /) -> Array:
    r"""Return $\ln(e^a + e^b)$ without overflow.

    $e^y = e^a + e^b$, so $e^y\,dy = e^a\,da + e^b\,db$. The share of $e^a$ in the sum is
    $\sigma(a - b)$ with $\sigma(t) = 1/(1 + e^{-t})$:
    $\bar a = \bar y\,\sigma(a - b)$ and $\bar b = \bar y\,\sigma(b - a)$. Two infinities take the
    limits along a = b, halves, if positive; if negative the sum is empty and both shares are 0.
    """
    return namespace(a, b).logaddexp(a, b)


logaddexp.vjp(lambda g, a, b: like(g, g * sigmoid(_difference(a, b))),
              lambda g, a, b: like(g, g * sigmoid(_difference(b, a))))


@primitive
def logaddexp2(a: Array, b: Array, /) -> Array:
    r"""Return $\log_2(2^a + 2^b)$ without overflow.

    $2^y = 2^a + 2^b$, so $2^y\,dy = 2^a\,da + 2^b\,db$. The share of $2^a = e^{a \ln 2}$ in the sum
    is $\sigma((a - b) \ln 2)$ with $\sigma(t) = 1/(1 + e^{-t})$:
    $\bar a = \bar y\,\sigma((a - b) \ln 2)$ and $\bar b = \bar y\,\sigma((b - a) \ln 2)$; for
    infinities as in `logaddexp`.
    """
    return namespace(a, b).logaddexp2(a, b)


logaddexp2.vjp(lambda g, a, b: like(g, g * sigmoid(_difference(a, b) * _LN2)),
               lambda g, a, b: like(g, g * sigmoid(_difference(b, a) * _LN2)))


def _difference(a: Any, b: Any) -> Any:
    """Return a - b, but of equal infinities 0 if positive, -infinity if negative."""
    same = equal(a, b) & isinf(a)
    return where(same, minimum(a, 0), a) - where(same, 0, b)


@primitive
def xlogy(a: Array, b: Array, /) -> Array:
    r"""Return $a \ln b$, and 0 where a is 0 (unless b is NaN), as entropies need it.

    $dy = \ln b\,da + (a / b)\,db$, so with $c = [a \ne 0 \text{ or } b \ne 0]$
    $\bar a = c\,\bar y \ln b$, $\bar b = c\,\bar y\,a / b$: both are taken as 0 where a = b = 0.
    """
    xp = namespace(a, b)
    b = xp.asarray(b, dtype=xp.result_type(a, b))
    nothing = xp.equal(a, 0) & xp.equal(b, b)
    return a * xp.log(xp.where(nothing, 1, b))


@xlogy.vjp
def _(g: Any, a: Any, b: Any, place: Any, wanted: tuple[bool, bool]) -> tuple[Any, Any]:
    at = equal(a, 0) & equal(b, 0)
    da = like(g, g * log(where(at, 1.0, b))) if wanted[0] else None
    db = g * (a / where(at, math.inf, b)) if wanted[1] else None
    if getattr(g, "node", None):  # known as a function of y, and g'(y) dy/da would be 0
        da = bend(da, g, place, a, at=at & equal(g, 0), slope=math.nan)
    return (bend(da, g, place, b, at=at, slope=math.nan),
            bend(db, g, place, a, at=at, slope=math.nan))


expit = sigmoid
