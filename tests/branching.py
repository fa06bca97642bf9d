"""The exact distribution of what a random program returns: its generator takes every branch.

A uniform number is nothing but an interval until it is compared. A comparison cuts the interval in
two, one part is gone into, with its share as the probability, and the other in a later run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np


class Branching:
    """A generator of uniform numbers that takes the branches of `script`, and then first ones."""

    def __init__(self, script: list[bool]) -> None:
        self.script, self.place, self.probability = script, 0, 1.0

    def random(self) -> Uniform:
        return Uniform(self, 1.0, [0.0, 1.0])

    def branch(self, probability: float) -> bool:
        if not 0 < probability < 1:
            return probability >= 1
        if self.place == len(self.script):
            self.script.append(True)
        taken = self.script[self.place]
        self.place += 1
        self.probability *= probability if taken else 1 - probability
        return taken


class Uniform:
    """A number of `bounds`, uniformly distributed, times `scale`."""

    __array_ufunc__ = None  # an array beside it leaves the operators to it

    def __init__(self, rng: Branching, scale: float, bounds: list[float]) -> None:
        self.rng, self.scale, self.bounds = rng, scale, bounds

    def __mul__(self, factor: Any) -> Uniform:
        return Uniform(self.rng, self.scale * float(factor), self.bounds)

    __rmul__ = __mul__

    def __lt__(self, other: Any) -> Any:
        if np.ndim(other):
            return np.array([self < one for one in other])
        low, high = self.bounds
        cut = float(other) / self.scale if self.scale else np.inf * (other > 0)
        cut = min(max(cut, low), high)
        below = self.rng.branch((cut - low) / (high - low))
        self.bounds[:] = (low, cut) if below else (cut, high)
        return below

    def __ge__(self, other: Any) -> Any:
        return np.logical_not(self < other)


def distribution(program: Callable[[Any], Hashable]) -> dict[Any, float]:
    """Return what program(rng) may return, each with its probability."""
    found: dict[Any, float] = defaultdict(float)
    script: list[bool] = []
    while True:
        rng = Branching(script)
        found[program(rng)] += rng.probability
        while script and not script[-1]:
            script.pop()
        if not script:
            return dict(found)
        script[-1] = False
