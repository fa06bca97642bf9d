"""Fresh parameters. Randomness comes from the generator that is passed in, and only from there."""

from __future__ import annotations

import numpy

from autograd import Tensor


def normal(rng: numpy.random.Generator, shape: tuple[int, ...], std: float) -> Tensor:
    """Return a float32 parameter drawn from N(0, std^2)."""
    data = rng.standard_normal(shape, dtype=numpy.float32)
    data *= std
    return Tensor(data, requires_grad=True)


def zeros(shape: tuple[int, ...]) -> Tensor:
    """Return a float32 parameter of zeros."""
    return Tensor(numpy.zeros(shape, dtype=numpy.float32), requires_grad=True)


def ones(shape: tuple[int, ...]) -> Tensor:
    """Return a float32 parameter of ones."""
    return Tensor(numpy.ones(shape, dtype=numpy.float32), requires_grad=True)
