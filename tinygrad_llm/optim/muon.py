r"""Muon: momentum whose singular values are all made one.

With the gradient G (R, C) of a hidden matrix P, momentum $\mu$, rate $\eta$ and decay $\lambda$:

$$M \leftarrow \mu M + (1 - \mu) G, \qquad D = \mu M + (1 - \mu) G \text{ (Nesterov)} \quad
\text{or } M$$
$$P \leftarrow P - \eta\,\lambda\,P - \eta \sqrt{\max(1, R / C)}\; O(D), \qquad
O(U S V^\top) = U V^\top$$

$U V^\top$ is the step of spectral norm 1 that lowers a loss with the gradient D the most, as
$D \cdot X \le \sum_i S_i$ for all such X; it changes all directions of a layer's output
alike, also the rare ones, whose singular values are small. The root makes tall matrices' steps as
large to their outputs, which have R elements, as those of square ones.

O needs no singular value decomposition. An odd polynomial of a matrix,

$$\varphi(X) = a X + b\,(X X^\top) X + c\,(X X^\top)^2 X = U\,\varphi(S)\,V^\top ,$$

acts on the singular values alone, and products are what a machine is fast at. It is F X with the
symmetric $F = a I + b G + c G^2$, $G = X X^\top$, and the next G is F G F: where X is twice
as wide as high or more, the F are multiplied among themselves, and X takes part at both ends alone.

To begin with, X = D / ‖D‖ has singular values in [0, 1]; then $\varphi$ is repeated
(Newton-Schulz). With
(a, b, c) = (15, -10, 3) / 8 the error is
$1 - \varphi(s) = (1 - s)^3 (8 + 9 s + 3 s^2) / 8$, of third order: certain, but for a small s the
factor is only 15/8 a time. Muon takes (3.4445, -4.7750, 2.0315), with the greatest slope at 0, and
gives up the limit 1 for a band. This $\varphi$ rises from 0 to its maximum 1.2024 at s = 0.5545,
falls to its minimum 0.6818 at s = 1.0501, and $\varphi(1.2024) = 0.947$. So it takes
[0.5545, 1.2024] into [0.6818, 1.2024], which is part of it, and all s below are multiplied, as
$\varphi(s) / s$ falls on [0, 0.5545], by 2.17 to 3.44 a time until they are in it. After 5 times
every s from 0.0016 to 1 lies in [0.68, 1.21], for a direction as good as 1.

Queries, keys and values are three maps that lie in one matrix here (`squares`): each square of its
rows is made orthogonal by itself, as the directions of one are not those of another.

Embeddings and the head, which see one-hot rows or make them, and vectors go by AdamW, with a rate
of their own. An embedding is no map between dense spaces, and a vector has one singular value.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
kellerjordan.github.io/posts/muon; the decay is that of Liu et al., "Muon is Scalable for LLM
Training", arXiv:2502.16982, equation 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import product
from math import sqrt
from typing import Any, ClassVar, NamedTuple

import numpy as np

from autograd import Tensor, namespace
from autograd.backend import Array

from ..host.threads import each, over_rows
from .adamw import update
from .arena import Arena
from .groups import require_match
from .optimizer import Optimizer, Shape, Turn

QUINTIC = 3.4445, -4.7750, 2.0315
EPSILON = 1e-7  # the least norm, for gradients of 0
NO_HIDDEN = "wte* wpe* head* *router*"
"""The matrices of our models that are no maps between hidden layers."""
PACKED = "*qkv*"
"""Those that are several maps."""


def orthogonalized(x: Array, steps: int = 5) -> Array:
    """Return a matrix with the singular vectors of x (R, C), and singular values near 1."""
    tall = len(x) > x.shape[1]
    x = x.T if tall else x  # the products X Xᵀ are of the shorter side
    xp = namespace(x)
    x = x / xp.maximum(xp.sqrt((x * x).sum()), EPSILON)
    if 2 * len(x) <= x.shape[1]:
        x = _product_of_factors(x @ x.T, steps) @ x
    else:
        for _ in range(steps):
            x = _factor(x @ x.T) @ x
    return x.T if tall else x


def _factor(gram: Array) -> Array:
    """Return F = a I + b G + c G²."""
    a, b, c = QUINTIC
    factor = gram @ gram.T  # G is symmetric, and BLAS does a product with its own transpose by half
    factor *= c
    factor += b * gram
    factor.reshape(-1)[:: len(gram) + 1] += a
    return factor


def _product_of_factors(gram: Array, steps: int) -> Array:
    """Return the product of all steps' factors; the next G is F G F."""
    product = None
    for step in range(steps):
        factor = _factor(gram)
        product = factor if product is None else product @ factor
        if step < steps - 1:
            gram = factor @ gram @ factor
            gram = (gram + gram.T) / 2
    return product


class Hidden(NamedTuple):
    """A matrix, its gradient and momentum, all of them views, and its turn."""

    turn: Turn
    p: Array
    g: Array
    m: Array


