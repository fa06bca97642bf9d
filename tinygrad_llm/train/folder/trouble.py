"""What a run remembers of its trouble, so that a resumed run meets it in the same way.

A run's `step` counts updates: the schedule, the averages and the names of checkpoints go by it.
Batches are a function of the seed and of their own number, and the next step takes

    batch = step + left_out,

where `left_out` counts the batches that were used up without an update, for whatever reason: the
overflow of a loss scale, a loss that was not finite, a spike. Such a step is raised as `Skipped`;
weights, averages and schedule are then as they were before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autograd.backend import Array

LONGEST = 1024
"""The most losses that are remembered."""


def _zero() -> NDArray[Any]:
    return np.zeros((), np.int64)


@dataclass
class Trouble:
    """Part of a run's state: how many batches were left out, how often a policy decided it.

    `losses` (LONGEST,) are those of the last updates, that of step s in place s % LONGEST.
    """

    left_out: NDArray[Any] = field(default_factory=_zero)
    handled: NDArray[Any] = field(default_factory=_zero)
    losses: NDArray[Any] = field(default_factory=lambda: np.full(LONGEST, np.nan))

    def state(self) -> dict[str, Array]:
        """Return what a checkpoint keeps of it."""
        return {"left_out": self.left_out, "handled": self.handled, "losses": self.losses}

    def note(self, step: int, loss: float) -> None:
        """Note the loss of a step, counted from 0."""
        self.losses[step % LONGEST] = loss

    def median(self, step: int, window: int) -> float:
        """Return the median loss of the `window` steps before one; NaN where some are not known."""
        return float(np.median(self.losses[np.arange(step - window, step) % LONGEST]))
