r"""Weights of bfloat16 alone: updates rounded up or down by chance, so that none is lost.

bfloat16 is the upper half of a float32: 16 of its 32 bits. For a float32 x between its neighbours
a and b in bfloat16, a being nearer to 0, the lower half r counts how far x is on its way:

$$x = a + \frac{r}{2^{16}}\,(b - a), \qquad 0 \le r < 2^{16} .$$

Rounding to the nearest always gives a where r is small, so a weight never moves by updates of less
than half of the distance. Here it becomes b with the probability $r / 2^{16}$, and a otherwise:

$$E[\operatorname{round}(x)] = a\,\Bigl(1 - \frac{r}{2^{16}}\Bigr) + b\,\frac{r}{2^{16}} = x .$$

Added to the bits of x, a random u from 0 to $2^{16} - 1$ carries into the upper half where
$u + r \ge 2^{16}$, for r of the $2^{16}$ values of u; then the lower half is cut. Floats of one
sign stand in the order of their bits, so the next number in bits is b also where the exponent
grows, and below the smallest normal number; the sign is a bit of its own, and both go away from 0.
A number of bfloat16 has r = 0 and stays.

Traps: beyond the largest finite number, 3.39e38, b would be infinity, and x stays at a: there the
expectation is not x. In a NaN a carry would make another number, so what is not finite is left out.

The bits are those of Philox under a key of seed, step and parameter, and of the element's place
there: neither resuming nor threads change one.

Source: Gupta et al., "Deep Learning with Limited Numerical Precision", arXiv:1502.02551, section 3;
Zamirai et al., "Revisiting BFloat16 Training", arXiv:2010.06192, section 3 (weights of bfloat16).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from autograd import Tensor, fold_in, namespace, random_bits
from autograd.backend import Array, wider
from autograd.tensor import values

from ..host.files import Scratch
from ..host.threads import over_rows
from ..nn import parameters, with_parameters
from ..optim import Arena
from ..optim.arena import Buffers, Label, zeros_like

INFINITE = 0x7F80  # the bits of infinity, without its sign


def rounded(x: Array, u: Array) -> Array:
    """Return float32 x rounded to bfloat16, up or down by random 16-bit words u of its shape."""
    xp = namespace(x)
    finite = xp.isfinite(x)
    upper = ((x.view(np.uint32) + u * finite) >> 16).astype(np.uint16)
    upper -= finite & ((upper & 0x7FFF) == INFINITE)  # one less is the largest number
    upper |= xp.isnan(x) * np.uint16(0x40)  # a NaN stays one without its lower half
    return upper.view(ml_dtypes.bfloat16)


def in_bfloat16(model: Any) -> Any:
    """Return a copy of the model with all its parameters rounded to the nearest of bfloat16."""
    return with_parameters(model, {
        name: Tensor(p.data.astype(ml_dtypes.bfloat16), requires_grad=True)
        for name, p in parameters(model).items()})


class RoundedArena(Arena):
    """Parameters of bfloat16, each where it lies, with gradients and averages in float32.

    During an update there is a float32 copy, from which `settle` rounds by chance.
    """

    def __init__(self, parameters: Mapping[str, Tensor], scratch: Scratch | None, key: int
                 ) -> None:
        self.parameters, self.key, self.scratch = dict(parameters), key, scratch
        self.groups = [[name] for name in self.parameters]
        self.gradients = Buffers(self.parameters, self.groups, lambda like, *shape: zeros_like(
            _float32_of(like), *shape))
        self.wide: dict[str, Array] = {}

    def beside(self, like: Array, *shape: int) -> Array:
        """Return zeros of float32 for an optimizer, of the library of `like`."""
        return super().beside(_float32_of(like), *shape)

    def stretches(self, label: Callable[[str], Label | None],
                  *buffers: Buffers) -> Iterator[tuple[Label, list[Array]]]:
        """Yield each parameter's label, and a copy of its data, its gradient and its averages."""
        for name, p in self.parameters.items():
            gradient = values(p.grad)
            if (same := label(name)) is not None:
                self.wide[name] = _widened(p.data.reshape(-1))
                yield same, [self.wide[name], wider(gradient).reshape(-1),
                             *(buffer[name].reshape(-1) for buffer in buffers)]

    def settle(self, steps: Mapping[str, Any]) -> None:
        """Round what the update, of each parameter's step of that number, has made of the copy."""
        for number, (name, p) in enumerate(self.parameters.items()):
            if name in self.wide:
                key = fold_in(fold_in(self.key, int(steps[name])), number)
                _round(self.wide.pop(name), p.data.reshape(-1), key)


def _float32_of(like: Array) -> Array:
    return namespace(like).empty(0, np.float32)


def _widened(data: Array) -> Array:
    wide = namespace(data).empty(data.shape, np.float32)

    def block(rows: slice) -> None:
        wide[rows] = data[rows]

    over_rows(block, wide)
    return wide


def _round(wide: Array, data: Array, key: int) -> None:
    def block(rows: slice) -> None:
        part = wide[rows]
        u = namespace(part).asarray(random_bits(len(part), key, rows.start))
        data[rows] = rounded(part, u)

    over_rows(block, wide, cost=4)
