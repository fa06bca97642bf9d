"""The objective of training: a loss function, and of how many terms of a batch it is the mean.

A batch is a tree of arrays (a tuple, a dictionary, a dataclass) whose first axes are equally long:
its rows. A step cuts it there into slices, and the means of slices add up to the mean of the batch
only if it is known how many terms each one has; see `slices`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from autograd import Tensor

from ..host.errors import UserError


@dataclass(frozen=True)
class Objective:
    """A loss function for any model and batch, with its count.

    `loss(model, batch, key)` returns the mean of the batch's terms; a key turns dropout on.
    `count(batch)` returns how many terms that are, or their total weight, from the arrays alone:
    before the forward pass. A slice that counts 0 is left out, so `loss` need not be finite there
    (only on a GPU, where batches are not counted, it must be). `measure` is what an evaluation
    reports: the loss itself, unless training adds something to it.
    """

    loss: Callable[[Any, Any, int | None], Tensor]
    count: Callable[[Any], float]
    measure: Callable[[Any, Any, int | None], Tensor] | None = None


class Skipped(Exception):
    """A step leaves its batch out: weights, averages and schedule are as before it."""


class Diverged(UserError):
    """The loss or the gradient stopped being finite; the weights were not touched."""


def finite(name: str, value: Any) -> float:
    """Return a number, or a Tensor of one, as a float. Raises Diverged where it is not finite."""
    if not isfinite(number := float(value)):
        raise Diverged(f"the {name} is {number}")
    return number
