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

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from autograd import Tensor, namespace
from autograd.backend import Array

from .arena import Arena, Buffers
from .optimizer import ElementWise, Shape, Turn


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


class AdamW(ElementWise):
    """Adam with decoupled weight decay; settings are checked as every `Optimizer`'s.

    beta1 and beta2 are in [0, 1), eps is above 0.
    """

    def __init__(self, parameters: Mapping[str, Tensor] | Arena, *, beta1: float = 0.9,
                 beta2: float = 0.95, eps: float = 1e-8, weight_decay: float = 0.1,
                 groups: str = "") -> None:
        self.require_share(beta1=beta1, beta2=beta2)
        self.require("eps", eps, "above 0", lambda eps: eps > 0)
        super().__init__(parameters, weight_decay=weight_decay, groups=groups)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.m, self.v = self.layout.zeros(), self.layout.zeros()

    @staticmethod
    def kept(name: str, shape: Shape, settings: Mapping[str, Any]) -> dict[str, Shape]:
        """Return the shapes of m and v."""
        return {"m": shape, "v": shape}

    def averages(self) -> Mapping[str, Buffers]:
        """Return the averages of gradients, m, and of their squares, v."""
        return {"m": self.m, "v": self.v}

    def block(self, arrays: Sequence[Array], turn: Turn, lr: float, scale: float) -> None:
        """Do the step of a block of p, g, m and v."""
        update(*arrays, step=turn.step, lr=lr, scale=scale, beta1=self.beta1, beta2=self.beta2,
               eps=self.eps, decay=turn.decay)
