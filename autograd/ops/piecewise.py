r"""Comparisons and logic, and ops on each element that have kinks or jumps.

At a kink the rule gives one subgradient, named in the op's docstring: halves where two arguments
are equal, 0 where absolute turns. At a jump, and on the flat pieces around it, the derivative is
taken as 0. In the formulas [c] is 1 where the condition c holds, else 0.
"""

from __future__ import annotations

from typing import Any

from ..backend import Array, namespace, widened
from ..primitive import composite, nondifferentiable, primitive
from ..tensor import Tensor, values
from .kinks import bend

__all__ = [
    "abs", "absolute", "allclose", "around", "array_equal", "bitwise_and", "bitwise_invert",
    "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "ceil",
    "clip", "equal", "fabs", "fix", "floor", "fmax", "fmin", "greater", "greater_equal",
    "heaviside", "invert", "isclose", "isfinite", "isinf", "isnan", "isneginf", "isposinf",
    "left_shift", "less", "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor",
    "maximum", "minimum", "modf", "nan_to_num", "not_equal", "right_shift", "rint", "round", "sign",
    "signbit", "trunc", "where",
]


# comparisons and logic: plain boolean arrays, off the tape


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


@nondifferentiable
def logical_and(a: Array, b: Array, /) -> Array:
    """Return whether both are true (not 0), element by element."""
    return namespace(a, b).logical_and(a, b)


@nondifferentiable
def logical_or(a: Array, b: Array, /) -> Array:
    """Return whether one or both are true (not 0), element by element."""
    return namespace(a, b).logical_or(a, b)


@nondifferentiable
def logical_xor(a: Array, b: Array, /) -> Array:
    """Return whether exactly one is true (not 0), element by element."""
    return namespace(a, b).logical_xor(a, b)


@nondifferentiable
def logical_not(x: Array, /) -> Array:
    """Return whether x is false (0), element by element."""
    return namespace(x).logical_not(x)


@nondifferentiable
def bitwise_and(a: Array, b: Array, /) -> Array:
    """Return a & b of integers, bit by bit, or of booleans, element by element."""
    return namespace(a, b).bitwise_and(a, b)


@nondifferentiable
def bitwise_or(a: Array, b: Array, /) -> Array:
    """Return a | b of integers, bit by bit, or of booleans, element by element."""
    return namespace(a, b).bitwise_or(a, b)


@nondifferentiable
def bitwise_xor(a: Array, b: Array, /) -> Array:
    """Return a ^ b of integers, bit by bit, or of booleans, element by element."""
    return namespace(a, b).bitwise_xor(a, b)


@nondifferentiable
def bitwise_invert(x: Array, /) -> Array:
    """Return ~x of integers, bit by bit, or of booleans, element by element."""
    return namespace(x).invert(x)


@nondifferentiable
def bitwise_left_shift(a: Array, b: Array, /) -> Array:
    r"""Return a << b of integers, element by element: $a\,2^b$."""
    return namespace(a, b).left_shift(a, b)


@nondifferentiable
def bitwise_right_shift(a: Array, b: Array, /) -> Array:
    r"""Return a >> b of integers, element by element: $a\,2^{-b}$, rounded down."""
    return namespace(a, b).right_shift(a, b)


@nondifferentiable
def isnan(x: Array, /) -> Array:
    """Return whether x is NaN, element by element."""
    return namespace(x).isnan(x)


@nondifferentiable
def isinf(x: Array, /) -> Array:
    """Return whether x is infinite, element by element."""
    return namespace(x).isinf(x)


@nondifferentiable
def isfinite(x: Array, /) -> Array:
    """Return whether x is neither NaN nor infinite, element by element."""
    return namespace(x).isfinite(x)


@nondifferentiable
def isposinf(x: Array, /) -> Array:
    """Return whether x is positive infinity, element by element."""
    return namespace(x).equal(x, float("inf"))


@nondifferentiable
def isneginf(x: Array, /) -> Array:
    """Return whether x is negative infinity, element by element."""
    return namespace(x).equal(x, -float("inf"))


