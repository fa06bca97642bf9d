"""The longest token that begins at every byte of a text: a trie in arrays.

A node stands for a string that tokens begin with, node 0 for the empty one. Bytes lead from node to
node, so walks from all bytes at once find the longest token at each, in as many passes as the
longest match has bytes. Two bytes lead to their node by one look-up in an array; most walks end
there.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .int_table import IntTable, pair_keys


class Prefixes:
    """The tokens of a vocabulary by their beginnings; `tokens` has bytes and ids, none empty.

    `shorter[id]` is the longest token that the token begins with, other than itself, or -1; its
    last place is that of no token, -1.
    """

    def __init__(self, tokens: Mapping[bytes, int]) -> None:
        count = len(tokens)
        ids = np.fromiter(tokens.values(), np.int32, count)
        lengths = np.fromiter(map(len, tokens), np.int64, count)
        data, offsets = np.frombuffer(b"".join(tokens), np.uint8), np.cumsum(lengths) - lengths
        self.shorter = np.full(max(tokens.values(), default=-1) + 2, -1, np.int32)
        node, longest = np.zeros(count, np.int32), np.full(count, -1, np.int32)
        keys, ends = [], [np.full(1, -1, np.int32)]
        longer, depth, nodes = np.arange(count), 0, 1
        while len(longer):
            of_level, place = np.unique(pair_keys(node[longer], data[offsets[longer] + depth]),
                                        return_inverse=True)
            node[longer] = nodes + place
            depth += 1
            ending = longer[lengths[longer] == depth]
            token = np.full(len(of_level), -1, np.int32)  # that ends at each new node
            token[node[ending] - nodes] = ids[ending]
            self.shorter[ids[ending]] = longest[ending]
            found = token[place]
            longest[longer] = np.where(found < 0, longest[longer], found)
            keys.append(of_level)
            ends.append(token)
            nodes += len(of_level)
            longer = longer[lengths[longer] > depth]
        self._depth = depth + 1
        self._ends = np.concatenate(ends)
        self._next = IntTable(np.concatenate([np.zeros(0, np.uint64), *keys]),
                              np.arange(1, nodes, dtype=np.int32))
        self._first, self._two = self._tables()

    def longest(self, data: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the longest token that begins at each of N bytes, (N,), -1 where none does."""
        padded = np.append(data, np.zeros(self._depth, np.uint8))
        found: NDArray[np.int32] = self._ends[self._first[data]]
        node = self._two[data.astype(np.uint16) << 8 | padded[1:len(data) + 1]]
        at, length = np.flatnonzero(node > 0), 2
        node = node[at]
        while len(at):
            token = self._ends[node]
            ending = np.flatnonzero((token >= 0) & (at + length <= len(data)))
            found[at[ending]] = token[ending]
            node = self._next.find(pair_keys(node, padded[at + length]))
            on = np.flatnonzero(node > 0)
            at, node = at[on], node[on]
            length += 1
        return found

    def _tables(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the nodes that one byte leads to (256,), and two (65536,); -1 for none, or 0."""
        byte = np.arange(256, dtype=np.uint8)
        first = np.maximum(self._next.find(pair_keys(np.zeros(256, np.int32), byte)), 0)
        two = self._next.find(pair_keys(np.repeat(first, 256), np.tile(byte, 256)))
        two[np.repeat(first, 256) == 0] = -1  # else it would be the first byte's node
        return first, two
