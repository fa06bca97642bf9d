"""Finite automata of a language: all of its states at once, or the sets of them that texts come to.

`automaton_of` has all states of a language, cut. From a state several edges may read the same byte.
`Steps` goes by sets of states, so that a byte leads to one set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from ...host.errors import UserError
from .language import Edge, Language, check_states

MOST_EDGES = 1_000_000
MOST_SETS = 1 << 14  # kept by `Steps`, of 1 kB each


class Automaton:
    """States 0 to N - 1, of which 0 is the beginning; from all others an end is reached.

    The edges of state q are `first[q]` to `first[q + 1] - 1`: bytes `low` to `high` (uint8's
    values, int32) lead to `target`. accepting (N,): whether a text may end. `number` has the state
    here of each one that was given for it.
    """

    def __init__(self, edges: list[set[Edge]], accepting: list[bool], names: Sequence[int]) -> None:
        kept = _alive(edges, accepting)
        number = {state: k for k, state in enumerate(kept)}
        self.number = {names[state]: k for state, k in number.items()}
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


def automaton_of(language: Language, most: int | None = None, share: int = 1) -> Automaton:
    """Return the automaton of a language; UserError where it has too many states or edges.

    most: the optional repetitions of a part that its states have at most, see `Language.cut`: each
    state of the language, cut, has its own here, whose texts are some of its own. share: it may
    have MOST_STATES / share states.
    """
    language.check_size(most)
    start = language.cut(language.start, most)
    numbers, states, edges, count = {start: 0}, [start], list[set[Edge]](), 0
    for state in states:  # which grows
        row = {(low, high, language.cut(target, most)) for low, high, target in
               language.edges(state)}
        more = () if most is None else language.edges(state, most)
        for target in [*(edge[2] for edge in row), *(language.cut(e[2], most) for e in more)]:
            if target not in numbers:
                numbers[target] = len(states)
                states.append(target)
        edges.append({(low, high, numbers[target]) for low, high, target in row})
        count += len(row)
        check_states(len(states), share)
        if count > MOST_EDGES:
            raise UserError(f"the language needs more than {MOST_EDGES} edges between its "
                            "states; take smaller counts, or fewer optional parts in a row")
    return Automaton(edges, [language.accepts(state) for state in states], states)


class Steps:
    """Sets of a language's states, numbered as texts come to them; 0 is the empty set.

    `sets[i]` is the i-th, as the bytes of sorted int32 numbers, which is its name for good: other
    `Steps` of the language give it another i. `table` (sets, 256) has where each byte leads;
    `ready` must have seen a set's row first. need: returns a number for a state, or None where no
    text ends behind it; `least_of` has that of a set, the smallest.
    """

    def __init__(self, language: Language, need: Callable[[int], int | None]) -> None:
        self.language, self.need = language, need
        self._alive: dict[int, list[Edge]] = {}
        self.start = np.array([language.start], np.int32).tobytes()
        self.table = np.zeros((256, 256), np.int32)
        self.is_ready = np.zeros(256, bool)
        self.least_of = np.zeros(256, np.int32)
        self.sets: list[bytes] = []
        self.numbers: dict[bytes, int] = {}
        self.least_of[self.number(b"")] = np.iinfo(np.int32).max
        self.is_ready[0] = True

    def number(self, states: bytes) -> int:
        """Return the number of a set."""
        found = self.numbers.get(states)
        if found is None:
            found = len(self.sets)
            if found >= len(self.least_of):
                self.table, self.is_ready, self.least_of = (
                    np.concatenate([a, np.zeros_like(a)])
                    for a in (self.table, self.is_ready, self.least_of))
            if states:
                self.least_of[found] = min(need for state in _numbers(states)
                                           if (need := self.need(state)) is not None)
            self.sets.append(states)
            self.numbers[states] = found
        return found

    def ready(self, numbers: np.ndarray) -> None:
        """Fill the rows of these sets in the table."""
        ready = self.is_ready.take(numbers)
        for k in [] if ready.all() else np.unique(numbers[~ready]).tolist():
            for low, high, targets in self._row(self.sets[k]):
                target = self.number(targets)  # which may replace the table
                self.table[k, low:high] = target
            self.is_ready[k] = True

    def cut(self, states: bytes, most: int) -> bytes:
        """Return a set with each of its states cut."""
        return _named({self.language.cut(state, most) for state in _numbers(states)})

    def after(self, states: bytes, text: bytes) -> bytes:
        """Return the set that a text leads to; the empty one where there is no way on."""
        found = {*_numbers(states)}
        for byte in text:
            found = {target for state in found for low, high, target in self._edges(state)
                     if low <= byte <= high}
        return _named(found)

    def _edges(self, state: int) -> list[Edge]:
        """Return the edges of a state from which a text ends."""
        if state not in self._alive:
            self._alive[state] = [edge for edge in self.language.edges(state)
                                  if self.need(edge[2]) is not None]
        return self._alive[state]

    def _row(self, states: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Yield ranges of bytes, the last excluded, and the set that each leads to."""
        edges = [edge for state in _numbers(states) for edge in self._edges(state)]
        cuts = sorted({cut for low, high, _ in edges for cut in (low, high + 1)})
        for start, stop in pairwise(cuts):
            targets = {target for low, high, target in edges if low <= start <= high}
            if targets:
                yield start, stop, _named(targets)


def _numbers(states: bytes) -> list[int]:
    found: list[int] = np.frombuffer(states, np.int32).tolist()
    return found


def _named(states: set[int]) -> bytes:
    return np.array(sorted(states), np.int32).tobytes()
