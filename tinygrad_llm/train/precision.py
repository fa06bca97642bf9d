r"""The type that a step computes in, and where its numbers are rounded.

A step in 16 bits has two sets of weights. The optimizer's *masters* $\theta$ are float32, as are
its averages: an update is often smaller than half of the last place of a 16-bit weight and would be
lost there. The model of a step has *copies* $\varphi$ of 16 bits, rounded from the masters, and
what follows has their type:

$$\varphi = \operatorname{round}(\theta), \qquad
\bar\theta = \sum_s \bar\varphi_s, \qquad
\theta \leftarrow \theta - \eta\,u(\bar\theta)$$

with $\bar\varphi_s$ the gradient of the loss of a batch's slice s, and u the optimizer's direction.

Each op computes in float32 what it is given in 16 bits and rounds its result once; the gradients
of weights are summed over a batch's slices in float32 and not rounded, but for two kinds that
`docs/training.md` names beside a table of every rounding of a step. On the CPU, which has no 16-bit
arithmetic, arrays really have the type, so each number is the one that a GPU would round to, but
for the order of sums.

With `stochastic_rounding` there are no masters: see `train.rounding`.

Source: Micikevicius et al., "Mixed Precision Training", arXiv:1710.03740, section 3.1; Kalamkar et
al., "A Study of BFLOAT16 for Deep Learning Training", arXiv:1905.12322, section 3 (no loss scale).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from autograd import Tensor, namespace
from autograd.backend import Array

from ..host.errors import UserError, did_you_mean
from ..host.threads import over_rows
from ..nn import parameters, with_parameters
from ..optim import Optimizer
from .loss_scale import UNSCALED, LossScale, Unscaled
from .settings import PRECISIONS

FLOAT32 = "float32"
TYPES = {name: np.dtype(getattr(ml_dtypes, name, name)) for name in PRECISIONS}
LEAST_CAPABILITY = {"bfloat16": 80, "float16": 53}
"""Of an NVIDIA GPU, times ten: NVIDIA, "CUDA C++ Programming Guide", "Compute Capabilities"."""


def check_precision(name: str, xp: Any = np) -> None:
    """Raise UserError unless the current device of an array module can compute in a type.

    The CPU emulates all of them.
    """
    if name not in TYPES:
        raise UserError(f"precision: there is no {name!r}{did_you_mean(name, TYPES)}")
    if xp is not np and name in LEAST_CAPABILITY:
        least, has = LEAST_CAPABILITY[name], int(xp.cuda.Device().compute_capability)
        if has < least:
            others = "float16 or " if has >= LEAST_CAPABILITY["float16"] else ""
            raise UserError(f"precision: {name} takes a GPU of compute capability {least / 10}, "
                            f"and this one has {has / 10}; use {others}float32")


class MasterWeights:
    """An optimizer of 16-bit copies of float32 parameters.

    `parameters` are the copies; their gradients have float32, in the optimizer's own arrays.
    """

    def __init__(self, optimizer: Optimizer, dtype: Any, scale: Unscaled) -> None:
        self.optimizer, self.scale = optimizer, scale
        self.parameters = {name: Tensor(p.data.astype(dtype), requires_grad=True)
                           for name, p in optimizer.parameters.items()}
        self.gradients = optimizer.gradients

    def round(self) -> None:
        """Round the masters into the copies."""
        for name, copy in self.parameters.items():
            rounded, master = (array.reshape(-1) for array in (
                copy.data, self.optimizer.parameters[name].data))

            def block(rows: slice, rounded: Array = rounded, master: Array = master) -> None:
                rounded[rows] = master[rows]

            over_rows(block, master)

    def update(self, lr: float, scale: float = 1.0) -> None:
        """Do a step with `scale` times the gradients, which have the scale of the loss."""
        for name, copy in self.parameters.items():
            self.optimizer.parameters[name].grad, copy.grad = copy.grad, None
        self.optimizer.update(lr, scale / self.scale.size)
        self.scale.count_update()


@dataclass(frozen=True)
class Precision:
    """The model and the optimizer that a step works on, and the scale of its loss.

        with precision.quiet():
            train_step(precision.rounded(), precision.optimizer, ..., scale=precision.scale)
    """

    model: Any
    optimizer: Optimizer | MasterWeights
    scale: Unscaled

    @classmethod
    def of(cls, name: str, model: Any, optimizer: Optimizer,
           loss_scale: LossScale | None = None) -> Precision:
        """Return those of steps in a type, for a model and the optimizer of its parameters.

        In 16 bits, they are a copy and an optimizer of copies, unless the parameters themselves
        have the type. `loss_scale` is that of steps in float16. Raises UserError for a type that
        is not known or that the device lacks.
        """
        first = next(iter(optimizer.parameters.values()))
        check_precision(name, namespace(first.data))
        if first.dtype == TYPES[name]:
            return cls(model, optimizer, UNSCALED)
        scale = (loss_scale or LossScale()) if name == "float16" else UNSCALED
        masters = MasterWeights(optimizer, TYPES[name], scale)
        copies = {id(p): masters.parameters[key] for key, p in optimizer.parameters.items()}
        replaced = {key: copies[id(p)] for key, p in parameters(model).items() if id(p) in copies}
        return cls(with_parameters(model, replaced), masters, scale)

    def rounded(self) -> Any:
        """Return the model with its copies as the masters are now."""
        if isinstance(self.optimizer, MasterWeights):
            self.optimizer.round()
        return self.model

    def quiet(self) -> AbstractContextManager[Any]:
        """Return a block in which a step's overflows are no warnings, where it looks for them."""
        return np.errstate(over="ignore", invalid="ignore") if (
            isinstance(self.scale, LossScale)) else nullcontext()
