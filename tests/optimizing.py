"""Parameters for the tests of optimizers, and gradients for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd import Tensor

SHAPES: dict[str, tuple[int, ...]] = {
    "wte.weight": (13, 7), "wide.weight": (3, 8), "tall.weight": (9, 4), "norm.weight": (7,),
    "experts": (2, 3, 5), "one": ()}
"""By names as models have them: a table, matrices, a vector, a stack, a number."""


def random_parameters(seed: int = 1, dtype: Any = float) -> dict[str, Tensor]:
    rng = np.random.default_rng(seed)
    return {name: Tensor(np.asarray(rng.normal(size=shape), dtype=dtype), requires_grad=True)
            for name, shape in SHAPES.items()}


def give_gradients(ps: dict[str, Tensor], seed: int, scale: float = 1.0) -> None:
    """Put random gradients into `grad`, the same for a seed, some of their elements 0."""
    rng = np.random.default_rng(seed)
    for p in ps.values():
        g = np.asarray(scale * rng.normal(size=p.shape), dtype=p.dtype)
        g.reshape(-1)[3::5] = 0
        p.grad = g


def bits(ps: dict[str, Tensor], optimizer: Any) -> dict[str, bytes]:
    """Return all bits of parameters and of what is kept beside them."""
    return {name: p.data.tobytes() for name, p in ps.items()} | {
        name: array.tobytes() for name, array in optimizer.state().items()}
