"""One update of the weights: these calls in a row, and nothing else."""

from __future__ import annotations

from math import isfinite

from autograd.backend import Array

from ..errors import UserError
from ..models import GPT
from ..optim import AdamW, clip_by_global_norm


class Diverged(UserError):
    """The loss or the gradient stopped being finite; the weights were not touched."""


def train_step(model: GPT, optimizer: AdamW, inputs: Array, targets: Array, *, lr: float,
               clip: float, key: int | None) -> tuple[float, float]:
    """Do one update with a batch (B, T); return the loss in nats and the gradient's norm.

    A key turns dropout on. Raises Diverged, before the update, where either is not finite.
    """
    loss = model.loss(inputs, targets, key)
    if not isfinite(float(loss)):
        raise Diverged(f"the loss is {float(loss)}")
    loss.backward()
    norm = clip_by_global_norm(optimizer.parameters.values(), clip)
    if not isfinite(norm):
        raise Diverged(f"the gradient's norm is {norm}")
    optimizer.update(lr)
    return float(loss), norm
