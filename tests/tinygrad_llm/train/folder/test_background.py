"""Checkpoints that are written while the run goes on."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import AdamW
from tinygrad_llm.train.folder import arrays, checkpoint
from tinygrad_llm.train.folder.background import Background
from tinygrad_llm.train.folder.checkpoint import Saving, load_checkpoint, read_state

CONFIG = GPTConfig(vocab_size=5, context=4, layers=1, heads=1, width=4)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Give what must be set before a file is written."""
    opened, write = Event(), checkpoint.write_in_one_step

    def waiting(path: Path, parts: Any) -> None:
        assert opened.wait(30)
        write(path, parts)

    monkeypatch.setattr(checkpoint, "write_in_one_step", waiting)
    monkeypatch.setattr(arrays, "SMALL", 0)
    return opened


def change(model: GPT) -> None:
    for p in parameters(model).values():
        p.data += 1


def test_the_run_goes_on_and_the_checkpoint_is_of_when_it_began(tmp_path: Path,
                                                                gate: Event) -> None:
    model, background = GPT(CONFIG, seed=1), Background()
    before = {name: p.data.copy() for name, p in parameters(model).items()}
    background.begin(Saving(tmp_path, model, AdamW(parameters(model)), 1))
    assert not (tmp_path / "state.json").exists()
    background.settle()
    change(model)
    gate.set()
    background.wait()
    assert load_checkpoint(tmp_path, model) == 1
    assert all(np.array_equal(p.data, before[name]) for name, p in parameters(model).items())


def test_without_settle_the_test_above_would_fail(tmp_path: Path, gate: Event) -> None:
    model, background = GPT(CONFIG, seed=1), Background()
    before = {name: p.data.copy() for name, p in parameters(model).items()}
    background.begin(Saving(tmp_path, model, AdamW(parameters(model)), 1))
    change(model)
    gate.set()
    background.wait()
    load_checkpoint(tmp_path, model)
    assert not any(np.array_equal(p.data, before[name]) for name, p in parameters(model).items())


def test_the_next_waits_for_the_one_before(tmp_path: Path, gate: Event) -> None:
    model, background = GPT(CONFIG, seed=1), Background()
    background.begin(Saving(tmp_path, model, AdamW(parameters(model)), 1))
    gate.set()
    background.wait()
    background.begin(Saving(tmp_path, model, AdamW(parameters(model)), 2, keep=2))
    background.wait()
    background.wait()
    assert [one.step for one in read_state(tmp_path)["checkpoints"]] == [2, 1]


@pytest.mark.parametrize("method", ["settle", "wait"])
def test_an_error_reaches_the_caller_once(tmp_path: Path, method: str,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, parts: Any) -> None:
        raise OSError(28, "No space left on device")

    model, background = GPT(CONFIG, seed=1), Background()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_in_one_step", full)
        background.begin(Saving(tmp_path, model, AdamW(parameters(model)), 1))
        assert background._thread is not None
        background._thread.join()
        with pytest.raises(UserError, match="cannot save the checkpoint of step 1 .*No space left"):
            getattr(background, method)()
    assert background.failed and not [*tmp_path.iterdir()]
    background.wait()
    background.begin(Saving(tmp_path, model, AdamW(parameters(model)), 1))
    background.wait()
    assert not background.failed and read_state(tmp_path)["step"] == 1
