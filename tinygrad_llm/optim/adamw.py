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

The parameters of a model lie side by side in one array, and so do their gradients, m and v: a step
is one walk over four arrays, in blocks that fit a core's cache, on all workers.

Sources: Kingma, Ba, "Adam", arXiv:1412.6980, algorithm 1 and the end of section 2; Loshchilov,
Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from math import sqrt
from typing import Any

import numpy as np

from autograd import Tensor, namespace
from autograd.backend import Array
from autograd.tensor import values

from ..host.threads import over_rows


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

    Making one moves the parameters: `data` of each becomes a view of a longer array. `gradients`
    has such views too, by name: a gradient that is written there and put into `grad` is not copied.
    Raises ValueError where one Tensor has two names: it would be updated twice.
    """

    def __init__(self, parameters: Mapping[str, Tensor], *, beta1: float = 0.9,
                 beta2: float = 0.95, eps: float = 1e-8, weight_decay: float = 0.1) -> None:
        self.parameters = dict(parameters)
        if len({id(p) for p in self.parameters.values()}) < len(self.parameters):
            raise ValueError("AdamW: a Tensor has two names; name tied weights once, as "
                             "nn.parameters does")
        self.beta1, self.beta2, self.eps, self.weight_decay = beta1, beta2, eps, weight_decay
        self.steps = {name: np.zeros((), dtype=np.int64) for name in self.parameters}
        self.data: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.m: dict[str, Array] = {}
        self.v: dict[str, Array] = {}
        alike: dict[Any, list[str]] = {}
        for name, p in self.parameters.items():
            alike.setdefault((namespace(p.data), p.dtype, p.ndim >= 2), []).append(name)
        self.groups = [self._side_by_side(names) for names in alike.values()]

    def _side_by_side(self, names: list[str]) -> tuple[list[str], list[Array]]:
        """Move parameters into one array; return their names and the four arrays p, g, m, v."""
        first = self.parameters[names[0]].data
        size = sum(self.parameters[name].size for name in names)
        arrays = [namespace(first).zeros(size, dtype=first.dtype) for _ in range(4)]
        start = 0
        for name in names:
            p = self.parameters[name]
            views = [array[start : start + p.size].reshape(p.shape) for array in arrays]
            self.data[name], self.gradients[name], self.m[name], self.v[name] = views
            self._take_in([name])  # one by one: no second copy of the model
            start += p.size
        return names, arrays

    def _take_in(self, names: Iterable[str]) -> None:
        """Copy the parameters' data to its place. Raises ValueError where its shape has changed."""
        found = {name: self.parameters[name].data for name in names}
        for name, data in found.items():
            if data.shape != self.data[name].shape:
                raise ValueError(f"AdamW: {name} had the shape {self.data[name].shape} and was "
                                 f"given data of shape {data.shape}; make a new optimizer")
        # Copies first: two parameters may have exchanged their arrays.
        for name, data in {name: data.copy() for name, data in found.items()}.items():
            self.data[name][...] = data
            self.parameters[name].data = self.data[name]

    def state(self) -> dict[str, Array]:
        """Return what has to be saved, by name; an optimizer is restored by writing into it."""
        return {f"{kind}.{name}": array
                for kind, arrays in (("m", self.m), ("v", self.v), ("steps", self.steps))
                for name, array in arrays.items()}

    def update(self, lr: float, scale: float = 1.0) -> None:
        """Do one step with `scale` times the gradients in the parameters' `grad`; clear these.

        A parameter without a gradient (no loss depended on it) is left as it is, and t does not
        count the step for it.
        """
        self._take_in([n for n, p in self.parameters.items() if p.data is not self.data[n]])
        for names, arrays in self.groups:
            decay = self.weight_decay if self.parameters[names[0]].ndim >= 2 else 0.0
            for place, step in self._stretches(names):
                p, g, m, v = (array[place] for array in arrays)

                def block(rows: slice, p: Array = p, g: Array = g, m: Array = m, v: Array = v,
                          step: int = step, decay: float = decay) -> None:
                    update(p[rows], g[rows], m[rows], v[rows], step=step, lr=lr, scale=scale,
                           beta1=self.beta1, beta2=self.beta2, eps=self.eps, decay=decay)

                over_rows(block, p, cost=4)

    def _stretches(self, names: list[str]) -> Iterator[tuple[slice, int]]:
        """Yield where neighbours lie that all do step number so-and-so, and that number."""
        start = 0
        for step, same in groupby(names, self._begin_step):
            size = sum(self.parameters[name].size for name in same)
            if step:
                yield slice(start, start + size), step
            start += size

    def _begin_step(self, name: str) -> int:
        """Bring a parameter and its gradient into their places; return its step, 0 for none."""
        p = self.parameters[name]
        if p.grad is None:
            return 0
        if p.grad is not self.gradients[name]:
            self.gradients[name][...] = values(p.grad)
        p.grad = None
        self.steps[name] += 1
        return int(self.steps[name])
