from __future__ import annotations

import tomllib
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.train import PRESETS, TrainConfig, make_config
from tinygrad_llm.train.config import read_settings, to_toml


def test_the_published_settings() -> None:
    c = make_config({})
    assert (c.layers, c.heads, c.width, c.context, c.batch, c.steps) == (4, 4, 128, 64, 12, 2000)
    assert (c.learning_rate, c.min_learning_rate, c.warmup) == (1e-3, 1e-4, 100)
    assert (c.beta1, c.beta2, c.weight_decay, c.dropout, c.clip) == (0.9, 0.99, 0.1, 0.0, 1.0)
    c = make_config({"preset": "baby"})
    assert (c.layers, c.heads, c.width, c.context, c.batch, c.steps, c.dropout) == (
        6, 6, 384, 256, 64, 5000, 0.2)
    c = make_config({"preset": "gpt2", "batch": 2})
    assert (c.layers, c.heads, c.width, c.context, c.batch) == (12, 12, 768, 1024, 2)
    assert c.model(50257).vocab_size == 50257


def test_every_setting_has_a_help_text() -> None:
    assert all(f.metadata["help"] for f in fields(TrainConfig))
    assert set(PRESETS) == {"tiny", "baby", "gpt2"}


@given(st.builds(TrainConfig, data=st.text(st.characters(exclude_categories=["Cs"])),
                 learning_rate=st.floats(1e-9, 1e9), bias=st.booleans(),
                 seed=st.integers(0, 2**64 - 1)))
def test_toml_gives_the_same_back(config: TrainConfig) -> None:
    assert make_config(tomllib.loads(to_toml(config))) == config


@pytest.mark.parametrize("given_settings, words", [
    ({"leraning_rate": 1.0}, "unknown setting 'leraning_rate'; did you mean 'learning_rate'?"),
    ({"zzz": 1}, "unknown setting 'zzz'; known are preset, data"),
    ({"preset": "babe"}, "unknown preset 'babe'; did you mean 'baby'?"),
    ({"layers": "4"}, "layers: expected a whole number, got '4'"),
    ({"layers": True}, "layers: expected a whole number"),
    ({"bias": 1}, "bias: expected true or false"),
    ({"steps": 0}, "steps must be at least 1, got 0"),
    ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
    ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
    ({"width": 130}, "width must be a multiple of heads, got width 130 and heads 4; 128 and 132"),
    ({"seed": -1}, r"seed must be in \[0, 2\*\*64\)"),
])
def test_wrong_settings(given_settings: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make_config(given_settings)


def test_whole_numbers_are_numbers() -> None:
    config = make_config({"learning_rate": 1, "clip": 0})
    assert asdict(config)["learning_rate"] == 1.0 and type(config.clip) is float


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the settings in .*: No such file"):
        read_settings(tmp_path / "absent.toml")
    (tmp_path / "broken.toml").write_text("steps = = 3")
    with pytest.raises(UserError, match="is not a TOML file"):
        read_settings(tmp_path / "broken.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not a TOML file"):
        read_settings(tmp_path / "binary.toml")
