"""The report of a failed check: which number is wrong, by which rule, and how to see it again."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from importlib.machinery import PathFinder
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from ..tape.source import written_out
from ..tensor import values
from ..tree import flatten

ORACLE, RAISED = "its oracle", "raised an error"
_LONGEST = 20  # lines of a function that is written out: a report is one screen
ENGINE = Path(__file__).parents[1]


class NotCheckable(TypeError):
    """A function whose result cannot be differentiated at all."""


@dataclass
class Subject:
    """The subject of a check: f at the inputs, the order, and the call that asks for it."""

    f: Callable[..., Any]
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    order: int = 2
    seed: int = 0
    call: str = "gradcheck"
    oracle: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if self.order < 1:
            raise ValueError(f"{self.call}: order must be at least 1, got {self.order}")

    @property
    def functions(self) -> list[tuple[Any, str]]:
        """The functions of the call, each with a name for want of another one."""
        if self.call == "check_vjp":
            return [(self.f.forward, "f"), (self.f.rule, "vjp")]  # type: ignore[attr-defined]
        return [(self.f, "f")]

    @property
    def name(self) -> str:
        """The name of the function or op."""
        return str(getattr(self.f, "name", None) or getattr(self.f, "__name__", repr(self.f)))

    def labels(self) -> list[str]:
        """Return a name for each input: that of the parameter which takes it, if there is one."""
        names = list(getattr(self.f, "arrays", ()))
        if not names and not hasattr(self.f, "arrays"):
            try:
                parameters = inspect.signature(self.functions[0][0]).parameters.values()
            except (TypeError, ValueError):
                parameters = ()  # type: ignore[assignment]
            names = [p.name for p in parameters if p.kind <= p.POSITIONAL_OR_KEYWORD]
        taken = {"np", self.name, *self.options}
        return [f"{n}_" if n in taken else n for n in names[: len(self.inputs)]] + [
            f"x{i}" for i in range(len(names), len(self.inputs))]

    def paths(self) -> list[str]:
        """Return where in the inputs each array that is differentiated by stands: `p['w']`."""
        return [path for label, x in zip(self.labels(), self.inputs, strict=True)
                for path, leaf in _leaves(label, x)
                if isinstance(leaf, float) or (getattr(leaf, "dtype", None) is not None
                and leaf.dtype.kind == "f")]


def _leaves(path: str, tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a tree with their paths, in the order of `flatten`."""
    if isinstance(tree, (tuple, list)):
        inner: Any = [(f"[{i}]", part) for i, part in enumerate(tree)]
    elif isinstance(tree, dict):
        inner = [(f"[{key!r}]", tree[key]) for key in sorted(tree, key=repr)]
    elif is_dataclass(tree) and not isinstance(tree, type):
        inner = [(f".{f.name}", getattr(tree, f.name)) for f in fields(tree)
                 if hasattr(tree, f.name)]
    else:
        yield path, values(tree)
        return
    for step, part in inner:
        yield from _leaves(path + step, part)


class GradientError(AssertionError):
    """A gradient is wrong. Its attributes are the parts of its message."""

    subject: Subject | None = None

    def __init__(self, check: str, order: int = 1, *, argument: int | None = None,
                 index: tuple[int, ...] | None = None, x: float | None = None, expected: Any = None,
                 got: Any = None, tolerance: float = 0.0, note: str = "",
                 of: str = "") -> None:
        super().__init__(check, order)
        self.check, self.order, self.argument, self.index = check, order, argument, index
        self.x, self.expected, self.got = x, expected, got
        self.tolerance, self.note, self.of = float(tolerance), note, of

    def __str__(self) -> str:
        parts = [f"order {self.order}"]
        if self.argument is not None:
            parts.append(f"argument {self.argument}"
                         + (self._name(" ({})") if self.index is None else ""))
        if self.index is not None:
            where = "element" if self.argument is not None else "result's element"
            number = "" if self.x is None else f" = {self.x:.12g}"
            parts.append(f"{where} {self.index}{number}{self._name(' of {}')}")
        summary = f"{', '.join(parts)}: {self._values()}"
        if self.subject is None:
            return summary
        rule = getattr(self.subject.f, "derivation", "")
        return "\n\n".join(part for part in (
            f"{self.subject.name}: {summary}", rule and "Its derivation:\n" + _indented(rule),
            "To see it again:\n" + _indented(program(self.subject, self.check == ORACLE))) if part)

    def _name(self, text: str) -> str:
        """Return the text with the argument's name: arguments are counted by their arrays."""
        known = [] if self.subject is None else self.subject.paths()
        i = -1 if self.argument is None else self.argument
        return text.format(known[i]) if 0 <= i < len(known) else ""

    def _values(self) -> str:
        if self.expected is None:
            return f"{self.check}: {self.note}"
        e, a = float(self.expected), float(self.got)
        error = abs(a - e)
        relative = f", relative {error / abs(e):.2e}" if e else ""
        return (f"expected {e:.12g} by {self.check}{self.of}, got {a:.12g} (error {error:.2e}"
                f"{relative}, tolerance {self.tolerance:.2e})"
                + (f"; {self.note}" if self.note else ""))


