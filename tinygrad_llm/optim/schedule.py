"""The learning rate over the steps of a run."""

from __future__ import annotations

from math import cos, pi


def cosine_with_warmup(step: int, *, peak: float, final: float, warmup: int, steps: int) -> float:
    r"""Return the learning rate of step 0, 1, ..., steps - 1.

    Linear from peak / (warmup + 1) up to the peak at step `warmup`, then
    $\text{final} + \tfrac12 (\text{peak} - \text{final}) (1 + \cos \pi t)$ with t from 0 to 1.

    Source: Loshchilov, Hutter, "SGDR", arXiv:1608.03983, equation 5, without restarts.
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if step >= steps:
        return final
    t = (step - warmup) / max(1, steps - warmup)
    return final + 0.5 * (peak - final) * (1 + cos(pi * t))
