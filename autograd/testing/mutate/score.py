r"""Judging mutants: the checks of an op, prepared so that a mutant costs backward passes only.

The inputs of an op are drawn once, its forward pass is recorded once, and what the gradients must
be is computed once, with the rules as they stand. A gradient of any order is held against central
differences along one random direction u: with cotangent c,

$$\frac{d}{dt}\, c^\top f(x + t u) = (J^\top c)^\top u ,$$

and of the next order with $x \mapsto v^\top J^\top c$ in place of $c^\top f$. A wrong element of
the gradient changes the right side unless u is orthogonal to the error, which a random u is not.
"""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import hypothesis
import numpy as np

from ...backend import Array
from ...backward import pull_back
from ...primitive import Op
from ...tensor import Tensor, values
from ..differences import derivative
from ..failure import GradientError, Subject
from ..opcase import OpCase
from ..opchecks import check_curvature, check_dtype, refusal
from .plant import Mutant, Unit, planted

CHECKS = ("error", "first", "edges", "curvatures", "recorded", "alone", "added", "dtype", "second",
          "third")
"""The causes of a mutant's death, in the order of trying; see `Trial.verdict`."""

_ORDER = {"first": 1, "second": 2, "third": 3}
_PATIENCE = 20.0  # seconds; a fault in a loop may make it endless


@contextmanager
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Example:
    """One drawn input of an op: its record, and what the gradients of each order must be."""

    def __init__(self, op: Op, args: Any, options: dict[str, Any], rng: Any,
                 cotangents: Any = None) -> None:
        self.op, self.args, self.options = op, args, options
        self.points = [_frozen(x) for x in _arrays(args)]
        self.leaves = [Tensor(x, requires_grad=True) for x in self.points]
        self.ys = self.apply(self.leaves)
        self.weights: list[list[Array]] = [
            cotangents or [_away_from_zero(y.shape, rng) for y in self.ys],
            *([_away_from_zero(x.shape, rng) for x in self.points] for _ in range(3)),
        ]
        self.direction = [np.where(np.isfinite(x), _away_from_zero(x.shape, rng, 1.0)
                                   * np.maximum(1, np.abs(x)), 0.0) for x in self.points]
        self.expected: dict[Any, Any] = {}
        self.alone: list[tuple[Tensor, list[Tensor]]] = []
        self.again: list[Tensor] = []

    def apply(self, leaves: Sequence[Tensor]) -> list[Tensor]:
        """Run the op on other values of the differentiable arguments; keep what is recorded."""
        remaining = iter(leaves)
        y = self.op(*_replaced(self.args, remaining), **self.options)
        found = [y for y in _members(y) if isinstance(y, Tensor) and y.dtype.kind == "f"]
        for tensor in found:
            _freeze_residuals(tensor)
        return found

    def gradients(self, order: int = 1, record: bool = False, ys: Any = None,
                  leaves: Any = None) -> list[Array]:
        """Return the gradients of that order, with respect to each differentiable argument."""
        leaves = self.leaves if leaves is None else leaves
        ys, parts = self.ys if ys is None else ys, []
        cotangents: Sequence[Any] = self.weights[0]
        for k in range(1, order + 1):
            parts = pull_back(ys, cotangents, leaves, record=record or k < order, retain=True)
            kept = [(p, v) for p, v in zip(parts, self.weights[k], strict=True)
                    if isinstance(p, Tensor) and p.node is not None]
            ys, cotangents = [p for p, _ in kept], [v for _, v in kept]
        return [np.zeros(x.shape) if p is None else values(p)
                for x, p in zip(self.points, parts, strict=True)]

    def slope(self, order: int) -> float:
        """Return the product of the gradients of that order with the direction."""
        return sum(float((g * u).sum()) for g, u in
                   zip(self.gradients(order), self.direction, strict=True))

    def differences(self, order: int) -> tuple[float, float]:
        """Return what `slope` must be, and its tolerance."""
        def terms(t: float) -> Array:
            moved = [Tensor(x + t * u, requires_grad=True)
                     for x, u in zip(self.points, self.direction, strict=True)]
            ys = self.apply(moved)
            found = ([y.data for y in ys] if order == 1 else
                     self.gradients(order - 1, ys=ys, leaves=moved))
            parts = [np.ravel(v * y) for v, y in zip(self.weights[order - 1], found, strict=True)]
            return np.concatenate([*parts, np.zeros(1)])

        here = terms(0.0)
        size = float(np.abs(here).sum()) + abs(self.slope(order))
        value, tolerance = derivative(lambda t: terms(t).sum(), here.sum(), size)
        return float(value), float(tolerance)


