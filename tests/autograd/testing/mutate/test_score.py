"""Mutants are judged by each check, and excuses are tried."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mutants import POSITIVE, square

import autograd as ag
from autograd import fused, primitive
from autograd.deferred import Deferred
from autograd.testing.mutate import mutation_score
from autograd.testing.mutate.score import Trial, drawn_inputs
from autograd.testing.opcase import OpCase
from autograd.testing.strategies import one, reals, shapes


def test_an_edge_kills_what_no_difference_can_see() -> None:
    @primitive
    def _relu(x: Any, /) -> Any:
        return np.maximum(x, 0)

    _relu.vjp(lambda g, x: g * (x > 0))
    drawn = one(reals(shapes(least=1), 0.5, 2.0).map(lambda x: np.where(x > 0.7, x, -x)))
    case = OpCase(drawn, lambda x: np.maximum(x, 0))
    report = mutation_score("_relu", cases={"_relu": case}, examples=40)
    assert [o.diff for o in report.survivors] == ["g * (x > 0)  ->  g * (x >= 0)"]
    edged = OpCase(drawn, case.oracle, edges=(((np.zeros(1),), {}, np.ones(1), (np.zeros(1),)),))
    report = mutation_score("_relu", cases={"_relu": edged}, examples=40)
    assert not report.survivors
    assert {o.killed_by for o in report.outcomes} >= {"edges", "first"}


def test_what_only_a_stated_second_derivative_shows() -> None:
    @primitive
    def _square(x: Any, /) -> Any:
        return x * x

    _square.vjp(lambda g, x: g * (2 * ag.where(ag.equal(x, 0), x, x)))
    case = OpCase(one(reals(shapes(least=1), 0.5, 2.0)), np.square)
    hidden = {o.diff for o in mutation_score("_square", cases={"_square": case}).survivors}
    stated = OpCase(case.inputs, np.square, curvatures=(
        ((np.zeros(1),), {}, lambda y: y.sum(), 2.0),))
    report = mutation_score("_square", cases={"_square": stated})
    assert hidden - {o.diff for o in report.survivors}
    assert "curvatures" in {o.killed_by for o in report.outcomes}


def test_what_only_one_argument_alone_shows() -> None:
    @primitive
    def _product(a: Any, b: Any, /) -> Any:
        return a * b

    @_product.vjp
    def _(g: Any, a: Any, b: Any, wanted: tuple[bool, bool]) -> tuple[Any, Any]:
        return g * b if wanted[0] else None, g * a if wanted[1] else None

    drawn = reals((2,)).map(lambda x: ((x + 3, 2 * x - 7), {}))
    report = mutation_score("_product", cases={"_product": OpCase(drawn, np.multiply)}, examples=20)
    assert not report.survivors
    assert "alone" in {o.killed_by for o in report.outcomes if "wanted" in o.diff}


def test_what_only_the_sum_of_two_calls_shows() -> None:
    @fused(lambda x, /: x * x)
    def _deferred(x: Any, /) -> Any:
        return x * x, x

    @_deferred.vjp
    def _(g: Any, x: Any) -> Any:
        def write(total: Any, add: bool) -> None:
            if add:
                total += 2 * g * x
            else:
                total[...] = 2 * g * x

        return Deferred(x, write)

    case = OpCase(one(reals((3,))), np.square)
    report = mutation_score("_deferred", cases={"_deferred": case}, examples=20)
    assert [o.diff for o in report.survivors] == [  # of the same shape
        "return Deferred(x, write)  ->  return Deferred(g, write)"]
    killed = {o.diff: o.killed_by for o in report.outcomes}
    for change in ("total -= 2 * g * x", "pass", "total += 3 * g * x"):
        assert killed[f"total += 2 * g * x  ->  {change}"] == "added"


def test_excuses_are_tested() -> None:
    square(lambda g, x: abs(2 * g * x) * (g * x / abs(g * x)))
    excuse = {("_square", "g * x  ->  x * g"): "there is no such mutant"}
    report = mutation_score("_square", cases={"_square": POSITIVE}, equivalent=excuse, examples=20)
    assert any("there is no such mutant" in p for p in report.problems)
    killed = next(o.diff for o in report.outcomes if o.killed_by)
    report = mutation_score("_square", cases={"_square": POSITIVE}, examples=20,
                            equivalent={("_square", killed): "not so"})
    assert any("kills it" in p for p in report.problems)


def test_an_endless_fault_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(g: Any, x: Any) -> Any:
        n = 8
        while n > 1:
            n = n // 2
        return 2 * g * x

    square(rule)
    monkeypatch.setattr("autograd.testing.mutate.score._PATIENCE", 0.05)
    report = mutation_score("_square", cases={"_square": POSITIVE}, examples=8)
    assert any("no result after" in o.message for o in report.outcomes)


def test_draws_are_the_same_for_a_seed_and_not_all_alike() -> None:
    first, again = (drawn_inputs(POSITIVE, 50, seed=3) for _ in range(2))
    assert [x.shape for (x,), _ in first] == [x.shape for (x,), _ in again]
    assert len({x.shape for (x,), _ in first}) > 5


def test_a_rule_that_is_wrong_to_begin_with_is_a_problem() -> None:
    square(lambda g, x: 3 * g * x)
    report = mutation_score("_square", cases={"_square": POSITIVE}, examples=20)
    assert any("fails as it is" in p for p in report.problems)


def test_a_check_that_an_earlier_mutant_has_spoilt_is_a_problem_and_kills_nothing() -> None:
    @primitive
    def _twice(x: Any, /) -> Any:
        return x * 2

    _twice.vjp(lambda g: g * 2)
    trial = Trial("_twice", _twice, OpCase(one(reals(shapes(least=1))), lambda x: x * 2), 5, 0)
    trial.prepare("first")
    assert not trial.is_spoilt("first") and not trial.problems
    trial.examples[0].ys[0].backward(trial.examples[0].weights[0][0])  # its record is used up
    assert trial.is_spoilt("first")
    assert "an earlier mutant has spoilt the check 'first': RuntimeError" in trial.problems[0]
