"""An OpCase says how to draw inputs and what comes out; its floating arrays are found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import strategies as st

from autograd import tanh
from autograd.testing import GradientError, OpCase, check_op
from autograd.testing.opcase import floating


def test_floating_arguments_are_those_of_float64() -> None:
    args = (np.ones(2), np.arange(3), 1.0, np.ones(2, np.float32), "text", np.zeros(()), None)
    assert floating(args) == [0, 5] and floating(()) == []


def test_defaults() -> None:
    case = OpCase(st.just(((np.ones(2),), {})), np.tanh)
    assert case.order == 2 and case.edges == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.order = 3  # type: ignore[misc]


def test_all_of_a_case_is_checked() -> None:
    inputs = st.just(((np.array([0.5, -1.0]),), {}))
    edge = ((np.zeros(1),), {}, np.ones(1), [np.ones(1)])
    check_op(tanh, OpCase(inputs, np.tanh, order=3, edges=(edge,)))
    with pytest.raises(GradientError, match="its oracle"):
        check_op(tanh, OpCase(inputs, np.sin))
    with pytest.raises(GradientError, match="a stated edge"):
        check_op(tanh, OpCase(inputs, np.tanh, edges=((*edge[:3], [np.zeros(1)]),)))
