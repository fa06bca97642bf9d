r"""Dropout: in training, each element is set to zero with probability p.

$$y = x \odot m, \qquad m_i = \begin{cases} 0 & \text{with probability } p \\
\tfrac{1}{1-p} & \text{otherwise} \end{cases}$$

The factor $1/(1-p)$ keeps the expectation of y at x, so nothing changes when dropout is off. The
mask m is a constant of the map, which is therefore linear: $dy = dx \odot m$, so
$\bar x = g \odot m$. Kept: m.

The mask is a function of `key` alone (counter-based random numbers), so the reference and every
repetition of the pass see the same one. Probabilities are multiples of $2^{-16}$, and the factor
belongs to the probability that is really used.

Source: Srivastava et al., "Dropout", JMLR 15 (2014), section 4, in its "inverted" form.
"""

from __future__ import annotations

from math import prod
from typing import Any

from autograd import fused, namespace, random_bits
from autograd.backend import Array, Shape
from autograd.tensor import values

_LEVELS = 1 << 16


def keep_mask(shape: Shape, p: float, key: int, like: Array, start: int = 0) -> Array:
    """Return m for an array of that shape, with the dtype and the library of `like`.

    With `start` it is for a piece of a longer array, from that element on, so that a mask can be
    drawn piece by piece. Raises ValueError unless 0 <= p < 1.
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: the probability must lie in [0, 1), got {p}")
    dropped = min(round(p * _LEVELS), _LEVELS - 1)  # of the values of a random word
    kept = random_bits(prod(shape), key, start=start) >= dropped
    m = kept.reshape(shape).astype(like.dtype)
    m *= _LEVELS / (_LEVELS - dropped)
    return namespace(like).asarray(m)


def reference(x: Any, /, *, p: float, key: int) -> Any:
    """The definition, in primitives."""
    return x * keep_mask(x.shape, p, key, values(x))


@fused(reference)
def dropout(x: Array, /, *, p: float, key: int) -> Any:
    """Return x with a share p of its elements set to 0 and the rest scaled by 1 / (1 - p)."""
    m = keep_mask(x.shape, p, key, x)
    return x * m, m


@dropout.vjp
def backward(g: Array, m: Array) -> Any:
    """Return the gradient of x."""
    return g * m
