"""Whole models at natural scale: their loss as a function of the weights, and its differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd import Tensor
from tinygrad_llm.models import ARCHITECTURES
from tinygrad_llm.nn import parameters, with_parameters

rng = np.random.default_rng(0)
IDS = rng.integers(0, 7, (2, 5))
TARGETS = rng.integers(0, 7, (2, 5))


def natural_scale(config: Any) -> tuple[Any, list[str], list[np.ndarray]]:
    """A model, and float64 weights for it near 0.5, not 0.02: none of its terms is negligible."""
    kind = next(known.model for known in ARCHITECTURES.values() if known.config is type(config))
    model = kind(config, 1)
    own = parameters(model)
    draw = np.random.default_rng(2)
    return model, list(own), [0.5 * draw.standard_normal(p.shape) for p in own.values()]


def with_weights(model: Any, names: list[str], weights: Any) -> Any:
    return with_parameters(model, {n: w if isinstance(w, Tensor) else Tensor(w)
                                   for n, w in zip(names, weights, strict=True)})


def loss_of(model: Any, names: list[str], key: int | None = None, loss: str = "loss") -> Any:
    return lambda *ws: getattr(with_weights(model, names, ws), loss)(IDS, TARGETS, key)


def difference(f: Any, xs: list[np.ndarray], vs: list[np.ndarray], h: float = 2e-4) -> Any:
    """The derivative of f at xs along vs, by the five-point quotient."""
    def at(k: int) -> Any:
        return f(*[x + k * h * v for x, v in zip(xs, vs, strict=True)])

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)
