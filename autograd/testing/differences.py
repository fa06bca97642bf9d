r"""The derivative of a function that can only be called, and how far it can be trusted.

The central quotient $q(h) = (s(h) - s(-h)) / 2h$ has the error $h^2 s'''/6 + \dots$ in even powers
of h, so $p(h) = (4 q(h/2) - q(h)) / 3$ has none of the second order (Richardson). Two of these, at
h and 2h, differ by about 15 times the truncation error of the finer one; the other error is
rounding, about $\epsilon S / h$ with S the size of the terms that were added up. At
$h = \epsilon^{1/5}$ both are near 1e-12 for a function of natural scale. Where they are not,
because a kink or a singularity is near, h is divided by 8, and the step with the smallest error is
kept. The tolerance is the sum of the two errors, each with a margin: it follows the function and is
not a setting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

EPS = float(np.finfo(float).eps)
STEP = EPS**0.2  # 7e-4; the widest quotient reaches twice as far
LEVELS = 10  # the last step is 5e-12
_MARGIN = 100  # an op rounds more than once
_CANCELLED = 1e-3  # a result of exactly 0 hides how large the terms were that cancelled


def rounding(size: Any) -> Any:
    """Return what rounding may do to a quotient of terms that have this size."""
    return _MARGIN * EPS / STEP * (size + _CANCELLED)


def derivative(s: Callable[[float], Any], middle: Any, size: Any) -> tuple[Any, Any]:
    """Return $s'(0)$ and its tolerance; `middle` is s(0), and s may return an array.

    The tolerance is inf where s has no derivative: it is not finite nearby, or has a kink.

    >>> value, tolerance = derivative(lambda t: np.log(1e-3 + t), np.log(1e-3), size=7.0)
    >>> bool(abs(value - 1000) < tolerance), bool(tolerance < 1e-4)
    (True, True)
    >>> float(derivative(abs, 0.0, size=0.0)[1])
    inf
    """
    best: Any = np.nan
    error: Any = np.inf
    h = STEP
    with np.errstate(all="ignore"):
        for _ in range(LEVELS):
            right, left = ([s(sign * k * h) for k in (2.0, 1.0, 0.5)] for sign in (1, -1))
            wide, half, near = [(a - b) / (2 * k * h)
                                for a, b, k in zip(right, left, (2.0, 1.0, 0.5), strict=True)]
            coarse, fine = (4 * half - wide) / 3, (4 * near - half) / 3
            truncation, rounded = 4 * np.abs(fine - coarse), rounding(size) * (STEP / h)
            smooth = _smooth(right, left, middle, rounded * h)
            total = np.where(smooth, truncation + rounded, np.inf)
            best, error = np.where(total < error, fine, best), np.fmin(total, error)
            if np.all(total <= 2 * rounded):
                break
            h /= 8
    return best, error


def _smooth(right: list[Any], left: list[Any], middle: Any, rounded: Any) -> Any:
    r"""Whether no kink or singularity lies within the widest step.

    $s(h) - 2 s(0) + s(-h)$ falls to a quarter when h is halved where s is smooth, to a half at a
    kink, and not at all across a pole.
    """
    wide, half, near = [a - 2 * middle + b for a, b in zip(right, left, strict=True)]
    small = 1e-3 * np.abs(right[0] - left[0]) + rounded
    return ((np.abs(wide - 4 * half) <= 0.1 * np.abs(wide) + small)
            & (np.abs(half - 4 * near) <= 0.1 * np.abs(half) + small))


def noise(s: Callable[[float], Any], middle: Any) -> float:
    r"""Return how far values of s near s(0) are off a smooth curve: rounding that size hides.

    Fourth differences of values 1e-7 apart leave nothing of a smooth curve, and of independent
    errors with deviation d they leave $\sqrt{70}\,d$. If much is left, values at
    a thousandth of the distance decide what it is: noise stays as it is, or the values are all the
    same, rounded to one; a kink or a singularity becomes smaller.

    Source: Moré and Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011).
    """
    rough: list[Any] = []
    for step in (1e-7, 1e-10):
        with np.errstate(all="ignore"):
            # not symmetric about 0: there, errors of opposite signs would cancel
            curve = np.stack([s(k * step) if k else middle for k in range(-2, 5)])
            rough.append(np.abs(np.diff(curve, 4, axis=0)).max(0) / 70**0.5)
        plain = rough[0] <= 1e-9 * np.abs(curve).sum(0)
        if plain.all():
            return float(rough[0].sum())
    plain |= (curve == curve[0]).all(0)
    stays = np.where(rough[1] > rough[0] / 30, rough[1], 0.0)
    return float(np.nansum(np.where(plain, rough[0], stays)))
