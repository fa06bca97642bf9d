"""Checkpoints: bit for bit, and whole whatever happens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import ARCHITECTURES, GPT, GPTConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import AdamW
from tinygrad_llm.train import checkpoint
from tinygrad_llm.train.checkpoint import load_checkpoint, read_state, save_checkpoint

CONFIG = GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4)


def trained(seed: int = 0, config: GPTConfig = CONFIG) -> tuple[GPT, AdamW]:
    model = GPT(config, seed)
    optimizer = AdamW(parameters(model))
    for p in parameters(model).values():
        p.grad = np.random.default_rng(seed).standard_normal(p.shape).astype(np.float32)
    optimizer.update(0.1)
    return model, optimizer


def bits(model: GPT, optimizer: AdamW) -> list[bytes]:
    arrays = [*(p.data for p in parameters(model).values()), *optimizer.state().values()]
    return [a.tobytes() for a in arrays]


def test_load_gives_back_what_was_saved(tmp_path: Path) -> None:
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, 7)
    other, others = trained(1)
    assert load_checkpoint(tmp_path, other, others) == 7
    assert {int(t) for t in others.steps.values()} == {1}
    assert bits(other, others) == bits(model, optimizer)


def test_only_the_newest_is_kept(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, *trained(step), step)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "optimizer-0000002.safetensors", "state.json", "weights-0000002.safetensors"]


@pytest.mark.parametrize("failing", ["weights", "optimizer", "state"])
def test_a_full_disk_leaves_the_former_checkpoint(tmp_path: Path, failing: str,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, 1)
    before = bits(model, optimizer)
    save_file, write = checkpoint.save_file, checkpoint.write_in_one_step

    def full(path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    def save(arrays: Any, path: Path) -> None:
        full(path) if path.name.startswith(failing) else save_file(arrays, path)

    monkeypatch.setattr(checkpoint, "save_file", save)
    monkeypatch.setattr(checkpoint, "write_in_one_step", lambda path, parts: (
        full(Path(f"{path}.tmp")) if failing == "state" else write(path, parts)))
    with pytest.raises(UserError, match=r"cannot save the checkpoint of step 2 .*No space left.*"
                                        r"the one of step 1 is untouched.*--resume"):
        save_checkpoint(tmp_path, *trained(2), 2)
    assert len(list(tmp_path.iterdir())) == 3, "half-written files are swept up"
    restored = trained(3)
    assert load_checkpoint(tmp_path, *restored) == 1 and bits(*restored) == before


def test_a_crash_before_the_commit_leaves_the_former_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, *trained(), 1)
    (tmp_path / "weights-0000002.safetensors").write_bytes(b"half")
    (tmp_path / "state.json.tmp").write_bytes(b"{")
    assert load_checkpoint(tmp_path, *trained(5)) == 1
    save_checkpoint(tmp_path, *trained(), 3)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["weights-0000001.safetensors", "optimizer-0000001.safetensors"])
@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_files_are_named(tmp_path: Path, name: str, keep: int) -> None:
    save_checkpoint(tmp_path, *trained(), 1)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:keep])
    model, optimizer = trained(5)
    before = [p.data.tobytes() for p in parameters(model).values()]
    with pytest.raises(UserError, match=f"{name} is damaged or truncated"):
        load_checkpoint(tmp_path, model, optimizer)
    assert [p.data.tobytes() for p in parameters(model).values()] == before


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no checkpoint in"):
        load_checkpoint(tmp_path, *trained())
    save_checkpoint(tmp_path, *trained(), 1)
    other = trained(0, GPTConfig(vocab_size=5, context=4, layers=1, heads=2, width=8))
    with pytest.raises(UserError, match="another configuration: heads 1 there and 2 here, width 4"):
        load_checkpoint(tmp_path, *other)
    (tmp_path / "weights-0000001.safetensors").unlink()
    with pytest.raises(UserError, match="is missing, though state.json names it"):
        load_checkpoint(tmp_path, *trained())


def test_the_state_names_the_architecture(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, *trained(), 1)
    state = json.loads((tmp_path / "state.json").read_bytes())
    assert state["arch"] == "gpt" and state["model"] == {
        "vocab_size": 5, "context": 4, "layers": 1, "heads": 1, "width": 4, "dropout": 0.0,
        "bias": True}


def test_a_checkpoint_of_version_0_1_names_none(tmp_path: Path) -> None:
    saved = trained()
    save_checkpoint(tmp_path, *saved, 7)
    path = tmp_path / "state.json"
    state = json.loads(path.read_bytes())
    del state["arch"]
    path.write_text(json.dumps(state))
    other = trained(5)
    assert load_checkpoint(tmp_path, *other) == 7 and bits(*other) == bits(*saved)


def test_checkpoints_of_another_architecture(tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, *trained(), 1)
    path = tmp_path / "state.json"
    path.write_text(path.read_text().replace('"gpt"', '"gtp"'))
    with pytest.raises(UserError, match="state.json: unknown architecture 'gtp'; did you mean"):
        load_checkpoint(tmp_path, *trained())
    monkeypatch.setitem(ARCHITECTURES, "gtp", ARCHITECTURES["gpt"])
    with pytest.raises(UserError, match="another configuration: arch 'gtp' there and 'gpt' here"):
        load_checkpoint(tmp_path, *trained())


def test_weights_are_written_under_the_names_of_the_architecture(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(model: GPT) -> dict[str, Any]:
        return {f"model.{name}": p for name, p in parameters(model).items()}

    monkeypatch.setitem(ARCHITECTURES, "gpt", replace(ARCHITECTURES["gpt"], weights=renamed))
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, 1)
    with safe_open(tmp_path / "weights-0000001.safetensors", "numpy") as file:
        assert "model.wte.weight" in file.keys()  # noqa: SIM118, not a dict
    other = trained(5)
    load_checkpoint(tmp_path, *other)
    assert bits(*other) == bits(model, optimizer)


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"{}", b'{"step": 1}', b"\xff",
    json.dumps({"step": 1, "weights": "../../etc/passwd", "optimizer": "o",
                "model": {"vocab_size": 5}}).encode(),
])
def test_damaged_state_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(UserError, match=r"state\.json is damaged"):
        read_state(tmp_path)
