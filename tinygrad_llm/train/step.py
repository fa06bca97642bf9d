"""One update of the weights, forward, backward, clip, update, and the loss of pretraining."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from autograd import Tensor
from autograd.backend import Array
from autograd.backward import pull_back

from ..optim import clip_scale, global_norm
from .loss_scale import UNSCALED, Unscaled
from .objective import Objective, finite
from .slices import Add, Slice, cut, sum_over_slices

IGNORED = -100  # the target that counts for nothing, as in `linear_cross_entropy`


def next_token_loss(model: Any, batch: Any, key: int | None = None) -> Tensor:
    """Return the mean cross-entropy, in nats a token, of a batch of ids and targets (B, T).

    A model may add something to it, as one of experts does for their balance.
    """
    ids, targets = batch
    loss: Tensor = model.training_loss(ids, targets, key)
    return loss


def cross_entropy(model: Any, batch: Any, key: int | None = None) -> Tensor:
    """Return the mean cross-entropy alone."""
    ids, targets = batch
    loss: Tensor = model.loss(ids, targets, key)
    return loss


def targets_that_count(batch: Any) -> int:
    """Return how many targets are not IGNORED."""
    _, targets = batch
    return int((targets != IGNORED).sum())


next_token = Objective(next_token_loss, targets_that_count, cross_entropy)
"""Pretraining: each token is predicted from those before it."""


class Parameters(Protocol):
    """Parameters, arrays for their gradients, and an update: what a step needs of an optimizer."""

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters by name."""

    @property
    def gradients(self) -> Mapping[str, Array]:
        """An array for the gradient of each."""

    def update(self, lr: float, scale: float) -> None:
        """Do one step with `scale` times the gradients in the parameters' `grad`."""


def train_step(model: Any, optimizer: Parameters, objective: Objective, batch: Any, *, lr: float,
               clip: float, key: int | None, slices: int | None = None,
               accumulate: int = 1, scale: Unscaled = UNSCALED,
               before_update: Callable[[float, float], None] = lambda loss, norm: None
               ) -> tuple[float, float]:
    """Do one update with a batch, a tree of arrays; return its loss and the gradient's norm.

    A key turns dropout on. The batch is cut into `slices`, by default as many as suit its size, for
    the threads of `workers`; of `accumulate` parts, which consist of slices, one is under way at a
    time. `before_update` is called with the loss and the norm when all that is left is the update;
    what it raises keeps that from happening. The backward pass begins with the size of `scale`,
    which the optimizer's update takes back. Raises Diverged, before the update, where the loss or
    the norm is not finite; in the second case the gradients stay, to be looked at.
    """
    def both_ways(part: Slice, add: Add) -> float:
        value = finite("loss", loss := objective.loss(model, part.batch, part.key))
        pull_back([loss], [scale.size * part.share], [*optimizer.parameters.values()], deliver=add)
        return value

    parts = cut(batch, objective.count, slices, key, accumulate)
    loss = sum_over_slices(parts, both_ways, optimizer.parameters, optimizer.gradients, accumulate)
    norm = scale.unscaled(global_norm(optimizer.parameters.values()))
    before_update(loss, norm)
    optimizer.update(lr, clip_scale(norm, clip))  # clipping costs no pass of its own
    return loss, norm
