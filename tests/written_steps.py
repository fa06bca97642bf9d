"""Models whose terms all count, and their own calls: for the tests of a written-out step."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from autograd.tensor import values
from tinygrad_llm.nn import Cache, parameters
from tinygrad_llm.sample.step import stepper

TOLERANCE = {np.float32: 1e-4, np.float64: 1e-10}
VOCAB = 7


def made(model: Any, dtype: Any = np.float64, scale: float = 0.4, seed: int = 0) -> Any:
    """Return a model with weights at which none of its terms is negligible, biases included."""
    rng = np.random.default_rng(seed)
    for name, p in parameters(model).items():
        p.data = (scale * rng.standard_normal(p.shape)).astype(dtype)
        if "ln_" in name or "norm" in name:
            p.data += name.endswith("weight")
    return model


def asked(model: Any, tokens: Any, cache: Cache) -> np.ndarray:
    """Return what the model's own call makes of the next tokens of the first rows."""
    with no_grad():
        return values(model.next_logits(np.array(tokens)[:, None], cache.part(0, len(tokens))))


def same(got: np.ndarray, expected: np.ndarray, dtype: Any) -> None:
    assert got.dtype == dtype
    largest = max(1, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE[dtype] * largest)


def written(model: Any, rows: int, steps: int, dtype: Any = np.float64) -> None:
    """Check that many steps, from one token a row on."""
    caches = [model.cache(rows) for _ in range(2)]
    step, rng = stepper(model, caches[1]), np.random.default_rng(1)
    assert step is not None
    for _ in range(steps):
        tokens = rng.integers(VOCAB, size=rows)
        same(step(tokens), asked(model, tokens, caches[0]), dtype)


class Replaced:
    """Something that stands in a part's place, and does the same at each position."""

    def __init__(self, columns: int) -> None:
        self.columns = columns

    def __call__(self, x: Any, *options: Any) -> Any:
        x = values(x)
        first = x[..., None] if x.ndim == 2 else x[..., :1]
        return Tensor(np.cos(first + np.arange(self.columns)))


def replace(model: Any, place: str, substitute: Any) -> None:
    *path, last = place.split(".")
    for name in path:
        model = model[int(name)] if name.isdecimal() else getattr(model, name)
    if last.isdecimal():
        model[int(last)] = substitute
    else:
        setattr(model, last, substitute)
