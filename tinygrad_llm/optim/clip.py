"""Clipping by the global norm."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite, sqrt

from autograd import Tensor, namespace


def global_norm(parameters: Iterable[Tensor]) -> float:
    r"""Return $\sqrt{\sum_p \lVert \bar p \rVert^2}$ over all gradients together."""
    total = 0.0
    for p in parameters:
        if p.grad is not None:
            flat = p.grad.reshape(-1)
            total += float(namespace(flat).dot(flat, flat))
    return sqrt(total)


def clip_by_global_norm(parameters: Iterable[Tensor], limit: float) -> float:
    r"""Scale all gradients, in place, by $\min(1, c / \lVert g \rVert)$ with c the limit.

    Returns the norm before clipping. Nothing is scaled where it is not finite, nor with
    a limit of 0, which means no limit.

    Source: Pascanu, Mikolov, Bengio, arXiv:1211.5063, algorithm 1.
    """
    parameters = list(parameters)
    norm = global_norm(parameters)
    if 0 < limit < norm and isfinite(norm):
        for p in parameters:
            if p.grad is not None:
                p.grad *= limit / norm
    return norm
