"""Clipping by the global norm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf, isfinite, isnan, sqrt

import numpy as np

from autograd import Tensor, namespace
from autograd.backend import Array, wide, wider

from ..host.threads import over_rows


def global_norm(parameters: Iterable[Tensor]) -> float:
    r"""Return $\sqrt{\sum_p \lVert \bar p \rVert^2}$ over all gradients together.

    Where the squares overflow, or vanish, they are those of the gradients by the largest element.
    """
    gradients = [p.grad.reshape(-1) for p in parameters if p.grad is not None]
    total = sum(_squared(g) for g in gradients)
    if 1e-30 < total < inf or isnan(total):
        return sqrt(total)
    largest = max((_largest(g) for g in gradients if g.size), default=0.0)
    if not 0 < largest < inf:
        return largest
    return largest * sqrt(sum(_squared(g, lambda part: part / largest) for g in gradients))


def _squared(g: Array, scaled: Callable[[Array], Array] = wider) -> float:
    def squared(rows: slice) -> float:
        part = scaled(wider(g[rows]))
        with np.errstate(over="ignore"):  # global_norm looks
            return float(namespace(part).dot(part, part))

    return sum(over_rows(squared, g))


def _largest(g: Array) -> float:
    return max(float(g.max()), -float(g.min()))


def clip_scale(norm: float, limit: float) -> float:
    r"""Return $\min(1, c / \lVert g \rVert)$ with c the limit, by which clipping scales gradients.

    It is 1 where the norm is not finite, and for a limit of 0, which means no limit. Raises
    ValueError for a limit that is negative or NaN.
    """
    if not limit >= 0:
        raise ValueError(f"clipping: expected a limit above 0, or 0 for no limit, got {limit!r}")
    return limit / norm if 0 < limit < norm and isfinite(norm) else 1.0


def clip_by_global_norm(parameters: Iterable[Tensor], limit: float) -> float:
    r"""Scale all gradients, in place, by $\min(1, c / \lVert g \rVert)$ with c the limit.

    Returns the norm before clipping. Nothing is scaled where it is not finite, nor with
    a limit of 0, which means no limit. Raises ValueError for a limit that is negative or NaN.

    Source: Pascanu, Mikolov, Bengio, arXiv:1211.5063, algorithm 1.
    """
    parameters = list(parameters)
    norm = global_norm(parameters)
    scale = clip_scale(norm, limit)
    if scale < 1:
        for p in parameters:
            if p.grad is not None:
                _multiply(p.grad, scale)
    return norm


def _multiply(g: Array, scale: float) -> None:
    """Multiply in place; of half precision in float32, as the scale may be too small for it."""
    if wide(g.dtype) is g.dtype:
        g *= scale
    else:
        g[...] = wider(g) * scale
