"""One update of the weights: these calls in a row, and nothing else."""

from __future__ import annotations

from math import isfinite

import numpy as np

from autograd.backend import Array

from ..host.errors import UserError
from ..models import GPT
from ..optim import AdamW, clip_scale, global_norm
from .slices import default_slices, loss_and_gradients


class Diverged(UserError):
    """The loss or the gradient stopped being finite; the weights were not touched."""


def train_step(model: GPT, optimizer: AdamW, inputs: Array, targets: Array, *, lr: float,
               clip: float, key: int | None, slices: int | None = None) -> tuple[float, float]:
    """Do one update with a batch (B, T); return the loss in nats and the gradient's norm.

    A key turns dropout on. The batch is cut into `slices`, by default as many as suit its size, for
    the threads of `workers`; on a GPU it stays whole. Raises Diverged, before the update,
    where loss or norm is not finite.
    """
    if type(inputs) is not np.ndarray:
        slices = 1
    parameters = list(optimizer.parameters.values())
    loss = loss_and_gradients(model, parameters, inputs, targets, key=key,
                              slices=slices or default_slices(*inputs.shape),
                              into=[optimizer.gradients[name] for name in optimizer.parameters])
    if not isfinite(loss):
        raise Diverged(f"the loss is {loss}")
    norm = global_norm(parameters)
    if not isfinite(norm):
        for p in parameters:
            p.grad = None
        raise Diverged(f"the gradient's norm is {norm}")
    optimizer.update(lr, clip_scale(norm, clip))  # clipping costs no pass of its own
    return loss, norm
