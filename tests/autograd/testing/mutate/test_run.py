"""A run judges every unit of the chosen ops, in one process or several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from mutants import POSITIVE, square

from autograd import fused, primitive
from autograd.testing.mutate import mutation_score
from autograd.testing.mutate.run import Session, Settings, in_parallel, put_together
from autograd.testing.opcase import OpCase


def test_a_good_case_leaves_no_survivor_and_a_poor_one_does() -> None:
    square(lambda g, x: 2 * g * x)
    good = mutation_score("_square", cases={"_square": POSITIVE}, examples=40)
    assert len(good.outcomes) > 8 and not good.survivors and not good.problems
    ones = OpCase(st.just(((np.ones(3),), {})), np.square, order=1)
    poor = mutation_score("_square", cases={"_square": ones}, examples=8)
    assert {o.diff for o in poor.survivors} >= {"2 * g * x  ->  2 * g", "2 * g * x  ->  2 * g / x"}


def test_a_wrong_pair_of_a_fused_op_is_seen_in_either_pass() -> None:
    def reference(x: Any, /) -> Any:
        return x * x

    @fused(reference)
    def _fused_square(x: Any, /) -> Any:
        return x * x, x

    _fused_square.vjp(lambda g, x: 2 * g * x)
    report = mutation_score("_fused_square", cases={"_fused_square": POSITIVE}, examples=40)
    assert not report.survivors
    assert {o.killed_by for o in report.outcomes if "reference" in o.unit} == {"recorded"}


def test_an_op_without_a_case_is_a_problem() -> None:
    @primitive
    def without_case(x: Any, /) -> Any:
        return x + 1

    without_case.vjp(lambda g: g)
    assert mutation_score("without_case").problems == ["without_case: without_case has no OpCase"]


def test_processes_give_the_verdicts_of_one() -> None:
    session = Session(Settings(("tanh", "negative", "maximum"), examples=24))
    alone = put_together(session, [session.judge(i) for i in range(len(session.units))])
    done: list[str] = []
    report = in_parallel(session, 2, lambda units: done.extend(unit.name for unit in units))
    assert sorted(done) == sorted(unit.name for unit in session.units)
    assert [(o.id, o.killed_by) for o in report.outcomes] == [
        (o.id, o.killed_by) for o in alone.outcomes]
    assert report.problems == alone.problems == []


@pytest.mark.parametrize("patterns, names", [
    (("tanh",), {"tanh"}), (("log1*",), {"log10", "log1p"}), (("tanh", "cosh"), {"tanh", "cosh"})])
def test_patterns_choose_ops(patterns: tuple[str, ...], names: set[str]) -> None:
    assert Session(Settings(patterns)).chosen == names


def test_an_unknown_pattern_is_refused_with_what_is_near() -> None:
    with pytest.raises(ValueError, match=r"no differentiable op is named 'sofmax'; .* softmax"):
        Session(Settings(("sofmax",)))
    with pytest.raises(ValueError, match="no differentiable op is named 'greater'"):
        Session(Settings(("greater",)))
