"""Keys and values of texts' beginnings, kept between calls and found again by their ids.

A radix tree (Morrison, "PATRICIA", 1968): each node holds a run of ids and the keys and values of
their positions, and its children the runs that have followed it. Texts that begin alike share the
nodes of what is alike. What lies along a path from the root is what a row of a cache would hold
after a prefill with the ids along it, as no position depends on a later one.

A node is used whenever one behind it is, and counts as used after it. So the node that was used
least recently has none behind it, and may go.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from autograd import namespace
from autograd.backend import Array

from ..nn import Cache


class Node:
    """A run of ids, and keys and values (n, G, D) of their positions for each layer."""

    def __init__(self, ids: np.ndarray, kept: list[tuple[Array, Array]], parent: Node | None
                 ) -> None:
        self.ids, self.kept, self.parent = ids, kept, parent
        self.children: dict[int, Node] = {}

    @property
    def nbytes(self) -> int:
        """The bytes of its arrays."""
        return int(self.ids.nbytes + sum(k.nbytes + v.nbytes for k, v in self.kept))

    def part(self, start: int, stop: int) -> tuple[np.ndarray, list[tuple[Array, Array]]]:
        """Return ids, keys and values of some positions: copies, so that the rest can be freed."""
        return self.ids[start:stop].copy(), [(k[start:stop].copy(), v[start:stop].copy())
                                             for k, v in self.kept]


class Prefixes:
    """Beginnings of texts in at most `budget` bytes; those used least recently make room.

    They belong to one model with the weights that it has, and to caches of one kind; ValueError is
    raised for a cache of other numbers. After an interrupt within a change all is forgotten.
    """

    def __init__(self, budget: int) -> None:
        if budget < 0:
            raise ValueError(f"prefixes: expected a budget of at least 0 bytes, got {budget}")
        self.budget = budget
        self.kinds: list[np.dtype] | None = None  # of the arrays of the caches
        self.clear()

    def fill(self, cache: Cache, row: int, ids: Sequence[int]) -> int:
        """Write the longest known beginning of ids[:-1] into an empty row; return its length.

        The last id is left for the model's call, which returns what follows it. Raises ValueError
        where the row is not empty.
        """
        self._begin(cache)
        path = self._along(np.array(ids[: min(len(ids) - 1, cache.capacity)], np.int64))
        runs = [[(k[:count], v[:count]) for k, v in node.kept] for node, count in path]
        if runs:
            cache.write(row, [(joined(k), joined(v)) for k, v in (
                zip(*layer, strict=True) for layer in zip(*runs, strict=True))])
        self._use([node for node, _ in path])
        return sum(count for _, count in path)

    def keep(self, cache: Cache, row: int, ids: Sequence[int]) -> None:
        """Add what a row, whose text begins with `ids`, holds of them and is not known yet.

        It adds no more than the budget has room for, and nothing behind positions that the slots
        of a window have lost: a prefill in chunks calls it after each, with chunks no longer than
        the window.
        """
        self._begin(cache)
        text = np.array(ids[: cache.lengths[row]], np.int64)
        path = self._along(text)
        start = sum(count for _, count in path)
        nodes = [node for node, _ in path]
        if cache.first(row) <= start < len(text):
            kept = cache.read(row, start, len(text))
            new = Node(text[start:].copy(), kept, self.root)
            room = self.budget * len(new.ids) // new.nbytes - start
            if room < len(new.ids):
                new = Node(*new.part(0, max(0, room)), self.root)
            self.changing = True
            if len(new.ids):
                if path and path[-1][1] < len(nodes[-1].ids):
                    nodes[-1] = self._split(*path[-1])
                new.parent = nodes[-1] if nodes else self.root
                new.parent.children[int(new.ids[0])] = new
                self.nbytes += new.nbytes
                nodes.append(new)
        self._use(nodes)
        while self.nbytes > self.budget:
            self.changing = True
            self._drop()
        self.changing = False

    def clear(self) -> None:
        """Forget all."""
        self.root, self.nbytes = Node(np.zeros(0, np.int64), [], None), 0
        self.nodes: OrderedDict[Node, None] = OrderedDict()  # from the one used least recently
        self.changing = False  # True where an interrupt has left a change half done

    def _begin(self, cache: Cache) -> None:
        if self.changing:
            self.clear()
        kinds = [a.dtype for layer in cache.layers for a in layer.arrays]
        if self.kinds not in (None, kinds):
            raise ValueError("prefixes: they are of caches with other numbers (layers, dtype or "
                             "bits); have Prefixes of its own for each kind")
        self.kinds = kinds

    def _along(self, text: np.ndarray) -> list[tuple[Node, int]]:
        """Return the nodes that a text goes through, and how many ids of each."""
        node, path, start = self.root, [], 0
        while start < len(text) and int(text[start]) in node.children:
            node = node.children[int(text[start])]
            both = min(len(node.ids), len(text) - start)
            other = np.flatnonzero(node.ids[:both] != text[start : start + both])
            path.append((node, int(other[0]) if len(other) else both))
            start += path[-1][1]
            if path[-1][1] < len(node.ids):
                break
        return path

    def _split(self, node: Node, count: int) -> Node:
        """Move the first ids of a node into a new one above it; return that."""
        upper = Node(*node.part(0, count), node.parent)
        (node.ids, node.kept), node.parent = node.part(count, len(node.ids)), upper
        upper.children[int(node.ids[0])] = node
        assert upper.parent is not None  # the root has no ids
        upper.parent.children[int(upper.ids[0])] = upper
        return upper

    def _use(self, path: list[Node]) -> None:
        self.changing = True
        for node in reversed(path):
            self.nodes[node] = None
            self.nodes.move_to_end(node)
        self.changing = False

    def _drop(self) -> None:
        node, _ = self.nodes.popitem(last=False)
        assert node.parent is not None and not node.children
        del node.parent.children[int(node.ids[0])]
        self.nbytes -= node.nbytes


def joined(runs: Sequence[Array]) -> Array:
    """Return keys or values of successive runs as one array."""
    return namespace(runs[0]).concatenate(runs)
