"""Fresh parameters. Randomness comes from the generator that is passed in, and only from there.

Without a generator nothing is drawn: parameters are zeros, which take neither time nor memory until
weights are read into them.
"""

from __future__ import annotations

import numpy as np

from autograd import Tensor


def normal(rng: np.random.Generator | None, shape: tuple[int, ...], std: float) -> Tensor:
    """Return a float32 parameter drawn from N(0, std^2); of zeros without a generator."""
    if rng is None:
        return zeros(shape)
    data = rng.standard_normal(shape, dtype=np.float32)
    data *= std
    return Tensor(data, requires_grad=True)


def zeros(shape: tuple[int, ...]) -> Tensor:
    """Return a float32 parameter of zeros."""
    return Tensor(np.zeros(shape, dtype=np.float32), requires_grad=True)


def ones(shape: tuple[int, ...]) -> Tensor:
    """Return a float32 parameter of ones."""
    return Tensor(np.ones(shape, dtype=np.float32), requires_grad=True)
