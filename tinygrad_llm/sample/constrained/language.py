r"""States of a language over the bytes of UTF-8: each is the rest of a text, and bytes lead on.

A state is an expression and a state behind it. A byte leads from it to states again, by the partial
derivatives of its expression (Antimirov, section 3), here written t -b-> s with a text t in front
of the state s:

    characters      -b-> the rest of a character that b begins, then s
    a row           -b-> by its first part; where that may be empty, also by the parts behind it
    a choice        -b-> by each option
    part{i,i+j}     -b-> by part, then part{i-1,i-1+j} (where i is 0: part{0,j-1}), then s
    both of a and b -b-> each pair of states that b leads a and b to

So a count is a number in a state, and not so many copies of a part: states are made when a text
first comes to them. Counts matter only near their bounds: with c behind `cut` a state has no more
optional repetitions than c left, and no text of fewer characters sees a difference.
From a state several edges may read the same byte.

Source: Antimirov, "Partial derivatives of regular expressions and finite automaton constructions",
Theoretical Computer Science 155(2), 1996.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from ...host.errors import UserError
from .expressions import LAST, Both, Characters, Choice, Expression, Ranges, Repeat, Row

MOST_STATES = 200_000
ENDLESS = 1 << 30  # optional repetitions: any number

Edge = tuple[int, int, int]  # the first byte, the last, and where they lead
Bytes = tuple[tuple[int, int], ...]  # a first and a last byte for each place
Item = tuple[Any, ...]
Node = tuple[Any, ...]

_SAME_SIZE = ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, LAST))


class Language:
    """The states of an expression's texts, numbered as they are met; 0 has nothing left to read.

    `nodes[q]` is an item and the state behind it, or the rest of a character and that state, or two
    states that read the same text, their reaches and that state. An item is an expression with its
    parts numbered; a Repeat has the repetitions that it needs, and those that it may have besides.
    """

    def __init__(self, expression: Expression) -> None:
        self.items: list[Item] = []
        self.empty: dict[int, bool] = {}  # whether the item has the empty text
        self.least: dict[int, int] = {}  # characters of the item's shortest text, about
        self.reach: dict[int, int] = {}  # of the longest way to an end from within, the shortest
        self.nodes: list[Node] = [()]
        self._item_numbers: dict[Item, int] = {}
        self._numbers: dict[Node, int] = {(): 0}
        self._own: dict[tuple[int, int | None], set[Edge]] = {}
        self._known: dict[int, tuple[Expression, int]] = {}
        self._cuts: dict[tuple[int, int], int] = {}
        self.start = self._then(self._item(expression), 0)

    def edges(self, state: int, many: int | None = None) -> set[Edge]:
        """Return the edges (low, high, target) of a state.

        many: count `many` optional repetitions also as more of them, as `cut` may have made it.
        """
        found = set[Edge]()
        while node := self.nodes[state]:
            if (state, many) not in self._own:
                self._own[state, many] = self._read(node, many)
            found |= self._own[state, many]
            if not self._is_empty(node):
                break
            state = node[-1]
        return found

    def accepts(self, state: int) -> bool:
        """Return whether a text may end in a state."""
        while (node := self.nodes[state]) and self._is_empty(node):
            state = node[-1]
        return not node

    def cut(self, state: int, most: int | None) -> int:
        """Return the state with at most so many optional repetitions left of each part.

        Where two languages read the same text, so many more as the other may need to its end.
        """
        if most is None:
            return state
        way = []
        while state and (state, most) not in self._cuts:
            way.append(state)
            state = self.nodes[state][-1]
        found = self._cuts[state, most] if state else 0
        for place in reversed(way):
            first, *others, _ = self.nodes[place]
            if others:
                second, reach, other_reach = others
                found = self._node((self.cut(first, most + other_reach),
                                    self.cut(second, most + reach), reach, other_reach, found))
            elif isinstance(first, int) and self.items[first][0] == "repeat":
                _, part, least, more = self.items[first]
                found = self._then(self._repeat(
                    part, least, more if more == ENDLESS else min(more, most)), found)
            else:
                found = self._node((first, found))
            self._cuts[place, most] = found
        return found

    def check_size(self, most: int | None) -> None:
        """Refuse a language whose states, `cut`, are too many."""
        sizes: list[int] = []
        for item in self.items:
            match item:
                case "row", *parts:
                    sizes.append(sum(sizes[part] for part in parts))
                case "repeat", part, least, more:
                    copies = least + (0 if more == ENDLESS else more if most is None
                                      else min(more, most))
                    sizes.append(sizes[part] * max(1, copies))
                case _:
                    sizes.append(1)
        check_states(max(sizes))

    def _item(self, expression: Expression) -> int:
        """Return the number of an expression."""
        if id(expression) in self._known:
            return self._known[id(expression)][1]
        match expression:
            case Characters(ranges):
                found = self._number_of(("characters", utf8(ranges)), False, 1, 1)
            case Row(parts):
                found = self._row(tuple(map(self._item, parts)))
            case Choice(options):
                found = self._branches(map(self._item, options))
            case Repeat(part, least, most):
                found = self._repeat(self._item(part), least,
                                     ENDLESS if most is None else most - least)
            case Both(first, second):
                a, b = self._item(first), self._item(second)
                found = self._number_of(
                    ("both", a, b), self.empty[a] and self.empty[b],
                    self.least[a] + self.least[b], self.reach[a] + self.reach[b])
        self._known[id(expression)] = expression, found
        return found

    def _branches(self, options: Iterable[int]) -> int:
        """Return the number of a choice whose options share what they begin with.

        So an enum of thousands of strings is a tree: `after[k]` has the parts that go on from its
        place k, and -1 where an option ends.
        """
        after: list[dict[int, int]] = [{}]
        for option in options:
            place = 0
            for part in (*self._parts(option), -1):
                if part not in after[place]:
                    after[place][part] = len(after)
                    after.append({})
                place = after[place][part]
        behind: list[list[int]] = [[] for _ in after]  # the parts from a place to an end, backwards
        for place in range(len(after) - 1, -1, -1):
            for part, k in after[place].items():
                behind[k] += [part] if part >= 0 else []
            ways = [behind[k] for k in after[place].values()]
            if len(ways) == 1:
                behind[place] = ways[0]
            elif ways or not place:
                behind[place] = [self._choice(tuple(self._row(tuple(way[::-1])) for way in ways))]
        return self._row(tuple(behind[0][::-1]))

    def _parts(self, item: int) -> Iterator[int]:
        """Yield the items that stand one after the other."""
        if self.items[item][0] == "row":
            for part in self.items[item][1:]:
                yield from self._parts(part)
        else:
            yield item

    def _row(self, parts: tuple[int, ...]) -> int:
        if len(parts) == 1:
            return parts[0]
        least = reach = 0
        for part in reversed(parts):
            reach = max(reach, self.reach[part] + least)
            least += self.least[part]
        return self._number_of(("row", *parts), all(self.empty[p] for p in parts), least, reach)

    def _choice(self, options: tuple[int, ...]) -> int:
        return self._number_of(("choice", *options), any(self.empty[o] for o in options),
                               min((self.least[o] for o in options), default=1),
                               max((self.reach[o] for o in options), default=1))

    def _repeat(self, part: int, least: int, more: int) -> int:
        if self.empty[part]:  # then none is needed, and each may read something
            least, more = 0, min(least + more, ENDLESS)
        if not least + more:
            return self._row(())
        item = self.items[part]
        if (least, more) == (0, ENDLESS) and item[0] == "repeat" and item[2:] == (0, ENDLESS):
            return part
        size, reach = self.least[part], self.reach[part]
        return self._number_of(("repeat", part, least, more), not least, least * size,
                               reach + max(least - 1, 0) * size)

    def _number_of(self, item: Item, empty: bool, least: int, reach: int) -> int:
        found = self._item_numbers.get(item)
        if found is None:
            found = len(self.items)
            self.empty[found], self.least[found], self.reach[found] = empty, least, reach
            self.items.append(item)
            self._item_numbers[item] = found  # at last: an interrupt before leaves no wrong number
        return found

    def _node(self, node: Node) -> int:
        found = self._numbers.get(node)
        if found is None:
            found = len(self.nodes)
            self.nodes.append(node)
            self._numbers[node] = found
        return found

    def _then(self, item: int, after: int) -> int:
        """Return the state that reads an item, and then what another does."""
        if self.items[item][0] != "row":
            return self._node((item, after))
        for part in reversed(self.items[item][1:]):
            after = self._then(part, after)
        return after

    def _is_empty(self, node: Node) -> bool:
        """Return whether a text may go on behind a node without a byte of its own."""
        if len(node) > 2:
            return self.accepts(node[0]) and self.accepts(node[1])
        return isinstance(node[0], int) and self.empty[node[0]]

    def _read(self, node: Node, many: int | None) -> set[Edge]:
        """Return the edges of a node's own bytes."""
        first, *others, after = node
        if others:
            second, reach, other = others
            return self._pairs(first, second, reach, other, after, many)
        if isinstance(first, int):
            return self._read_item(first, after, many)
        return {(*first[0], self._node((first[1:], after)) if first[1:] else after)}

    def _read_item(self, item: int, after: int, many: int | None) -> set[Edge]:
        found = set[Edge]()
        match self.items[item]:
            case "characters", sequences:
                for first, *rest in sequences:
                    found.add((*first, self._node((tuple(rest), after)) if rest else after))
            case "row", *parts:
                for k, part in enumerate(parts):
                    found |= self._read_item(part, self._then(self._row(tuple(parts[k + 1:])),
                                                              after), many)
                    if not self.empty[part]:
                        break
            case "choice", *options:
                for option in options:
                    found |= self._read_item(option, after, many)
            case "repeat", part, least, more:
                left = [more] if least or more == ENDLESS else [
                    more - 1, more] if more == many else [more - 1]
                for count in left:
                    rest = self._repeat(part, max(least - 1, 0), count)
                    found |= self._read_item(part, self._then(rest, after), many)
            case "both", a, b:
                found = self._pairs(self._then(a, 0), self._then(b, 0), self.reach[a],
                                    self.reach[b], after, many)
        return found

    def _pairs(self, a: int, b: int, reach: int, other: int, after: int, many: int | None
               ) -> set[Edge]:
        """Return the edges that two states have in common."""
        others = self.edges(b, None if many is None else many + reach)
        return {(max(low, lower), min(high, higher),
                 self._node((target, second, reach, other, after)))
                for low, high, target in self.edges(a, None if many is None else many + other)
                for lower, higher, second in others if max(low, lower) <= min(high, higher)}


def check_states(count: int, share: int = 1) -> None:
    """Refuse a language of so many states if they are more than MOST_STATES / share."""
    if count > MOST_STATES // share:
        raise UserError(f"the language needs at least {count} states, and {MOST_STATES // share} "
                        "is the most; take smaller counts, or none")


def has_text(expression: Expression) -> bool:
    """Return whether a language has a text; UserError where it has too many states."""
    language = Language(expression)
    states = [language.start]
    seen = {*states}
    for state in states:  # which grows
        if language.accepts(state):
            return True
        new = {target for *_, target in language.edges(state)} - seen
        seen |= new
        states += sorted(new)
        check_states(len(states))
    return False


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
