r"""Adam with decoupled weight decay.

With the gradient g of a parameter p at step t = 1, 2, ...:

$$m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2$$
$$p \leftarrow p - \eta\,\lambda\,p - \eta\,\frac{\hat m}{\sqrt{\hat v} + \epsilon}, \qquad
\hat m = \frac{m}{1 - \beta_1^t}, \qquad \hat v = \frac{v}{1 - \beta_2^t}$$

m and v start at 0 and so average to $(1 - \beta^t)$ times the gradient's moments; the division
undoes that. The decay $\lambda$ acts on p directly instead of through the gradient, so it is not
divided by $\sqrt{\hat v}$.

Sources: Kingma, Ba, "Adam", arXiv:1412.6980, algorithm 1; Loshchilov, Hutter, "Decoupled Weight
Decay Regularization", arXiv:1711.05101, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np

from autograd import Tensor, namespace
from autograd.backend import Array


def update(p: Array, g: Array, m: Array, v: Array, *, step: int, lr: float, beta1: float,
           beta2: float, eps: float, decay: float) -> None:
    """Do step number `step` (from 1) on one array p, in place; m and v are its averages."""
    xp = namespace(p)
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    change = xp.empty_like(v)
    xp.multiply(g, g, out=change)
    change *= 1 - beta2
    v += change
    xp.sqrt(v, out=change)
    change *= 1 / sqrt(1 - beta2**step)
    change += eps
    xp.divide(m, change, out=change)
    change *= lr / (1 - beta1**step)
    p *= 1 - lr * decay
    p -= change


class AdamW:
    """The optimizer's state for named parameters; those with fewer than two axes do not decay."""

    def __init__(self, parameters: Mapping[str, Tensor], *, beta1: float = 0.9,
                 beta2: float = 0.95, eps: float = 1e-8, weight_decay: float = 0.1) -> None:
        self.parameters = dict(parameters)
        self.beta1, self.beta2, self.eps, self.weight_decay = beta1, beta2, eps, weight_decay
        self.m = {name: _zeros_like(p.data) for name, p in self.parameters.items()}
        self.v = {name: _zeros_like(p.data) for name, p in self.parameters.items()}
        self.steps = {name: np.zeros((), dtype=np.int64) for name in self.parameters}

    def state(self) -> dict[str, Array]:
        """Return what has to be saved, by name; an optimizer is restored by writing into it."""
        return {f"{kind}.{name}": array
                for kind, arrays in (("m", self.m), ("v", self.v), ("steps", self.steps))
                for name, array in arrays.items()}

    def update(self, lr: float) -> None:
        """Do one step with the gradients in the parameters' `grad`, and clear these.

        A parameter without a gradient (no loss depended on it) is left as it is, and t does not
        count the step for it.
        """
        for name, p in self.parameters.items():
            if p.grad is None:
                continue
            self.steps[name] += 1
            update(p.data, p.grad, self.m[name], self.v[name], step=int(self.steps[name]), lr=lr,
                   beta1=self.beta1, beta2=self.beta2, eps=self.eps,
                   decay=self.weight_decay if p.ndim >= 2 else 0.0)
            p.grad = None


def _zeros_like(array: Array) -> Array:
    return namespace(array).zeros_like(array)
