"""A run's configuration: presets, tables, files, and those of version 0.1."""

from __future__ import annotations

import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import ARCHITECTURES, GPT, Llama
from tinygrad_llm.optim import OPTIMIZERS
from tinygrad_llm.optim.registry import optimizer_settings
from tinygrad_llm.optim.schedule import SCHEDULES
from tinygrad_llm.train import PRESETS, make_config
from tinygrad_llm.train.config import read_settings, to_toml, without_tables


def test_the_published_settings() -> None:
    c = make_config({}).flat()
    assert [c[n] for n in ("layers", "heads", "width", "context", "batch", "steps")] == [
        4, 4, 128, 64, 12, 2000]
    assert [c[n] for n in ("learning_rate", "min_learning_rate", "warmup")] == [1e-3, 1e-4, 100]
    assert [c[n] for n in ("beta1", "beta2", "weight_decay", "dropout", "clip")] == [
        0.9, 0.99, 0.1, 0.0, 1.0]
    c = make_config({"preset": "baby"}).flat()
    assert [c[n] for n in ("layers", "heads", "width", "context", "batch", "steps", "dropout")] == [
        6, 6, 384, 256, 64, 5000, 0.2]
    c = make_config({"preset": "gpt2", "batch": 2}).flat()
    assert [c[n] for n in ("layers", "heads", "width", "context", "batch")] == [
        12, 12, 768, 1024, 2]
    assert set(PRESETS) == {"tiny", "baby", "gpt2", "tiny-llama", "baby-llama", "tiny-best",
                            "tiny-fast"}


@pytest.mark.parametrize("name", ["tiny", "baby"])
def test_a_llama_of_the_same_sizes(name: str) -> None:
    gpt, llama = (make_config({"preset": preset}) for preset in (name, f"{name}-llama"))
    assert llama.arch == "llama" and isinstance(llama.new_model(11, None), Llama)
    same = {key: value for key, value in gpt.flat().items() if key in llama.model}
    assert {key: llama.model[key] for key in same} == {**same, "arch": "llama"}
    assert (llama.data, llama.optimizer) == (gpt.data, gpt.optimizer)
    assert make_config({"preset": name, "arch": "llama"}).model == llama.model
    assert make_config({"preset": f"{name}-llama", "arch": "gpt"}).model == gpt.model


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_takes_any_other_architecture_optimizer_and_schedule(preset: str) -> None:
    """What belongs to the preset's own is left out."""
    for arch, optimizer, schedule in product(ARCHITECTURES, OPTIMIZERS, SCHEDULES):
        given = {"preset": preset, "arch": arch, "optimizer": optimizer, "schedule": schedule}
        config = make_config(given)
        own = PRESETS[preset]
        assert config.arch == arch and config.run.steps == own.get("steps", 2000)
        assert config.optimizer.cooldown == (own.get("cooldown", 0.2) if schedule == "wsd" else 0.2)
        assert make_config(config.flat()) == config


def test_settings_stand_in_tables() -> None:
    config = make_config({"layers": 2, "batch": 3, "clip": 0.5, "steps": 7})
    assert config.model["layers"] == 2 and config.data.batch == 3
    assert config.optimizer.clip == 0.5 and config.run.steps == 7
    assert config.arch == "gpt" and config.context == config.model["context"] == 64


def test_tables_and_flat_names_say_the_same() -> None:
    flat = {"data": "a.txt", "layers": 2, "batch": 3, "clip": 0.5, "steps": 7}
    nested = {"model": {"layers": 2}, "data": {"data": "a.txt", "batch": 3},
              "optimizer": {"clip": 0.5}, "run": {"steps": 7}}
    mixed = {"steps": 7, "data": {"data": "a.txt", "batch": 3}, "model": {"layers": 2, "clip": 0.5}}
    assert without_tables(nested) == flat
    assert make_config(flat) == make_config(nested) == make_config(mixed)
    assert make_config(make_config(flat).flat()) == make_config(flat)


def test_the_model_is_made_of_the_model_table() -> None:
    model = make_config({"layers": 1, "heads": 2, "width": 8, "dropout": 0.2}).new_model(11, seed=3)
    assert isinstance(model, GPT) and model.config.vocab_size == 11
    assert (model.config.layers, model.config.width, model.config.dropout) == (1, 8, 0.2)
    again = make_config({"layers": 1, "heads": 2, "width": 8}).new_model(11, seed=3)
    assert (model.head.data == again.head.data).all()


