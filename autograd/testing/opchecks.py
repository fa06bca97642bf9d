"""Checks of an op beyond right gradients: its values, its dtypes, what it records."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..backward import pull_back
from ..primitive import Nondifferentiable
from ..tensor import Tensor, no_grad, values
from ..tree import flatten
from .failure import ORACLE, GradientError, Subject


def check_forward(subject: Subject) -> None:
    """Values, shapes and dtypes are the oracle's, and the same on arrays and on Tensors."""
    assert subject.oracle is not None
    expected = results(subject.oracle(*subject.inputs, **subject.options))
    plain = results(subject.f(*subject.inputs, **subject.options))
    lifted = results(subject.f(*on_tape(subject.inputs)[0], **subject.options))
    if not len(plain) == len(expected) == len(lifted):
        raise _failed(ORACLE, f"expected {len(expected)} results, got {len(plain)}")
    for p, e, t in zip(plain, map(np.asarray, expected), lifted, strict=True):
        if (np.shape(p), np.asarray(p).dtype) != (e.shape, e.dtype):
            raise _failed(ORACLE, f"expected {e.dtype}{list(e.shape)}, "
                        f"got {np.asarray(p).dtype}{list(np.shape(p))}")
        if not np.allclose(p, e, rtol=1e-12, atol=1e-12, equal_nan=True):
            error = np.nan_to_num(np.abs(np.subtract(p, e, dtype=float)), nan=np.inf)
            index = tuple(map(int, np.unravel_index(int(error.argmax()), e.shape)))
            raise GradientError(ORACLE, index=index, expected=e[index], got=p[index],
                                tolerance=1e-12 + 1e-12 * abs(float(e[index])))
        if not np.array_equal(p, values(t), equal_nan=e.dtype.kind == "f"):
            raise _failed("arrays and Tensors", "the same call gives another value with Tensors")


def check_tape(subject: Subject) -> None:
    """Nothing is recorded inside no_grad, nor ever by an op without derivative."""
    lifted, leaves = on_tape(subject.inputs)
    if isinstance(subject.f, Nondifferentiable):
        made = results(subject.f(*lifted, **subject.options))
        if any(isinstance(y, Tensor) for y in made):
            raise _failed("no record", "an op without derivative returns plain arrays")
        return
    with no_grad():
        made = results(subject.f(*lifted, **subject.options))
    if any(isinstance(y, Tensor) and y.node is not None and not any(y is x for x in leaves)
           for y in made):
        raise _failed("no record", "inside no_grad() the result is recorded all the same")


def check_dtype(subject: Subject, dtype: Any = np.float32) -> None:
    """float32 in, float32 out: results, gradients, what the rule returns; and nearly the same.

    Of float16 a rule may return more: sums are better taken in float32.
    """
    name = np.dtype(dtype).name
    options = {key: dtype if isinstance(x, type) and x in (float, np.float64) else x
               for key, x in subject.options.items()}
    narrow, leaves = on_tape(subject.inputs, dtype)
    rounded = on_tape(on_tape(subject.inputs, dtype)[0], np.float64)
    with np.errstate(all="ignore"):
        try:
            ys, outer, inner = _gradients(subject, narrow, leaves, options)
        except TypeError as error:
            if "float16" in str(error):  # a library has no routine for it
                return
            raise
        wide, exact, _ = _gradients(subject, *rounded, subject.options)
    inner = inner if name == "float32" else []
    for what, made in (("result", ys), ("gradient from its rule", inner), ("gradient", outer)):
        found = {str(x.dtype) for x in made if x is not None} - {name}
        if found:
            raise _failed("dtype", f"of {name} arguments a {what} is "
                                   f"{' and '.join(sorted(found))}; {_remedy(what)}")
    if not all(_near(values(y), values(e), name, 0.1) for y, e in zip(ys, wide, strict=True)):
        return  # as of a partition, whose order may be another one
    for i, (g, e) in enumerate(zip(outer, exact, strict=True)):
        if e is not None and not _near(values(g), values(e), name) and not (
                _cancelled(subject, rounded[0], i, values(g), values(e), name)):
            raise GradientError("dtype", argument=i, note=f"expected about {e}, got {g} in {name}")


def _cancelled(subject: Subject, inputs: Any, i: int, narrow: Any, wide: Any, name: str) -> bool:
    """Whether float64 loses digits here, too: as many more of a shorter number are then lost."""
    lost = np.zeros(np.shape(wide))
    for k in (-5, -3, 3, 5):
        parts, rebuild = flatten(inputs)
        near = rebuild([part * (1 + k * np.finfo(float).eps) if getattr(
            part, "dtype", None) == np.float64 else part for part in map(values, parts)])
        with np.errstate(all="ignore"):
            moved = _gradients(subject, *on_tape(near), subject.options)[1][i]
        if moved is not None:
            lost = np.maximum(lost, np.abs(values(moved) - wide))
    ratio = float(np.finfo(name).eps) / float(np.finfo(float).eps)
    return narrow is not None and bool((np.abs(narrow - wide) <= 8 * ratio * lost).all())


