"""An optimizer: named parameters, what it keeps beside them, and a step.

All that is common to optimizers is here; a file beside it has one update, with its derivation:

    optimizer = AdamW(Arena(parameters(model)), weight_decay=0.1)
    ...                                       # gradients come into `grad`
    optimizer.update(lr=1e-3, scale=0.5)      # a step with half of them

Some treat each element by itself (`ElementWise`), so that of an `Arena` a step is one walk over
memory; others look at a matrix as a whole and take the parameters one by one (`_one_by_one`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, ClassVar, NamedTuple

import numpy as np

from autograd import Tensor
from autograd.backend import Array

from ..host.threads import over_rows
from .arena import Arena, Buffers, Scattered
from .groups import factors

Shape = tuple[int, ...]


class Turn(NamedTuple):
    """A parameter's step: its number from 1, the factor of its rate, its decay.

    Neighbours whose turns are equal are updated together, unless `name` holds them apart.
    """

    step: int
    lr: float
    decay: float
    name: str = ""


class Optimizer(ABC):
    """Parameters by name, their gradients, and what is kept beside them.

    Of an `Arena` the parameters lie side by side; of a plain mapping each is updated where it lies.
    Into the arrays `gradients`, by name, a gradient can be written that is then put into `grad`.
    `groups` gives factors of the rate and of the decay by name, see `optim.groups`; without it,
    those with fewer than two axes do not decay. A setting out of its bounds raises ValueError, one
    that is no number TypeError, each by its name; parameters are checked as an Arena's.
    """

    usual: ClassVar[Mapping[str, Any]] = {}
    """The settings of a run that it is usually begun with, where they are not AdamW's."""

    def __init__(self, parameters: Mapping[str, Tensor] | Arena, *, weight_decay: float,
                 groups: str) -> None:
        self.require("weight_decay", weight_decay, "at least 0", lambda decay: decay >= 0)
        self.layout = parameters if isinstance(parameters, Arena) else Scattered(parameters)
        self.parameters, self.gradients = self.layout.parameters, self.layout.gradients
        self.weight_decay, self.factors = weight_decay, factors(groups, self.parameters)
        self.steps = {name: np.zeros((), dtype=np.int64) for name in self.parameters}

    @staticmethod
    @abstractmethod
    def kept(name: str, shape: Shape, settings: Mapping[str, Any]) -> dict[str, Shape]:
        """Return the shapes of what is kept beside a parameter, by kind, with these settings."""

    @abstractmethod
    def averages(self) -> Mapping[str, Mapping[str, Array]]:
        """Return what is kept beside the parameters: of each kind, arrays by their names."""

    @abstractmethod
    def _advance(self, lr: float, scale: float) -> None:
        """Do one step of all parameters that have a gradient."""

    def state(self) -> dict[str, Array]:
        """Return what has to be saved, by name; an optimizer is restored by writing into it."""
        return {f"{kind}.{name}": array
                for kind, arrays in {**self.averages(), "steps": self.steps}.items()
                for name, array in arrays.items()}

    def rest(self) -> None:
        """Have averages that lie in files take no memory until the next step."""
        for arrays in self.averages().values():
            self.layout.rest(*arrays.values())

    def update(self, lr: float, scale: float = 1.0) -> None:
        """Do one step with `scale` times the gradients in the parameters' `grad`; clear these.

        A parameter without a gradient (no loss depended on it) is left as it is, and the number of
        its steps too. Raises ValueError where a parameter's shape has changed, for one of float16,
        and for a rate or scale that is negative or not finite.
        """
        for name, p in self.parameters.items():
            if p.dtype == np.float16:
                raise ValueError(f"{name}: float16 is too narrow for updates: of a gradient below "
                                 f"2e-4 the square is 0; give float32, and compute with copies of "
                                 f"16 bits, as train.precision does")
        self.require("lr", lr, "at least 0", lambda lr: lr >= 0)
        self.require("scale", scale, "at least 0", lambda scale: scale >= 0)
        self._advance(lr, scale)
        self.layout.settle(self.steps)

    def _begin_step(self, name: str) -> Turn | None:
        """Count and return a parameter's turn, and clear its gradient; None without one."""
        p = self.parameters[name]
        if p.grad is None:
            return None
        p.grad = None
        self.steps[name] += 1
        rate, decay = self.factors[name]
        return Turn(int(self.steps[name]), rate, self.weight_decay * decay)

    def _one_by_one(self) -> Iterator[tuple[Turn, Array, Array]]:
        """Begin the step of each parameter in turn; yield it with the data and the gradient."""
        def named(name: str) -> Turn | None:
            turn = self._begin_step(name)
            return turn and turn._replace(name=name)

        for turn, (p, g) in self.layout.stretches(named):
            shape = self.parameters[turn.name].shape
            yield turn, p.reshape(shape), g.reshape(shape)

    def _zeros(self, kind: str, **settings: Any) -> dict[str, Array]:
        """Return zeros in the shapes of a kind that is kept, by the names that have it."""
        shapes = {name: self.kept(name, p.shape, settings) for name, p in self.parameters.items()}
        return {name: self.layout.beside(p.data, *shapes[name][kind])
                for name, p in self.parameters.items() if kind in shapes[name]}

    def require(self, name: str, value: float, bounds: str, fine: Callable[[float], bool]) -> None:
        """Raise TypeError or ValueError unless a setting is a finite number within its bounds."""
        kind = type(self).__name__
        if isinstance(value, bool) or not isinstance(value, (float, int, np.floating, np.integer)):
            raise TypeError(f"{kind}: {name} must be a number {bounds}, got {value!r}")
        if not (isfinite(value) and fine(value)):
            raise ValueError(f"{kind}: {name} must be {bounds}, got {value!r}")

    def require_share(self, **settings: float) -> None:
        """Raise TypeError or ValueError unless settings are numbers in [0, 1)."""
        for name, value in settings.items():
            self.require(name, value, "in [0, 1)", lambda share: 0 <= share < 1)

    def require_switch(self, **settings: bool) -> None:
        """Raise TypeError unless settings are true or false."""
        for name, value in settings.items():
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"{type(self).__name__}: {name} must be True or False, "
                                f"got {value!r}")


class ElementWise(Optimizer):
    """An optimizer that treats each element by itself, in blocks that fit a core's cache."""

    @abstractmethod
    def averages(self) -> Mapping[str, Buffers]:
        """Return what is kept beside the parameters, each kind in their own layout."""

    @abstractmethod
    def block(self, arrays: Sequence[Array], turn: Turn, lr: float, scale: float) -> None:
        """Do the step of a block: of p, of its gradient and of the averages, in place."""

    def _advance(self, lr: float, scale: float) -> None:
        for turn, arrays in self.layout.stretches(self._begin_step, *self.averages().values()):
            def block(rows: slice, arrays: Sequence[Array] = arrays, turn: Turn = turn) -> None:
                parts = [array[rows] for array in arrays]
                self.block(parts, turn, lr * turn.lr, scale)
                self.layout.rest(*parts[2:])

            over_rows(block, arrays[0], cost=4)
