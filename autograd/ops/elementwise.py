r"""Ops on each element by itself: $y_i = f(x_i)$, so $\bar x_i = \bar y_i f'(x_i)$.

Names and semantics are NumPy's. Arguments broadcast; the engine sums their gradients back.
"""

from __future__ import annotations

from typing import Any

from ..backend import Array, namespace
from ..primitive import nondifferentiable, primitive

# arithmetic


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


# exponential family


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


@primitive
def sqrt(x: Array, /) -> Array:
    r"""Return $\sqrt x$; $y^2 = x$, so $2y\,dy = dx$."""
    return namespace(x).sqrt(x)


sqrt.vjp(lambda g, y: 0.5 * g / y)


@primitive
def tanh(x: Array, /) -> Array:
    r"""Return the hyperbolic tangent; $y' = 1 - y^2$."""
    return namespace(x).tanh(x)


tanh.vjp(lambda g, y: g * (1 - y * y))


# For |x| < 1: erf(x) / x - 1 as a polynomial in x**2. For x >= 1: (1 - erf(x)) e^(x**2) as a
# polynomial in t = (x - 3) / (x + 3). Both interpolate the function, computed with 60 digits, at
# the Chebyshev nodes of the interval ([0, 1] in x**2; x from 1 to 6); the error is below one ulp.
_ERF_NEAR = (
    0.1283791670955126, -0.3761263890318375, 0.11283791670954879, -0.026866170645076792,
    0.0052239776248180145, -0.000854832698083379, 0.0001205533111164271, -1.4925595266831182e-05,
    1.6461000484121368e-06, -1.6350312701054695e-07, 1.4659775274047436e-08,
    -1.1372848856791674e-09, 5.957176147748911e-11,
)
_ERF_FAR = (
    0.17900115118138996, -0.32623356004303716, 0.24560380171233195, -0.15011593650078744,
    0.07166583719774874, -0.024392499318273194, 0.004269136347508256, 0.0007077464443901538,
    -0.0005970623517093284, 4.525472635483354e-05, 6.406182073530546e-05, -1.284889451252353e-05,
    -8.008021319412685e-06, 2.023603179641757e-06, 1.2801900862962662e-06,
)
_TWO_OVER_ROOT_PI = 1.1283791670955126


@primitive
def erf(x: Array, /) -> Array:
    r"""Return the error function $\frac{2}{\sqrt\pi}\int_0^x e^{-t^2} dt$ to full precision.

    $y' = \frac{2}{\sqrt\pi} e^{-x^2}$.
    """
    xp = namespace(x)
    x = xp.asarray(x)
    x = x if x.dtype.kind == "f" else x.astype(float)
    s = xp.minimum(xp.maximum(x, -1.0), 1.0)
    u = s * s
    near = xp.full_like(u, _ERF_NEAR[-1])
    for c in _ERF_NEAR[-2::-1]:
        near = near * u + c
    z = xp.minimum(xp.maximum(xp.abs(x), 1.0), 6.0)  # erf(6) is 1 to the last bit
    t = (z - 3.0) / (z + 3.0)
    far = xp.full_like(t, _ERF_FAR[-1])
    for c in _ERF_FAR[-2::-1]:
        far = far * t + c
    return xp.where(xp.abs(x) < 1.0, s + s * near, xp.sign(x) * (1.0 - xp.exp(-z * z) * far))


@erf.vjp
def _(g: Any, x: Any) -> Any:
    x = minimum(maximum(x, -30.0), 30.0)  # beyond, the slope is 0 and x * x might overflow
    return g * (_TWO_OVER_ROOT_PI * exp(-x * x))


# kinks: at a kink the rule gives one subgradient, named here


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
