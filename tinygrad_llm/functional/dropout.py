r"""Dropout: in training, each element is set to zero with probability p.

$$y_i = x_i\,m_i, \qquad m_i = \begin{cases} 0 & \text{with probability } p \\
\tfrac{1}{1-p} & \text{otherwise} \end{cases}$$

The factor $1/(1-p)$ keeps the expectation of y at x, so nothing changes when dropout is off. The
mask m is a constant of the map, which is therefore linear: $\bar x = g \odot m$. Kept: which
elements of m are not 0, a byte each, and the factor.

The mask is a function of `key` alone (counter-based random numbers), so the reference and every
repetition of the pass see the same one. Probabilities are multiples of $2^{-16}$, and the factor
belongs to the probability that is really used.

Source: Srivastava et al., "Dropout", JMLR 15 (2014), section 4, in its "inverted" form.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from autograd import fused, namespace, random_bits
from autograd.backend import Array, Shape
from autograd.tensor import values

from ..host.threads import over_rows

_LEVELS = 1 << 16


def keep_mask(shape: Shape, p: float, key: int, like: Array, start: int = 0) -> Array:
    """Return m for an array of that shape, with the dtype and the library of `like`.

    With `start` it is for a piece of a longer array, from that element on, so that a mask can be
    drawn piece by piece. Raises ValueError unless 0 <= p < 1.
    """
    dropped = _dropped(p)
    mask = _kept(prod(shape), dropped, key, start).reshape(shape).astype(like.dtype)
    mask *= _LEVELS / (_LEVELS - dropped)
    return namespace(like).asarray(mask)


def _dropped(p: float) -> int:
    """Return how many of the 2^16 values of a random word drop an element."""
    if not 0 <= p < 1:
        raise ValueError(f"dropout: the probability must lie in [0, 1), got {p}")
    return min(round(p * _LEVELS), _LEVELS - 1)


def _kept(count: int, dropped: int, key: int, start: int = 0) -> np.ndarray:
    """Return which of `count` elements from number `start` on are not set to 0."""
    return random_bits(count, key, start=start) >= dropped


def reference(x: Any, /, *, p: float, key: int) -> Any:
    """The definition, in primitives."""
    return x * keep_mask(x.shape, p, key, values(x))


@fused(reference)
def dropout(x: Array, /, *, p: float, key: int) -> Any:
    """Return x with a share p of its elements set to 0 and the rest scaled by 1 / (1 - p)."""
    xp, dropped = namespace(x), _dropped(p)
    factor = _LEVELS / (_LEVELS - dropped)
    flat = x.reshape(-1)
    y, kept = xp.empty_like(flat), xp.empty(len(flat), bool)

    def draw(part: slice) -> None:
        kept[part] = xp.asarray(_kept(part.stop - part.start, dropped, key, part.start))
        xp.multiply(flat[part], kept[part], out=y[part])
        y[part] *= factor

    over_rows(draw, flat)
    return y.reshape(x.shape), (kept.reshape(x.shape), factor)


@dropout.vjp
def _(g: Array, saved: Any) -> Any:
    kept, factor = saved
    dx = g * kept
    dx *= factor
    return dx
