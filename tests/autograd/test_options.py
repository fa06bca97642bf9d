"""A Tensor in the place of an option is differentiated, or refused: never a constant in silence."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import CASES, floating
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import autograd as ag
from autograd import Tensor, registry
from autograd.tensor import values
from autograd.testing.opchecks import results

REFUSALS = (TypeError, ValueError, IndexError, ZeroDivisionError)


def options_of(name: str) -> list[str]:
    """Return the parameters of an op that are not its first array."""
    op = registry[name]
    return [p for p in inspect.signature(op).parameters
            if p not in op.arrays[:1] and p != op.variadic]


def total(y: Any) -> Any:
    """Return a number that depends on every result, each with a weight of its own."""
    parts = [ag.sum(ag.multiply(y, np.cos(np.arange(y.size)).reshape(y.shape)))
             for y in results(y) if getattr(values(y), "dtype", np.dtype(int)).kind == "f"]
    return sum(parts) if parts else 0.0


def called(name: str, option: str, args: tuple[Any, ...], options: dict[str, Any], v: Any) -> Any:
    """Call the op with v in the place of the option, wherever it was drawn."""
    names = list(inspect.signature(registry[name]).parameters)
    place = names.index(option)
    if option not in options and place < len(args) and not registry[name].variadic:
        return registry[name](*args[:place], v, *args[place + 1 :], **options)
    return registry[name](*args, **{**options, option: v})


FORMS: list[tuple[float, Callable[[Any], Any]]] = [
    (0.37, lambda v: v), (1.0, lambda v: v), (2.0, lambda v: v), (0.37, lambda v: [v]),
    (0.37, lambda v: (v, (0.5, v))), (0.37, lambda v: {"a": v})]


def check_option(name: str, option: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    for value, form in FORMS:
        def f(v: Any, form: Callable[[Any], Any] = form) -> Any:
            return total(called(name, option, args, options, form(v)))

        try:
            got = float(ag.grad(f)(value))
        except REFUSALS as error:
            assert str(error).startswith((f"{registry[name].name}:", "grad:")), error
            continue
        slopes = one_sided(f, value)
        assert slopes, f"{name}: {option}={form(value)} is taken only as a Tensor, with {got}"
        if np.isfinite(slopes).all() and np.abs(slopes).max() < 1e4:  # no pole, and no jump
            assert min(slopes) - 1e-4 <= got <= max(slopes) + 1e-4, (
                name, option, form(value), got, slopes, args, options)


def one_sided(f: Callable[[float], Any], value: float) -> list[float]:
    """Return the difference quotients of the sides on which f takes plain numbers."""
    found = []
    for step in (1e-6, -1e-6):
        try:
            found.append(float((values(f(value + step)) - values(f(value))) / step))
        except REFUSALS:
            continue
    return found


@pytest.mark.parametrize("name", [name for name in sorted(CASES) if options_of(name)])
@settings(max_examples=6, phases=[Phase.generate])
@given(data=st.data())
def test_an_option_is_differentiated_or_refused(name: str, data: st.DataObject) -> None:
    args, options = data.draw(CASES[name].inputs)
    if data.draw(st.booleans()):
        args = tuple(Tensor(x) if i in floating(args) else x for i, x in enumerate(args))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for option in options_of(name):
            check_option(name, option, args, options)
