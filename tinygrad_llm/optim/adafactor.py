r"""Adafactor: Adam's second moments of a matrix, kept as one number a row and one a column.

With the gradient G (R, C) of a matrix P at step t = 1, 2, ... and $\beta = 1 - t^{-0.8}$:

$$r_i \leftarrow \beta r_i + (1 - \beta) \operatorname{mean}_j (G_{ij}^2 + \epsilon), \qquad
c_j \leftarrow \beta c_j + (1 - \beta) \operatorname{mean}_i (G_{ij}^2 + \epsilon)$$
$$U_{ij} = \frac{G_{ij}}{\sqrt{V_{ij}}}, \quad V_{ij} = \frac{r_i\,c_j}{\operatorname{mean}(r)},
\qquad P \leftarrow P - \eta\,\lambda\,P
- \eta\,\frac{U}{\max(1, \operatorname{rms}(U) / d)}$$

Why r c / mean(r): of all matrices of rank one, V is the nearest to the averaged squares S by the
divergence $\sum_{ij} S_{ij} \log (S_{ij} / V_{ij}) - S_{ij} + V_{ij}$. With $V_{ij} = a_i b_j$ its
derivative by $a_i$ is $\sum_j b_j - \sum_j S_{ij} / a_i$, which is 0 where V has the row sums of S;
likewise its column sums. Rank one and these sums leave the row sum times the column sum, by the sum
of all, which of means is the above. Averaging commutes with sums, so r and c are kept instead of S:
R + C numbers instead of R C.

At t = 1 $\beta$ is 0, which is why no correction for the start is needed; later it comes close to
1, and V may lag behind a growing gradient: then rms(U) exceeds 1, and the division by it, at d = 1,
keeps the step within $\eta$ (update clipping). A vector keeps the whole average of squares. Of more
than two axes the last two are the matrix. There is no average of G itself.

The variant: the rate is that of the schedule. With `relative_step` it is as in the paper relative
to the parameter, $\max(10^{-3}, \operatorname{rms}(P)) \cdot \min(\eta, 1 / \sqrt t)$, for rates of
about 0.01. The decay is decoupled, by the schedule's $\eta$ in both.

Source: Shazeer, Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost",
arXiv:1804.04235, algorithms 4 to 6; section 3 has the proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from autograd import Tensor, namespace
from autograd.backend import Array

from ..host.threads import over_rows
from .arena import Arena
from .optimizer import Optimizer, Shape

EPSILON = 1e-30
LEAST_SIZE = 1e-3  # of a parameter, to which a relative step is relative


class Part(NamedTuple):
    """A matrix p (R, C), its gradient g, and the factors r (R, 1) and c (C,) of g * r * c = U."""

    p: Array
    g: Array
    r: Array
    c: Array

    def update(self, rows: slice) -> Array:
        """Return some rows of U."""
        u = self.g[rows] * self.r[rows]
        u *= self.c
        return u


class Adafactor(Optimizer):
    """Factored second moments and no first; settings are checked as every `Optimizer`'s.

    clip_update, the d of the formula, and decay_power, the 0.8, are above 0.
    """

    def __init__(self, parameters: Mapping[str, Tensor] | Arena, *, decay_power: float = 0.8,
                 clip_update: float = 1.0, relative_step: bool = False, weight_decay: float = 0.1,
                 groups: str = "") -> None:
        self.require("decay_power", decay_power, "above 0", lambda power: power > 0)
        self.require("clip_update", clip_update, "above 0", lambda limit: limit > 0)
        self.require_switch(relative_step=relative_step)
        super().__init__(parameters, weight_decay=weight_decay, groups=groups)
        self.decay_power, self.clip_update, self.relative_step = (
            decay_power, clip_update, relative_step)
        self.r, self.c, self.v = self._zeros("r"), self._zeros("c"), self._zeros("v")

    @staticmethod
    def kept(name: str, shape: Shape, settings: Mapping[str, Any]) -> dict[str, Shape]:
        """Return the shapes of r and c of matrices, or of the v of a vector."""
        return {"r": shape[:-1], "c": (*shape[:-2], shape[-1])} if len(shape) >= 2 else {"v": shape}

    def averages(self) -> Mapping[str, Mapping[str, Array]]:
        """Return the averages of squares: r and c of matrices, v of vectors."""
        return {"r": self.r, "c": self.c, "v": self.v}

    def _advance(self, lr: float, scale: float) -> None:
        for turn, p, g in self._one_by_one():
            beta, rate = 1 - turn.step ** -self.decay_power, lr * turn.lr
            parts = [*self._parts(turn.name, p, g, beta, scale)]
            size = rate
            if self.relative_step:
                rms = sqrt(sum(map(_squares, [part.p for part in parts])) / p.size)
                size = max(LEAST_SIZE, rms) * min(rate, turn.step**-0.5)
            rms = sqrt(sum(map(_squares_of_update, parts)) / p.size)
            size /= max(1.0, rms / self.clip_update)
            for part in parts:
                _subtract(part, size, 1 - rate * turn.decay)

    def _parts(self, name: str, p: Array, g: Array, beta: float, scale: float) -> Iterator[Part]:
        """Take the gradient into the averages; yield what the update of each matrix is made of."""
        xp = namespace(p)
        if name in self.v:
            v = self.v[name]
            v *= beta
            v += (1 - beta) * (scale**2 * g * g + EPSILON)
            r = (scale * v**-0.5).reshape(-1, 1)
            yield Part(p.reshape(-1, 1), g.reshape(-1, 1), r, xp.ones_like(r[0]))
        for i in np.ndindex(*p.shape[:-2]) if name in self.r else ():
            r, c = self.r[name][i], self.c[name][i]
            of_rows, of_columns = _mean_squares(g[i])
            for average, new in ((r, of_rows), (c, of_columns)):
                average *= beta
                average += (1 - beta) * (scale**2 * new + EPSILON)
            yield Part(p[i], g[i], (scale * (r / r.mean()) ** -0.5)[:, None], c**-0.5)


def _mean_squares(g: Array) -> tuple[Array, Array]:
    """Return the mean squares of the rows and of the columns of a matrix."""
    xp = namespace(g)

    def sums(rows: slice) -> tuple[Array, Array]:
        squares = g[rows] * g[rows]
        return squares.sum(1), squares.sum(0)

    by_rows, by_columns = zip(*over_rows(sums, g), strict=True)
    return xp.concatenate(by_rows) / g.shape[1], sum(by_columns) / len(g)


def _squares(x: Array) -> float:
    return sum(over_rows(lambda rows: float((x[rows] * x[rows]).sum()), x))


def _squares_of_update(part: Part) -> float:
    def squares(rows: slice) -> float:
        u = part.update(rows)
        u *= u
        return float(u.sum())

    return sum(over_rows(squares, part.g))


def _subtract(part: Part, size: float, shrink: float) -> None:
    """Do the step of a matrix, in place."""
    def block(rows: slice) -> None:
        u = part.update(rows)
        u *= size
        part.p[rows] *= shrink
        part.p[rows] -= u

    over_rows(block, part.p)