def _gradients(subject: Subject, inputs: Any, leaves: list[Tensor], options: dict[str, Any],
               ) -> tuple[list[Tensor], list[Any], list[Any]]:
    """Return results, the gradients of a sum of them, and the same as their rules return them."""
    ys = [y for y in results(subject.f(*inputs, **options))
          if isinstance(y, Tensor) and y.node is not None]
    rng = np.random.default_rng(0)  # ones would make the gradients of softmax 0
    gs = [rng.uniform(0.5, 1.5, y.shape).astype(np.float16).astype(y.dtype) for y in ys]
    inner = [part for node, g in zip([y.node for y in ys], gs, strict=True)
             if node is not None and node.op is not None
             for part in node.op.pull(node, g, {p for p in node.parents if p}, False)]
    return ys, pull_back(ys, gs, leaves), inner


def _remedy(what: str) -> str:
    where = "the op" if what == "result" else "the rule"
    return (f"{where} uses an array or NumPy scalar of another dtype, such as np.sqrt(2) or "
            f"np.ones(n), which decides the result's; write a Python number, as float(np.sqrt(2)) "
            f"is, or make the array in the dtype of its operand: np.ones(n, dtype=x.dtype)")


def _near(narrow: Any, wide: Any, name: str, share: float = 1.0) -> bool:
    """Whether half of the digits are right at least: enough to see a wrong sign or factor."""
    if narrow is None or not np.isfinite(wide).all():
        return narrow is not None
    part, least = (0.03, 1e-3) if name == "float32" else (0.2, 0.1)
    size = float(np.abs(wide).max(initial=0)) + least
    near = np.abs(narrow - wide) <= share * part * size
    return bool(near.all() or size > np.finfo(name).max / 10)


def check_edge(subject: Subject, cotangent: Any, expected: Any) -> None:
    """At a kink or a limit the gradients are those that the case states."""
    for record in (False, True):
        lifted, leaves = on_tape(subject.inputs)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the limits that an edge is about
            ys = results(subject.f(*lifted, **subject.options))
            gs = [np.asarray(g, dtype=float) for g in flatten(cotangent)[0]]
            try:
                got = [values(g) for g in pull_back(ys, gs, leaves, record=record)]
            except refusal(expected):
                continue
        if refusal(expected):
            raise GradientError("a stated edge", note=f"expected {expected[0].__name__}, got {got}")
        for i, (x, g, e) in enumerate(zip(leaves, got, flatten(expected)[0], strict=True)):
            g = np.zeros(x.shape) if g is None else g
            if g.shape != np.shape(e) or not np.allclose(g, e, 1e-9, 1e-12, equal_nan=True):
                raise GradientError("a stated edge", argument=i, note=(
                    f"expected {e}, got {g} by the {'recorded' if record else 'plain'} pass"))


def refusal(expected: Any) -> tuple[type[Exception], ...]:
    """Return the exceptions that an edge expects in place of gradients."""
    return tuple(e for e in expected if isinstance(e, type))


def check_curvature(subject: Subject, f: Any, expected: Any) -> None:
    """At a kink or a limit the second derivatives are those that the case states, and symmetric."""
    lifted, leaves = on_tape(subject.inputs)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slopes = pull_back([f(subject.f(*lifted, **subject.options))], [None], leaves, record=True)
        rows = []
        for slope, x in zip(slopes, leaves, strict=True):
            for unit in np.eye(x.size).reshape(x.size, *x.shape):
                parts = [None] * len(leaves) if slope is None or slope.node is None else (
                    pull_back([slope], [unit], leaves, retain=True))
                rows.append(np.concatenate([np.zeros(x.size) if part is None else part.ravel()
                                            for part, x in zip(parts, leaves, strict=True)]))
    got = np.array(rows)
    got[~np.isfinite(got)] = np.nan
    for what, other in ((f"expected {expected}", expected), ("it is not symmetric", got.T)):
        if not np.allclose(got, np.broadcast_to(other, got.shape), 1e-9, 1e-12, equal_nan=True):
            raise GradientError("a stated second derivative",
                                note=f"{what}, got {got.tolist()}")


def results(y: Any) -> list[Any]:
    """Return the results of an op as a list: arrays, Tensors, or numbers and flags."""
    if isinstance(y, dict):
        y = list(y.values())
    return [part for inner in y for part in results(inner)] if isinstance(y, (tuple, list)) else [y]


def on_tape(inputs: Any, dtype: Any = None) -> tuple[Any, list[Tensor]]:
    """Return the inputs with every floating point array as a leaf, and these leaves."""
    parts, rebuild = flatten(inputs)
    chosen = [i for i, x in enumerate(parts) if hasattr(x, "dtype") and x.dtype.kind == "f"]
    for i in chosen:
        x = np.asarray(values(parts[i]))
        parts[i] = Tensor(x if dtype is None else x.astype(dtype), requires_grad=True)
    return rebuild(parts), [parts[i] for i in chosen]


def _failed(check: str, note: str) -> GradientError:
    return GradientError(check, note=note)
