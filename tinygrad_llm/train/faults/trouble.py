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


def _zero() -> NDArray[Any]:
    return np.zeros((), np.int64)


@dataclass
class Trouble:
    """Part of a run's state: how many batches were left out, how often a policy decided it."""

    left_out: NDArray[Any] = field(default_factory=_zero)
    handled: NDArray[Any] = field(default_factory=_zero)

    def state(self) -> dict[str, Array]:
        """Return what a checkpoint keeps of it."""
        return {"left_out": self.left_out, "handled": self.handled}