@nondifferentiable
def signbit(x: Array, /) -> Array:
    """Return whether the sign bit is set, as in -0.0, element by element."""
    return namespace(x).signbit(x)


@nondifferentiable
def isclose(a: Array, b: Array, /, rtol: float = 1e-5, atol: float = 1e-8,
            equal_nan: bool = False) -> Array:
    """Return whether |a - b| <= atol + rtol |b|, element by element."""
    return namespace(a, b).isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan)


@nondifferentiable
def allclose(a: Array, b: Array, /, rtol: float = 1e-5, atol: float = 1e-8,
             equal_nan: bool = False) -> Array:
    """Return whether |a - b| <= atol + rtol |b| everywhere."""
    return namespace(a, b).isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan).all()


@nondifferentiable
def array_equal(a: Array, b: Array, /, equal_nan: bool = False) -> Array:
    """Return whether both have the same shape and the same elements."""
    xp = namespace(a, b)
    return xp.asarray(xp.array_equal(a, b, equal_nan=equal_nan))[()]


# signs and choices


@primitive
def sign(x: Array, /) -> Array:
    r"""Return -1, 0 or 1 (NaN of NaN).

    y is constant on both sides of 0: $dy = 0$, so $\bar x = 0$, also at the jump.
    """
    return namespace(x).sign(x)


sign.vjp(lambda g: g * 0)


@primitive
def absolute(x: Array, /) -> Array:
    r"""Return $|x|$.

    $|x| = x \operatorname{sign}(x)$ with a sign that is constant on both sides of 0:
    $dy = \operatorname{sign}(x)\,dx$, so $\bar x = \bar y \operatorname{sign}(x)$, which is 0 at
    the kink 0.
    """
    return namespace(x).absolute(x)


def _signed(g: Any, x: Any, place: Any) -> Any:
    part = g * sign(x)
    return bend(part, g, place, x, at=equal(x, 0), slope=0.0) if isinstance(part, Tensor) else part


absolute.vjp(_signed)


@primitive
def fabs(x: Array, /) -> Array:
    r"""Return $|x|$ as a float, of integers too.

    $dy = \operatorname{sign}(x)\,dx$ (see `absolute`), so
    $\bar x = \bar y \operatorname{sign}(x)$.
    """
    return namespace(x).fabs(x)


fabs.vjp(_signed)


@primitive
def where(condition: Array, a: Array, b: Array, /) -> Array:
    r"""Return a where the condition c holds, else b.

    $y = [c]\,a + [\text{not } c]\,b$, so $dy = [c]\,da + [\text{not } c]\,db$ and
    $\bar a = [c]\,\bar y$, $\bar b = [\text{not } c]\,\bar y$. What was not chosen receives the
    gradient 0, but an infinite slope behind it makes NaN of that (0 times infinity): choose a
    harmless argument before a function with a singularity, not only after it.
    """
    y = namespace(condition, a, b).where(condition, a, b)
    return y if y.shape else y[()]  # of numbers a number, which goes with any library's arrays


where.vjp(None, lambda g, condition: where(condition, g, 0.0),
          lambda g, condition: where(condition, 0.0, g))


@primitive
def times(a: Array, b: Array, /) -> Array:
    r"""Return $ab$ of a gradient a and a slope b that may be infinite: 0 where a is 0.

    $dy = b\,da + a\,db$, so $\bar a = \bar y\,b$, again 0 where $\bar y$ is, and
    $\bar b = \bar y\,a$.
    """
    xp = namespace(a, b)
    return a * xp.where(xp.equal(a, 0) & ~xp.isfinite(b), 0, b)


times.vjp(lambda g, b: times(g, b), lambda g, a: g * a)


# the larger, the smaller


