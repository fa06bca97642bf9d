"""Inputs are found for the engine's ops and for new ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import find

import autograd as ag
from autograd import primitive
from autograd.testing import check_op, op_inputs
from autograd.testing.cases import CASES


def test_inputs_of_an_op_with_a_case() -> None:
    (a, b), options = find(op_inputs("matmul"), lambda _: True)
    assert ag.matmul(a, b, **options) is not None
    assert op_inputs(ag.matmul) is op_inputs("matmul") is CASES["matmul"].inputs
    with pytest.raises(KeyError, match="unheard_of"):
        op_inputs("unheard_of")


def test_inputs_of_an_op_without_a_case() -> None:
    @primitive
    def solve_upper(a: Any, b: Any, /) -> Any:
        if a.ndim != 2 or a.shape[0] != a.shape[1] or b.ndim != 2:
            raise ValueError("expected a square a and a matrix b")
        return a @ b

    solve_upper.vjp(lambda g, b: g @ ag.transpose(b), lambda g, a: ag.transpose(a) @ g)
    check_op(solve_upper)
    assert find(op_inputs(solve_upper), lambda drawn: drawn[0][0].shape == (3, 3))
    logarithm = primitive(lambda x, /: np.log(x))
    logarithm.vjp(lambda g, x: g / x)
    check_op(logarithm)
    distance = primitive(lambda a, b, /, power=1: np.abs(a - b) ** power)
    distance.vjp(lambda g, a, b, power: g * ag.sign(a - b), lambda g, a, b: -g * ag.sign(a - b))
    check_op(distance)  # a kink where a is b, which is kept away


def test_an_op_that_shares_the_name_of_another_has_inputs_of_its_own() -> None:
    @primitive
    def matmul(x: Any, /) -> Any:
        return x

    (x,), options = find(op_inputs(matmul), lambda _: True)
    assert isinstance(x, np.ndarray) and options == {}
