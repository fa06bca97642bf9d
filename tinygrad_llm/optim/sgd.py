r"""Gradient descent with momentum.

With the gradient g of a parameter p, momentum $\mu$, rate $\eta$ and decay $\lambda$:

$$m \leftarrow \mu m + g, \qquad p \leftarrow p - \eta\,\lambda\,p - \eta\,d, \qquad
d = \begin{cases} g + \mu m & \text{Nesterov} \\ m & \text{otherwise} \end{cases}$$

m starts at 0 and is a sum, not an average: under a steady gradient it grows to $g / (1 - \mu)$,
and so does the rate in effect. Nesterov's gradient is that of the place to which momentum alone
would carry p. With $\tilde p = p - \eta \mu m$, his step $m' = \mu m + g(\tilde p)$ makes the next
such place $\tilde p - \eta\,(g + \mu m')$: the rule above, of the places at which gradients are
taken.

The decay acts on p itself (`decoupled`), or, as a penalty $\tfrac\lambda2 \lVert p \rVert^2$ on the
loss does, through the gradient, $g \leftarrow g + \lambda p$. Without momentum these are the same;
with it the penalty's part is gathered in m.

Sources: Polyak, "Some methods of speeding up the convergence of iteration methods", 1964;
Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep
learning", 2013, equations 1 to 4; Loshchilov, Hutter, arXiv:1711.05101, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from autograd import Tensor
from autograd.backend import Array

from .arena import Arena, Buffers
from .optimizer import ElementWise, Shape, Turn


class SGD(ElementWise):
    """Gradient descent with momentum, Nesterov's or plain; settings are checked as every
    `Optimizer`'s.

    momentum is in [0, 1); with 0 nothing is kept beside the parameters.
    """

    usual: ClassVar[Mapping[str, Any]] = {"learning_rate": 0.1, "min_learning_rate": 0.01,
                                          "weight_decay": 1e-3}

    def __init__(self, parameters: Mapping[str, Tensor] | Arena, *, momentum: float = 0.9,
                 nesterov: bool = True, decoupled: bool = True, weight_decay: float = 1e-3,
                 groups: str = "") -> None:
        self.require_share(momentum=momentum)
        self.require_switch(nesterov=nesterov, decoupled=decoupled)
        super().__init__(parameters, weight_decay=weight_decay, groups=groups)
        self.momentum, self.nesterov, self.decoupled = momentum, nesterov, decoupled
        self.m = self.layout.zeros() if momentum else None

    @staticmethod
    def kept(name: str, shape: Shape, settings: Mapping[str, Any]) -> dict[str, Shape]:
        """Return the shape of m; there is none without momentum."""
        return {"m": shape} if settings["momentum"] else {}

    def averages(self) -> Mapping[str, Buffers]:
        """Return the sums of gradients, m."""
        return {} if self.m is None else {"m": self.m}

    def block(self, arrays: Sequence[Array], turn: Turn, lr: float, scale: float) -> None:
        """Do the step of a block of p, g and m."""
        p, g, *kept = arrays
        d = g * scale
        if not self.decoupled and turn.decay:
            d += turn.decay * p
        for m in kept:
            m *= self.momentum
            m += d
            if self.nesterov:
                d += self.momentum * m
            else:
                d[...] = m
        d *= lr
        if self.decoupled and turn.decay:
            p *= 1 - lr * turn.decay
        p -= d
