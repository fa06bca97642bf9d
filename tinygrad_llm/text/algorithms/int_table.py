r"""A table from 64-bit keys to numbers, looked up for many keys at once: cuckoo hashing in arrays.

A key $k$ lies in one of two slots of $2^m$, the upper $m$ bits of two mixtures of it, so that two
look-ups find all keys at once, or find that they are not there. To be placed, a key takes its slot
from the key that holds it, and that key goes on to its other slot. With three slots or more for
each key this soon comes to an end.

Source: Pagh and Rodler, "Cuckoo hashing", Journal of Algorithms 51, 2004, section 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SPREAD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_HALF = np.uint64(32)
_ROUNDS = 64  # of giving way, before a larger table is tried


class IntTable:
    """The values (int32, from 0) of distinct keys (uint64), both of shape (N,)."""

    def __init__(self, keys: NDArray[np.uint64], values: NDArray[np.int32]) -> None:
        bits = (3 * len(keys)).bit_length()
        while (holders := self._place(keys, bits)) is None:
            bits += 1
        self._keys = np.append(keys, np.uint64(0))[holders]
        self._values = np.append(values, np.int32(-1))[holders]  # -1 is the last, for free slots

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the values of keys of shape (M,), -1 where a key is not there."""
        one, two = self._slots(keys)
        slot = np.where(self._keys.take(one) == keys, one, two)
        found: NDArray[np.int32] = self._values.take(slot)
        found[self._keys.take(slot) != keys] = -1
        return found

    def _slots(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        mixed = (keys ^ keys >> _HALF) * _SPREAD[0]
        again = (mixed ^ mixed >> _HALF) * _SPREAD[1]
        return (mixed >> self._shift).view(np.int64), (again >> self._shift).view(np.int64)

    def _place(self, keys: NDArray[np.uint64], bits: int) -> NDArray[np.int32] | None:
        """Return the number of the key in each slot, -1 in free ones; None where there is none."""
        self._shift = np.uint64(64 - bits)
        slots = np.stack(self._slots(keys))
        holders = np.full(1 << bits, -1, np.int32)
        side = np.zeros(len(keys), np.intp)
        waiting = np.arange(len(keys))
        for _ in range(_ROUNDS):
            if not len(waiting):
                return holders
            slot = slots[side[waiting], waiting]
            lost = np.unique(holders[slot])
            holders[slot] = waiting  # of several the last has it
            others = waiting[holders[slot] != waiting]
            waiting = np.concatenate([others, lost[lost >= 0]])
            side[waiting] ^= 1
        return None


def pair_keys(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a key for each pair of numbers from 0, uint64 of the same shape."""
    return left.astype(np.uint64) << _HALF | right.astype(np.uint64)
