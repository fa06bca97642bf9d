"""Filters of logits, before a token is drawn: pure functions on arrays (..., V)."""

from __future__ import annotations

import numpy as np

from autograd import namespace
from autograd.backend import Array


def scale_by_temperature(logits: Array, temperature: float) -> Array:
    """Return (logits - their maximum) / temperature: below 1 sharper, above 1 flatter.

    In float64, so that no temperature is too small. Raises ValueError if it is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}; use greedy for 0")
    with np.errstate(over="ignore"):  # to minus infinity, which is a probability of 0
        return (logits - logits.max(axis=-1, keepdims=True)).astype(float) / temperature


def keep_top_k(logits: Array, k: int) -> Array:
    """Return the logits with all but the k largest set to -inf; equals of the k-th stay too."""
    if k < 1:
        raise ValueError(f"top-k must be at least 1, got {k}")
    xp = namespace(logits)
    if k >= logits.shape[-1]:
        return logits
    place = logits.shape[-1] - k
    threshold = xp.partition(logits, place, axis=-1)[..., place, None]
    return xp.where(logits >= threshold, logits, -xp.inf)


def keep_top_p(logits: Array, p: float) -> Array:
    """Return the logits with all but the nucleus set to -inf.

    The nucleus is the smallest set of most probable tokens whose probabilities sum to at least p;
    it has at least one token.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", arXiv:1904.09751,
    section 3.1.
    """
    if not 0 < p <= 1:
        raise ValueError(f"top-p must lie in (0, 1], got {p}")
    if p == 1:
        return logits
    xp = namespace(logits)
    order = xp.argsort(-logits, axis=-1)
    sorted_p = softmax(xp.take_along_axis(logits, order, axis=-1))
    before = xp.cumsum(sorted_p, axis=-1) - sorted_p  # what the more probable ones sum to
    kept = xp.empty(logits.shape, dtype=bool)
    xp.put_along_axis(kept, order, before < p, axis=-1)
    return xp.where(kept, logits, -xp.inf)


def softmax(logits: Array) -> Array:
    """Return the probabilities $e^{z_v} / \\sum_u e^{z_u}$ over the last axis."""
    xp = namespace(logits)
    p = xp.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def draw(logits: Array, rng: np.random.Generator) -> int:
    """Return a token drawn from softmax(logits), logits of shape (V,)."""
    cumulative = namespace(logits).cumsum(softmax(logits.astype(float)))
    return min(int((cumulative <= rng.random() * cumulative[-1]).sum()), len(logits) - 1)