def configs() -> Any:
    return st.fixed_dictionaries({
        "data": st.text(st.characters(exclude_categories=["Cs"])),
        "learning_rate": st.floats(1e-9, 1e9), "bias": st.booleans(),
        "seed": st.integers(0, 2**64 - 1)}).map(make_config)


@given(configs())
def test_toml_gives_the_same_back(config: Any) -> None:
    assert make_config(tomllib.loads(to_toml(config))) == config


def test_the_file_has_tables_with_every_setting() -> None:
    config = make_config({"arch": "gpt"})
    text = to_toml(config)
    tables = tomllib.loads(text)
    assert list(tables) == ["model", "data", "optimizer", "run", "memory", "faults"]
    assert without_tables(tables) == config.flat()
    assert tables["model"]["arch"] == "gpt"
    assert '\n\n[run]\npreset = "tiny"  # the settings to start from; see tinygrad-llm' in text


def test_a_file_of_version_0_1(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('preset = "baby"  # the settings to start from\ndata = "my.txt"\nlayers = 2\n'
                    'dropout = 0.1\nbatch = 8\nshards = 4  # parts\n')
    config = make_config(read_settings(path))
    assert (config.data.data, config.data.batch, config.run.slices) == ("my.txt", 8, 4)
    assert (config.model["layers"], config.model["dropout"], config.model["width"]) == (2, 0.1, 384)


@pytest.mark.parametrize("given_settings, words", [
    ({"leraning_rate": 1.0}, "unknown setting 'leraning_rate'; did you mean 'learning_rate'?"),
    ({"run": {"stpes": 1}}, "unknown setting 'stpes'; did you mean 'steps'?"),
    ({"zzz": 1}, "unknown setting 'zzz'; known are arch, context"),
    ({"preset": "babe"}, "unknown preset 'babe'; did you mean 'baby'?"),
    ({"preset": []}, r"unknown preset '\[\]'; known are tiny"),
    ({"key_heads": 2}, "key_heads is a setting of --arch llama, and this run has gpt; leave it"),
    ({"preset": "tiny-llama", "bias": False}, "bias is a setting of --arch gpt, and this run has"),
    ({"arch": "gtp"}, "unknown architecture 'gtp'; did you mean 'gpt'?"),
    ({"layers": "4"}, "layers: expected a whole number, got '4'"),
    ({"run": 3}, "unknown setting 'run'"), ({"optimizer": {"lr": 3}}, "unknown setting 'lr'"),
    ({"steps": 0}, "steps must be at least 1, got 0"),
    ({"layers": 0}, "layers must be at least 1, got 0"),
    ({"dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
    ({"width": 130}, "width must be a multiple of heads, got width 130 and heads 4; 128 and 132"),
    ({"slices": 13}, "slices must be at most the batch of 12, got 13"),
    ({"accumulate": 5}, "accumulate must be a divisor of the batch of 12: 1, 2, 3, 4, 6, 12, got "
                        "5"),
    ({"accumulate": 24}, "accumulate must be a divisor of the batch of 12"),
    ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
    ({"loss_chunk": -1}, "loss_chunk must be at least 0, got -1"),
    ({"arch": "llama", "logit_cap": 3.0, "loss_chunk": 8}, "loss_chunk and logit_cap do not go"),
    ({"accumulate": 4, "slices": 6}, "slices must be a multiple of accumulate, 4, or left out, got "
                                     "6"),
    ({"steps": 3, "run": {"steps": 4}}, "steps is set twice, to 3 and 4; leave one out"),
    ({"shards": 3, "slices": 4}, "slices is set twice"),
    ({"optimizer": "moun"}, "unknown optimizer 'moun'; did you mean 'muon'?"),
    ({"optimizer": 3}, "unknown optimizer '3'; known are adamw, sgd"),
    ({"optimizer": {"optimizer": "lion", "momentum": 0.9}},
     "momentum is a setting of the optimizer sgd or muon, and this one is lion; leave it out, or"),
    ({"nesterov": True}, "is a setting of the optimizer sgd or muon, and this one is adamw"),
    ({"optimizer": "sgd", "beta1": 0.9}, "beta1 is a setting of the optimizer adamw or lion or"),
    ({"schedule": "cosin"}, "unknown schedule 'cosin'; did you mean 'cosine'?"),
    ({"cooldown": 0.5}, "cooldown must be left out without --schedule wsd, got 0.5"),
    ({"schedule": "wsd", "cooldown": 0.0}, r"cooldown must be in \(0, 1\], got 0.0"),
    ({"groups": "wte*: rate=2"}, "has the unknown factor 'rate=2'"),
    ({"ema": 1.0}, r"ema must be in \[0, 1\), got 1.0"),
])
def test_wrong_settings(given_settings: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make_config(given_settings)


def test_an_optimizer_brings_its_usual_rates_unless_the_preset_is_its_own(
        monkeypatch: pytest.MonkeyPatch) -> None:
    def rates(**chosen: object) -> list[object]:
        flat = make_config(chosen).flat()
        return [flat.get(name) for name in ("learning_rate", "warmup", "beta2", "momentum")]

    assert rates() == [1e-3, 100, 0.99, None]
    assert rates(preset="gpt2") == [6e-4, 2000, 0.95, None]
    assert rates(preset="gpt2", optimizer="adamw") == [6e-4, 2000, 0.95, None]
    assert rates(preset="gpt2", optimizer="muon") == [0.02, 2000, 0.99, 0.95]
    assert rates(optimizer="sgd") == [0.1, 100, None, 0.9]
    assert rates(optimizer="lion", learning_rate=3e-4) == [3e-4, 100, 0.99, None]
    monkeypatch.setitem(PRESETS, "own", {"optimizer": "muon", "learning_rate": 0.03})
    assert rates(preset="own") == [0.03, 100, 0.99, 0.95]
    assert rates(preset="own", optimizer="adamw") == [1e-3, 100, 0.99, None]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_file_has_the_settings_of_its_optimizer(name: str, tmp_path: Path) -> None:
    config = make_config({"optimizer": name, "weight_decay": 0.05})
    (tmp_path / "config.toml").write_text(to_toml(config), encoding="utf-8")
    written = read_settings(tmp_path / "config.toml")
    assert make_config(written) == config
    assert {*optimizer_settings(name)} <= set(written)
    assert ("momentum" in written) == (name in ("sgd", "muon"))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the settings in .*: No such file"):
        read_settings(tmp_path / "absent.toml")
    (tmp_path / "broken.toml").write_text("steps = = 3")
    with pytest.raises(UserError, match="is not a TOML file"):
        read_settings(tmp_path / "broken.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not a TOML file"):
        read_settings(tmp_path / "binary.toml")


@pytest.mark.parametrize("content", [
    b"\xff", b"[" * 100_000, b"a = " + b"[" * 50_000, b"steps = " + b"9" * 5000, b"a = 1\na = 2",
    b"a = 2020-13-45", b"a = 2020-01-01T00:00:00+99:99", b"\x00", b'data = "\\ud800"',
])
def test_odd_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.toml").write_bytes(content)
    with pytest.raises(UserError, match=r"odd\.toml is not a TOML file: |unknown setting"):
        make_config(read_settings(tmp_path / "odd.toml"))


@pytest.mark.parametrize("line, words", [
    ("steps = 2020-01-01", "steps: expected a whole number, got datetime.date"),
    ("steps = 1e9", "steps: expected a whole number"), ("steps = inf", "steps: expected"),
    ("steps = 1" + "0" * 30, "steps: 10+ is beyond 64 bits"),
    ("clip = inf", "clip: inf is not finite"), ("learning_rate = nan", "nan is not finite"),
    ("data = ['a']", "data: expected a text"), ("data = {a = 1}", "unknown setting 'a'"),
    ("model = 3", "unknown setting 'model'"), ("[model.layers]\nx = 1", "layers: expected"),
    ("[[run]]\nsteps = 3", "unknown setting 'run'"), ("arch = 1", "unknown architecture '1'"),
    ("dropout = -0.1", "dropout must lie in"), ("bias = 1", "bias: expected true or false"),
    ("'' = 1", "unknown setting ''"),
])
def test_odd_values_are_sentences(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "odd.toml").write_text(line)
    with pytest.raises(UserError, match=words):
        make_config(read_settings(tmp_path / "odd.toml"))
