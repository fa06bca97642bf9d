"""Checks of an op beyond its gradients: values, dtypes, the record, stated edges."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import composite, nondifferentiable, primitive, registry
from autograd.primitive import Op
from autograd.tensor import values
from autograd.testing import GradientError, OpCase, arrays, check_op, gradcheck
from autograd.testing.cases import CASES
from autograd.testing.check import effort
from autograd.testing.opchecks import on_tape, results

X = np.array([[0.3, -1.2, 0.7], [2.0, 0.9, -0.4]])


def sine(rule: Callable[..., Any], forward: Callable[..., Any] = np.sin) -> Op:
    op = primitive(lambda x, /: forward(x))
    op.vjp(rule)
    return op


def test_values_are_held_against_the_oracle() -> None:
    right = sine(lambda g, x: g * ag.cos(x))
    check_op(right, inputs=arrays(), oracle=np.sin)
    with pytest.raises(GradientError, match="its oracle"):
        check_op(right, inputs=arrays(), oracle=np.tan)
    with pytest.raises(GradientError, match=r"expected float32\[\], got float64\[\]"):
        check_op(right, inputs=arrays(()), oracle=lambda x: np.sin(x).astype(np.float32))
    with pytest.raises(GradientError, match=r"expected 2 results, got 1"):
        check_op(right, inputs=arrays(()), oracle=lambda x: (x, x))


def test_what_has_no_derivative_must_leave_the_tape() -> None:
    check_op(nondifferentiable(lambda x, /: np.sign(x)), inputs=arrays(), oracle=np.sign)
    with pytest.raises(GradientError, match="returns plain arrays"):
        check_op(nondifferentiable(lambda x, /: ag.Tensor(x)), inputs=arrays())


def test_nothing_is_recorded_without_need() -> None:
    def stubborn(x: Any, /) -> Any:
        with ag.tensor.recording(True):
            return ag.tanh(x)

    with pytest.raises(GradientError, match="recorded all the same"):
        check_op(composite(stubborn))


def test_stated_edges_are_held() -> None:
    right = (np.array([0.0]),), {}, np.array([1.0]), [np.array([0.0])]
    wrong = (np.array([0.0]),), {}, np.array([1.0]), [np.array([0.5])]
    away = arrays((2,), away_from=[0.0]).map(lambda x: ((x,), {}))
    check_op(ag.absolute, OpCase(away, np.absolute, edges=(right,)))
    with pytest.raises(GradientError, match="a stated edge"):
        check_op(ag.absolute, OpCase(away, np.absolute, edges=(wrong,)))


def test_a_stated_refusal_is_held() -> None:
    @primitive
    def _root(x: Any, /) -> Any:
        return np.sqrt(x)

    @_root.vjp
    def _(g: Any, y: Any) -> Any:
        if not np.all(values(y)):
            raise ZeroDivisionError
        return g / (2 * y)

    def refused(x: float, error: type) -> OpCase:
        drawn = arrays((2,), away_from=[0.0]).map(lambda x: ((np.abs(x),), {}))
        return OpCase(drawn, np.sqrt, edges=(((np.array([x]),), {}, np.ones(1), [error]),))

    check_op(_root, refused(0.0, ZeroDivisionError))
    with pytest.raises(GradientError, match="ZeroDivisionError"):
        check_op(_root, refused(0.0, ValueError))
    with pytest.raises(GradientError, match="a stated edge"):
        check_op(_root, refused(1.0, ZeroDivisionError))


@pytest.mark.parametrize("make, message", [
    (lambda: sine(lambda g, x: g * ag.cos(x) * np.float64(1)),
     "a gradient from its rule is float64"),
    (lambda: sine(lambda g, x: g * ag.cos(x), lambda x: np.sin(x) * np.float64(1)),
     "a result is float64"),
])
def test_only_the_dtype_shows_it(make: Callable[[], Op], message: str,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GradientError, match=message):
        gradcheck(make(), X)
    monkeypatch.setattr(sys.modules["autograd.testing.gradcheck"], "check_dtype", lambda *_: None)
    gradcheck(make(), X)


def test_a_rule_that_loses_its_digits_in_float32_is_seen() -> None:
    def rule(g: Any, x: Any) -> Any:
        lost = values(x).dtype.type(1e8)
        return g * ((ag.cos(x) + lost) - lost) if lost.itemsize == 4 else g * ag.cos(x)

    with pytest.raises(GradientError, match=r"(?s)expected about .* in float32"):
        gradcheck(sine(rule), X)


def test_the_message_on_dtypes_names_cause_and_remedy() -> None:
    make = sine(lambda g, x: g * ag.cos(x) * np.float64(1))
    with pytest.raises(GradientError, match=(
            r"(?s)of float32 arguments a gradient from its rule is float64; the rule uses an array "
            r"or NumPy scalar .* np.sqrt\(2\) .* write a Python number.* dtype=x.dtype")):
        gradcheck(make, X)
    with pytest.raises(GradientError, match="a result is float64; the op uses an array"):
        gradcheck(sine(lambda g, x: g * ag.cos(x), lambda x: np.sin(x) * np.float64(1)), X)


def test_digits_that_float64_loses_too_are_no_fault_of_float32() -> None:
    """The gradient is 0, the difference of terms that are as large as 1 / |x|."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a = 10 ** rng.uniform(-6, 0, (2, 2, 1)) * rng.choice([-1.0, 1.0], (2, 2, 1))
        gradcheck(registry["cosine_similarity"], a, rng.uniform(-1, 1, (2, 2, 2)), order=1)


def half_wrong(g: Any, x: Any) -> Any:
    """2 g x, by a square that overflows in float16."""
    big = values(x).dtype.type(4e4)
    return 2 * g * x * (big * big / big / big if values(x).dtype == np.float16 else 1)


def test_float16_is_checked_where_the_profile_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    op = primitive(lambda x, /: x * x)
    op.vjp(half_wrong)
    gradcheck(op, X)
    monkeypatch.setattr(effort, "half", True)
    with pytest.raises(GradientError, match="in float16"):
        gradcheck(op, X)
    gradcheck(ag.linalg.det, X @ X.T + np.eye(2))  # LAPACK has no float16


@pytest.mark.parametrize("name", ["softmax", "sinc", "_sinc_derivative", "var", "partition"])
def test_right_rules_pass_in_float16(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "half", True)
    check_op(name, CASES[name])


def test_results_are_listed_however_they_are_nested() -> None:
    assert results(1.0) == [1.0] and results([1, (2, [3])]) == [1, 2, 3]
    assert results({"a": 1, "b": (2, 3)}) == [1, 2, 3]


def test_floating_arrays_become_leaves() -> None:
    ids = np.array([1, 0])
    (made, same, text), leaves = on_tape(((X, X[0]), ids, "text"), np.float32)
    assert [x.shape for x in leaves] == [(2, 3), (3,)] and same is ids and text == "text"
    assert made[0] is leaves[0] and all(x.requires_grad and x.dtype == np.float32 for x in leaves)
