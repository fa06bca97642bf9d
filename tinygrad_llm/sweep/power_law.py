r"""How the loss falls with a model's size: the law $L(N) = E + A N^{-a}$ through measured points.

E is what no size would go below, with that data; A and a say how fast larger models come there. The
law is to hold to the same relative error everywhere, so the sum of squares of

$$r_i = \frac{E + A N_i^{-a}}{L_i} - 1 \approx \log (E + A N_i^{-a}) - \log L_i$$

is minimised. For a given a it is linear in E and A, and their least squares have a closed form;
what remains is a function of a alone (Golub, Pereyra 1973: variable projection), whose least value
a grid and then golden sections find, so no start has to be guessed.

With $u_i = 1 / L_i$ and $v_i = N_i^{-a} / L_i$, $\sum_i (E u_i + A v_i - 1)^2$ is least where

$$\begin{pmatrix} \sum u_i^2 & \sum u_i v_i \\ \sum u_i v_i & \sum v_i^2 \end{pmatrix}
\begin{pmatrix} E \\ A \end{pmatrix} = \begin{pmatrix} \sum u_i \\ \sum v_i \end{pmatrix} .$$

No loss lies below 0, so where that E is negative it is 0, and A alone is fitted; where A is
negative, as the losses do not fall, it is 0, and E alone is.

Trap: with few sizes close together E and a are poorly known while the loss between and a little
beyond them is well known, as an error of one is made up by the other.

Source: Hoffmann et al., "Training Compute-Optimal Large Language Models", arXiv:2203.15556, section
3.3: the same law with a second term for the data, fitted by the Huber loss of the difference of
logarithms, as among hundreds of runs some are outliers; among five there is none to spare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = 0.01, 3.0  # exponents that are tried
GOLDEN = (sqrt(5) - 1) / 2


@dataclass(frozen=True)
class PowerLaw:
    """The law $L(N) = E + A N^{-a}$, and its root mean square relative error where it was fitted.

    >>> PowerLaw(E=1.0, A=8.0, a=0.5, error=0.0).loss(64)
    2.0
    """

    E: float
    A: float
    a: float
    error: float

    def loss(self, size: float) -> float:
        """Return the loss of a model of that many parameters."""
        return float(self.E + self.A * float(size) ** -self.a)


def fit_power_law(sizes: Sequence[float], losses: Sequence[float]) -> PowerLaw:
    """Return the law through losses measured at sizes.

    Raises ValueError for fewer than four different sizes, of which three would be met by any
    constants, and for numbers that are not above 0 and finite.
    """
    n, y = np.asarray(sizes, float), np.asarray(losses, float)
    if n.shape != y.shape or n.ndim != 1:
        raise ValueError(f"a loss for each size is needed, got {n.shape} and {y.shape}")
    if len(np.unique(n)) < 4:
        raise ValueError(f"a law of three constants needs four sizes to be tested at all, got "
                         f"{len(np.unique(n))}")
    if not all(np.isfinite(x).all() and (x > 0).all() for x in (n, y)):
        raise ValueError("sizes and losses must be above 0 and finite")
    middle = np.exp(np.log(n).mean())  # sizes near 1, so that the sums are well scaled
    tried = np.geomspace(LEAST, MOST, 200)
    best = int(np.argmin([_error(a, n / middle, y) for a in tried]))
    a = _least(tried[max(0, best - 1)], tried[min(best + 1, len(tried) - 1)], n / middle, y)
    E, A = _linear(a, n / middle, y)
    return PowerLaw(E, A * float(middle ** a), a, sqrt(_error(a, n / middle, y) / len(n)))


def _linear(a: float, n: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return the best E and A for a given a."""
    u, v = 1 / y, n ** -a / y
    E, A = np.linalg.solve([[u @ u, u @ v], [u @ v, v @ v]], [u.sum(), v.sum()])
    if E < 0:
        return 0.0, float(v.sum() / (v @ v))
    return (float(E), float(A)) if A >= 0 else (float(u.sum() / (u @ u)), 0.0)


def _error(a: float, n: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the least sum of squares for a given a."""
    E, A = _linear(a, n, y)
    return float((((E + A * n ** -a) / y - 1) ** 2).sum())


def _least(low: float, high: float, n: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return where the error is least, by golden sections."""
    while high - low > 1e-10 * high:
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if _error(left, n, y) < _error(right, n, y):
            high = right
        else:
            low = left
    return float((low + high) / 2)
