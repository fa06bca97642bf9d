r"""The learning rate over the steps of a run.

Of the steps s = 0, 1, ..., S - 1 the first w are the warmup, in which the rate rises evenly to its
peak $\eta$: $\eta\,(s + 1) / (w + 1)$ (Goyal et al., arXiv:1706.02677, section 2.2). Behind it
$t = (s - w) / (S - w)$ goes from 0 to 1, and the rate to the final one, $\eta_1$:

$$\text{cosine:} \quad \eta_1 + \tfrac12 (\eta - \eta_1) (1 + \cos \pi t) \qquad
\text{linear:} \quad \eta_1 + (\eta - \eta_1) (1 - t)$$
$$\text{wsd:} \quad \eta \text{ up to step } S' = \max(w, (1 - c) S), \text{ then} \quad
\eta_1 + (\eta - \eta_1) \frac{S - s}{S - S'}$$
$$\text{inverse\_sqrt:} \quad \max\left(\eta_1, \eta \sqrt{\frac{w + 1}{s + 1}}\right) \qquad
\text{constant:} \quad \eta$$

wsd is warmup, stable, decay: up to the cooldown, which is the share c of all steps, it does not
depend on S, so a run can be made longer from a checkpoint of before. So can one of inverse_sqrt
and of constant.

Sources: cosine, Loshchilov, Hutter, "SGDR", arXiv:1608.03983, equation 5, without restarts; wsd, Hu
et al., "MiniCPM", arXiv:2404.06395, section 4, with the even decay of Hägele et al.,
arXiv:2405.18392, equation 1; inverse_sqrt, Vaswani et al., arXiv:1706.03762, equation 3.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sqrt
from typing import NamedTuple

from ..host.errors import UserError, did_you_mean


class Schedule(NamedTuple):
    """The rate over `steps`: its form and its numbers, as in the docstring of the file."""

    name: str
    peak: float
    final: float
    warmup: int
    steps: int
    cooldown: float = 0.2

    def rate(self, step: int) -> float:
        """Return the rate of a step, counted from 0. Raises UserError for an unknown form."""
        form = schedule_form(self.name)
        if step < self.warmup:
            return self.peak * (step + 1) / (self.warmup + 1)
        return form(self, min(step, self.steps))

    def between(self, share: float) -> float:
        """Return the rate that is the final one and a share of what the peak is above it."""
        return share * self.peak + (1 - share) * self.final


def cosine(s: Schedule, step: int) -> float:
    """Return the rate behind the warmup, along half a wave."""
    if step == s.steps:
        return s.final
    t = (step - s.warmup) / max(1, s.steps - s.warmup)
    return s.final + 0.5 * (s.peak - s.final) * (1 + cos(pi * t))


def linear(s: Schedule, step: int) -> float:
    """Return the rate behind the warmup, evenly falling."""
    return s.between((s.steps - step) / max(1, s.steps - s.warmup))


def wsd(s: Schedule, step: int) -> float:
    """Return the rate behind the warmup: the peak, then evenly falling."""
    stable = max(s.warmup, (1 - s.cooldown) * s.steps)
    return s.between(min(1.0, (s.steps - step) / max(1e-9, s.steps - stable)))


def inverse_sqrt(s: Schedule, step: int) -> float:
    """Return the rate behind the warmup, by the root of the steps."""
    return max(s.final, s.peak * sqrt((s.warmup + 1) / (step + 1)))


def constant(s: Schedule, step: int) -> float:
    """Return the peak."""
    return s.peak


WSD = "wsd"
SCHEDULES: dict[str, Callable[[Schedule, int], float]] = {
    "cosine": cosine, "linear": linear, WSD: wsd, "constant": constant,
    "inverse_sqrt": inverse_sqrt}


def schedule_form(name: str) -> Callable[[Schedule, int], float]:
    """Return what computes a schedule. Raises UserError for an unknown name, with the nearest."""
    if name not in SCHEDULES:
        raise UserError(f"unknown schedule {name!r}{did_you_mean(name, SCHEDULES)}")
    return SCHEDULES[name]
