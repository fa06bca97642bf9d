"""The inputs that an op takes: as its case draws them, or found by trying.

Of an op without a case only the signature is known. It is called with arrays of many shapes and
ranges, and what it takes, with a finite value, is what it is tested at: first the corners, one of
each kind, then what is drawn. Elements lie apart from each other and from every multiple of 1/2,
where kinks like to be, by 0.002 or more; but some are as small as 1e-6.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle, islice, product
from typing import Any

import numpy as np

from ..primitive import Op, registry
from ..tensor import values
from ..tree import flatten
from . import strategies  # first: it says so where Hypothesis is missing
from .cases import CASES
from .failure import NotCheckable
from .opcase import Inputs, OpCase
from .options import is_strategy, option_parameters, values_to_try

# isort: split
from hypothesis import find, reject, settings
from hypothesis import strategies as st

__all__ = ["Found", "op_inputs"]

Shapes = tuple[tuple[int, ...], ...]

REFUSALS = (TypeError, ValueError, IndexError)
"""What an op raises for inputs that it does not take; other errors are faults, and reported."""

RANGES = {"both signs": (-2.0, 2.0), "positive": (0.3, 2.3), "less than 1": (-0.9, 0.9),
          "more than 1": (1.1, 3.1)}
SMALL = "down to 1e-6"
LARGEST = 64
_LARGEST_VALUE = 3e6  # beyond, as for a matrix that is all but singular, rounding decides


def op_inputs(op: Op | str) -> st.SearchStrategy[Inputs]:
    """Valid inputs `(args, options)` of an op: of the engine's own as their cases say.

    For any other op, arrays of the shapes and ranges that it takes and where its value is finite,
    with values of its options (see `options`).
    """
    known: Any = registry[op] if isinstance(op, str) else op
    case = known_case(known)
    return Found(known).drawn() if case is None else case.inputs


def known_case(op: Any) -> OpCase | None:
    """Return the case of an op of the engine itself."""
    name = getattr(op, "name", "")
    return CASES[name] if name in CASES and registry.get(name) is op else None


def _repeated(*found: tuple[int, ...]) -> Callable[[int], Shapes]:
    return lambda n: tuple(islice(cycle(found), n))


# By kind: the shapes of n arguments at the corner, and those that are drawn.
CORNERS: dict[str, Callable[[int], Shapes]] = {
    "equal": _repeated((2, 3)),
    "broadcast": _repeated((2, 3), (3,), (2, 1)),
    "narrow first": _repeated((3,), (2, 3)),
    "square": _repeated((3, 3)),
    "squares": _repeated((2, 3, 3)),
    "chain": _repeated((2, 3), (3, 4), (4,)),
    "weights": _repeated((2, 3), (4, 3), (4,)),
    "vector": _repeated((3,)),
    "four axes": _repeated((2, 3, 2, 2)),
    "four axes broadcast": _repeated((2, 3, 1, 2), (2, 1, 3, 1)),
    "five axes": _repeated((2, 1, 3, 2, 1)),
    "long": _repeated((LARGEST,)),
    "long rows": _repeated((4, LARGEST // 4)),
    "number": _repeated(()),
    "empty": _repeated((0, 3)),
}
_side = st.integers(1, 4)
_many = st.lists(st.integers(1, 3), min_size=4, max_size=5).filter(lambda s: math.prod(s) <= 64)


@st.composite
def _ones_within(draw: Any, shape: st.SearchStrategy[Any], n: int) -> Shapes:
    """The same shape n times, with some axes of one element."""
    found = draw(shape)
    return tuple(tuple(1 if draw(st.booleans()) else side for side in found) for _ in range(n))


def _alike(shape: st.SearchStrategy[Any], n: int) -> st.SearchStrategy[Shapes]:
    return shape.map(lambda shape: (tuple(shape),) * n)


def _drawn_shapes(kind: str, n: int) -> st.SearchStrategy[Shapes]:
    rows = st.integers(1, 8).flatmap(lambda r: st.tuples(st.just(r), st.integers(1, LARGEST // r)))
    made: dict[str, Any] = {
        "equal": _alike(strategies.shapes(), n),
        "broadcast": strategies.broadcastable_shapes(n, least=1, dims=2),
        "square": _alike(st.integers(1, 3).map(lambda k: (k, k)), n),
        "squares": _alike(st.tuples(_side, st.integers(1, 3)).map(lambda s: (*s, s[1])), n),
        "chain": st.tuples(_side, _side, _side).map(
            lambda s: _repeated((s[0], s[1]), (s[1], s[2]), (s[2],))(n)),
        "weights": st.tuples(_side, _side, _side).map(
            lambda s: _repeated((s[0], s[1]), (s[2], s[1]), (s[2],))(n)),
        "four axes": _alike(_many, n),
        "four axes broadcast": _ones_within(_many, n),
        "long": _alike(st.integers(4, LARGEST).map(lambda k: (k,)), n),
        "long rows": _alike(rows, n),
    }
    return made.get(kind, st.just(CORNERS[kind](n)))  # type: ignore[no-any-return]


@dataclass
class Found:
    """The inputs that are found for an op, or another function, of which no case is known.

    `hints` gives, by name, values for options: a strategy, a list or set to choose from, or one
    value. Options without a hint have those of `values_to_try`.
    """

    op: Any
    hints: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parameters = option_parameters(self.op)
        _check_hints(self.op, self.hints, [p.name for p in parameters])
        guesses = {k: v for k, v in values_to_try(self.op).items() if k not in self.hints}
        for name in (name for name, found in guesses.items() if not found):
            raise ValueError(f"{_call(self.op)}: the option {name!r} of {_name(self.op)} has no "
                             f"default, nor an annotation that says which values it takes; pass "
                             f"options={{{name!r}: [...]}}")
        self.values = guesses | {name: _listed(hint) for name, hint in self.hints.items()}
        self.default = {p.name: p.default for p in parameters}
        needed = {p.name for p in parameters if p.default is p.empty}
        self.refusal: Exception | None = None
        self.taken: dict[tuple[int, str], Shapes] = {}
        self.ranges: list[str] = []
        several = {name: found if name in needed else found[:1]
                   for name, found in self.values.items() if name in {*needed, *self.hints}}
        for chosen in islice(product(*several.values()), 30):
            self.usual = dict(zip(several, chosen, strict=True))
            self._try_shapes()
            if self.taken:
                break

    def _try_shapes(self) -> None:
        """Find the kinds of shapes and the ranges of numbers that the op takes."""
        for n in _arities(self.op):
            for kind, corner in CORNERS.items():
                if any(self.takes(self.arrays(corner(n), name, 0), self.usual) for name in RANGES):
                    self.taken[n, kind] = corner(n)
        for name in (*RANGES, SMALL, f"{SMALL}, positive"):
            if self.taken and self.takes(self.arrays(self.plain_shapes(), name, 0), self.usual):
                self.ranges.append(name)
        if SMALL in self.ranges:
            self.ranges.remove(f"{SMALL}, positive")

    def plain_shapes(self) -> Shapes:
        """Return the shapes of the first corner that has elements, with as many arguments as go."""
        most = max(n for n, _ in self.taken)
        found = [shapes for (n, _), shapes in self.taken.items() if n == most]
        return next((shapes for shapes in found if math.prod(map(math.prod, shapes))), found[0])

    def takes(self, args: tuple[np.ndarray, ...], options: dict[str, Any]) -> bool:
        """Whether the op takes the arguments, and its value is finite and not huge."""
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                y = self.op(*args, **options)
                parts = flatten(y)[0]
                return bool(parts) and all(
                    bool((np.abs(values(p)) <= _LARGEST_VALUE).all()) for p in parts)
        except NotCheckable:
            raise
        except REFUSALS as error:
            self.refusal = error
            return False
        except Exception:  # a fault of the op, which the check reports
            return True

    def arrays(self, shapes: Shapes, name: str, seed: int) -> tuple[np.ndarray, ...]:
        """Return arrays of these shapes, with all elements apart, in a range of this name."""
        rng, counts = np.random.default_rng(seed), [math.prod(shape) for shape in shapes]
        if name.startswith(SMALL):
            parts = [rng.permutation(np.logspace(-6, -0.3, count)) * (1 + 0.37 * i)
                     for i, count in enumerate(counts)]
            if name == SMALL:
                parts = [part * rng.choice([-1.0, 1.0], part.shape) for part in parts]
        else:
            (low, high), total, step = RANGES[name], sum(counts), 0.02
            while (high - low) / step < total + 0.5:
                step /= 2
            grid = low + step / 2 + step * np.arange(int((high - low) / step + 0.5))
            grid += rng.uniform(-0.3, 0.3, len(grid)) * step  # or differences might be a multiple
            parts = np.split(rng.permutation(grid)[:total], np.cumsum(counts)[:-1])
        return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))

    def corners(self) -> Iterator[Inputs]:
        """Yield inputs of each kind of shape, each range, and with each value of each option."""
        for shapes in dict.fromkeys(self.taken.values()):
            yield from self._usable(shapes, self.ranges[:1], self.usual)
        if not self.taken:
            return
        for name in self.ranges[1:]:  # small numbers in a small array, or rounding hides the rest
            yield from self._usable(self.plain_shapes(), [name], self.usual)
        shapes_to_try = list(dict.fromkeys((self.plain_shapes(), *self.taken.values())))
        for option, value in ((k, v) for k, found in self.values.items() for v in found):
            options = {**self.usual, option: value}
            made = (case for shapes in shapes_to_try
                    for case in self._usable(shapes, self.ranges, options))
            case = next(made, None)
            if case is None and option in self.hints:  # then the check reports how it is refused
                case = self.arrays(shapes_to_try[0], self.ranges[0], 1), options
            if case is not None:
                yield case[0], self.spelled(case[1])

    def spelled(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options without those that have their default."""
        return {k: v for k, v in options.items() if v is not self.default[k]}

    def _usable(self, shapes: Shapes, ranges: list[str], options: dict[str, Any],
                ) -> Iterator[Inputs]:
        """Yield arrays of the first range for which the op takes them, if there is one."""
        for name in [*ranges, *RANGES]:
            args = self.arrays(shapes, name, 1)
            if self.takes(args, options):
                yield args, self.spelled(options)
                return

    def drawn(self) -> st.SearchStrategy[Inputs]:
        """Return the strategy that draws from all that the op takes."""
        return _found_inputs(self)