@primitive
def maximum(a: Array, b: Array, /) -> Array:
    r"""Return the larger one, NaN if one is NaN.

    Where they differ $dy = [a > b]\,da + [b > a]\,db$; at the kink, where they are equal, each
    takes half: $\bar a = \bar y\,([a > b] + \tfrac12 [a = b])$,
    $\bar b = \bar y\,([b > a] + \tfrac12 [a = b])$. Here NaN counts as larger than any number, so
    the gradient goes where the NaN came from; two NaN are equal.
    """
    return namespace(a, b).maximum(a, b)


maximum.vjp(lambda g, a, b: _share(g, greater(a, b) | _is_nan(a), less(a, b) | _is_nan(b)),
            lambda g, a, b: _share(g, less(a, b) | _is_nan(b), greater(a, b) | _is_nan(a)))


@primitive
def minimum(a: Array, b: Array, /) -> Array:
    r"""Return the smaller one, NaN if one is NaN.

    Where they differ $dy = [a < b]\,da + [b < a]\,db$; at the kink, where they are equal, each
    takes half: $\bar a = \bar y\,([a < b] + \tfrac12 [a = b])$,
    $\bar b = \bar y\,([b < a] + \tfrac12 [a = b])$. Here NaN counts as smaller than any number, so
    the gradient goes where the NaN came from; two NaN are equal.
    """
    return namespace(a, b).minimum(a, b)


minimum.vjp(lambda g, a, b: _share(g, less(a, b) | _is_nan(a), greater(a, b) | _is_nan(b)),
            lambda g, a, b: _share(g, greater(a, b) | _is_nan(b), less(a, b) | _is_nan(a)))


@primitive
def fmax(a: Array, b: Array, /) -> Array:
    r"""Return the larger one, ignoring NaN; NaN only where both are.

    Where they differ $dy = [a > b]\,da + [b > a]\,db$; at the kink, where they are equal, each
    takes half: $\bar a = \bar y\,([a > b] + \tfrac12 [a = b])$,
    $\bar b = \bar y\,([b > a] + \tfrac12 [a = b])$. Here NaN counts as smaller than any number; two
    NaN are equal.
    """
    return namespace(a, b).fmax(a, b)


fmax.vjp(lambda g, a, b: _share(g, greater(a, b) | _is_nan(b), less(a, b) | _is_nan(a)),
         lambda g, a, b: _share(g, less(a, b) | _is_nan(a), greater(a, b) | _is_nan(b)))


@primitive
def fmin(a: Array, b: Array, /) -> Array:
    r"""Return the smaller one, ignoring NaN; NaN only where both are.

    Where they differ $dy = [a < b]\,da + [b < a]\,db$; at the kink, where they are equal, each
    takes half: $\bar a = \bar y\,([a < b] + \tfrac12 [a = b])$,
    $\bar b = \bar y\,([b < a] + \tfrac12 [a = b])$. Here NaN counts as larger than any number; two
    NaN are equal.
    """
    return namespace(a, b).fmin(a, b)


fmin.vjp(lambda g, a, b: _share(g, less(a, b) | _is_nan(b), greater(a, b) | _is_nan(a)),
         lambda g, a, b: _share(g, greater(a, b) | _is_nan(a), less(a, b) | _is_nan(b)))


def _share(g: Any, mine: Any, theirs: Any) -> Any:
    """Return g where the choice was mine, 0 where theirs, half where it was neither's or both's."""
    return where(equal(mine, theirs), 0.5 * g, where(mine, g, 0.0))


def _is_nan(x: Any) -> Any:
    return not_equal(x, x)


@composite
def clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    r"""Return $\min(\max(x, l), u)$ with bounds l and u, numbers or arrays; None leaves a side out.

    The bounds are given as `a_min, a_max` or by the keywords `min, max`. For $l < u$,
    $dy = [l < x < u]\,dx + [x < l]\,dl + [x > u]\,du$, and on a bound x and the bound take half
    each: $\bar x = \bar y\,([l < x < u] + \tfrac12 [x = l] + \tfrac12 [x = u])$,
    $\bar l = \bar y\,([x < l] + \tfrac12 [x = l])$,
    $\bar u = \bar y\,([x > u] + \tfrac12 [x = u])$. Where the bounds cross, l > u, the result is u.
    """
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise TypeError("clip: give each bound once, as a_min, a_max or as min=, max=")
    low, high = a_min if min is None else min, a_max if max is None else max
    if not isinstance(x, Tensor):
        x = namespace(x, values(low), values(high)).asarray(x)
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


