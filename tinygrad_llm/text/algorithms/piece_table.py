r"""A bounded memory of pre-tokens and their ids, looked up for many pre-tokens at once.

A dict would take some 200 ns for each, to make, hash and compare a string. Here the key of a
pre-token of up to 15 bytes is two 64-bit numbers, its bytes and its length:

$$ (b_0, \dots, b_7), \quad (b_8, \dots, b_{14}, n) $$

so that equal keys mean equal pre-tokens and nothing rests on a hash being free of collisions. A few
passes find the keys of all pre-tokens of a block of text in an open-addressing table. Longer ones,
and those that found no free slot near their own, are in a dict.

A table is full when it holds more than `limit` pre-tokens, or 64 bytes for each of so many. Threads
may look things up while one of them adds: those that they miss then they take from the dict.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST = 15  # bytes that fit a key beside the length
LIMIT = 1 << 18  # pre-tokens
_BYTES_EACH = 64
_PROBES = 8
_FIRST, _SECOND, _MIX = (np.uint64(c) for c in (
    0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93))  # odd, bits well spread
_Keys = Sequence[NDArray[np.uint64]] | NDArray[np.uint64]
_Index = tuple[NDArray[np.uint64], NDArray[np.int32]]  # each slot's key and entry
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)


class PieceTable:
    """Pre-tokens (bytes) and their ids."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self.entries: dict[bytes, int] = {}
        self._index = _empty_index(10)
        self._counts = np.zeros(1024, np.int32)  # of ids, an entry
        self._offsets = np.zeros(1024, np.int64)  # into the pool
        self._pool = np.zeros(4096, np.int32)
        self._used = self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to begin anew with another table."""
        return len(self.entries) > self.limit or self._bytes > self.limit * _BYTES_EACH

    def add(self, pieces: Sequence[bytes], ids: Sequence[Sequence[int]]) -> None:
        """Remember the ids of pre-tokens that are distinct and not in `entries`."""
        counts = np.fromiter(map(len, ids), np.int32, len(ids))
        self.add_flat(pieces, np.fromiter(chain.from_iterable(ids), np.int32), counts)

    def add_flat(self, pieces: Sequence[bytes], ids: NDArray[np.int32], counts: NDArray[np.int32]
                 ) -> None:
        """Remember the same, of ids given one after another and the number that each has."""
        if not pieces:
            return
        first, used = len(self.entries), self._used
        self._used += len(ids)
        self._bytes += sum(map(len, pieces))
        self.entries.update(zip(pieces, range(first, first + len(pieces)), strict=True))
        self._counts = _with_room(self._counts, len(self.entries))
        self._offsets = _with_room(self._offsets, len(self.entries))
        self._pool = _with_room(self._pool, self._used)
        self._counts[first:len(self.entries)] = counts
        self._offsets[first:len(self.entries)] = used + np.cumsum(counts) - counts
        self._pool[used:self._used] = ids
        if 4 * len(self.entries) > len(self._index[1]):
            larger = _empty_index((4 * len(self.entries)).bit_length())
            _insert(larger, list(self.entries), 0)
            self._index = larger  # in one step, for threads that look things up meanwhile
        else:
            _insert(self._index, pieces, first)

    def find(self, data: bytes, begins: NDArray[np.intp], lengths: NDArray[np.intp]
             ) -> NDArray[np.int32]:
        """Return the entries of N pre-tokens `data[begins:begins + lengths]`, -1 where unknown."""
        held_keys, slots = self._index
        keys = _keys_of(data, begins, lengths)
        slot = _slot(keys, len(slots))
        entry: NDArray[np.int32] = slots[slot]
        same = (held_keys[0][slot] == keys[0]) & (held_keys[1][slot] == keys[1])
        unsettled = np.flatnonzero(~same & (entry >= 0))
        entry[~same] = -1
        for _ in range(_PROBES - 1):  # the next slots, for the few whose own is taken
            if not len(unsettled):
                break
            slot[unsettled] = (slot[unsettled] + 1) & (len(slots) - 1)
            at = slot[unsettled]
            held = slots[at]
            same = ((held_keys[0][at] == keys[0][unsettled])
                    & (held_keys[1][at] == keys[1][unsettled]))
            entry[unsettled[same]] = held[same]
            unsettled = unsettled[~same & (held >= 0)]
        entry[lengths > LONGEST] = -1
        return entry

    def ids(self, entries: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the ids of N entries, one after another."""
        counts = self._counts[entries]
        offsets = self._offsets[entries]
        ends = np.cumsum(counts)
        if not len(ends) or (ends[-1] == len(entries) and counts.min() == 1):
            return self._pool[offsets]
        places = np.arange(ends[-1]) + np.repeat(offsets - (ends - counts), counts)
        ids: NDArray[np.int32] = self._pool[places]
        return ids


def _empty_index(bits: int) -> _Index:
    return np.zeros((2, 1 << bits), np.uint64), np.full(1 << bits, -1, np.int32)


def _insert(index: _Index, pieces: Sequence[bytes], first: int) -> None:
    """Give the short ones of these pre-tokens, entries from `first` on, a slot each.

    Of several that want a free slot the last takes it; one that has none after a few tries stays
    in the dict alone.
    """
    held_keys, slots = index
    sizes = np.fromiter(map(len, pieces), np.intp, len(pieces))
    keys = np.stack(_keys_of(b"".join(pieces), np.cumsum(sizes) - sizes, sizes))
    waiting = np.flatnonzero(sizes <= LONGEST)
    slot = _slot(keys, len(slots))
    for _ in range(_PROBES):
        free = waiting[slots[slot[waiting]] < 0]
        slots[slot[free]] = first + free
        placed = free[slots[slot[free]] == first + free]
        held_keys[:, slot[placed]] = keys[:, placed]
        waiting = waiting[slots[slot[waiting]] != first + waiting]
        slot[waiting] = (slot[waiting] + 1) & (len(slots) - 1)


def _keys_of(data: bytes, begins: NDArray[np.intp], lengths: NDArray[np.intp]
              ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the keys of N pre-tokens in two parts, uint64 of shape (N,) each."""
    padded = data + bytes(16)
    at_every_byte = np.ndarray((len(data) + 9,), "<u8", padded, strides=(1,))
    first = at_every_byte[begins] & _MASKS[np.minimum(lengths, 8)]
    rest = np.clip(lengths - 8, 0, 7)
    second = at_every_byte[np.minimum(begins + 8, len(data))] & _MASKS[rest]
    second |= lengths.astype(np.uint64) << np.uint64(56)
    return first, second


def _slot(keys: _Keys, slots: int) -> NDArray[np.intp]:
    """Return the first slot to look in, of a power of two of them."""
    mixed = keys[0] * _FIRST ^ keys[1] * _SECOND
    mixed ^= mixed >> np.uint64(32)
    mixed *= _MIX
    slot: NDArray[np.intp] = (mixed >> np.uint64(65 - slots.bit_length())).astype(np.intp)
    return slot


def _with_room(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return `array`, or a copy of twice its size or more where it has no room for `size`."""
    if size <= len(array):
        return array
    larger = np.zeros(max(size, 2 * len(array)), array.dtype)
    larger[:len(array)] = array
    return larger
