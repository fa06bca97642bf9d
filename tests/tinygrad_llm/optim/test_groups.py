"""Factors of the rate and of the decay, by parameters' names."""

from __future__ import annotations

import pytest
from optimizing import random_parameters

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.optim.groups import Factors, factors, read_groups


def test_without_groups_only_matrices_decay() -> None:
    assert factors("", random_parameters()) == {
        "wte.weight": (1, 1), "wide.weight": (1, 1), "tall.weight": (1, 1), "experts": (1, 1),
        "norm.weight": (1, 0), "one": (1, 0)}


def test_the_last_pattern_with_a_factor_decides_on_it() -> None:
    found = factors("*.weight: lr=2 decay=3; wte*: lr=0.5;  *orm.weight: decay=1e-1 ;",
                    random_parameters())
    assert found == {"wte.weight": (0.5, 3), "wide.weight": (2, 3), "tall.weight": (2, 3),
                     "norm.weight": (2, 0.1), "experts": (1, 1), "one": (1, 0)}
    assert type(found["one"]) is Factors
    assert factors("wte*: lr=0.5; *.weight: lr=2", random_parameters())["wte.weight"].lr == 2


@pytest.mark.parametrize("text, words", [
    ("wte*", "expected 'PATTERN: lr=FACTOR decay=FACTOR'.*got 'wte\\*'"),
    ("wte*:", "expected 'PATTERN"), (": lr=1", "expected 'PATTERN"),
    ("wte* wpe*: lr=1", "expected 'PATTERN.*got 'wte\\* wpe\\*: lr=1'"),
    ("wte*: decya=1", "'wte\\*' has the unknown factor 'decya=1'; did you mean 'decay'"),
    ("wte*: 0.5", "unknown factor '0.5'; known are lr, decay"),
    ("wte*: lr", "expected lr=FACTOR of at least 0 for 'wte\\*', such as lr=0.5, got 'lr'"),
    ("wte*: decay=-1", "got 'decay=-1'"), ("wte*: lr=nan", "got 'lr=nan'"),
    ("wte*: lr=inf", "got 'lr=inf'"), ("a: lr=1; a: decay=0", "'a' stands there twice"),
])
def test_a_text_of_another_form(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_groups(text)


def test_a_pattern_that_matches_nothing() -> None:
    with pytest.raises(UserError, match="no parameter has a name like 'wte.wieght'; did you mean "
                                        "'wte.weight'"):
        factors("wte.wieght: lr=1", random_parameters())
    with pytest.raises(UserError, match="like 'NORM\\*'; known are wte.weight, wide.weight"):
        factors("NORM*: lr=1", random_parameters())
