"""The error function, the gamma function and their relatives, which NumPy has not."""

from __future__ import annotations

import math
import operator
from typing import Any

from ..backend import Array, namespace, widened
from ..primitive import composite, primitive
from .exponential import exp
from .piecewise import maximum, minimum

__all__ = [
    "digamma", "erf", "erfc", "erfinv", "gammaln", "lgamma", "logit", "ndtr", "polygamma",
]


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
# For z >= 0.5: (1 + 2z) e^(z**2) erfc(z) as a polynomial in t = (z - 3) / (z + 3), made in the
# same way for z up to 28; the error is below one ulp.
_ERFC_FAR = (
    1.2530080582697296, -0.1356211061245831, -0.04756229435343831, 0.129645158702975,
    -0.11927366341621724, 0.06830802733708952, -0.02377051489350231, 0.0025293919154549347,
    0.0018886900107502214, -0.0007798330300503209, -0.0001051570479672325,
    0.00012510258150365652, 4.9362871261062575e-06, -2.0107934172184984e-05,
    -6.921618812923379e-07, 3.478697042435308e-06, 2.847066125806462e-07,
    -6.092096907548503e-07, -6.463549906341068e-08, 8.142904694666356e-08,
)
# With w = -ln(1 - x**2): erfinv(x) / x as a polynomial in w < 5, and erfinv(x) as one in the root
# of w up to 37.8. They start an iteration: the error is below 1e-6.
_ERFINV_NEAR = (
    0.8862267858628946, 0.2320181828567194, 0.011525431199929647, -0.0022867828511138845,
    -0.0001761591830400175, 7.257810853178963e-05, -5.48766581695036e-06,
    -1.098948458299626e-07, 2.2605977741170975e-08,
)
_ERFINV_FAR = (
    0.12170243994748556, 0.663796513767165, 0.15009220594289924, -0.03030534117459601,
    0.00128027449167251, 0.000695851763500253, -0.00015363822913635916,
    1.3377931272354248e-05, -4.458948982497724e-07,
)
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)
"""The Bernoulli numbers B_2, B_4, ..., B_14; the terms of the others are below one ulp."""

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)


def _polynomial(coefficients: tuple[float, ...], t: Array) -> Array:
    y = 0 * t + coefficients[-1]
    for c in coefficients[-2::-1]:
        y = y * t + c
    return y


def _as_floats(x: Any) -> tuple[Any, Array]:
    """Return the library of x, and x as an array of floats."""
    xp = namespace(x)
    x = xp.asarray(x)
    return xp, x.astype(float) if x.dtype.kind in "biu" else x


# the error function


@primitive
def erf(x: Array, /) -> Array:
    r"""Return the error function $\frac{2}{\sqrt\pi}\int_0^x e^{-t^2} dt$ to full precision.

    An integral has the slope of its integrand at the upper end:
    $dy = \frac{2}{\sqrt\pi} e^{-x^2}\,dx$, so $\bar x = \bar y\,\frac{2}{\sqrt\pi} e^{-x^2}$.
    """
    xp, x = _as_floats(x)
    s = xp.minimum(xp.maximum(x, -1.0), 1.0)
    z = xp.minimum(xp.maximum(xp.absolute(x), 1.0), 6.0)  # erf(6) is 1 to the last bit
    near = s + s * _polynomial(_ERF_NEAR, s * s)
    far = 1.0 - xp.exp(-z * z) * _polynomial(_ERF_FAR, (z - 3.0) / (z + 3.0))
    return xp.where(xp.absolute(x) < 1.0, near, xp.sign(x) * far)


erf.vjp(lambda g, x: g * _bell(x))


@primitive
def erfc(x: Array, /) -> Array:
    r"""Return $1 - \operatorname{erf}(x)$, to full relative precision also where that is tiny.

    $dy = -\frac{2}{\sqrt\pi} e^{-x^2}\,dx$ (see `erf`), so
    $\bar x = -\bar y\,\frac{2}{\sqrt\pi} e^{-x^2}$.
    """
    xp, x = _as_floats(x)
    z = xp.minimum(xp.maximum(x, 0.5), 28.0)  # erfc(28) is 0
    head = xp.rint(z * 64) / 64  # few bits, so that its square is exact: rounding z * z would
    bell = xp.exp(-head * head) * xp.exp((head - z) * (head + z))  # be felt in exp(-z * z)
    far = bell * _polynomial(_ERFC_FAR, (z - 3.0) / (z + 3.0)) / (1.0 + 2.0 * z)
    return xp.where(x < 0.5, 1.0 - erf(xp.minimum(x, 0.5)), far)


