r"""A factor of the loss, so that float16 loses no gradients.

float16 has no numbers below $2^{-24}$, and most gradients of activations are smaller than the
loss's by more than that: on their way back they would become 0. The backward pass is linear in its
beginning, so it may begin with S in place of 1:

$$\bar\theta(\ell) = \tfrac1S\,\bar\theta(S \ell), \qquad S = 2^k .$$

With a power of two both factors are exact; the division is made in float32, where the parameters'
gradients are summed. S should be large, but where S times a gradient is beyond 65,504, it becomes
infinite. That cannot be known before, and can be seen after: any infinity or NaN on the way reaches
the norm of all gradients. So S begins at $2^{16}$; a step whose gradients overflow is left out, and
halves S; 2,000 steps in a row without one double it. S is at least 1: what overflows there, does so
by itself.

A loss that is not finite is no overflow of this kind, as S has no part in it.

Source: Micikevicius et al., "Mixed Precision Training", arXiv:1710.03740, section 3.2.
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from autograd.backend import Array

from ..host.errors import UserError
from .objective import Skipped, finite

FIRST, LEAST, PATIENCE = 2.0**16, 1.0, 2000


class Unscaled:
    """The scale of a type with the range of float32: 1, and gradients have to be finite."""

    size = 1.0

    def unscaled(self, norm: float) -> float:
        """Return the norm of the gradients without the scale. Raises Diverged for an infinity."""
        return finite("gradient's norm", norm)

    def count_update(self) -> None:
        """Count an update."""


UNSCALED = Unscaled()


class LossScale(Unscaled):
    """The scale that float16 takes. Its state is its size, and the updates since that changed."""

    def __init__(self) -> None:
        self._size = np.array(FIRST)
        self._clean = np.array(0)

    @property
    def size(self) -> float:  # type: ignore[override]
        """What the backward pass begins with in place of 1."""
        return float(self._size)

    def state(self) -> dict[str, Array]:
        """Return what has to be saved; restored by writing into it."""
        return {"size": self._size, "clean": self._clean}

    def unscaled(self, norm: float) -> float:
        """Return the norm of the gradients without the scale.

        Where it is not finite, the scale is halved. Raises Skipped then, and UserError where it
        is 1 already.
        """
        if isfinite(norm):
            return norm / self.size
        if self.size <= LEAST:
            raise UserError(f"gradients overflow float16 without a scale too: the scale of the "
                            f"loss has come down to {LEAST:g}; go on with --resume --precision "
                            f"bfloat16 or float32, which have the range, or a smaller "
                            f"--learning-rate")
        self._size /= 2
        self._clean[...] = 0
        raise Skipped(f"gradients overflow float16; the scale of the loss is now {self.size:g}")

    def count_update(self) -> None:
        """Count an update; the scale is doubled after 2,000 in a row."""
        self._clean += 1
        if self._clean >= PATIENCE:
            self._size *= 2
            self._clean[...] = 0
