"""Checkpoints that survive whatever interrupts their writing.

A checkpoint is three files: the weights and the optimizer's averages (safetensors), and
`state.json`, which names the two, the step, and the model's architecture and sizes. The two are
written under new names first; then `state.json` is replaced in one step, which is the moment when
the new checkpoint begins to exist; then what it no longer names is deleted. A crash or a full disk
at any point leaves either the former checkpoint or the new one, whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from autograd import namespace, to_host

from ..host.errors import UserError
from ..host.files import write_in_one_step
from ..models import DEFAULT, LanguageModel, architecture, architecture_of
from ..nn import load_parameters
from ..optim import AdamW


def save_checkpoint(folder: Path, model: LanguageModel, optimizer: AdamW, step: int) -> None:
    """Write the state after `step` updates. Raises UserError where it cannot be written.

    In that case the former checkpoint is still there and whole.
    """
    weights, averages = f"weights-{step:07d}.safetensors", f"optimizer-{step:07d}.safetensors"
    arch = architecture_of(model)
    named = architecture(arch).weights(model)
    state = {"step": step, "weights": weights, "optimizer": averages, "arch": arch,
             "model": asdict(model.config)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_arrays(folder / weights, {n: p.data for n, p in named.items()})
        _write_arrays(folder / averages, optimizer.state())
        write_in_one_step(folder / "state.json", [json.dumps(state, indent=2).encode()])
    except (OSError, SafetensorError) as error:
        _sweep_up(folder)
        raise UserError(
            f"cannot save the checkpoint of step {step} in {folder}: {error}; "
            f"{_former(folder)}make room there, or check its permissions, and go on with --resume"
        ) from error
    _sweep_up(folder)


def load_checkpoint(folder: Path, model: LanguageModel, optimizer: AdamW | None = None) -> int:
    """Read the checkpoint into the model, and the optimizer if given; return its step.

    Raises UserError where a file is missing, damaged, or belongs to another configuration; the
    model is then as it was.
    """
    state = read_state(folder)
    arch = architecture_of(model)
    saved = {"arch": state["arch"], **state["model"]}
    if saved != (wanted := {"arch": arch, **asdict(model.config)}):
        raise UserError(f"the checkpoint in {folder} is from another configuration: "
                        f"{_differences(saved, wanted)}")
    weights = _read_arrays(folder / state["weights"])
    if optimizer is not None:
        _load_optimizer(folder / state["optimizer"], optimizer)
    try:
        load_parameters(architecture(arch).weights(model), weights)
    except ValueError as error:
        raise UserError(f"{folder / state['weights']}: {error}") from error
    return int(state["step"])


def read_state(folder: Path) -> dict[str, Any]:
    """Return the content of `state.json`. Raises UserError where there is no readable one."""
    path = folder / "state.json"
    try:
        state = {"arch": DEFAULT, **json.loads(path.read_bytes())}
        architecture(state["arch"]).config(**state["model"])
        if not all(Path(state[kind]).name == state[kind] for kind in ("weights", "optimizer")):
            raise ValueError("a file name that leads out of the folder")
        return {**state, "step": int(state["step"])}
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except FileNotFoundError:
        raise UserError(f"there is no checkpoint in {folder}; train first, or check the path"
                        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); the run has to be started anew in another "
                        f"folder") from error


def _load_optimizer(path: Path, optimizer: AdamW) -> None:
    arrays, own = _read_arrays(path), optimizer.state()
    if {n: a.shape for n, a in arrays.items()} != {n: a.shape for n, a in own.items()}:
        raise UserError(f"{path} does not fit the model; it is from another configuration")
    for name, array in own.items():
        array[...] = namespace(array).asarray(arrays[name])


def _write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    save_file({name: np.asarray(to_host(a), order="C") for name, a in arrays.items()}, path)
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _read_arrays(path: Path) -> dict[str, Any]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing, though state.json names it; restore it, or start "
                        f"the run anew in another folder") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or truncated ({error}); restore it, or start the run "
                        f"anew in another folder") from error


def _sweep_up(folder: Path) -> None:
    """Delete the files of checkpoints that `state.json` does not name."""
    try:
        state = json.loads((folder / "state.json").read_bytes())
        named = {"state.json", state["weights"], state["optimizer"]}
    except (OSError, ValueError, KeyError):
        named = {"state.json"}
    for pattern in ("weights-*", "optimizer-*", "*.tmp"):
        for path in folder.glob(pattern):
            if path.name not in named:
                path.unlink(missing_ok=True)


def _former(folder: Path) -> str:
    try:
        return f"the one of step {read_state(folder)['step']} is untouched; "
    except UserError:
        return ""


def _differences(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {saved.get(key)!r} there and {value!r} here"
                     for key, value in wanted.items() if saved.get(key) != value)