erfc.vjp(lambda g, x: -g * _bell(x))


def _bell(x: Any) -> Any:
    x = minimum(maximum(x, -30.0), 30.0)  # beyond, the slope is 0 and x * x might overflow
    return exp(-x * x) * _TWO_OVER_ROOT_PI


@primitive
def erfinv(x: Array, /) -> Array:
    r"""Return the y with erf(y) = x, to full precision; $\pm\infty$ at $\pm 1$, NaN beyond.

    $\frac{2}{\sqrt\pi} e^{-y^2}\,dy = dx$, so $\bar x = \bar y\,\frac{\sqrt\pi}{2} e^{y^2}$.
    A polynomial is improved by one step of Halley's method, which triples the number of digits:
    with the residual u measured in units of the slope, $y \leftarrow y - u / (1 + y u)$.
    """
    xp, x = _as_floats(x)
    t = xp.absolute(x).astype(float)
    outside = ~(t < 1.0)
    t = xp.where(outside, 0.5, t)
    w = -xp.log((1.0 - t) * (1.0 + t))
    y = xp.where(w < 5.0, t * _polynomial(_ERFINV_NEAR, xp.minimum(w, 5.0)),
                 _polynomial(_ERFINV_FAR, xp.sqrt(xp.maximum(w, 5.0))))
    residual = xp.where(t < 0.5, erf(y) - t, (1.0 - t) - erfc(y))  # each exact where it is used
    u = residual / _bell(y)
    y = y - u / (1.0 + y * u)
    y = xp.where(outside, xp.where(xp.absolute(x) == 1.0, math.inf, math.nan), y)
    return xp.copysign(y, x).astype(x.dtype)


erfinv.vjp(lambda g, y: g * (exp(y * y) / _TWO_OVER_ROOT_PI))


@composite
def ndtr(x: Any) -> Any:
    r"""Return the probability that a standard normal variable is below x.

    $\Phi(x) = \tfrac12 \operatorname{erfc}(-x / \sqrt 2)$, so
    $d\Phi = \frac{1}{\sqrt{2\pi}} e^{-x^2/2}\,dx$ and
    $\bar x = \bar y\,\frac{1}{\sqrt{2\pi}} e^{-x^2/2}$.
    """
    return 0.5 * erfc(x * -math.sqrt(0.5))


@primitive
def logit(x: Array, /) -> Array:
    r"""Return $\ln \frac{x}{1 - x}$ for 0 < x < 1, the inverse of the logistic function.

    $y = \ln x - \ln(1 - x)$, so $dy = dx / x + dx / (1 - x) = dx / (x (1 - x))$ and
    $\bar x = \bar y / (x (1 - x))$.
    """
    xp, x = _as_floats(x)
    return xp.log(x / (1.0 - x))


logit.vjp(lambda g, x: g / (x * (1 - x)))


# the gamma function


@primitive
def gammaln(x: Array, /) -> Array:
    r"""Return $\ln |\Gamma(x)|$, to about 1e-14 of max(1, |y|); $\infty$ at 0, -1, -2, ...

    The digamma function $\psi(x) = \Gamma'(x) / \Gamma(x)$ is the slope of the logarithm of the
    gamma function $\Gamma$, so $dy = \psi(x)\,dx$ and $\bar x = \bar y\,\psi(x)$. Stirling's series
    $\ln \Gamma(z) \approx (z - \tfrac12) \ln z - z + \tfrac12 \ln 2\pi + \sum_k
    \frac{B_{2k}}{2k (2k-1)} z^{1-2k}$ with Bernoulli's numbers $B_{2k}$ serves z >= 10; smaller
    arguments are raised by $\Gamma(x) = \Gamma(x + 10) / (x (x + 1) \dots (x + 9))$, those below
    1/2 reflected first: $\Gamma(x)\,\Gamma(1 - x) = \pi / \sin \pi x$.
    """
    xp, given = _as_floats(x)
    x = given.astype(float)
    reflected = x < 0.5
    t = xp.where(reflected, 1.0 - x, x)
    low = t < 10.0
    steps = xp.where(low, t, 1.0)
    product = steps
    for i in range(1, 10):
        product = product * (steps + i)
    z = xp.where(low, t + 10.0, t)
    series = _polynomial(tuple(b / (2 * k * (2 * k - 1)) for k, b in enumerate(_BERNOULLI, 1)),
                         1.0 / z / z) / z
    y = (z - 0.5) * (xp.log(z) - 1.0) + (0.5 * math.log(2 * math.pi) - 0.5) + series
    y = y - xp.where(low, xp.log(product), 0.0)
    part = xp.where(reflected, x, 0.5)
    part = part - xp.rint(part)
    sine = xp.absolute(xp.sin(math.pi * part))
    pole = sine == 0
    y = xp.where(reflected, math.log(math.pi) - xp.log(xp.where(pole, 1.0, sine)) - y, y)
    return xp.where(pole, math.inf, y).astype(given.dtype)


