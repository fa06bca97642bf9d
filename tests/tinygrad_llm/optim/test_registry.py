"""Optimizers by name, with settings by theirs."""

from __future__ import annotations

import pytest
from optimizing import random_parameters

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.optim import OPTIMIZERS, Muon, make_optimizer
from tinygrad_llm.optim.registry import optimizer_settings, optimizers_with


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_by_its_name(name: str) -> None:
    made = make_optimizer(name, random_parameters(), {"weight_decay": 0.3, "groups": "w*: lr=2"})
    assert type(made) is OPTIMIZERS[name] and made.weight_decay == 0.3
    assert made.factors["wte.weight"].lr == 2


def test_settings_by_their_names() -> None:
    made = make_optimizer("muon", random_parameters(), {"momentum": 0.5, "adamw_rate": 2.0})
    assert isinstance(made, Muon) and (made.momentum, made.adamw_rate) == (0.5, 2.0)
    assert optimizer_settings("lion") == ["beta1", "beta2", "weight_decay", "groups"]
    assert optimizers_with("momentum") == ["sgd", "muon"] and optimizers_with("warmup") == []


@pytest.mark.parametrize("name, settings, words", [
    ("adam", {}, "unknown optimizer 'adam'; did you mean 'adamw'?"),
    ("Muon", {}, "unknown optimizer 'Muon'; did you mean 'muon'?"),
    ("lion", {"momentum": 0.9}, "momentum is a setting of the optimizer sgd or muon, and this one "
                                "is lion; leave it out, or choose that optimizer"),
    ("sgd", {"momentun": 0.9}, "unknown setting 'momentun'; did you mean 'momentum'?"),
])
def test_names_that_are_not_known(name: str, settings: dict[str, float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make_optimizer(name, random_parameters(), settings)