def _members(y: Any) -> list[Any]:
    return [part for v in y for part in _members(v)] if isinstance(y, (tuple, list)) else [y]


def _is_differentiated(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"  # of float16 in edges


def _arrays(args: Any) -> list[Array]:
    return [x for x in _members(args) if _is_differentiated(x)]


def _replaced(args: Any, leaves: Iterator[Any]) -> Any:
    """Return the arguments with each differentiable array replaced by the next leaf."""
    if isinstance(args, (tuple, list)):
        return type(args)([_replaced(x, leaves) for x in args])
    return next(leaves) if _is_differentiated(args) else args


def _frozen(x: Array) -> Array:
    """Return the array, never to be written into: neither by a rule nor by a mutant of one."""
    x.flags.writeable = False
    return x


def _freeze_residuals(y: Tensor) -> None:
    """Protect what the nodes above keep, so that one mutant cannot spoil it for the next."""
    stack, seen = [y.node], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        stack += node.parents
        kept = list(node.kept.values()) if isinstance(node.kept, dict) else [node.kept]
        for x in _members(kept):
            if isinstance(values(x), np.ndarray):
                values(x).flags.writeable = False


def _away_from_zero(shape: tuple[int, ...], rng: Any, high: float = 1.5) -> Array:
    return _frozen(np.asarray(rng.uniform(0.5, high, shape) * rng.choice([-1.0, 1.0], shape)))


def drawn_inputs(case: OpCase, count: int, seed: int) -> list[Any]:
    """Return the inputs that so many draws from a case bring, the largest first.

    Hypothesis likes to draw the same again with other numbers; of inputs alike in their shapes
    and options two are kept. The same seed draws the same inputs.
    """
    found: dict[str, list[Any]] = {}

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=count, database=None, deadline=None,
                         phases=[hypothesis.Phase.generate],
                         suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(case.inputs)
    def collect(inputs: Any) -> None:
        found.setdefault(repr(_kind(inputs)), []).append(inputs)

    collect()
    kept = [inputs for alike in found.values() for inputs in alike[:2]]
    return sorted(kept, key=lambda inputs: -sum(x.size for x in _arrays(inputs[0])))


def _kind(x: Any) -> Any:
    """Return what inputs have in common that differ in the values of arrays only."""
    if isinstance(x, (tuple, list)):
        return [_kind(v) for v in x]
    if isinstance(x, dict):
        return {name: _kind(v) for name, v in x.items()}
    return (x.shape, x.dtype, x.strides) if isinstance(x, np.ndarray) else x


class Trial:
    """An op with its examples, on which mutants of its rules are tried."""

    @_quiet()
    def __init__(self, name: str, op: Op, case: OpCase, count: int, seed: int) -> None:
        self.name, self.op, self.case = name, op, case
        self.problems: list[str] = []
        self.usable: dict[str, list[Any]] = {}
        rng = np.random.default_rng(seed)
        self.examples = [Example(op, args, options, rng)
                         for args, options in drawn_inputs(case, count, seed)]
        self.examples = [e for e in self.examples if any(y.node is not None for y in e.ys)]
        self.edges = [(Example(op, args, options, rng, [_frozen(np.array(c)) for c in _members(g)]),
                       _members(expected)) for args, options, g, expected in case.edges]
        if not self.examples:
            self.problems.append("no drawn input has a gradient")

    @_quiet()
    def prepare(self, check: str) -> None:
        """Compute, with the rules as they stand, what a check compares with; once.

        Where the check fails as it is, no mutant can be judged by it, which is a problem to report.
        """
        if check in self.usable:
            return
        usable = self.usable[check] = []
        stated = {"edges": self.edges, "curvatures": self.case.curvatures}
        examples: Sequence[Any] = stated.get(check, self.examples)
        for example in examples if self.applies(check) else ():
            try:
                if check not in stated:
                    self._expect(example, check)
                complaint = self._complaint(example, check)
            except Exception as error:
                complaint = f"{type(error).__name__}: {error}"
            if not complaint:
                usable.append(example)
            elif len(self.problems) < 3:
                self.problems.append(f"the check {check!r} fails as it is: {complaint}")

    def is_spoilt(self, check: str) -> bool:
        """Whether a prepared check now fails with the rules as they stand, a problem to report.

        It would seem to kill every mutant, where an earlier one has spoilt what they are tried on.
        """
        try:
            with _patience():
                complaint = self.verdict(check)
        except Exception as error:
            complaint = f"{type(error).__name__}: {error}"
        if complaint and len(self.problems) < 3:
            self.problems.append(f"an earlier mutant has spoilt the check {check!r}: {complaint}")
        return bool(complaint)

    def _expect(self, example: Example, check: str) -> None:
        if check in _ORDER:
            example.expected[check] = example.differences(_ORDER[check])
        elif check == "added":
            example.expected[check] = [2 * g for g in example.gradients()]
            example.again = example.apply(example.leaves)
        elif check == "alone" and len(example.points) > 1:
            example.expected[check] = example.gradients()
            for i, x in enumerate(example.points):
                leaf = Tensor(x, requires_grad=True)
                mixed: list[Any] = [*example.points[:i], leaf, *example.points[i + 1 :]]
                example.alone.append((leaf, example.apply(mixed)))

    def applies(self, check: str) -> bool:
        """Whether the case asks for derivatives of that order."""
        return self.case.order >= _ORDER.get(check, 1)

    def verdict(self, check: str) -> str:
        """Run one check on every example; return what it says, or nothing if all is well.

        first, second, third: the gradient of that order is that of differences. edges: at kinks
        and limits the gradient is the one that the case states; curvatures: the second derivatives
        are. recorded: the recorded backward
        pass gives what the plain one does. alone: so does a pass where only one of several
        arguments is differentiated. added: the gradients of two calls are added up. dtype:
        gradients of float32 are float32. error: the first or the edges raised an exception.
        """
        for example in self.usable[check]:
            complaint = self._complaint(example, check)
            if complaint:
                return complaint
        return ""

    def _complaint(self, example: Any, check: str) -> str:
        if check == "edges":
            return self._edge(*example)
        if check == "curvatures":
            return self._curvature(*example)
        if check == "dtype":
            return self._dtype(example)
        if check == "recorded":
            return self._recorded(example)
        if check == "added":
            return self._added(example)
        return self._alone(example) if check == "alone" else self._slope(example, check)

    def _edge(self, example: Example, expected: list[Any]) -> str:
        for record in (False, True):
            try:
                found = example.gradients(record=record)
            except refusal(expected):
                continue
            if refusal(expected):
                return f"expected {expected[0].__name__}, got {found}"
            for got, e in zip(found, expected, strict=True):
                if got.shape != np.shape(e) or not np.allclose(got, e, 1e-9, 1e-12, equal_nan=True):
                    return f"expected {e}, got {got} for {example.args}"
        return ""

    def _curvature(self, args: Any, options: Any, f: Any, expected: Any) -> str:
        try:
            check_curvature(Subject(self.op, args, options), f, expected)
        except GradientError as error:
            return str(error)
        return ""

    def _slope(self, example: Example, check: str) -> str:
        expected, tolerance = example.expected[check]
        if not tolerance < 0.01 * (1 + abs(expected)):
            return f"the differences do not converge: a kink or jump is near {example.args}"
        got = example.slope(_ORDER[check])
        if abs(got - expected) <= tolerance:
            return ""
        return f"expected {expected:.9g} by differences, got {got:.9g}"

    def _recorded(self, example: Example) -> str:
        plain, recorded = example.gradients(), example.gradients(record=True)
        return "" if _agree(plain, recorded, 1e-9) else f"plain {plain}, recorded {recorded}"

    def _dtype(self, example: Example) -> str:
        try:
            check_dtype(Subject(self.op, example.args, example.options))
        except GradientError as error:
            return str(error)
        return ""

    def _alone(self, example: Example) -> str:
        for i, (leaf, ys) in enumerate(example.alone):
            got = pull_back(ys, example.weights[0], [leaf], retain=True) if ys else [None]
            grad = np.zeros(leaf.shape) if got[0] is None else got[0]
            if not _agree([grad], [example.expected["alone"][i]], 1e-9):
                return f"argument {i} alone: expected {example.expected['alone'][i]}, got {grad}"
        return ""


    def _added(self, example: Example) -> str:
        parts = pull_back([*example.ys, *example.again], 2 * example.weights[0], example.leaves,
                          retain=True)
        got = [np.zeros(x.shape) if p is None else p
               for x, p in zip(example.points, parts, strict=True)]
        expected = example.expected["added"]
        return "" if _agree(got, expected, 1e-9) else f"two calls: expected {expected}, got {got}"


def _agree(a: list[Array], b: list[Array], tolerance: float) -> bool:
    return all(x.shape == y.shape and np.allclose(x, y, tolerance, tolerance, equal_nan=True)
               for x, y in zip(a, b, strict=True))


# from checks to verdicts

@dataclass
class Outcome:
    """The verdict on a mutant."""

    id: str
    unit: str
    ops: list[str]
    category: str
    diff: str
    place: str
    killed_by: str = ""
    op: str = ""
    message: str = ""
    equivalent: str = ""
    problem: str = ""

    @property
    def survived(self) -> bool:
        """Whether no check killed it and no reason excuses it."""
        return not self.killed_by and not self.equivalent


def judge(unit: Unit, excused: dict[tuple[str, str], str],
          trials: Callable[[int], Sequence[Trial]]) -> list[Outcome]:
    """Try every mutant of a unit, the cheap checks first.

    `trials(k)` are its ops with a few examples for k = 0, with all for k = 1, and with others
    for k = 2. `excused` gives the reason why a mutant, by unit and diff, is equivalent. Such a
    mutant must survive, and give the gradients of the unchanged rule on the other examples too.
    """
    outcomes = {m: Outcome(m.id, unit.name, unit.ops, m.category, m.diff, m.place)
                for m in unit.mutants}
    left = list(unit.mutants)
    with _quiet():
        for effort in (0, 1):
            for check in CHECKS[1:]:
                for trial in trials(effort) if left else ():
                    trial.prepare(check)
                    if trial.is_spoilt(check):
                        continue
                    left = [m for m in left if not _killed(unit, m, trial, check, outcomes[m])]
        for mutant, outcome in outcomes.items():
            reason = excused.get((unit.name, mutant.diff), "")
            if reason and outcome.killed_by:
                outcome.problem = f"is listed as equivalent, but {outcome.killed_by} kills it"
            elif reason:
                outcome.equivalent = reason
                outcome.problem = _refuted(unit, mutant, trials(2))
    return list(outcomes.values())


def _killed(unit: Unit, mutant: Mutant, trial: Trial, check: str, outcome: Outcome) -> bool:
    complaint = ""
    with planted(unit, mutant):
        try:
            with _patience():
                complaint = trial.verdict(check)
        except Exception as error:  # a rule with a fault in it may raise anything
            complaint = f"{type(error).__name__}: {error}"
            check = "error" if check in ("edges", "first") else check
    if complaint:
        outcome.killed_by, outcome.op, outcome.message = check, trial.name, complaint[:300]
    return bool(complaint)


def _refuted(unit: Unit, mutant: Mutant, trials: Sequence[Trial]) -> str:
    """Say where a mutant that is held to be equivalent differs from the unchanged rule."""
    for trial in trials:
        for example in trial.examples:
            right = _every_pass(example, trial.case.order)
            with planted(unit, mutant):
                try:
                    same = _agree(_every_pass(example, trial.case.order), right, 1e-12)
                except Exception:
                    same = False
            if not same:
                return f"is listed as equivalent, but differs for {trial.name}{example.args}"
    return ""


def _every_pass(example: Example, order: int) -> list[Array]:
    return (example.gradients() + example.gradients(record=True)
            + (example.gradients(2) if order > 1 else []))


@contextmanager
def _patience() -> Iterator[None]:
    """Raise TimeoutError in a block that does not end, where the system has alarms."""
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: Any) -> None:
        raise TimeoutError(f"no result after {_PATIENCE:.0f} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