def explained(subject: Subject, check: Callable[[Subject], None]) -> None:
    """Run the check; a failure names the subject, with its input made as small as it gets.

    Inside a property test of Hypothesis, which makes inputs small itself, the failure stays as it
    is, but is raised from one line: so Hypothesis takes several checks that fail for one failure.
    """
    __tracebackhide__ = True
    error = failure_of(subject, check)
    if error is None:
        return
    hypothesis = sys.modules.get("hypothesis")
    if hypothesis is None or not hypothesis.currently_in_test_context():
        error = smallest(error, check)
    raise error.with_traceback(None) from None


def failure_of(subject: Subject, check: Callable[[Subject], None]) -> GradientError | None:
    """Return the failure of a check, or of the function itself, which raised an error; or None."""
    try:
        check(subject)
    except GradientError as error:
        failure = error
    except Exception as error:
        if isinstance(error, NotCheckable) or _steers_a_test(error):
            raise
        failure = GradientError(RAISED, note=_words(error))
    else:
        return None
    failure.subject, failure.__context__ = subject, None
    return failure


def _steers_a_test(error: Exception) -> bool:
    """Whether an error is an `assume` that does not hold, or a test that is skipped."""
    return any(kind.__name__ in ("HypothesisException", "SkipTest") for kind in type(error).__mro__)


def _words(error: Exception) -> str:
    """Return an error's type and message, and the line that it was raised in: not the engine's."""
    first: BaseException = error
    while first.__cause__ is not None:
        first = first.__cause__
    frames = traceback.extract_tb(first.__traceback__)
    outside = [f for f in frames if not Path(f.filename).is_relative_to(ENGINE)] or frames
    where = [f"{f.filename}, line {f.lineno}, in {f.name}: {f.line}" for f in outside[-1:]]
    return "\n    ".join([f"{type(error).__name__}: {error}", *where])


def smallest(error: GradientError, check: Callable[[Subject], None], seconds: float = 3.0,
             tries: int = 500) -> GradientError:
    """Return the failure of the same check at a simpler input: rows dropped, numbers rounded."""
    until = monotonic() + seconds
    progress = True
    while progress:
        progress = False
        assert error.subject is not None
        for inputs in simpler(error.subject.inputs):
            tries -= 1
            if tries < 0 or monotonic() > until:
                return error
            try:
                found = failure_of(replace(error.subject, inputs=inputs), check)
            except Exception:  # an input that cannot be checked
                continue
            if found is not None and _alike(found, error):
                error, progress = found, True
                break
    return error


def _alike(a: GradientError, b: GradientError) -> bool:
    """Whether two failures are of one kind: a number may not become a kink or a NaN."""
    def kind(e: GradientError) -> tuple[Any, ...]:
        finite = e.expected is None or [bool(np.isfinite(v)) for v in (e.expected, e.got)]
        note = (e.note.partition(":")[0], e.note.rpartition("\n")[2]) if (
            e.check == RAISED) else e.note
        return e.check, e.order, note, finite

    return kind(a) == kind(b)


