r"""Lion: steps of one size, in the direction of the sign of an average.

With the gradient g of a parameter p, rate $\eta$ and decay $\lambda$:

$$p \leftarrow p - \eta\,\lambda\,p - \eta \operatorname{sign}(\beta_1 m + (1 - \beta_1) g),
\qquad m \leftarrow \beta_2 m + (1 - \beta_2) g$$

Every element moves by $\eta$, or not at all where the average is 0, so an average of squares, which
Adam keeps to even sizes out, is not needed: the state is half of Adam's. The direction takes more
of the newest gradient than m remembers of it ($\beta_1 < \beta_2$): one average for the direction
would either be noisy or late.

The sign's step has the norm $\eta \sqrt n$, several times that of Adam's, whose elements mostly lie
within 1; so the rate is to be 3 to 10 times smaller than Adam's, and the decay as much larger,
since p shrinks by $\eta \lambda$.

Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", arXiv:2302.06675, algorithm 2
and section 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from autograd import Tensor
from autograd.backend import Array

from .arena import Arena, Buffers
from .optimizer import ElementWise, Shape, Turn


class Lion(ElementWise):
    """The sign of averaged gradients; settings are checked as every `Optimizer`'s.

    beta1 and beta2 are in [0, 1).
    """

    usual: ClassVar[Mapping[str, Any]] = {"learning_rate": 5e-4, "min_learning_rate": 5e-5,
                                          "weight_decay": 0.5}

    def __init__(self, parameters: Mapping[str, Tensor] | Arena, *, beta1: float = 0.9,
                 beta2: float = 0.99, weight_decay: float = 0.5, groups: str = "") -> None:
        self.require_share(beta1=beta1, beta2=beta2)
        super().__init__(parameters, weight_decay=weight_decay, groups=groups)
        self.beta1, self.beta2, self.m = beta1, beta2, self.layout.zeros()

    @staticmethod
    def kept(name: str, shape: Shape, settings: Mapping[str, Any]) -> dict[str, Shape]:
        """Return the shape of m."""
        return {"m": shape}

    def averages(self) -> Mapping[str, Buffers]:
        """Return the averages of gradients, m."""
        return {"m": self.m}

    def block(self, arrays: Sequence[Array], turn: Turn, lr: float, scale: float) -> None:
        """Do the step of a block of p, g and m."""
        p, g, m = arrays
        ahead = g * scale
        ahead -= m  # both averages are m and a share of this
        change = ahead * (1 - self.beta1)
        change += m
        change[...] = (change > 0).astype("int8") - (change < 0)  # NumPy's sign: ten times slower
        change *= lr
        if turn.decay:
            p *= 1 - lr * turn.decay
        p -= change
        ahead *= 1 - self.beta2
        m += ahead
