"""Fresh parameters. Randomness comes from the generator that is passed in, and only from there.

Without a generator nothing is drawn: parameters are zeros, which take neither time nor memory until
weights are read into them.
"""

from __future__ import annotations

from math import prod
from mmap import mmap

import numpy as np

from autograd import Tensor


def normal(rng: np.random.Generator | None, shape: tuple[int, ...], std: float) -> Tensor:
    """Return a float32 parameter drawn from N(0, std^2); of zeros without a generator."""
    if rng is None:
        return Tensor(_untouched(shape), requires_grad=True)
    data = rng.standard_normal(shape, dtype=np.float32)
    data *= std
    return Tensor(data, requires_grad=True)


def _untouched(shape: tuple[int, ...]) -> np.ndarray:
    """Return zeros that the system hands out as they are touched; NumPy's may be written at once.

    A C library that keeps freed memory (see `host.machine`) clears what `np.zeros` asks it for.
    Raises MemoryError where there is not as much.
    """
    try:
        memory = mmap(-1, max(1, 4 * prod(shape)))
    except (OSError, OverflowError) as error:
        raise MemoryError(f"no memory for {shape} numbers: {error}") from error
    return np.ndarray(shape, np.float32, memory)


def zeros(shape: tuple[int, ...]) -> Tensor:
    """Return a float32 parameter of zeros."""
    return Tensor(np.zeros(shape, dtype=np.float32), requires_grad=True)


def ones(shape: tuple[int, ...]) -> Tensor:
    """Return a float32 parameter of ones."""
    return Tensor(np.ones(shape, dtype=np.float32), requires_grad=True)
