r"""Finite automata over the bytes of UTF-8 for the languages of `expressions`.

An expression becomes Thompson's graph: nodes, edges that read a byte of a range, and jumps that
read nothing. A state of the automaton is a set of nodes that jumps join, without the jumps:

    closure(n) = all nodes that jumps lead to from n, itself too
    q -[low, high]-> closure(m)    for each edge n -[low, high]-> m with n in q

so a state stands for each place that can be in an expression, and from it several edges may read
the same byte. `Steps` goes by sets of states, so that a byte leads to one set: the sets are made
when a text first comes to them, since all of them may be exponentially many.

Source: Thompson, "Regular Expression Search Algorithm", CACM 11(6), 1968.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np

from ...host.errors import UserError
from .expressions import LAST, Both, Characters, Choice, Expression, Ranges, Repeat, Row

MOST_STATES = 200_000
MOST_EDGES = 1_000_000
MOST_SETS = 1 << 14  # kept by `Steps`, of 1 kB each

Edge = tuple[int, int, int]  # the first byte, the last, and where they lead
Bytes = tuple[tuple[int, int], ...]  # a first and a last byte for each place

_SAME_SIZE = ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, LAST))


class Automaton:
    """States 0 to N - 1, of which 0 is the beginning; from all others an end is reached.

    The edges of state q are `first[q]` to `first[q + 1] - 1`: bytes `low` to `high` (uint8's
    values, int32) lead to `target`. accepting (N,): whether a text may end.
    """

    def __init__(self, edges: list[set[Edge]], accepting: list[bool]) -> None:
        kept = _alive(edges, accepting)
        number = {state: k for k, state in enumerate(kept)}
        rows = [sorted((low, high, number[target]) for low, high, target in edges[state]
                       if target in number) for state in kept]
        self.first = np.cumsum([0, *map(len, rows)])
        flat = np.array([edge for row in rows for edge in row], np.int32).reshape(-1, 3)
        self.low, self.high, self.target = np.ascontiguousarray(flat.T)
        self.accepting = np.array([accepting[state] for state in kept], bool)

    def __len__(self) -> int:
        return len(self.accepting)

    def edges(self, state: int) -> list[Edge]:
        """Return the edges (low, high, target) of a state."""
        part = slice(self.first[state], self.first[state + 1])
        return list(zip(self.low[part].tolist(), self.high[part].tolist(),
                        self.target[part].tolist(), strict=True))


def _alive(edges: list[set[Edge]], accepting: list[bool]) -> list[int]:
    """Return 0 and the states from which an accepting one is reached, in their order."""
    sources: list[list[int]] = [[] for _ in edges]
    for state, row in enumerate(edges):
        for _, _, target in row:
            sources[target].append(state)
    alive = [k for k, accepts in enumerate(accepting) if accepts]
    seen = set(alive)
    for state in alive:  # which grows
        for source in sources[state]:
            if source not in seen:
                seen.add(source)
                alive.append(source)
    return sorted(seen | {0})


def automaton_of(expression: Expression) -> Automaton:
    """Return the automaton of a language; UserError where it has too many states or edges.

    Its size grows with that of the expression, counts of repetitions multiplied out.
    """
    graph = _Graph()
    return graph.without_jumps(graph.add(expression, graph.node()))


def _parts(expression: Expression) -> Iterator[Expression]:
    """Yield what stands one after the other."""
    if isinstance(expression, Row):
        for part in expression.parts:
            yield from _parts(part)
    else:
        yield expression


class _Graph:
    """Thompson's graph: for each node its edges, and the nodes that jumps lead to.

    `add` never adds an edge or a jump that leads back to its entry, or one out of its exit: so
    that fragments share them.
    """

    def __init__(self) -> None:
        self.edges: list[list[Edge]] = []
        self.jumps: list[list[int]] = []

    def node(self) -> int:
        self.check(1)
        self.edges.append([])
        self.jumps.append([])
        return len(self.edges) - 1

    def check(self, more: int) -> None:
        """Refuse more nodes than there may be."""
        if (count := len(self.edges) + more) > MOST_STATES:
            raise UserError(f"the language needs at least {count} states, and {MOST_STATES} is the "
                            "most; take smaller counts, or none")

    def add(self, expression: Expression, entry: int) -> int:
        """Add an expression that begins at node `entry`; return the node at which it ends."""
        match expression:
            case Characters(ranges):
                return self.characters(ranges, entry)
            case Row(parts):
                for part in parts:
                    entry = self.add(part, entry)
                return entry
            case Choice(options):
                return self.joined(self.branches(options, entry))
            case Repeat(part, least, most):
                return self.repeated(part, least, most, entry)
            case Both(first, second):
                return self.product(automaton_of(first), automaton_of(second), entry)

    def branches(self, options: Iterable[Expression], entry: int) -> list[int]:
        """Add options, which share the nodes of what they begin with; return where they end."""
        after: dict[tuple[int, Expression], int] = {}
        ends = []
        for option in options:
            node = entry
            for part in _parts(option):
                if (node, part) not in after:
                    after[node, part] = self.add(part, node)
                node = after[node, part]
            ends.append(node)
        return ends

    def joined(self, ends: list[int]) -> int:
        exit = self.node()
        for end in ends:
            self.jumps[end].append(exit)
        return exit

    def characters(self, ranges: Ranges, entry: int) -> int:
        nodes: dict[Bytes, int] = {(): self.node()}

        def before(rest: Bytes) -> int:
            if rest not in nodes:
                nodes[rest] = self.node()
                self.edges[nodes[rest]].append((*rest[0], before(rest[1:])))
            return nodes[rest]

        for sequence in utf8(ranges):
            self.edges[entry].append((*sequence[0], before(sequence[1:])))
        return nodes[()]

    def repeated(self, part: Expression, least: int, most: int | None, entry: int) -> int:
        copies = max(least, 1) if most is None else most
        ends = [entry] if least == 0 else []
        start = self.node()
        self.jumps[entry].append(start)
        if copies:
            end = self.add(part, start)
            size = len(self.edges) - start
            self.check(size * (copies - 1))
            for k in range(copies - 1):  # the next copy is the last one, moved
                if k + 1 >= least:
                    ends.append(end)
                for edges in self.edges[start:start + size]:
                    self.edges.append([(low, high, m + size) for low, high, m in edges])
                for jumps in self.jumps[start:start + size]:
                    self.jumps.append([m + size for m in jumps])
                self.jumps[end].append(start + size)
                start, end = start + size, end + size
            if most is None:
                self.jumps[end].append(start)
            ends.append(end)
        return self.joined(ends)

    def product(self, first: Automaton, second: Automaton, entry: int) -> int:
        """Add what both automata accept: nodes are pairs of states, edges common bytes."""
        nodes, pairs, exit = {(0, 0): self.node()}, [(0, 0)], self.node()
        self.jumps[entry].append(nodes[0, 0])
        for pair in pairs:  # which grows
            if first.accepting[pair[0]] and second.accepting[pair[1]]:
                self.jumps[nodes[pair]].append(exit)
            others = second.edges(pair[1])
            for low, high, target in first.edges(pair[0]):
                for lower, higher, other in others:
                    if (low_both := max(low, lower)) <= (high_both := min(high, higher)):
                        if (both := (target, other)) not in nodes:
                            nodes[both] = self.node()
                            pairs.append(both)
                        self.edges[nodes[pair]].append((low_both, high_both, nodes[both]))
        return exit

    def closure(self, node: int, exit: int) -> tuple[int, ...]:
        """Return the nodes that jumps lead to, those that have edges or are the exit."""
        found = [node]
        seen = {node}
        for n in found:  # which grows
            for m in self.jumps[n]:
                if m not in seen:
                    seen.add(m)
                    found.append(m)
        return tuple(sorted(n for n in found if self.edges[n] or n == exit))

    def without_jumps(self, exit: int) -> Automaton:
        """Return the automaton that begins at node 0 and accepts at `exit`."""
        closures: dict[int, tuple[int, ...]] = {}
        start = self.closure(0, exit)
        numbers, states, edges, count = {start: 0}, [start], list[set[Edge]](), 0
        for state in states:  # which grows
            row = set()
            for node in state:
                for low, high, m in self.edges[node]:
                    if m not in closures:
                        closures[m] = self.closure(m, exit)
                        count += len(closures[m])
                    target = closures[m]
                    if target not in numbers:
                        numbers[target] = len(states)
                        states.append(target)
                    row.add((low, high, numbers[target]))
            edges.append(row)
            count += len(row)
            if count > MOST_EDGES:
                raise UserError(f"the language needs more than {MOST_EDGES} edges between its "
                                "states; take smaller counts, or fewer optional parts in a row")
        return Automaton(edges, [exit in state for state in states])


@lru_cache(maxsize=256)
def utf8(ranges: Ranges) -> tuple[Bytes, ...]:
    r"""Return sequences of byte ranges that together spell the characters of the ranges.

    >>> utf8(((0x61, 0x7A), (0xE9, 0x100)))
    (((97, 122),), ((195, 195), (169, 191)), ((196, 196), (128, 128)))
    """
    return tuple(sequence for first, last in ranges for low, high in _SAME_SIZE
                 if max(first, low) <= min(last, high)
                 for sequence in _between(chr(max(first, low)).encode(),
                                          chr(min(last, high)).encode()))


def _between(first: bytes, last: bytes) -> Iterator[Bytes]:
    """Yield sequences of byte ranges that spell the characters from `first` to `last`.

    Where the first bytes differ, those between them may have any bytes behind them.
    """
    a, b, rest = first[0], last[0], len(first) - 1
    if a == b or not rest:
        for sequence in _between(first[1:], last[1:]) if rest else ((),):
            yield ((a, b), *sequence)
        return
    lowest, highest = b"\x80" * rest, b"\xbf" * rest
    if first[1:] != lowest:
        for sequence in _between(first[1:], highest):
            yield ((a, a), *sequence)
        a += 1
    full = last[1:] == highest
    if a <= b - (not full):
        yield ((a, b - (not full)), *[(0x80, 0xBF)] * rest)
    if not full:
        for sequence in _between(lowest, last[1:]):
            yield ((b, b), *sequence)


class Steps:
    """Sets of an automaton's states, numbered as texts come to them; 0 is the empty set.

    `sets[i]` is the i-th, as the bytes of sorted int32 numbers, which is its name for good:
    `forget` gives others the numbers anew, so that memory stays bounded. `table` (sets, 256) has
    where each byte leads; `ready` must have seen a set's row first. least (N,): a number for each
    state; `least_of` has that of a set, the smallest.
    """

    def __init__(self, automaton: Automaton, least: np.ndarray) -> None:
        self.automaton, self.least = automaton, least
        self.forget()

    def forget(self) -> None:
        """Drop all sets."""
        self.table = np.zeros((256, 256), np.int32)
        self.is_ready = np.zeros(256, bool)
        self.least_of = np.zeros(256, self.least.dtype)
        self.sets: list[bytes] = []
        self.numbers: dict[bytes, int] = {}
        self.least_of[self.number(b"")] = np.iinfo(self.least.dtype).max
        self.is_ready[0] = True

    def number(self, states: bytes) -> int:
        """Return the number of a set."""
        found = self.numbers.get(states)
        if found is None:
            found = self.numbers[states] = len(self.sets)
            self.sets.append(states)
            if found == len(self.table):
                self.table, self.is_ready, self.least_of = (
                    np.concatenate([a, np.zeros_like(a)])
                    for a in (self.table, self.is_ready, self.least_of))
            if states:
                self.least_of[found] = self.least[np.frombuffer(states, np.int32)].min()
        return found

    def ready(self, numbers: np.ndarray) -> None:
        """Fill the rows of these sets in the table."""
        ready = self.is_ready.take(numbers)
        for k in [] if ready.all() else np.unique(numbers[~ready]).tolist():
            for low, high, targets in self._row(self.sets[k]):
                target = self.number(targets)  # which may replace the table
                self.table[k, low:high] = target
            self.is_ready[k] = True

    def _row(self, states: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield ranges of bytes, the last excluded, and the set that each leads to."""
        edges = [edge for state in np.frombuffer(states, np.int32).tolist()
                 for edge in self.automaton.edges(state)]
        cuts = sorted({cut for low, high, _ in edges for cut in (low, high + 1)})
        for start, stop in pairwise(cuts):
            targets = {target for low, high, target in edges if low <= start <= high}
            if targets:
                yield start, stop, np.array(sorted(targets), np.int32).tobytes()

    def after(self, states: bytes, text: bytes) -> bytes:
        """Return the set that a text leads to; the empty one where there is no way on."""
        number = self.number(states)
        for byte in text:
            if not self.is_ready[number]:
                self.ready(np.array([number]))
            number = int(self.table[number, byte])
        return self.sets[number]
