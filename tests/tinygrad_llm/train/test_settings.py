"""The tables of settings: their fields, their kinds and their bounds."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import ARCHITECTURES, Architecture
from tinygrad_llm.train.settings import (
    TABLES,
    DataSettings,
    OptimizerSettings,
    RunSettings,
    Setting,
    settings,
)


def test_a_setting_knows_its_table_kind_default_and_help() -> None:
    known = settings()
    assert known["layers"] == Setting("model", "layers", int, 4, "transformer layers")
    assert known["arch"].table == "model" and known["arch"].default == "gpt"
    assert known["bias"].kind is bool and known["data"].kind is str
    assert known["clip"].table == "optimizer" and known["clip"].kind is float
    assert list(dict.fromkeys(s.table for s in known.values())) == [
        "model", "data", "optimizer", "run", "memory", "faults"]
    assert all(s.help and type(s.default) is s.kind for s in known.values())


def test_what_the_tokenizer_decides_is_no_setting_of_the_model() -> None:
    assert settings()["vocab_size"].table == "data", "the size of a tokenizer that is trained"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_no_two_settings_have_the_same_name(arch: str) -> None:
    count = sum(len(asdict(kind())) for kind in TABLES.values())
    own = asdict(ARCHITECTURES[arch].config(vocab_size=1))
    assert len(settings(arch)) == 1 + count + len(own) - 1  # with arch, without vocab_size


def test_another_architecture_brings_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Config:
        vocab_size: int
        depth: Annotated[int, "how deep"] = 3
        derived: int = 7

    monkeypatch.setitem(ARCHITECTURES, "other", Architecture(Config, lambda config, seed: None))
    known = settings("other")
    assert known["depth"] == Setting("model", "depth", int, 3, "how deep")
    assert "layers" not in known and "derived" not in known and "steps" in known


def test_an_unknown_architecture() -> None:
    with pytest.raises(UserError, match="unknown architecture 'gptt'; did you mean 'gpt'?"):
        settings("gptt")


@pytest.mark.parametrize("kind, value, words", [
    (int, "4", "a whole number, got '4'"), (int, True, "a whole number, got True"),
    (int, 4.0, "a whole number, got 4.0"), (float, "1", "a number, got '1'"),
    (bool, 1, "true or false, got 1"), (str, 3, "a text, got 3"), (int, {}, "a whole number"),
])
def test_values_of_another_kind(kind: type, value: Any, words: str) -> None:
    with pytest.raises(UserError, match=f"name: expected {words}"):
        Setting("run", "name", kind, None, "help").checked(value)


def test_whole_numbers_are_numbers() -> None:
    value = Setting("run", "name", float, 1.0, "help").checked(3)
    assert value == 3.0 and type(value) is float


@pytest.mark.parametrize("table, name, value, words", [
    (DataSettings, "batch", 0, "at least 1"), (OptimizerSettings, "warmup", -1, "at least 0"),
    (OptimizerSettings, "learning_rate", 0.0, "above 0"),
    (OptimizerSettings, "learning_rate", math.nan, "above 0"),
    (OptimizerSettings, "clip", math.nan, "at least 0"), (OptimizerSettings, "eps", 0.0, "above 0"),
    (OptimizerSettings, "beta1", 1.0, r"in \[0, 1\)"),
    (OptimizerSettings, "beta2", -0.1, r"in \[0, 1\)"),
    (OptimizerSettings, "weight_decay", -1.0, "at least 0"),
    (RunSettings, "steps", 0, "at least 1"), (RunSettings, "log_every", 0, "at least 1"),
    (RunSettings, "eval_batches", 0, "at least 1"), (RunSettings, "keep", 0, "at least 1"),
    (RunSettings, "slices", -1, "at least 0"), (RunSettings, "sample_tokens", -1, "at least 0"),
    (RunSettings, "seed", -1, r"in \[0, 2\*\*64\)"),
    (RunSettings, "seed", 2**64, r"in \[0, 2\*\*64\)"),
])
def test_bounds(table: Any, name: str, value: Any, words: str) -> None:
    with pytest.raises(UserError, match=f"{name} must be {words}, got {value}"):
        table(**{name: value})


@pytest.mark.parametrize("kind, value, words", [
    (int, 10**30, "is beyond 64 bits"), (int, -2**63 - 1, "is beyond 64 bits"),
    pytest.param(int, 10**5000, "too large to be written is beyond 64 bits", id="long"),
    (float, math.inf, "not finite"),
    (float, math.nan, "nan is not finite"), (str, "a\udce9", "has bytes that are no UTF-8"),
    (float, 10**400, "expected a number, got 1000"), (float, 2**64, "expected a number"),
])
def test_values_that_nothing_can_hold(kind: type, value: Any, words: str) -> None:
    with pytest.raises(UserError, match=f"name: .*{words}"):
        Setting("run", "name", kind, None, "help").checked(value)
