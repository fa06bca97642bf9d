"""A model with two of each kind of its repeated parts, which is run in the place of the whole.

A model of 48 layers that do the same work is planned by running two of them. Repeated parts stand
in a list; those that are alike, in their classes, shapes and settings, are one kind. Two of a kind
run: the first counts once, and the second for all others. So what the parts share, as a table of
rotations that each of them keeps, counts once, and what each has of its own as often as there are
parts. The others hand their input on. Nothing here names a layer or an architecture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any

import numpy as np

from autograd import Tensor
from autograd.tensor import STATE

from ..nn import parameters
from ..nn.parameters import children


class Counted:
    """A part that runs, and counts `count` times: so many parts do what it does."""

    def __init__(self, part: Any, count: int) -> None:
        self.part, self.count = part, count

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the part; a watch (see `measure.Clock`) is in it meanwhile, and has its number."""
        watch: Any = STATE.watch
        if watch is None:  # the part is computed again, in a backward pass
            return self.part(*args, **options)
        watch.enter(self.count, args)
        try:
            return self.part(*args, **options)
        finally:
            watch.leave()

    def __getattr__(self, name: str) -> Any:
        if name == "part":  # of one that is being copied, and has none yet
            raise AttributeError(name)
        return getattr(self.part, name)


class Passed:
    """A part whose work another one stands for: it hands its first argument on."""

    def __call__(self, x: Any, *_: Any, **__: Any) -> Any:
        """Return x."""
        return x


def fold(model: Any) -> None:
    """Put stand-ins into the lists of the model's alike parts, and random numbers into weights."""
    stack, seen = [model], set[int]()
    while stack:
        thing = stack.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, list) and any(parameters(part) for part in thing):
            thing[:] = _folded(thing)
        else:
            stack.extend(value for _, value in children(thing))
    values = np.random.default_rng(0).standard_normal(1 << 16, dtype=np.float32) * 0.02
    for p in parameters(model).values():
        if p.ndim > 1:  # vectors are scales and biases, and are small
            p.data = np.resize(values.astype(p.dtype), p.shape)


def _folded(parts: list[Any]) -> list[Any]:
    kinds = [kind_of(part) for part in parts]
    left, met, found = Counter(kinds), Counter[Hashable](), list[Any]()
    for part, kind in zip(parts, kinds, strict=True):
        met[kind] += 1
        found.append(Counted(part, 1) if met[kind] == 1 else
                     Counted(part, left[kind] - 1) if met[kind] == 2 else Passed())
    return found


def kind_of(thing: Any, above: tuple[int, ...] = ()) -> Hashable:
    """Return what things have in common that do the same work: classes, shapes and settings."""
    if id(thing) in above:
        return "a thing that holds this one"
    if isinstance(thing, (Tensor, np.ndarray)):
        return thing.shape, str(thing.dtype)
    if isinstance(thing, (bool, int, float, str, type(None))):
        return thing
    parts = tuple((key, kind_of(value, (*above, id(thing)))) for key, value in children(thing))
    made: Any = type(thing).__new__
    plain = made is object.__new__ and hasattr(thing, "__dict__")
    if parts or plain or isinstance(thing, (list, tuple, dict)):
        return type(thing), parts
    return id(thing)  # a function, or a thing that hides its settings
