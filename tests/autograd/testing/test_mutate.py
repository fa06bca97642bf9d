"""The mutation tool: it finds rules however they are written, plants, judges, and cleans up."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from autograd import Tensor, fused, primitive, pull_back, registry
from autograd.testing.mutate import mutation_score
from autograd.testing.mutate.__main__ import main
from autograd.testing.mutate.plant import Mutant, Unit, find_units, mutate, planted
from autograd.testing.mutate.score import drawn_inputs
from autograd.testing.opcase import OpCase
from autograd.testing.strategies import one, shapes, values

POSITIVE = OpCase(one(values(shapes(least=1), 0.5, 2.0)), np.square)


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


class Rule:
    def __call__(self, g: Any, x: Any) -> Any:
        return 2 * g * x


def by_factory(factor: int) -> Callable[..., Any]:
    return lambda g, x: factor * g * x


def by_name(g: Any, x: Any) -> Any:
    return 2 * g * x


def with_factor(factor: int, g: Any, x: Any) -> Any:
    return factor * g * x


HOWEVER_WRITTEN = [
    lambda g, x: 2 * g * x,
    by_name,
    by_factory(2),
    functools.partial(with_factor, 2),
    Rule(),
    (lambda g, x:
     2 * g
     * x),
]


@pytest.mark.parametrize("rule", HOWEVER_WRITTEN, ids=range(len(HOWEVER_WRITTEN)))
def test_rules_are_found_however_they_are_written(rule: Any) -> None:
    op = square(rule)
    unit = unit_of("_square")
    assert not unit.why_not and len(unit.mutants) > 8
    minus = next(m for m in unit.mutants if m.category == "sign")
    with planted(unit, minus):
        assert pulled(op, 3.0) == -6
    assert pulled(op, 3.0) == 6


def test_a_cache_does_not_hide_a_mutant() -> None:
    @functools.lru_cache
    def factor(n: int) -> int:
        return n

    op = square(lambda g, x: factor(2) * g * x)
    assert pulled(op, 3.0) == 6
    unit = unit_of("test_mutate.test_a_cache_does_not_hide_a_mutant.<locals>.factor")
    with planted(unit, next(m for m in unit.mutants if m.category == "sign")):
        assert pulled(op, 3.0) == -6
    assert pulled(op, 3.0) == 6


def test_two_lambdas_on_a_line_are_told_apart() -> None:
    @primitive
    def _difference(a: Any, b: Any, /) -> Any:
        return a - b

    _difference.vjp(lambda g: g + 0 * g, lambda g: -g)
    assert "-g  ->  g" in diffs("_difference[b]") and "-g  ->  g" not in diffs("_difference[a]")


def test_the_rule_is_back_even_after_an_exception() -> None:
    op = square(lambda g, x: 2 * g * x)
    unit = unit_of("_square")
    with pytest.raises(ZeroDivisionError), planted(unit, unit.mutants[0]):
        raise ZeroDivisionError
    assert pulled(op, 3.0) == 6


def test_a_helper_is_mutated_once_for_all_its_ops() -> None:
    units = {unit.name: unit for unit in find_units()}
    assert set(units["reduce.spread"].ops) >= {"sum", "mean", "max", "var"}
    assert [unit.name for unit in find_units()].count("reduce.spread") == 1


@pytest.mark.parametrize("text, change", [
    ("lambda g, x: g * x", "g * x  ->  g / x"),
    ("lambda g, x: g * x", "g * x  ->  2 * (g * x)"),
    ("lambda g, x: g * x", "g * x  ->  -(g * x)"),
    ("lambda g, x: g * x", "g * x  ->  None"),
    ("lambda g, x, y: g * x", "g * x  ->  g * y"),
    ("lambda g, x: g - x", "g - x  ->  -x"),
    ("lambda g, x: (g @ x.T).sum(axis=0)", "(g @ x.T).sum(axis=0)  ->  g @ x.T"),
    ("lambda g, x: (g @ x.T).sum(axis=0)", "(g @ x.T).sum(axis=0)  ->  (g @ x).sum(axis=0)"),
    ("lambda g, x: (g @ x.T).sum(axis=0)", "(g @ x.T).sum(axis=0)  ->  (x.T @ g).sum(axis=0)"),
    ("lambda g, x: (g @ x.T).sum(axis=0)", "(g @ x.T).sum(axis=0)  ->  (g @ x.T).sum()"),
    ("lambda g, x: g * (x > 0)", "g * (x > 0)  ->  g * (x >= 0)"),
    ("lambda g, x: where(x, g, 0.0)", "where(x, g, 0.0)  ->  where(x, 0.0, g)"),
    ("lambda g, x: g[1:]", "g[1:]  ->  g[1 + 1:]"),
    ("lambda g, x: g[..., 0]", "g[..., 0]  ->  g[..., 1]"),
    ("lambda g, x: 0.5 * g", "0.5 * g  ->  1.0 * g"),
])
def test_faults(text: str, change: str, tmp_path: Path) -> None:
    path = tmp_path / "rule.py"
    path.write_text(f"from autograd import where\nrule = {text}\n")
    scope: dict[str, Any] = {"__name__": "rule"}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    square(scope["rule"])
    assert change in diffs("_square")


def test_source_that_cannot_be_had_is_told() -> None:
    square(eval("lambda g, x: 2 * g * x"))
    assert "not to be found" in unit_of("_square").why_not


def test_a_rule_that_is_an_op_has_nothing_of_its_own() -> None:
    @primitive
    def _forward(g: Any, /) -> Any:
        return 2 * g

    _forward.vjp(_forward)
    assert unit_of("_forward").why_not == "the rule is the op _forward itself"


def test_a_good_case_leaves_no_survivor_and_a_poor_one_does() -> None:
    square(lambda g, x: 2 * g * x)
    good = mutation_score("_square", cases={"_square": POSITIVE}, examples=40)
    assert len(good.outcomes) > 8 and not good.survivors and not good.problems
    ones = OpCase(st.just(((np.ones(3),), {})), np.square, order=1)
    poor = mutation_score("_square", cases={"_square": ones}, examples=8)
    assert {o.diff for o in poor.survivors} >= {"2 * g * x  ->  2 * g", "2 * g * x  ->  2 * g / x"}


def test_an_edge_kills_what_no_difference_can_see() -> None:
    @primitive
    def _relu(x: Any, /) -> Any:
        return np.maximum(x, 0)

    _relu.vjp(lambda g, x: g * (x > 0))
    drawn = one(values(shapes(least=1), 0.5, 2.0).map(lambda x: np.where(x > 0.7, x, -x)))
    case = OpCase(drawn, lambda x: np.maximum(x, 0))
    report = mutation_score("_relu", cases={"_relu": case}, examples=40)
    assert [o.diff for o in report.survivors] == ["g * (x > 0)  ->  g * (x >= 0)"]
    edged = OpCase(drawn, case.oracle, edges=(((np.zeros(1),), {}, np.ones(1), (np.zeros(1),)),))
    report = mutation_score("_relu", cases={"_relu": edged}, examples=40)
    assert not report.survivors
    assert {o.killed_by for o in report.outcomes} >= {"edges", "first"}


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


def test_what_only_one_argument_alone_shows() -> None:
    @primitive
    def _product(a: Any, b: Any, /) -> Any:
        return a * b

    @_product.vjp
    def _(g: Any, a: Any, b: Any, wanted: tuple[bool, bool]) -> tuple[Any, Any]:
        return g * b if wanted[0] else None, g * a if wanted[1] else None

    drawn = values((2,)).map(lambda x: ((x + 3, 2 * x - 7), {}))
    report = mutation_score("_product", cases={"_product": OpCase(drawn, np.multiply)}, examples=20)
    assert not report.survivors
    assert "alone" in {o.killed_by for o in report.outcomes if "wanted" in o.diff}


def test_excuses_are_tested() -> None:
    square(lambda g, x: abs(2 * g * x) * (g * x / abs(g * x)))
    excuse = {("_square", "g * x  ->  x * g"): "there is no such mutant"}
    report = mutation_score("_square", cases={"_square": POSITIVE}, equivalent=excuse, examples=20)
    assert any("there is no such mutant" in p for p in report.problems)
    killed = next(o.diff for o in report.outcomes if o.killed_by)
    report = mutation_score("_square", cases={"_square": POSITIVE}, examples=20,
                            equivalent={("_square", killed): "not so"})
    assert any("kills it" in p for p in report.problems)


def test_a_rule_that_is_wrong_to_begin_with_is_a_problem() -> None:
    square(lambda g, x: 3 * g * x)
    report = mutation_score("_square", cases={"_square": POSITIVE}, examples=20)
    assert any("fails as it is" in p for p in report.problems)


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


def test_ids_do_not_depend_on_the_line() -> None:
    a, b = (Mutant("f", "sign", "g  ->  -g", place, (lambda: 0).__code__) for place in "ab")
    assert a.id == b.id


def test_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    assert main(["tanh", "-j", "1", "--examples", "40", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "autograd.ops.trigonometric" in printed and "survivors" not in printed
    written = json.loads(path.read_text())
    assert written["totals"]["mutants"] == len(written["units"][0]["outcomes"]) > 5


def test_command_lists_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["negative", "--list"]) == 0
    assert "negative  sign: -g  ->  g" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["tahn"])
    assert "did you mean tan" in capsys.readouterr().err


def test_cases_of_a_file_and_of_ops_defined_there(tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my_ops_and_cases.py"
    path.write_text(
        "import numpy as np\nfrom autograd import primitive\n"
        "from autograd.testing.opcase import OpCase\n"
        "from autograd.testing.strategies import anything\n\n"
        "@primitive\ndef my_cube(x, /):\n    return x**3\n\n"
        "my_cube.vjp(lambda g, x: 3 * g * x**2)\n"
        "CASES = {'my_cube': OpCase(anything, lambda x: x**3)}\n")
    assert main(["--cases", str(path), "-j", "1", "--examples", "40"]) == 0
    assert "my_ops_and_cases" in capsys.readouterr().out
    assert "my_cube" in registry


def test_an_op_without_a_case_is_a_problem() -> None:
    @primitive
    def without_case(x: Any, /) -> Any:
        return x + 1

    without_case.vjp(lambda g: g)
    assert mutation_score("without_case").problems == ["without_case: without_case has no OpCase"]


def test_a_missing_folder_is_told_before_the_work(tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["negative", "--json", str(tmp_path / "missing" / "out.json")])
    assert "there is no folder" in capsys.readouterr().err
