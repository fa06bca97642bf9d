"""Checkpoints: bit for bit, and whole whatever happens."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from small_runs import Killed, kill_before_state

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import ARCHITECTURES, GPT, GPTConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import AdamW
from tinygrad_llm.train.folder import checkpoint
from tinygrad_llm.train.folder.checkpoint import (
    best,
    due,
    load_checkpoint,
    note_validation,
    read_state,
    remove_unnamed,
    save_checkpoint,
    stray_weights,
)

CONFIG = GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4)


def forget_checksums(folder: Path) -> None:
    """Make the checkpoints those of before there were any."""
    state = json.loads((folder / "state.json").read_bytes())
    for one in state["checkpoints"]:
        del one["sha256"]
    (folder / "state.json").write_text(json.dumps(state))


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
    write = checkpoint.write_in_one_step

    def half(parts: Any) -> Any:
        yield next(iter(parts))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_in_one_step", lambda path, parts: write(
        path, half(parts) if path.name.startswith(failing) else parts))
    with pytest.raises(UserError, match=r"cannot save the checkpoint of step 2 .*No space left.*"
                                        r"the one of step 1 is untouched.*--resume"):
        save_checkpoint(tmp_path, *trained(2), 2)
    assert len(list(tmp_path.iterdir())) == 3, "half-written files are swept up"
    restored = trained(3)
    assert load_checkpoint(tmp_path, *restored) == 1 and bits(*restored) == before


def test_a_crash_before_the_commit_leaves_the_former_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, *trained(), 1)
    (tmp_path / "weights-0000002.safetensors").write_bytes(b"half")
    (tmp_path / ".state.json.0123456789abcdef.tmp").write_bytes(b"{")
    (tmp_path / "weights-0000002.safetensors.tmp").write_bytes(b"half")
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
        "bias": True, "norm": "layer", "positions": "learnt", "mlp": "gelu"}


def test_a_checkpoint_of_version_0_1_names_none(tmp_path: Path) -> None:
    saved = trained()
    save_checkpoint(tmp_path, *saved, 7)
    path = tmp_path / "state.json"
    state = json.loads(path.read_bytes())
    del state["arch"]
    path.write_text(json.dumps(state))
    other = trained(5)
    assert load_checkpoint(tmp_path, *other) == 7 and bits(*other) == bits(*saved)


def test_a_checkpoint_of_before_a_setting_was_added(tmp_path: Path) -> None:
    saved = trained()
    save_checkpoint(tmp_path, *saved, 7)
    path = tmp_path / "state.json"
    state = json.loads(path.read_bytes())
    for name in ("norm", "positions", "mlp"):
        del state["model"][name]
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


FILES = {"weights": "weights-0000001.safetensors", "optimizer": "optimizer-0000001.safetensors"}
OTHER = {"vocab_size": 5, "context": 4, "layers": 1, "heads": 1, "width": 4, "dropout": 0.0,
         "bias": True}
SAVED = {"step": 1, **FILES, "model": OTHER}


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"{}", b'{"step": 1}', b"\xff", b"[" * 100_000, b'{"a":' * 100_000,
    *(json.dumps({**SAVED, **changes}).encode() for changes in (
        {"weights": "../../etc/passwd"}, {"weights": "a\0b"}, {"weights": ".."}, {"weights": ""},
        {"weights": 3}, {"optimizer": "weights\ud800"}, {"step": 10**30}, {"step": -1},
        {"step": True}, {"step": 1.5}, {"step": "1"}, {"step": None}, {"step": float("inf")},
        {"model": []}, {"model": {"vocab_size": "5"}}, {"model": {"vocab_size": 5, "x": 1}},
        {"checkpoints": []}, {"checkpoints": 3}, {"checkpoints": [{}]}, {"arch": []},
        {"checkpoints": [{"step": 2, **FILES}]},
        {"checkpoints": [{"step": 1, **FILES, "val_loss": float("nan")}]})),
])
def test_damaged_state_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(UserError, match=r"state\.json is damaged") as caught:
        read_state(tmp_path)
    assert len(str(caught.value)) < 500
    assert stray_weights(tmp_path) == []
    with pytest.raises(UserError, match=r"state\.json is damaged"):
        save_checkpoint(tmp_path, *trained(), 9)
    assert os.listdir(tmp_path) == ["state.json"]


def test_weights_without_their_state_are_never_touched(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, *trained(), 3)
    (tmp_path / "state.json").unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    words = "has weights-0000003.safetensors but no state.json.*restore state.json, or move"
    for action in (lambda: save_checkpoint(tmp_path, *trained(), 4),
                   lambda: load_checkpoint(tmp_path, *trained()), lambda: read_state(tmp_path)):
        with pytest.raises(UserError, match=words):
            action()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def steps_of(folder: Path) -> list[int]:
    """Return the steps whose checkpoints are kept, after a look at each."""
    kept = read_state(folder)["checkpoints"]
    for one in kept:
        assert load_checkpoint(folder, *trained(9), which=str(one.step)) == one.step
    assert len(list(folder.iterdir())) == 2 * len(kept) + 1
    return [one.step for one in kept]


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    losses = {1: 3.0, 2: 2.0, 3: 2.5, 4: 2.5, 5: 1.5, 6: 1.6, 7: 1.7, 8: 1.8}
    kept = {}
    for step, loss in losses.items():
        model, optimizer = trained(step)
        save_checkpoint(tmp_path, model, optimizer, step, keep=2)
        note_validation(tmp_path, model, step, loss, "20 x 12", keep=2)
        kept[step] = steps_of(tmp_path)
        if step == 5:
            the_best = bits(model, optimizer)
    assert kept == {1: [1], 2: [2, 1], 3: [3, 2], 4: [4, 3, 2], 5: [5, 4], 6: [6, 5], 7: [7, 6, 5],
                    8: [8, 7, 5]}
    restored = trained(9)
    assert load_checkpoint(tmp_path, *restored, which="best") == 5 and bits(*restored) == the_best
    assert load_checkpoint(tmp_path, *trained()) == 8
    save_checkpoint(tmp_path, *trained(6), 6, keep=2)  # from step 5 on again
    assert steps_of(tmp_path) == [6, 5], "what was given up goes"


def test_losses_over_other_batches_are_not_compared(tmp_path: Path) -> None:
    for step, loss, measured in ((1, 1.0, "2 x 12"), (2, 3.0, "20 x 12"), (3, 4.0, "20 x 12")):
        model, optimizer = trained(step)
        save_checkpoint(tmp_path, model, optimizer, step, keep=3)
        note_validation(tmp_path, model, step, loss, measured, keep=3)
    assert load_checkpoint(tmp_path, *trained(), which="best") == 2
    kept = read_state(tmp_path)["checkpoints"]
    assert (best(kept, "2 x 12") or kept[0]).step == 1 and best(kept, "3 x 3") is None


def test_what_is_not_there_is_refused_with_what_is(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, *trained(step), step, keep=2)
    with pytest.raises(UserError, match="no checkpoint '7' in .*; there are last and the steps 2, "
                                        "1$"):
        load_checkpoint(tmp_path, *trained(), which="7")
    with pytest.raises(UserError, match="no checkpoint 'best' .* none has a validation loss"):
        load_checkpoint(tmp_path, *trained(), which="best")
    (tmp_path / "weights-0000002.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="damaged or truncated.*that is sound: --checkpoint 1$"):
        load_checkpoint(tmp_path, *trained())
    assert load_checkpoint(tmp_path, *trained(), which="1") == 1


def test_the_same_step_is_never_written_over_itself(tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, 1)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_in_one_step", lambda path, parts: 1 / 0)
        with pytest.raises(ZeroDivisionError):  # a crash just before the new one exists
            save_checkpoint(tmp_path, *trained(2), 1)
    restored = trained(3)
    assert load_checkpoint(tmp_path, *restored) == 1
    assert bits(*restored) == bits(model, optimizer)
    other = trained(2)
    save_checkpoint(tmp_path, *other, 1)
    assert load_checkpoint(tmp_path, *restored) == 1 and bits(*restored) == bits(*other)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("kind, dtype", [("weights", "int32"), ("weights", "bool"),
                                         ("weights", "bfloat16"), ("optimizer", "int32"),
                                         ("optimizer", "float16"), ("optimizer", "bfloat16")])
def test_numbers_of_another_kind_are_refused(tmp_path: Path, kind: str, dtype: str) -> None:
    save_checkpoint(tmp_path, *trained(), 1)
    path = tmp_path / FILES[kind]
    forget_checksums(tmp_path)
    arrays = load_file(path)
    name = next(name for name in arrays if not name.startswith("steps"))
    if dtype == "bfloat16":
        path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"').replace(b'"I32"', b'"BF16"'))
    else:
        save_file({**arrays, name: arrays[name].astype(dtype)}, path)
    model, optimizer = trained(5)
    before = bits(model, optimizer)
    with pytest.raises(UserError, match=FILES[kind]):
        load_checkpoint(tmp_path, model, optimizer)
    assert bits(model, optimizer) == before


@pytest.mark.parametrize("count", [-1, 2, 2**62])
def test_averages_of_another_run_are_refused(tmp_path: Path, count: int) -> None:
    save_checkpoint(tmp_path, *trained(), 1)
    path = tmp_path / FILES["optimizer"]
    forget_checksums(tmp_path)
    arrays = load_file(path)
    name = next(name for name in arrays if name.startswith("steps"))
    save_file({**arrays, name: np.array(count)}, path)
    with pytest.raises(UserError, match="counts other steps than the 1 of state.json"):
        load_checkpoint(tmp_path, *trained())


def test_a_run_at_work_may_save_while_its_checkpoint_is_read(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, *trained(1), 1)
    real, new = checkpoint.read_state, trained(2)

    def late(folder: Path) -> Any:
        state = real(folder)
        if state["step"] == 1:
            monkeypatch.setattr(checkpoint, "read_state", real)
            save_checkpoint(tmp_path, *new, 2)
        return state

    monkeypatch.setattr(checkpoint, "read_state", late)
    restored = trained(3)
    assert load_checkpoint(tmp_path, *restored) == 2 and bits(*restored) == bits(*new)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_have_the_mode_of_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    model = GPT(CONFIG, seed=0)
    before = os.umask(mask)
    try:
        save_checkpoint(tmp_path / "run", model, AdamW(parameters(model)), 1)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "run").iterdir()} == {mode}


def test_files_of_the_users_stay(tmp_path: Path) -> None:
    for name in ("weights-good.safetensors", "optimizer-good.safetensors", "notes.txt"):
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "state.json").write_text(json.dumps(SAVED))
    for step in (2, 3):
        save_checkpoint(tmp_path, *trained(step), step)
    assert sorted(path.name for path in tmp_path.iterdir() if path.read_bytes() == b"mine") == [
        "notes.txt", "optimizer-good.safetensors", "weights-good.safetensors"]
    assert len(list(tmp_path.iterdir())) == 6


def test_weights_alone_are_no_state_to_go_on_from(tmp_path: Path) -> None:
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, None, 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.json",
                                                          "weights-0000000.safetensors"]
    assert read_state(tmp_path)["checkpoints"][0].optimizer is None
    other, others = trained(1)
    before = bits(other, others)
    with pytest.raises(UserError, match=r"without an optimizer's averages; .*train --init"):
        load_checkpoint(tmp_path, other, others)
    assert bits(other, others) == before
    assert load_checkpoint(tmp_path, other) == 0
    assert [p.data.tobytes() for p in parameters(other).values()] == [
        p.data.tobytes() for p in parameters(model).values()]
    save_checkpoint(tmp_path, model, optimizer, 1, keep=2)
    save_checkpoint(tmp_path, model, optimizer, 2, keep=2)
    assert len(list(tmp_path.iterdir())) == 5  # two of two files, and no more of the first


def test_a_shorter_context_takes_the_first_positions(tmp_path: Path) -> None:
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, 1)
    short, long = (GPT(replace(CONFIG, context=context)) for context in (3, 5))
    load_checkpoint(tmp_path, short, may_differ=("context",))
    assert (short.wpe.weight.data == model.wpe.weight.data[:3]).all()
    with pytest.raises(UserError, match=r"other shape: wpe\.weight"):
        load_checkpoint(tmp_path, long, may_differ=("context",))
    with pytest.raises(UserError, match="context 4 there and 3 here"):
        load_checkpoint(tmp_path, short)


def test_what_was_added_later_stays_as_it_is(tmp_path: Path) -> None:
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, 1)

    class WithTrouble:
        count = np.array(7)

        def state(self) -> Any:
            return {**optimizer.state(), "trouble.left_out": self.count}

    beside = WithTrouble()
    assert load_checkpoint(tmp_path, model, beside) == 1 and beside.count == 7
    save_checkpoint(tmp_path, model, beside, 2)
    beside.count[...] = 0
    assert load_checkpoint(tmp_path, model, beside) == 2 and beside.count == 7


@pytest.mark.parametrize("name", FILES)
def test_a_bit_that_has_changed_is_seen(tmp_path: Path, name: str) -> None:
    model, optimizer = trained()
    save_checkpoint(tmp_path, model, optimizer, 1)
    before, path = bits(model, optimizer), tmp_path / FILES[name]
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{FILES[name]} is damaged .*SHA-256"):
        load_checkpoint(tmp_path, model, optimizer)
    assert bits(model, optimizer) == before
    forget_checksums(tmp_path)
    load_checkpoint(tmp_path, model, optimizer)
    assert bits(model, optimizer) != before, "a checkpoint without checksums is believed"


def test_what_a_kill_leaves_of_the_first_checkpoint_is_no_mistake_of_the_users(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights without a state.json are one's own only where something else took that away."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_before_state(patch)
        save_checkpoint(tmp_path, *trained(), 1)
    assert len(list(tmp_path.iterdir())) == 3 and stray_weights(tmp_path) == []
    with pytest.raises(UserError, match="there is no checkpoint in"):
        load_checkpoint(tmp_path, *trained())
    remove_unnamed(tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_stay_where_a_state_that_was_half_written_is_taken_away(tmp_path: Path) -> None:
    """A kill while `state.json` is replaced says nothing of the checkpoints that it names."""
    for step in (1, 2):
        save_checkpoint(tmp_path, *trained(), step, 2)
    (tmp_path / ".state.json.0123456789abcdef.tmp").write_text("{")
    (tmp_path / "state.json").rename(tmp_path / "moved")
    before = sorted(tmp_path.iterdir())
    remove_unnamed(tmp_path)
    for action in (lambda: load_checkpoint(tmp_path, *trained()),
                   lambda: save_checkpoint(tmp_path, *trained(), 3)):
        with pytest.raises(UserError, match=r"but no state\.json.*restore state\.json"):
            action()
    assert sorted(tmp_path.iterdir()) == before


def test_what_was_due_is_kept(tmp_path: Path) -> None:
    model, optimizer = trained()
    for step in (0, 3, 4, 5, 6, 7):
        save_checkpoint(tmp_path, model, optimizer, step, keep=1, every=3)
        kept = read_state(tmp_path)["checkpoints"]
        assert [one.step for one in kept] == [*dict.fromkeys([step, step // 3 * 3])]
        assert (due(kept, 3) or kept[0]).step == step // 3 * 3
    assert due(kept, 5) is None and due(kept, 0) is None
