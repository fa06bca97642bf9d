"""The error function and its relatives, which NumPy has not."""

from __future__ import annotations

from typing import Any

from ..backend import Array, namespace
from ..primitive import primitive
from .exponential import exp
from .piecewise import maximum, minimum

__all__ = ["erf"]


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
