"""Batches that need no state: which windows step 1000 sees follows from the seed and 1000.

A run that stops and is resumed at a step therefore sees what it would have seen. The draws come
from a counter-based generator, a function (key, counter) -> random bits: the key is the seed, the
step is the counter's highest word, so every step has 2**192 counters of its own.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...host.errors import UserError
from ..tokens.stored import StoredArray

PHILOX_STREAM = int.from_bytes(b"batches", "little")  # apart from other uses of the same seed
UINT64_RANGE = 2**64


class Batches:
    """Batches of B windows of T tokens, drawn uniformly from `tokens` (N,) with replacement.

    Raises UserError where N < T + 1, ValueError for sizes below 1 and seeds outside [0, 2**64).

    >>> x, y = Batches(np.arange(10), batch=4, context=3, seed=0).at(step=7)
    >>> x.shape, bool((y == x + 1).all())
    ((4, 3), True)
    """

    def __init__(self, tokens: NDArray[Any] | StoredArray, batch: int, context: int,
                 seed: int) -> None:
        check_batches(len(tokens), batch, context, seed)
        self.tokens = tokens if isinstance(tokens, StoredArray) else np.asarray(tokens)
        self.batch = batch
        self.context = context
        self.seed = seed

    def at(self, step: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return step's inputs x and targets y, int32 of shape (B, T): y[:, t] follows x[:, t].

        Raises ValueError for a step outside [0, 2**64).
        """
        places = self.starts(step)[:, None] + np.arange(self.context + 1)  # (B, T + 1)
        windows = self.tokens[places].astype(np.int32)
        return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, 1:])

    def starts(self, step: int) -> NDArray[np.int64]:
        """Return where the windows of a step begin, int64 of shape (B,)."""
        if not 0 <= step < UINT64_RANGE:
            raise ValueError(f"step must be in [0, 2**64), got {step}")
        key = np.array([self.seed, PHILOX_STREAM], np.uint64)
        counter = np.array([0, 0, 0, step], np.uint64)
        generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
        last = len(self.tokens) - self.context - 1
        return generator.integers(0, last, self.batch, endpoint=True)


def split(tokens: NDArray[Any], fraction: float = 0.9) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the first floor(fraction * N) of N tokens, to train on, and the rest, to validate on.

    The cut is in one place, not random, so that no validation window overlaps a training window.
    Raises ValueError for a fraction outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be in [0, 1], got {fraction}")
    cut = int(fraction * len(tokens))
    return tokens[:cut], tokens[cut:]


def check_batches(tokens: int, batch: int, context: int, seed: int) -> None:
    """Raise ValueError for numbers that batches cannot have, UserError for too few tokens."""
    if batch < 1 or context < 1:
        raise ValueError(f"batch and context must be at least 1, got {batch} and {context}")
    if not 0 <= seed < UINT64_RANGE:
        raise ValueError(f"seed must be in [0, 2**64), got {seed}")
    if tokens < context + 1:
        raise UserError(
            f"{tokens} tokens are too few: one window of --context {context} and its "
            f"targets need {context + 1}; give more text or a smaller --context"
        )
