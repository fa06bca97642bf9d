"""The smallest arguments on which an op's value or gradient is not finite.

Shrinking is greedy and by trial: a stretch is cut out of an axis, of one array or of all that have
an axis of that length, and the cut stays if the op still fails. A trial that the op refuses, for
shapes that no longer fit, counts as one that did not fail, so nothing here knows any op. The
longest axes come first, in halves, then in quarters and so on; numbers are simplified last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from time import perf_counter
from typing import Any

import numpy as np

from ..backend import namespace, to_host
from ..backward import pull_back
from ..tensor import Tensor, recording, values
from .source import LARGEST, exact_literal

__all__ = ["Failure", "nested_to_host", "not_finite", "widest"]

_TRIALS, _SECONDS = 300, 2.0

Arrays = list[Any]


def not_finite(x: Any) -> str | None:
    """Return "NaN" or "inf" if there is one in x: an array, a number, or a nest of them."""
    if isinstance(x, (tuple, list)):
        kinds = {not_finite(part) for part in x}
        return next((kind for kind in ("NaN", "inf") if kind in kinds), None)
    x = np.asarray(x) if isinstance(x, float) else values(x)
    if getattr(x, "dtype", None) is None or (x.dtype.kind != "f" and x.dtype.name != "bfloat16"):
        return None
    xp = namespace(x)
    if bool(xp.isfinite(x).all()):
        return None
    return "NaN" if bool(xp.isnan(x).any()) else "inf"


class Failure:
    """An op and its arguments, on the host: its value, or its gradient by one of them, is `kind`.

    That is "NaN" or "inf"; or "0" where an overflow ended as 0, which a wider dtype does not have.
    `wrong` is that value or gradient. For a gradient, `which` is the number of the argument, and g
    the gradient that came from above.
    """

    def __init__(self, op: Any, args: Sequence[Any], options: dict[str, Any], kind: str,
                 wrong: Any, which: int | None = None, g: Any = None, *,
                 inf: bool = True) -> None:
        self.op, self.kind, self.kinds, self.which, self.inf = op, kind, {kind}, which, inf
        self.options = {name: nested_to_host(value) for name, value in options.items()}
        self.args = [nested_to_host(x) for x in args]
        self.g = None if which is None else nested_to_host(g)
        self.wrong = nested_to_host(wrong)
        self.given = {not_finite(x) for x in (*self.args, self.g)} | {None}
        self.value: str | None = None
        self.trials, self.deadline = 0, perf_counter() + _SECONDS

    def outcome(self, args: Sequence[Any], g: Any) -> Any:
        """Return the value, or the gradient that a plain backward pass gives."""
        if self.which is None:
            return self.op(*args, **self.options)
        x = Tensor(args[self.which], requires_grad=True)
        y = self.op(*args[: self.which], x, *args[self.which + 1 :], **self.options)
        if not_finite(y) not in (None, self.value):
            raise ValueError("here the value itself is not finite, which is another fault")
        g = np.array(np.broadcast_to(g, y.shape), dtype=y.dtype)
        return pull_back([y], [g], [x])[0]

    def lost(self, args: Arrays, g: Any) -> np.ndarray:
        """Return where the value or gradient is 0, though it is not when computed in a wider dtype.

        Below what its own dtype can hold it counts as 0. Of float64 the wider dtype is the long
        double, which is no wider on some platforms: there nothing is found.
        """
        y, exact = (np.asarray(self.outcome(*inputs)) for inputs in (
            (args, g), ([widest(x) for x in args], widest(g))))
        return np.asarray((y == 0) & (exact.astype(y.dtype) != 0))

    def fault(self, args: Arrays, g: Any) -> str | None:
        """Return the kind of what is wrong with the value or gradient, if anything is."""
        if self.kind == "0":
            return "0" if self.lost(args, g).any() else None
        return not_finite(self.outcome(args, g))

    def fails(self, arrays: Arrays) -> bool:
        """Whether the op fails in the same way, on arguments no worse than the first ones were."""
        self.trials += 1
        if self.trials > _TRIALS or perf_counter() > self.deadline:
            return False
        args, g = self.with_arrays(arrays)
        try:
            with recording(True), np.errstate(all="ignore"):
                same = self.fault(args, g) in self.kinds
        except Exception:  # whatever an op raises on arguments that do not fit it
            return False
        return same and {not_finite(x) for x in (*args, g)} <= self.given

    def arrays(self) -> Arrays:
        """Return what can be shrunk: the arguments that are arrays, and the gradient from above."""
        return [x for x in (*self.args, self.g) if isinstance(x, np.ndarray)]

    def with_arrays(self, arrays: Arrays) -> tuple[list[Any], Any]:
        """Return the arguments and g, with the arrays in their places."""
        new = iter(arrays)
        *args, g = [next(new) if isinstance(x, np.ndarray) else x for x in (*self.args, self.g)]
        return args, g

    # shrinking

    def smallest(self) -> Failure:
        """Shrink the arguments. Raises ValueError where the failure does not happen again."""
        arrays = [np.array(x) for x in self.arrays()]
        with np.errstate(all="ignore"):
            self.value = not_finite(self.op(*self.args, **self.options))
        if not self.fails(arrays):
            raise ValueError("computed again on the host, the op does not fail")
        for start in self.starts(arrays):
            arrays = start if self.fails(start) else arrays
        arrays = self.smaller(arrays)
        if self.inf and self.kind != "0" and sum(x.size for x in arrays) > 16:
            # infinity needs fewer terms than NaN
            self.kinds, self.trials = {"NaN", "inf"}, 0
            arrays = self.smaller(arrays)
        self.trials = 0
        for i in range(len(arrays)):
            arrays = self.simplified(arrays, i)
        self.args, self.g = self.with_arrays(arrays)
        if self.g is not None:
            with np.errstate(all="ignore"):
                self.g = np.broadcast_to(self.g, self.op(*self.args, **self.options).shape)
        return self

    def smaller(self, arrays: Arrays) -> Arrays:
        """Cut axes that have the same length together, then each alone, as long as that helps."""
        before: Arrays = []
        while [x.size for x in arrays] != [x.size for x in before]:
            before = arrays
            for n in sorted({n for x in arrays for n in x.shape}, reverse=True):
                axes = [(i, axis) for i, x in enumerate(arrays)
                        for axis, m in enumerate(x.shape) if m == n]
                for together in [axes, *combinations(axes, 2)]:
                    arrays = self.cut(arrays, together)
            for i in range(len(arrays)):
                for axis in reversed(range(arrays[i].ndim)):
                    arrays = self.cut(arrays, [(i, axis)])
                    if arrays[i].shape[axis] == 1:
                        flat = _replaced(arrays, i, np.squeeze(arrays[i], axis))
                        arrays = flat if self.fails(flat) else arrays
        return arrays

    def starts(self, arrays: Arrays) -> Iterator[Arrays]:
        """Yield guesses: a gradient of ones, and for elementwise ops the first wrong element."""
        if self.which is not None:
            yield [*arrays[:-1], np.ones((), arrays[-1].dtype)]
        wrong = {"NaN": np.isnan, "inf": np.isinf, "0": np.logical_not}[self.kind]
        found = np.argwhere(wrong(self.wrong))
        if not len(found):
            return
        at = tuple(found[0])
        if self.which is not None and arrays[-1].shape == self.wrong.shape:
            yield [*arrays[:-1], np.array(arrays[-1][at])]
        try:
            yield [np.array(np.broadcast_to(x, self.wrong.shape)[at]) for x in arrays]
        except ValueError:
            return

    def cut(self, arrays: Arrays, axes: Sequence[tuple[int, int]]) -> Arrays:
        """Cut stretches out of these axes, all of one length, as long as the op still fails."""
        i, axis = axes[0]
        if len({arrays[k].shape[along] for k, along in axes}) > 1:  # since cut on their own
            return arrays
        stretches = 2
        while (n := arrays[i].shape[axis]) > 1 and stretches <= min(2 * n, 32):
            for stretch in np.array_split(np.arange(n), min(stretches, n)):
                keep = np.delete(np.arange(n), stretch)
                trial = list(arrays)
                for k, along in axes:
                    trial[k] = trial[k].take(keep, along)
                if self.fails(trial):
                    arrays, stretches = trial, 2
                    break
            else:
                stretches *= 2
        return arrays

    def simplified(self, arrays: Arrays, i: int) -> Arrays:
        """Replace the numbers of array i by such as are shorter to write."""
        for simpler in _simpler(arrays[i]) if arrays[i].size <= LARGEST else ():
            trial = _replaced(arrays, i, simpler(arrays[i]))
            if len(exact_literal(trial[i])) < len(exact_literal(arrays[i])) and self.fails(trial):
                arrays = trial
        return arrays


def widest(x: Any) -> Any:
    """Return a NumPy array of floats in a wider dtype; others as they are."""
    if not isinstance(x, np.ndarray) or x.dtype.kind in "biuc":
        return x
    return x.astype(np.longdouble if x.dtype.itemsize > 4 else np.float64)


def nested_to_host(x: Any) -> Any:
    """Return arrays and Tensors, also within tuples and lists, as NumPy's; others as they are."""
    if isinstance(x, (tuple, list)):
        return (tuple if isinstance(x, tuple) else list)(map(nested_to_host, x))
    x = values(x)
    return to_host(x) if hasattr(x, "dtype") else x


def _replaced(arrays: Arrays, i: int, x: Any) -> Arrays:
    return [*arrays[:i], np.asarray(x), *arrays[i + 1 :]]


def _simpler(x: Any) -> Iterator[Callable[[Any], Any]]:
    """Yield ways to make numbers simpler, all of them together first and then each one."""
    yield np.zeros_like
    yield np.ones_like
    if x.dtype.kind == "f":
        yield lambda x: np.full_like(x, x.flat[np.abs(x).argmax()])
        yield lambda x: np.full_like(x, x.flat[np.abs(x).argmin()])
        for digits in (0, 1, 3):
            yield partial(_rounded, digits=digits)
    for k in range(min(x.size, 16)):
        for value in (0, 1, None):
            yield partial(_with_one, k=k, value=value)


def _rounded(x: Any, digits: int) -> Any:
    numbers = [float(f"{v:.{digits}e}") for v in x.ravel().tolist()]
    return np.reshape(np.array(numbers, dtype=x.dtype), x.shape)


def _with_one(x: Any, k: int, value: float | None) -> Any:
    """Return x with its element k replaced, by its own value to one digit where that is None."""
    x = x.copy()
    x.flat[k] = float(f"{float(x.flat[k]):.0e}") if value is None else value
    return x
