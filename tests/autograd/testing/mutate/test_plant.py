"""Rules are found however they are written; mutants are planted and taken out again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mutants import diffs, pulled, square, unit_of

from autograd import primitive
from autograd.testing.mutate.plant import Mutant, find_units, planted
from tinygrad_llm import functional


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
    unit = unit_of("test_plant.test_a_cache_does_not_hide_a_mutant.<locals>.factor")
    with planted(unit, next(m for m in unit.mutants if m.category == "sign")):
        assert pulled(op, 3.0) == -6
    assert pulled(op, 3.0) == 6


def test_two_lambdas_on_a_line_are_kept_apart() -> None:
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


def test_twins_are_units_beside_the_plain_pair_and_the_reference() -> None:
    linear = {u.name: u for u in find_units() if u.ops == ["linear"]}
    assert {name: u.plain for name, u in linear.items()} == {
        "linear": True, "linear numpy": False, "linear reference": False}
    assert {u.functions[0] for u in linear.values()} == {
        functional.linear.rule, functional.linear.twins["numpy"][1], functional.linear.reference}


def test_helpers_are_found_in_other_modules_of_a_package() -> None:
    helper = next(u for u in find_units() if u.name == "attention_blocks.add_product")
    assert helper.ops == ["attention"] and not helper.plain


def test_source_that_cannot_be_had_is_reported() -> None:
    square(eval("lambda g, x: 2 * g * x"))
    assert "not to be found" in unit_of("_square").why_not


def test_a_rule_that_is_an_op_has_nothing_of_its_own() -> None:
    @primitive
    def _forward(g: Any, /) -> Any:
        return 2 * g

    _forward.vjp(_forward)
    assert unit_of("_forward").why_not == "the rule is the op _forward itself"


def test_ids_do_not_depend_on_the_line() -> None:
    a, b = (Mutant("f", "sign", "g  ->  -g", place, (lambda: 0).__code__) for place in "ab")
    assert a.id == b.id


def test_the_engine_is_no_part_of_the_rules_that_call_it() -> None:
    places = {unit.place.partition(":")[0] for unit in find_units() if not unit.why_not}
    engine = {"backward", "graph", "tensor", "deferred", "mistakes", "primitive", "tree"}
    assert not {place for place in places if Path(place).stem in engine
                and Path(place).parent.name == "autograd"}
    assert any(place.endswith("ops/kinks.py") for place in places)