@primitive
def heaviside(x: Array, h: Array, /) -> Array:
    r"""Return 0 where x < 0, 1 where x > 0, and h where x = 0.

    $y = [x > 0] + [x = 0]\,h$, so $dy = [x = 0]\,dh$ and $\bar h = [x = 0]\,\bar y$;
    $\bar x = 0$, also at the jump.
    """
    return namespace(x, h).heaviside(x, h)


heaviside.vjp(lambda g: g * 0, lambda g, x: g * equal(x, 0))


# rounding


@primitive
def floor(x: Array, /) -> Array:
    r"""Return the largest integer that is not above x.

    y is constant between its jumps: $dy = 0$, so $\bar x = 0$, also at the jumps.
    """
    return namespace(x).floor(x)


floor.vjp(lambda g: g * 0)


@primitive
def ceil(x: Array, /) -> Array:
    r"""Return the smallest integer that is not below x.

    y is constant between its jumps: $dy = 0$, so $\bar x = 0$, also at the jumps.
    """
    return namespace(x).ceil(x)


ceil.vjp(lambda g: g * 0)


@primitive
def trunc(x: Array, /) -> Array:
    r"""Return x without its fraction, rounded towards 0.

    y is constant between its jumps: $dy = 0$, so $\bar x = 0$, also at the jumps.
    """
    return namespace(x).trunc(x)


trunc.vjp(lambda g: g * 0)


@primitive
def rint(x: Array, /) -> Array:
    r"""Return the nearest integer, of two the even one.

    y is constant between its jumps: $dy = 0$, so $\bar x = 0$, also at the jumps.
    """
    return namespace(x).rint(x)


rint.vjp(lambda g: g * 0)


@primitive
@widened
def round(x: Array, /, decimals: int = 0) -> Array:
    r"""Return x rounded to that many decimals, halves to even.

    y is constant between its jumps: $dy = 0$, so $\bar x = 0$, also at the jumps.
    """
    return namespace(x).around(x, decimals)


round.vjp(lambda g: g * 0)


@primitive
def _fraction(x: Array, /) -> Array:
    r"""Return x - trunc(x), with the sign of x (0 of infinity).

    trunc(x) is constant between its jumps: $dy = dx$, so $\bar x = \bar y$, also at the jumps.
    """
    return namespace(x).modf(x)[0]


_fraction.vjp(lambda g: g)


@primitive
def _whole(x: Array, /) -> Array:
    r"""Return trunc(x), of integers as a float.

    y is constant between its jumps: $dy = 0$, so $\bar x = 0$, also at the jumps.
    """
    return namespace(x).modf(x)[1]


_whole.vjp(lambda g: g * 0)


@composite
def modf(x: Any) -> tuple[Any, Any]:
    r"""Return the fraction of x and x without it; the fraction alone passes a gradient on."""
    return _fraction(x), _whole(x)


@primitive
def nan_to_num(x: Array, /, *, nan: float = 0.0, posinf: float | None = None,
               neginf: float | None = None) -> Array:
    r"""Return x with finite numbers in place of NaN and infinities.

    By default 0 for NaN and the largest finite numbers for infinities.
    Where x is finite y is x, elsewhere a constant: $dy = [x \text{ finite}]\,dx$, so
    $\bar x = [x \text{ finite}]\,\bar y$: no gradient flows where x was replaced.
    """
    return namespace(x).nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


nan_to_num.vjp(lambda g, x: where(isfinite(x), g, 0.0))


abs, around, fix = absolute, round, trunc
bitwise_not = invert = bitwise_invert
left_shift, right_shift = bitwise_left_shift, bitwise_right_shift
