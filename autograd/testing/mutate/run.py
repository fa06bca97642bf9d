"""A run: the rules of the chosen ops, their mutants, one verdict for each."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import importlib.util
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...fused import plain_ops
from ...primitive import Nondifferentiable, registry
from ...tensor import STATE
from ..cases import CASES
from ..opcase import OpCase
from .equivalent import EQUIVALENT
from .plant import Unit, find_units, mutate
from .score import Outcome, Trial, judge

_EFFORT = (0.125, 1, 2)  # times the examples: few kill most mutants; equivalence is tried on more
_MEMORY = 8 << 30  # bytes that a process may take: a fault in a shape may ask for any amount


@dataclass
class Judged:
    """A rule or helper, and the verdicts on its mutants; `why_not` where it has none."""

    name: str
    ops: list[str]
    module: str
    place: str
    why_not: str = ""
    problems: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass
class Report:
    """The verdicts on all mutants."""

    units: list[Judged]
    problems: list[str]
    notes: list[str] = field(default_factory=list)
    """Which of the named ops share a name, and which have no rule."""

    @property
    def outcomes(self) -> list[Outcome]:
        """One outcome for each mutant."""
        return [outcome for unit in self.units for outcome in unit.outcomes]

    @property
    def survivors(self) -> list[Outcome]:
        """The mutants that nothing killed and no reason excuses."""
        return [outcome for outcome in self.outcomes if outcome.survived]


def mutation_score(*ops: str, cases: Mapping[str, OpCase] | None = None,
                   equivalent: Mapping[tuple[str, str], str] | None = None,
                   examples: int = 200, seed: int = 0) -> Report:
    """Return the verdict on every mutant of the ops' rules; of all with a case if none is named.

    `cases` may bring the cases of ops of your own, and `equivalent` gives, by rule and change, the
    reasons why mutants of theirs cannot be killed.

    >>> found = mutation_score("negative", examples=16)
    >>> sorted(f"{mutant.diff}: {mutant.killed_by}" for mutant in found.outcomes)
    ['-g  ->  2 * -g: first', '-g  ->  None: first', '-g  ->  g: first']
    >>> found.survivors
    []
    """
    session = Session(Settings(ops=ops, examples=examples, seed=seed), cases or {},
                      equivalent or {})
    return put_together(session, [session.judge(i) for i in range(len(session.units))])


@dataclass(frozen=True)
class Settings:
    """The settings with which each process finds the same mutants."""

    ops: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    examples: int = 200
    seed: int = 0


class Session:
    """The units of the chosen ops, and the trials of their mutants, made when needed."""

    def __init__(self, settings: Settings, cases: Mapping[str, OpCase] | None = None,
                 equivalent: Mapping[tuple[str, str], str] | None = None) -> None:
        self.settings = settings
        given, self.excused = dict(cases or {}), {**EQUIVALENT, **(equivalent or {})}
        for module in map(_imported, settings.cases):
            given |= module.CASES
            self.excused |= getattr(module, "EQUIVALENT", {})
        self.cases = {**CASES, **given}
        self.chosen = _chosen(settings.ops, given or CASES, self.cases)
        self.units = [u for u in find_units() if not self.chosen.isdisjoint(u.ops)]
        self.notes = _notes(self.chosen, self.units) if settings.ops else []
        self.trials: dict[tuple[str, int, bool], Trial | None] = {}
        self.complaints: dict[str, str] = {}

    def judge(self, index: int) -> Judged:
        """Make and try the mutants of one unit."""
        unit = self.units[index]
        names = sorted((name for name in unit.ops if name in self.cases),
                       key=lambda name: name not in self.chosen)
        mutate(unit)
        result = Judged(unit.name, unit.ops, _module_of(unit), unit.place, unit.why_not)
        if not unit.why_not:
            with plain_ops() if unit.plain else nullcontext():
                usable = bool(self._trials_of(names, 0))
                if usable:
                    result.outcomes = judge(unit, self.excused,
                                            lambda k: self._trials_of(names, k))
            if not usable:
                result.why_not = "no op that runs it has an OpCase that could be drawn from"
            result.problems = self._problems(set(names) & self.chosen)
            if not names:
                result.problems.append(f"{unit.name}: {' and '.join(unit.ops)} has no OpCase")
        unit.mutants = []
        return result

    def _problems(self, names: set[str]) -> list[str]:
        found = [f"{t.name}: {problem}" for (name, *_), t in self.trials.items()
                 if name in names and t is not None for problem in t.problems]
        return found + [f"{n}: {self.complaints[n]}" for n in names if n in self.complaints]

    def _trials_of(self, names: Sequence[str], effort: int) -> list[Trial]:
        return [t for t in (self._trial(name, effort) for name in names) if t is not None]

    def _trial(self, name: str, effort: int) -> Trial | None:
        key = (name, effort, STATE.plain)
        if key not in self.trials:
            count = max(1, round(self.settings.examples * _EFFORT[effort]))
            try:
                trial = Trial(name, registry[name], self.cases[name], count,
                              self.settings.seed + effort)
            except Exception as error:  # a case may be as wrong as a rule
                self.complaints[name] = f"{type(error).__name__}: {error}"
                trial = None
            self.trials[key] = trial
        return self.trials[key]


def _imported(name: str) -> Any:
    """Import a module by its dotted name or its file; it must define CASES."""
    path = Path(name)
    if path.suffix == ".py":
        sys.path.insert(0, str(path.resolve().parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None or not path.exists():
            raise FileNotFoundError(f"{name}: no such file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(name)
    if not hasattr(module, "CASES"):
        raise ValueError(f"{name}: defines no CASES, a dict from the name of an op to its OpCase")
    return module


def _chosen(patterns: Sequence[str], default: Mapping[str, OpCase],
            cases: Mapping[str, OpCase]) -> set[str]:
    everything = [n for n in registry if not isinstance(registry[n], Nondifferentiable)]
    if not patterns:
        return {*default} & {*everything}
    found: set[str] = set()
    for pattern in patterns:
        matching = [n for n in everything if fnmatch.fnmatchcase(n, pattern)
                    or fnmatch.fnmatchcase(registry[n].name, pattern)]
        if not matching:
            near = difflib.get_close_matches(pattern, everything, 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"no differentiable op is named {pattern!r}{hint}")
        found |= {*matching}
    return found


def _notes(chosen: set[str], units: Sequence[Unit]) -> list[str]:
    """Return what is to be said of the ops that were named: which share a name or have no rule."""
    by_name: dict[str, list[str]] = {}
    for n in sorted(chosen):
        by_name.setdefault(registry[n].name, []).append(registry[n].forward.__module__)
    shared = [f"{name} is the name of {len(homes)} ops, of {' and of '.join(homes)}: all are taken"
              for name, homes in by_name.items() if len(homes) > 1]
    with_rules = {op for unit in units for op in unit.ops}
    return shared + [f"{n}, of {registry[n].forward.__module__}, is written in other ops and has "
                     f"no rule of its own: there is nothing in it to mutate"
                     for n in sorted(chosen - with_rules)]


def _module_of(unit: Unit) -> str:
    if unit.functions:
        return unit.functions[0].__module__
    return str(registry[unit.ops[0]].forward.__module__)


def put_together(session: Session, units: list[Judged]) -> Report:
    """Put the verdicts together; ops without a case and stale excuses are problems."""
    problems = list(dict.fromkeys(p for unit in units for p in unit.problems))
    problems += [f"{o.unit}: {o.diff}: {o.problem}" for u in units for o in u.outcomes if o.problem]
    names = {unit.name for unit in units if not unit.why_not}
    met = {(o.unit, o.diff) for unit in units for o in unit.outcomes}
    problems += [f"{unit}: {diff}: is listed as equivalent, but there is no such mutant"
                 for unit, diff in session.excused if unit in names and (unit, diff) not in met]
    return Report(units, problems, session.notes)


# in several processes

_SESSION: Session | None = None


def _begin_worker(settings: Settings) -> None:
    """Prepare a worker: the same session as everywhere, and a limit to its memory."""
    global _SESSION
    try:
        import resource
    except ImportError:  # not on Windows
        pass
    else:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = _MEMORY if hard == resource.RLIM_INFINITY else min(_MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    _SESSION = Session(settings)


def _judge_all(indices: list[int]) -> list[tuple[int, Judged]]:
    assert _SESSION is not None
    return [(i, _SESSION.judge(i)) for i in indices]


def in_parallel(session: Session, jobs: int, tick: Callable[[list[Judged]], Any]) -> Report:
    """Judge every unit in `jobs` processes of their own, and call `tick` as they are done."""
    done: dict[int, Judged] = {}
    context, others = multiprocessing.get_context("spawn"), multiprocessing.active_children()
    with ProcessPoolExecutor(jobs, context, _begin_worker, (session.settings,)) as pool:
        try:
            for future in as_completed([pool.submit(_judge_all, task) for task in _tasks(session)]):
                done |= dict(future.result())
                tick([unit for _, unit in future.result()])
        except BaseException:  # Ctrl-C above all: leaving the block would wait for every task
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                if process not in others:
                    process.terminate()
            raise
    return put_together(session, [done[i] for i in sorted(done)])


def _tasks(session: Session) -> Iterator[list[int]]:
    """Yield the numbers of the units, those of one op together: they share its examples."""
    groups: dict[str, list[int]] = {}
    for i, unit in enumerate(session.units):
        groups.setdefault(unit.ops[0], []).append(i)
    yield from groups.values()
