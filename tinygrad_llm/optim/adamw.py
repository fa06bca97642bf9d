r"""Adam with decoupled weight decay.

With the gradient g of a parameter p at step t = 1, 2, ...:

$$m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2$$
$$p \leftarrow p - \eta\,\lambda\,p - \eta\,\frac{\hat m}{\sqrt{\hat v} + \epsilon}, \qquad
\hat m = \frac{m}{1 - \beta_1^t}, \qquad \hat v = \frac{v}{1 - \beta_2^t}$$

m and v start at 0 and so average to $(1 - \beta^t)$ times the gradient's moments; the division
undoes that. The decay $\lambda$ acts on p directly instead of through the gradient, so it is not
divided by $\sqrt{\hat v}$. With $c = \sqrt{1 - \beta_2^t}$ the two divisions cost no pass over the
arrays:

$$\frac{\hat m}{\sqrt{\hat v} + \epsilon} =
\frac{c}{1 - \beta_1^t}\,\frac{m}{\sqrt v + c\,\epsilon} .$$

Of parameters that lie side by side in an `Arena`, a step is one walk over four arrays (p, g, m and
v), in blocks that fit a core's cache, on all workers.

Sources: Kingma, Ba, "Adam", arXiv:1412.6980, algorithm 1 and the end of section 2; Loshchilov,
Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, sqrt

import numpy as np

from autograd import Tensor, namespace
from autograd.backend import Array

from ..host.threads import over_rows
from .arena import Arena, Scattered


def update(p: Array, g: Array, m: Array, v: Array, *, step: int, lr: float, beta1: float,
           beta2: float, eps: float, decay: float, scale: float = 1.0) -> None:
    """Do step number `step` (from 1) on one array p, in place, with the gradient scale * g.

    m and v, its averages, are updated too.
    """
    xp = namespace(p)
    c = sqrt(1 - beta2**step)
    change = g * (scale * (1 - beta1))
    m *= beta1
    m += change
    xp.multiply(g, scale * sqrt(1 - beta2), out=change)
    change *= change
    v *= beta2
    v += change
    xp.sqrt(v, out=change)
    change += c * eps
    xp.divide(m, change, out=change)
    change *= lr * c / (1 - beta1**step)
    if decay:
        p *= 1 - lr * decay
    p -= change


class AdamW:
    """The optimizer's state for named parameters; those with fewer than two axes do not decay.

    Of an `Arena` all parameters are updated in one walk over memory; of a plain mapping each is
    updated where it lies. Into the arrays `gradients`, by name, a gradient can be written that is
    then put into `grad`. Raises ValueError for a setting out of its bounds (beta1 and beta2 in
    [0, 1), eps above 0, weight_decay at least 0) and TypeError for one that is no number, each by
    its name; parameters are checked as an Arena's.
    """

    def __init__(self, parameters: Mapping[str, Tensor] | Arena, *, beta1: float = 0.9,
                 beta2: float = 0.95, eps: float = 1e-8, weight_decay: float = 0.1) -> None:
        for name, value in (("beta1", beta1), ("beta2", beta2)):
            _check(name, value, "in [0, 1)", lambda beta: 0 <= beta < 1)
        _check("eps", eps, "above 0", lambda eps: eps > 0)
        _check("weight_decay", weight_decay, "at least 0", lambda decay: decay >= 0)
        self.layout = parameters if isinstance(parameters, Arena) else Scattered(parameters)
        self.parameters, self.gradients = self.layout.parameters, self.layout.gradients
        self.beta1, self.beta2, self.eps, self.weight_decay = beta1, beta2, eps, weight_decay
        self.steps = {name: np.zeros((), dtype=np.int64) for name in self.parameters}
        self.m, self.v = self.layout.zeros(), self.layout.zeros()

    def state(self) -> dict[str, Array]:
        """Return what has to be saved, by name; an optimizer is restored by writing into it."""
        return {f"{kind}.{name}": array
                for kind, arrays in (("m", self.m), ("v", self.v), ("steps", self.steps))
                for name, array in arrays.items()}

    def update(self, lr: float, scale: float = 1.0) -> None:
        """Do one step with `scale` times the gradients in the parameters' `grad`; clear these.

        A parameter without a gradient (no loss depended on it) is left as it is, and t does not
        count the step for it. Raises ValueError where a parameter's shape has changed, and for a
        rate or scale that is negative or not finite.
        """
        _check("lr", lr, "at least 0", lambda lr: lr >= 0)
        _check("scale", scale, "at least 0", lambda scale: scale >= 0)
        for (step, decay), arrays in self.layout.stretches(self._begin_step, self.m, self.v):
            def block(rows: slice, arrays: Sequence[Array] = arrays, step: int = step,
                      decay: float = decay) -> None:
                update(*(array[rows] for array in arrays), step=step, lr=lr, scale=scale,
                       beta1=self.beta1, beta2=self.beta2, eps=self.eps, decay=decay)

            over_rows(block, arrays[0], cost=4)

    def _begin_step(self, name: str) -> tuple[int, float] | None:
        """Return the number of a parameter's step and its decay; None without a gradient."""
        p = self.parameters[name]
        if p.grad is None:
            return None
        p.grad = None
        self.steps[name] += 1
        return int(self.steps[name]), self.weight_decay if p.ndim >= 2 else 0.0


def _check(name: str, value: float, bounds: str, fine: Callable[[float], bool]) -> None:
    """Raise TypeError or ValueError unless a setting is a finite number within its bounds."""
    if isinstance(value, bool) or not isinstance(value, (float, int, np.floating, np.integer)):
        raise TypeError(f"AdamW: {name} must be a number {bounds}, got {value!r}")
    if not (isfinite(value) and fine(value)):
        raise ValueError(f"AdamW: {name} must be {bounds}, got {value!r}")
