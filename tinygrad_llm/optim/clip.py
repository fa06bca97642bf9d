"""Clipping by the global norm."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite, sqrt

from autograd import Tensor, namespace
from autograd.backend import Array

from ..host.threads import over_rows


def global_norm(parameters: Iterable[Tensor]) -> float:
    r"""Return $\sqrt{\sum_p \lVert \bar p \rVert^2}$ over all gradients together."""
    return sqrt(sum(_squared(p.grad.reshape(-1)) for p in parameters if p.grad is not None))


def _squared(g: Array) -> float:
    dot = namespace(g).dot
    return sum(over_rows(lambda rows: float(dot(g[rows], g[rows])), g))


def clip_scale(norm: float, limit: float) -> float:
    r"""Return $\min(1, c / \lVert g \rVert)$ with c the limit, by which clipping scales gradients.

    It is 1 where the norm is not finite, and for a limit of 0, which means no limit.
    """
    return limit / norm if 0 < limit < norm and isfinite(norm) else 1.0


def clip_by_global_norm(parameters: Iterable[Tensor], limit: float) -> float:
    r"""Scale all gradients, in place, by $\min(1, c / \lVert g \rVert)$ with c the limit.

    Returns the norm before clipping. Nothing is scaled where it is not finite, nor with
    a limit of 0, which means no limit.

    Source: Pascanu, Mikolov, Bengio, arXiv:1211.5063, algorithm 1.
    """
    parameters = list(parameters)
    norm = global_norm(parameters)
    scale = clip_scale(norm, limit)
    if scale < 1:
        for p in parameters:
            if p.grad is not None:
                p.grad *= scale
    return norm
