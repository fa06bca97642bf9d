"""Random functions made of ops: they compute and print the same, and shrink to one op."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings

import autograd as ag
from autograd import registry
from autograd.testing import (
    GradientError,
    expressions,
    gradcheck,
)
from autograd.testing.expression import SMOOTH, Expression


@given(f=expressions(max_ops=8))
def test_expressions_compute_what_they_print(f: Expression) -> None:
    y = f(*f.inputs)
    assert np.isfinite(y).all() and (np.abs(y) <= 10).all()
    scope: dict[str, Any] = {}
    exec(f.source(), scope)
    assert np.array_equal(scope["f"](*f.inputs), y)
    assert all(f"x{i}" in repr(f) for i in range(len(f.inputs)))


def test_every_smooth_op_comes_up() -> None:
    seen = set()

    @settings(max_examples=400, database=None, derandomize=True)
    @given(f=expressions())
    def collect(f: Expression) -> None:
        seen.update(step.op.name for step in f.steps)

    collect()
    assert seen == {name for name in SMOOTH if name in registry}


def test_expressions_of_chosen_ops() -> None:
    f = find(expressions(ops=["multiply", ag.tanh]), lambda f: len(f.steps) == 3)
    assert {step.op.name for step in f.steps} <= {"multiply", "tanh"}


@pytest.mark.parametrize("name, rules", [
    ("tanh", [lambda g, y: g * (1 + y * y)]),
    pytest.param("multiply", [lambda g, b: g * b, lambda g, a: g * ag.sqrt(a * a + 0.01)],
                 marks=pytest.mark.long),
    pytest.param("erf", [lambda g, x: g], marks=pytest.mark.long),
])
def test_a_wrong_rule_shrinks_to_one_op(name: str, rules: Any,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    op = registry[name]
    for attribute in ("rules", "joint"):
        monkeypatch.setattr(op, attribute, getattr(op, attribute))
    op.vjp(*rules)

    @settings(max_examples=500, database=None, derandomize=True)
    @given(f=expressions())
    def chains(f: Expression) -> None:
        gradcheck(f, *f.inputs)

    with pytest.raises(GradientError) as caught:
        chains()
    subject = caught.value.subject
    assert subject is not None and isinstance(subject.f, Expression)
    assert [step.op.name for step in subject.f.steps] == [name], repr(subject.f)
    assert f"{subject.f!r}" in str(caught.value)


def grown() -> Expression:
    f = Expression([np.array([0.5, 1.0]), np.array([2.0, -1.0]), np.array(3.0)])
    assert f.append(registry["multiply"], (0, 0)) and f.append(registry["add"], (3, 1))
    assert f.append(registry["tanh"], (2,)) and f.append(registry["sum"], (4,), {"axis": 0})
    return f


def test_values_used_twice_have_a_line_of_their_own() -> None:
    f = Expression([np.ones(2)])
    f.append(registry["tanh"], (0,))
    f.append(registry["multiply"], (1, 1))
    f.append(registry["subtract"], (2, 0))
    assert f.lines() == ["t1 = tanh(x0)", "y = (t1 * t1) - x0"]
    assert f.source().startswith("from autograd import tanh\n\ndef f(x0):\n    t1 = ")


def test_steps_and_inputs_that_are_not_needed_go() -> None:
    f = grown().pruned()
    assert repr(f) == "y = sum((x0 * x0) + x1, axis=0)" and len(f.inputs) == 2
    assert float(f(*f.inputs)) == float(grown()(*grown().inputs)) == 2.25


@pytest.mark.parametrize("name, operands", [
    ("log", (1,)), ("divide", (0, 2)), ("exp", (3,)), ("matmul", (0, 4))])
def test_a_step_that_is_undefined_nearby_or_large_is_refused(
        name: str, operands: tuple[int, ...]) -> None:
    f = Expression([np.array([1.0]), np.array([-1.0]), np.array([0.01]), np.array([9.0]),
                    np.ones((2, 2))])
    assert not f.append(registry[name], operands)
    assert f.steps == [] and f.append(registry["sin"], (0,))