class Muon(Optimizer):
    """Orthogonal steps for hidden matrices, AdamW's for the rest; settings are checked as every
    `Optimizer`'s.

    `adamw_for` are patterns, with spaces between them, of the matrices that AdamW takes beside all
    vectors, and `adamw_rate` is the factor of the rate there. `squares` are those of the matrices
    whose rows are cut into squares, what is left at the end by itself. Of more than two axes the
    last two are the matrix. momentum, beta1 and beta2 are in [0, 1), eps is above 0, newton_schulz
    at least 1. Of what AdamW keeps, v is only there for what it takes.
    """

    usual: ClassVar[Mapping[str, Any]] = {"learning_rate": 0.02, "min_learning_rate": 0.002,
                                          "momentum": 0.95}

    def __init__(self, parameters: Mapping[str, Tensor] | Arena, *, momentum: float = 0.95,
                 nesterov: bool = True, newton_schulz: int = 5, adamw_for: str = NO_HIDDEN,
                 squares: str = PACKED, adamw_rate: float = 0.5, beta1: float = 0.9,
                 beta2: float = 0.95, eps: float = 1e-8, weight_decay: float = 0.1,
                 groups: str = "") -> None:
        self.require_share(momentum=momentum, beta1=beta1, beta2=beta2)
        self.require_switch(nesterov=nesterov)
        self.require("newton_schulz", newton_schulz, "a whole number from 1",
                     lambda steps: steps >= 1 and steps == int(steps))
        self.require("adamw_rate", adamw_rate, "at least 0", lambda rate: rate >= 0)
        self.require("eps", eps, "above 0", lambda eps: eps > 0)
        super().__init__(parameters, weight_decay=weight_decay, groups=groups)
        self.momentum, self.nesterov, self.newton_schulz = momentum, nesterov, int(newton_schulz)
        self.squares = squares.split()
        self.adamw_rate, self.beta1, self.beta2, self.eps = adamw_rate, beta1, beta2, eps
        for setting, given, usual in (("adamw_for", adamw_for, NO_HIDDEN),
                                      ("squares", squares, PACKED)):
            for pattern in {*given.split()}.difference(usual.split()):
                require_match(setting, pattern, self.parameters)
        self.m, self.v = (self._zeros(kind, adamw_for=adamw_for) for kind in ("m", "v"))

    @staticmethod
    def kept(name: str, shape: Shape, settings: Mapping[str, Any]) -> dict[str, Shape]:
        """Return the shape of m, and of the v of what AdamW takes."""
        adamw = len(shape) < 2 or any(fnmatchcase(name, pattern)
                                      for pattern in settings["adamw_for"].split())
        return {"m": shape, "v": shape} if adamw else {"m": shape}

    def averages(self) -> Mapping[str, Mapping[str, Array]]:
        """Return the averages of gradients, m, and of what AdamW takes those of squares, v."""
        return {"m": self.m, "v": self.v}

    def _advance(self, lr: float, scale: float) -> None:
        hidden = [*self._hidden(lr, scale)]
        each(len(hidden), lambda i: self._step(hidden[i], lr, scale))

    def _hidden(self, lr: float, scale: float) -> Iterator[Hidden]:
        """Yield the hidden matrices, each alone; do AdamW's step for all else."""
        for turn, p, g in self._one_by_one():
            m = self.m[turn.name]
            if turn.name in self.v:
                self._step_of_adamw([a.reshape(a.shape or 1) for a in (
                    p, g, m, self.v[turn.name])], turn, lr, scale)
            else:
                size = p.shape[-1] if self._is_packed(turn.name) else p.shape[-2]
                for i, first in product(np.ndindex(*p.shape[:-2]), range(0, p.shape[-2], size)):
                    yield Hidden(turn, *(a[i][first:first + size] for a in (p, g, m)))

    def _is_packed(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.squares)

    def _step_of_adamw(self, arrays: list[Array], turn: Turn, lr: float, scale: float) -> None:
        def block(rows: slice) -> None:
            update(*(array[rows] for array in arrays), step=turn.step,
                   lr=lr * self.adamw_rate * turn.lr, scale=scale, beta1=self.beta1,
                   beta2=self.beta2, eps=self.eps, decay=turn.decay)

        over_rows(block, arrays[0], cost=4)
        self.layout.rest(*arrays[2:])

    def _step(self, hidden: Hidden, lr: float, scale: float) -> None:
        """Do the step of a hidden matrix, in place."""
        turn, p, g, m = hidden
        new = g * (scale * (1 - self.momentum))
        m *= self.momentum
        m += new
        change = orthogonalized(new + self.momentum * m if self.nesterov else m,
                                self.newton_schulz)
        change *= lr * turn.lr * sqrt(max(1.0, p.shape[0] / p.shape[1]))
        p *= 1 - lr * turn.lr * turn.decay
        p -= change
        self.layout.rest(m)
