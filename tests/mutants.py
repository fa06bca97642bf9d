"""Ops whose rules are to be mutated, and their mutants."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd import Tensor, primitive, pull_back
from autograd.testing.mutate.plant import Unit, find_units, mutate
from autograd.testing.opcase import OpCase
from autograd.testing.strategies import one, reals, shapes

POSITIVE = OpCase(one(reals(shapes(least=1), 0.5, 2.0)), np.square)


def square(rule: Any) -> Any:
    @primitive
    def _square(x: Any, /) -> Any:
        return x * x

    _square.vjp(rule)
    return _square


def unit_of(name: str) -> Unit:
    unit = next(unit for unit in find_units() if unit.name == name)
    mutate(unit)
    return unit


def diffs(name: str) -> set[str]:
    return {mutant.diff for mutant in unit_of(name).mutants}


def pulled(op: Any, x: float) -> float:
    leaf = Tensor(x, requires_grad=True)
    return float(pull_back([op(leaf)], [np.ones(())], [leaf])[0])
