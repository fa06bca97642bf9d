r"""An exponential moving average of weights.

Of the weights $p_1, p_2, \ldots$ after each update, with the decay d:

$$a_t = \frac{1 - d}{1 - d^t} \sum_{i=1}^{t} d^{t-i} p_i$$

The factors of the $p_i$ sum to 1 from the first step on (as Adam's corrected averages), so that
what the weights were drawn as has no part in it. As
$(1 - d^t)\,a_t = d\,(1 - d^{t-1})\,a_{t-1} + (1 - d)\,p_t$ and
$d\,(1 - d^{t-1}) = (1 - d^t) - (1 - d)$,

$$a_t = a_{t-1} + \frac{1 - d}{1 - d^t}\,(p_t - a_{t-1}),$$

one walk over two arrays. The average reaches back about $1 / (1 - d)$ steps: there the noise of
single batches cancels, which a falling rate does otherwise.

Source: Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", 1992, of equal
factors; Kingma, Ba, arXiv:1412.6980, section 7.2, of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from autograd import Tensor, namespace
from autograd.backend import Array, wide

from ..host.threads import over_rows


class EMA:
    """The averages of named parameters, in float32 at least.

    Raises ValueError for a decay outside of (0, 1).
    """

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"EMA: decay must be in (0, 1), got {decay!r}")
        self.parameters, self.decay = dict(parameters), decay
        self.steps = np.zeros((), dtype=np.int64)
        self.average = {name: namespace(p.data).zeros(p.shape, dtype=wide(p.dtype))
                        for name, p in self.parameters.items()}

    def state(self) -> dict[str, Array]:
        """Return what has to be saved, by name; it is restored by writing into it."""
        return {"steps": self.steps} | {f"average.{name}": a for name, a in self.average.items()}

    def update(self) -> None:
        """Take in the weights as they are after an update."""
        self.steps += 1
        share = (1 - self.decay) / (1 - self.decay ** int(self.steps))
        for name, p in self.parameters.items():
            shape = p.shape or 1  # a number is a row too
            _take_in(self.average[name].reshape(shape), p.data.reshape(shape), share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block the parameters have the averages in the place of their data."""
        data = {name: p.data for name, p in self.parameters.items()}
        try:
            for name, p in self.parameters.items():
                p.data = self.average[name].astype(p.dtype, copy=False)
            yield
        finally:
            for name, p in self.parameters.items():
                p.data = data[name]


def _take_in(a: Array, p: Array, share: float) -> None:
    def block(rows: slice) -> None:
        change = p[rows] - a[rows]
        change *= share
        a[rows] += change

    over_rows(block, a, cost=2)