@gammaln.vjp
@widened
def _(g: Any, x: Any) -> Any:
    return g * _polygamma(x, 0)


@primitive
def _polygamma(x: Array, /, order: int) -> Array:
    r"""Return $\psi^{(n)}(x) = \frac{d^{n+1}}{dx^{n+1}} \ln \Gamma(x)$, n the order.

    $dy = \psi^{(n+1)}(x)\,dx$, so $\bar x = \bar y\,\psi^{(n+1)}(x)$; $\Gamma$ is the gamma
    function. Raised by $\psi^{(n)}(x) = \psi^{(n)}(x + 1) - (-1)^n n!\,x^{-n-1}$ until the
    derivatives of Stirling's series serve; below 1/2 reflected:
    $\psi^{(n)}(x) = (-1)^n \psi^{(n)}(1 - x) - \pi \frac{d^n}{dx^n} \cot \pi x$.
    """
    xp, given = _as_floats(x)
    x = given.astype(float)
    reflected = x < 0.5
    t = xp.where(reflected, 1.0 - x, x)
    sign, raised = (-1) ** order, 16 + order
    y = xp.zeros_like(t)
    for i in range(raised):
        y = y - sign * math.factorial(order) * math.prod([1.0 / (t + i)] * (order + 1))
    y = y + _polygamma_series(xp, t + raised, order)
    part = xp.where(reflected, x, 0.5)
    part = part - xp.rint(part)
    pole = part == 0
    cot = 1.0 / xp.tan(math.pi * xp.where(pole, 0.5, part))
    y = xp.where(reflected, sign * y - math.pi * _cot_derivative(cot, order), y)
    return xp.where(pole, math.nan, y).astype(given.dtype)


@_polygamma.vjp
@widened
def _(g: Any, x: Any, order: int) -> Any:
    return g * _polygamma(x, order + 1)


def _polygamma_series(xp: Any, z: Array, n: int) -> Array:
    r"""The n-th derivative of $\ln z - \frac1{2z} - \sum_k \frac{B_{2k}}{2k} z^{-2k}$."""
    tail = _polynomial((0.0, *(b * math.factorial(2 * k + n - 1) / math.factorial(2 * k)
                               for k, b in enumerate(_BERNOULLI, 1))), 1.0 / z / z)
    if n == 0:
        return xp.log(z) - 0.5 / z - tail
    half = math.factorial(n) * 0.5 / z
    return (-1) ** (n + 1) * math.prod([1.0 / z] * n) * (math.factorial(n - 1) + half + tail)


def _cot_derivative(cot: Array, n: int) -> Array:
    r"""The n-th derivative of $c = \cot \pi x$, a polynomial in c since $c' = -\pi (1 + c^2)$."""
    p = [0.0, 1.0]
    for _ in range(n):
        slope = [i * a for i, a in enumerate(p)][1:]
        squared = [0.0, 0.0, *slope]
        p = [-math.pi * (a + b) for a, b in zip([*slope, 0.0, 0.0], squared, strict=True)]
    return _polynomial(tuple(p), cot)


@composite
def digamma(x: Any) -> Any:
    r"""Return $\psi(x) = \Gamma'(x) / \Gamma(x)$; NaN at the poles 0, -1, -2, ...

    $\Gamma$ is the gamma function. $dy = \psi'(x)\,dx$, so $\bar x = \bar y\,\psi'(x)$ with the
    slope $\psi'$, which is `polygamma(1, x)`.
    """
    return _polygamma(x, 0)


@composite
def polygamma(n: int, x: Any) -> Any:
    r"""Return the n-th derivative $\psi^{(n)}(x)$ of the digamma function $\psi$, n = 0, 1, ...

    NaN at the poles x = 0, -1, -2, ...
    """
    n = operator.index(n)
    if n < 0:
        raise ValueError(f"polygamma: n must be 0 or a positive integer, got {n!r}")
    return _polygamma(x, n)


lgamma = gammaln
