r"""Epochs without memory: every window once, in a new order each epoch, from (seed, step) alone.

N tokens hold W = (N - 1) // T windows that do not overlap: window w is the T inputs from w T on,
and the T targets one place further. Epoch e visits the windows in the order P_e(0), P_e(1), ...,
P_e(W - 1), where P_e is a permutation of [0, W) that is *computed*, not stored: to know the
windows of step 1,000,000 takes as long as to know those of step 0, and needs no state.

**Why it is a permutation.** A Feistel network splits a number of n bits into its upper half l
and its lower half r (one bit shorter, if n is odd), and does by turns

    l -> l xor F_j(r)        and        r -> r xor F_j(l).

Such a round is undone by itself, since it leaves alone what F_j is computed from, for whatever
function F_j: so every round is a bijection of [0, 2^n), and so is their composition. Luby and
Rackoff proved that with random functions three rounds cannot be distinguished from a random
permutation, and four not even with access to the inverse. Ours are pairwise independent only, the
upper bits of a_j x + b_j mod 2^64 with random a_j and b_j (multiply-shift), hence ROUNDS = 8.

**Why it is one of [0, W).** n is the least number, from FEWEST_BITS on, with 2^n >= W: the network
permutes fewer than 2 W numbers where W > 32. Walk from w in [0, W) until the walk is in [0, W)
again: Feistel(w), Feistel(Feistel(w)), ... It goes along a cycle of the permutation and must come
back to w at the latest, so it ends; and since every member of [0, W) on the cycle is where exactly
one walk ends, that from the member before it, this is a bijection of [0, W). Where W > 32 it takes
fewer than 2 steps on average. (Halves of fewer than 3 bits leave 8 rounds room for a bias: with 2
and 1 bits, the 120 orders of 5 windows differ measurably in how often they come.)

**The keys** a_j, b_j of epoch e are a function of (seed, e), so no epoch needs the one before:
Philox, a counter-based generator, keyed with the seed at counter e.

Sources: Luby and Rackoff, "How to construct pseudorandom permutations from pseudorandom
functions", SIAM J. Computing 17, 1988. Black and Rogaway, "Ciphers with arbitrary finite domains",
CT-RSA 2002 (cycle walking). Dietzfelbinger, "Universal hashing and k-wise independent random
variables via integer arithmetic without primes", STACS 1996 (multiply-shift).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tokens.shards import ShardedTokens
from .random_windows import UINT64_RANGE, check_batches

PHILOX_STREAM = int.from_bytes(b"epochs", "little")  # apart from other uses of the same seed
ROUNDS = 8
FEWEST_BITS = 6

Uint64s = NDArray[np.uint64]


class EpochBatches:
    """Batches of B windows of T tokens: all W windows of `tokens` (N,) once in every epoch.

    The sequence of all epochs, one after the other, is dealt out in step * B * readers + reader *
    B + b order: batch row b of reader i at a step. So with any number of readers the batches of
    one step, taken together, are those that a single reader with a batch of B * readers has. An
    epoch's end may fall inside a batch, whose other rows begin the next epoch.

    `tokens` is a ShardedTokens or any array of shape (N,). Raises UserError where N < T + 1,
    ValueError for sizes below 1 and seeds outside [0, 2**64).

    >>> batches = EpochBatches(np.arange(10), batch=3, context=3, seed=0)
    >>> x, y = batches.at(step=0)
    >>> sorted(x[:, 0].tolist()), bool((y == x + 1).all())
    ([0, 3, 6], True)
    """

    def __init__(self, tokens: ShardedTokens | NDArray[Any], batch: int, context: int,
                 seed: int) -> None:
        check_batches(len(tokens), batch, context, seed)
        self.tokens = tokens if isinstance(tokens, ShardedTokens) else np.asarray(tokens)
        self.batch = batch
        self.context = context
        self.seed = seed
        self.windows = (len(tokens) - 1) // context

    def at(self, step: int, reader: int = 0,
           readers: int = 1) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return a step's inputs x and targets y, int32 of shape (B, T): y[:, t] follows x[:, t].

        Raises ValueError for a step outside [0, 2**64) or a reader outside [0, readers).
        """
        places = self._places(self.windows_at(step, reader, readers), self.context + 1)
        windows = self.tokens[places].astype(np.int32)
        return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, 1:])

    def boundaries(self, step: int, reader: int = 0, readers: int = 1) -> NDArray[np.int32]:
        """Return which document each input of `at` lies in, int32 of shape (B, T).

        Documents are numbered from 0 within each window: attention that stays where the numbers
        are equal does not cross documents. Raises ValueError where the tokens are a plain array.
        """
        if not isinstance(self.tokens, ShardedTokens):
            raise ValueError("only ShardedTokens know where documents begin")
        places = self._places(self.windows_at(step, reader, readers), self.context)
        documents = self.tokens.document_of(places)
        return (documents - documents[:, :1]).astype(np.int32)

    def starts(self, step: int) -> NDArray[np.int64]:
        """Return where the windows of a step of a single reader begin, int64 of shape (B,)."""
        return self.windows_at(step) * self.context

    def windows_at(self, step: int, reader: int = 0, readers: int = 1) -> NDArray[np.int64]:
        """Return the numbers of a step's windows, int64 of shape (B,), each in [0, W)."""
        if not 0 <= step < UINT64_RANGE:
            raise ValueError(f"step must be in [0, 2**64), got {step}")
        if not 0 <= reader < readers:
            raise ValueError(f"reader must be in [0, {readers}), got {reader}")
        epoch, start = divmod((step * readers + reader) * self.batch, self.windows)
        windows = np.empty(self.batch, np.int64)
        done = 0
        while done < self.batch:  # once for each epoch that the batch has a part of
            count = min(self.batch - done, self.windows - start)
            positions = np.arange(start, start + count)
            windows[done:done + count] = permuted(positions, self.windows, self.seed, epoch)
            done, start, epoch = done + count, 0, epoch + 1
        return windows

    def _places(self, windows: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        return windows[:, None] * self.context + np.arange(length)


def permuted(positions: NDArray[Any], size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return P(positions), int64 of their shape, for the permutation P of [0, size) that belongs
    to (seed, epoch). `positions` lie in [0, size).

    >>> sorted(permuted(np.arange(6), 6, seed=1, epoch=0).tolist())
    [0, 1, 2, 3, 4, 5]
    """
    bits = max((size - 1).bit_length(), FEWEST_BITS)
    keys = round_keys(seed, epoch)
    found = feistel(np.asarray(positions).astype(np.uint64), bits, keys)
    outside = np.flatnonzero(found >= size)
    while len(outside):  # cycle walking
        found[outside] = feistel(found[outside], bits, keys)
        outside = outside[found[outside] >= size]
    return found.astype(np.int64)


def feistel(numbers: Uint64s, bits: int, keys: Uint64s) -> Uint64s:
    """Return the permutation of [0, 2**bits) that `keys` (rounds, 2) choose, at `numbers` (N,)."""
    lower = bits // 2
    shift = np.uint64(lower)
    to_left, to_right = np.uint64(64 - (bits - lower)), np.uint64(64 - lower)
    left, right = numbers >> shift, numbers & np.uint64(2**lower - 1)
    for j, (a, b) in enumerate(keys):
        if j % 2 == 0:
            left ^= (right * a + b) >> to_left
        else:
            right ^= (left * a + b) >> to_right
    return (left << shift) | right


@lru_cache(maxsize=8)
def round_keys(seed: int, epoch: int) -> Uint64s:
    """Return the keys (a, b) of an epoch's rounds, uint64 of shape (ROUNDS, 2)."""
    key = np.array([seed, PHILOX_STREAM], np.uint64)
    low, high = epoch % UINT64_RANGE, epoch // UINT64_RANGE
    counter = np.array([0, 0, low, high], np.uint64)
    keys = np.random.Philox(key=key, counter=counter).random_raw((ROUNDS, 2))
    keys.setflags(write=False)  # shared by later calls
    return keys