def simpler(inputs: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield inputs that are a step simpler: fewer rows first, then plainer numbers."""
    leaves, rebuild = flatten(inputs)
    arrays = [i for i, x in enumerate(leaves) if isinstance(x, np.ndarray)]
    for change in (_fewer_rows, _plainer_numbers):
        for new in change([leaves[i] for i in arrays]):
            changed = list(leaves)
            for i, x in zip(arrays, new, strict=True):
                changed[i] = x
            yield rebuild(changed)


def _fewer_rows(xs: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yield xs less a half, a quarter, ... of the axes of one length: aligned, all, or one."""
    for n in sorted({n for x in xs for n in x.shape if n > 1}, reverse=True):
        places = [(i, a) for i, x in enumerate(xs) for a in range(-x.ndim, 0) if x.shape[a] == n]
        aligned = [[p for p in places if p[1] == a] for a in {a for _, a in places}]
        for count in [k for k in (n // 2, n // 4, n // 8, 1) if k > 1 or (k and n <= 16)]:
            for start in range(0, n - count + 1, count):
                for group in (*aligned, places, *[[p] for p in places]):
                    new = list(xs)
                    for i, axis in group:
                        new[i] = np.delete(new[i], slice(start, start + count), axis)
                    yield new


def _plainer_numbers(xs: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yield xs with numbers 1 or 0, or rounded: those of an array together, then one by one."""
    for i, x in enumerate(xs):
        if x.dtype.kind != "f":
            continue
        choices = [np.ones_like(x), np.zeros_like(x), np.round(x), np.round(x, 1), np.round(x, 2)]
        for rank, new in enumerate(choices):
            places = [..., *np.ndindex(x.shape)] if x.size <= 64 else [...]
            for place in places:
                if not np.all(_plainness(x[place]) <= rank):
                    changed = np.array(x)
                    changed[place] = new[place]
                    yield [*xs[:i], changed, *xs[i + 1 :]]


def _plainness(x: Any) -> Any:
    """Return the first of the choices above that leaves x as it is, 5 if none does."""
    tests = [x == 1, x == 0, np.round(x) == x, np.round(x, 1) == x, np.round(x, 2) == x]
    return np.select(tests, range(5), 5)


def program(subject: Subject, value_only: bool = False) -> str:
    """Return lines of Python that run the failing check again, or print the wrong value."""
    lines = ["import numpy as np"]
    lines += [] if value_only else [f"from autograd.testing import {subject.call}"]
    found = [_import_line(f, spare) for f, spare in subject.functions]
    name, call = found[0][1], [name for _, name in found]
    text = "\n".join(origin for origin, _ in found)
    for line in ("import runpy", "import numpy as np"):  # each once, above
        lines = [line] * (line in text and line not in lines) + lines
        text = re.sub(f"^{line}\n", "", text, flags=re.M)
    lines += [text]
    defined = {*re.findall(r"^(?:def )?(\w+)(?: = |\()", text, re.M)}
    body = []
    labels = [f"{label}_" if label in defined else label for label in subject.labels()]
    for label, x in zip(labels, subject.inputs, strict=True):
        plain = isinstance(x, (int, float, str, type(None)))
        call.append(literal(x) if plain else label)
        body += [] if plain else [f"{label} = {literal(x)}"]
    call += [f"{key}={literal(value)}" for key, value in subject.options.items()]
    if value_only:
        return "\n".join([*lines, "", *body, f"print({name}({', '.join(call[1:])}))"])
    call += [] if subject.call == "check_vjp" else [f"order={subject.order}"]
    call += [f"seed={subject.seed}"] if subject.seed else []
    return "\n".join([*lines, "", *body, f"{subject.call}({', '.join(call)})"])


def _import_line(f: Any, spare: str) -> tuple[str, str]:
    """Return the line that imports or explains f, and the name it then has."""
    if hasattr(f, "source"):
        return f.source(), spare
    inner = getattr(f, "forward", f)
    home, name = getattr(inner, "__module__", "") or "", getattr(inner, "__name__", spare)
    for module in ("autograd", home):
        for known, x in list(vars(sys.modules.get(module, object)).items()):
            if x is f or unwrapped(x) is f:
                return _load(module, known), known
    name = name if name.isidentifier() else spare
    try:
        where = f"{inspect.getsourcefile(inner)}, line {inspect.getsourcelines(inner)[1]}"
    except (OSError, TypeError):
        where = "your code"
    try:
        text = "\n".join(written_out(f, name))
    except (ValueError, SyntaxError, TypeError, OSError):
        text = ""
    written = [text] * (0 < len(text.splitlines()) <= _LONGEST)
    return "\n".join([f"# {name}: see {where}", *written]), name


def unwrapped(f: Any) -> Any:
    """Return the function that `@gradcheck` made a test or a checking function of, or f itself."""
    return vars(f).get("checked", f) if inspect.isfunction(f) else f


def _load(module: str, name: str) -> str:
    """Return the line that brings a name from a module; from its file where it is no package's."""
    top, path = module.partition(".")[0], getattr(sys.modules[module], "__file__", None)
    alone = module == "__main__" or module.rpartition(".")[2].startswith(("test_", "conftest"))
    if path is None or not (alone or PathFinder.find_spec(top) is None):
        return f"from {module} import {name}"
    return f"import runpy\n{name} = runpy.run_path({str(Path(path).absolute())!r})[{name!r}]"


def literal(x: Any) -> str:
    """Return Python code for x; numbers as repr writes them, which reads back to the same bits.

    >>> print(literal([np.array([0.1, np.inf]), {"w": np.zeros((0, 2))}]))
    [np.array([0.1, np.inf]), {'w': np.zeros((0, 2))}]
    """
    x = values(x)
    if isinstance(x, np.ndarray):
        dtype = "" if x.dtype == float else f", dtype=np.{x.dtype.name}"
        if not x.size:
            return f"np.zeros({x.shape}{dtype})"
        code = f"np.array({_named(x.tolist())}{dtype})"
        if x.flags.c_contiguous:
            return code
        return (f"np.asfortranarray({code})" if x.flags.f_contiguous
                else f"np.repeat({code}, 2, -1)[..., ::2]")
    if isinstance(x, dict):
        return "{" + ", ".join(f"{k!r}: {literal(v)}" for k, v in x.items()) + "}"
    if type(x) in (list, tuple):
        inner = ", ".join(map(literal, x)) + ("," if isinstance(x, tuple) and len(x) == 1 else "")
        return f"[{inner}]" if isinstance(x, list) else f"({inner})"
    if isinstance(x, type):
        return f"np.{x.__name__}" if x.__module__ == "numpy" else x.__name__
    if type(x) is float:
        return _named(x)
    return f"np.{x!r}" if isinstance(x, np.dtype) else repr(x)


def _named(numbers: Any) -> str:
    return repr(numbers).replace("nan", "np.nan").replace("inf", "np.inf")


def _indented(text: str) -> str:
    return "\n".join("    " + line if line else line for line in text.splitlines())
