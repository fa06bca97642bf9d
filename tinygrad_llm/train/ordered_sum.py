r"""Sums whose bits do not depend on which thread is first.

A sum of floating point numbers depends on its order. Slices of a batch run on several threads, and
their parts of a gradient arrive in any order; here they are added in the order of their numbers:

$$\bar\theta = \Bigl(\bigl(\bar\theta_0 + \bar\theta_1\bigr) + \bar\theta_2\Bigr) + \dots$$

A parameter that is used once has a part from each slice; one that is used twice, like GPT's token
table, has two, and all first parts come before the second ones. A thread whose part is early leaves
it behind, and the thread that adds the part before it adds that one too; a slice that is far ahead
waits. So besides the sums there are only a few parts in memory.

Source: Chen et al., "Revisiting Distributed Synchronous SGD", arXiv:1604.00981, section 3, in which
the order of the sum is left open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count as counter
from threading import Condition

from autograd.backend import Array
from autograd.deferred import Deferred

Part = Array | Deferred

AHEAD = 1 << 25  # bytes of parts that wait, beyond which a slice waits for those before it


class OrderedSum:
    """One sum a place, of parts that arrive in any order and are added in the order of numbers.

    The sum of place i is made in the array `totals[i]`. Slice s of S gives a place the parts number
    s, S + s, 2 S + s and so on. Slices begin in their order.
    """

    def __init__(self, totals: Sequence[Array], slices: int = 1) -> None:
        self.totals = totals
        self.slices = slices
        self.added = [0] * len(totals)  # how many parts; the number of the next
        self.waiting: list[dict[int, Part]] = [{} for _ in totals]
        self.waiting_bytes = 0
        self.ended: set[int] = set()  # slices that give no more parts
        self.changed = Condition()

    @contextmanager
    def slice(self, s: int) -> Iterator[Callable[[int, Part], None]]:
        """Give the function by which slice s adds: `add(place, part)`, called in its own order."""
        numbers = [counter(s, self.slices) for _ in self.totals]
        try:
            yield lambda place, part: self.add(next(numbers[place]), place, part)
        finally:  # also where the slice failed, or others would wait for it
            with self.changed:
                self.ended.add(s)
                self.changed.notify_all()

    def add(self, number: int, place: int, part: Part) -> None:
        """Add part `number` (0, 1, ...) to the total of a place, once those before it are in."""
        if number != self.added[place] and isinstance(part, Deferred) and not part.sparse:
            part = part.array()  # or another thread, which is behind, would do all the work of it
        with self.changed:
            if number < self.slices and self.waiting_bytes > AHEAD:
                self.changed.wait_for(lambda: self.added[place] == number or all(
                    s in self.ended for s in range(number)))
            if number != self.added[place]:
                self.waiting[place][number] = part
                self.waiting_bytes += _bytes(part)
                return
        following: Part | None = part
        while following is not None:  # no other thread adds here until `added` has the next number
            self._put(place, following)
            with self.changed:
                self.added[place] += 1
                following = self.waiting[place].pop(self.added[place], None)
                self.waiting_bytes -= 0 if following is None else _bytes(following)
                self.changed.notify_all()

    def _put(self, place: int, part: Part) -> None:
        total, add = self.totals[place], self.added[place] > 0
        if isinstance(part, Deferred):
            part.write(total, add)
        elif add:
            total += part
        else:
            total[...] = part

    def finish(self) -> None:
        """Add the parts that still wait because one before them never came."""
        for place, parts in enumerate(self.waiting):
            for number in sorted(parts):
                self._put(place, parts.pop(number))
                self.added[place] += 1


def _bytes(part: Part) -> int:
    return 0 if isinstance(part, Deferred) else int(part.nbytes)