@st.composite
def _found_inputs(draw: Any, found: Found) -> Inputs:
    n, kind = draw(st.sampled_from([*found.taken] or [(n, k) for n in _arities(found.op)
                                                           for k in CORNERS]))
    shapes = draw(_drawn_shapes(kind, n))
    ranges = [name for name in found.ranges if not name.startswith(SMALL)]
    args = found.arrays(shapes, draw(st.sampled_from(ranges or [*RANGES])),
                        draw(st.integers(0, 2**32 - 1)))
    options = {}
    for name, guesses in found.values.items():
        hint = found.hints.get(name)
        if name in found.hints:
            options[name] = draw(hint if is_strategy(hint) else st.sampled_from(guesses))
        elif draw(st.booleans()):
            options[name] = draw(st.sampled_from(guesses))
    for choice in (options, {k: v for k, v in options.items() if k in found.usual}, found.usual):
        if found.takes(args, {**found.usual, **choice}):
            return args, found.spelled({**found.usual, **choice})
    return reject()


def _listed(hint: Any) -> list[Any]:
    """Return the values that a hint names; of a strategy, the simplest."""
    if is_strategy(hint):
        return [find(hint, lambda _: True, settings=settings(database=None, max_examples=50))]
    return list(hint) if isinstance(hint, (list, set, frozenset, range)) else [hint]


def _check_hints(op: Any, hints: Mapping[str, Any], known: list[str]) -> None:
    for name, hint in hints.items():
        if name not in known:
            raise TypeError(f"{_call(op)}: {_name(op)} has no option {name!r}; its options are "
                            f"{', '.join(known) or 'none'}")
        if isinstance(hint, (list, set, frozenset, range)) and not hint:
            raise ValueError(f"{_call(op)}: options={{{name!r}: ...}} names no value")


def _call(op: Any) -> str:
    return str(getattr(op, "proved_by", "check_op"))


def _name(op: Any) -> str:
    return str(getattr(op, "name", None) or getattr(op, "__name__", repr(op)))


def _arities(op: Any) -> list[int]:
    """Return how many arrays an op may be given."""
    if getattr(op, "variadic", False):
        return [1, 2, 3]
    if hasattr(op, "arrays"):
        return list(range(len(op.arrays) - len(op.array_defaults), len(op.arrays) + 1))
    parameters = inspect.signature(getattr(op, "forward", op)).parameters.values()
    return [sum(p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD for p in parameters)]
