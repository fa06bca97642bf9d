"""Checkpoints that survive whatever interrupts their writing.

A checkpoint is two files, the weights and the optimizer's averages (safetensors); that of a model
from elsewhere, which was not trained here, has the weights alone. `state.json`
names those of the newest, its step, and the model's architecture and sizes; and under
`checkpoints`, newest first, all that are kept: the newest few, and the one of the lowest
validation loss, each with the SHA-256 of its files, which is computed while they are written and
compared when they are read. The two are written under new names first; then `state.json` is
replaced in one step, which is the moment when the new checkpoint begins to exist; then what it no
longer names is deleted. A crash or a full disk at any point leaves either the former state or the
new one, whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors import SafetensorError

from autograd import namespace
from autograd.backend import Array

from ...host.errors import UserError, shortened
from ...host.files import (
    flush_folder,
    remove_temporaries,
    sha256_of,
    temporary_beside,
    write_in_one_step,
)
from ...models import DEFAULT, LanguageModel, architecture, architecture_of
from ...nn import load_parameters
from .arrays import Snapshot, read_arrays

NAME = re.compile(r"(weights|optimizer)-\d{7,}(-\d+)?\.safetensors")
MOST_STEPS = 2**63
UPDATES, AVERAGE = "ema.steps", "ema.average."
"""The name of the number of weights that were averaged, and the beginning of the averages' names.
"""
FIRST = "first"
"""Of the hidden file that is there while the first checkpoint is written."""
LATER = ("trouble.", "loss_scale.")  # which checkpoints of before lack: they stay as they are


class Stateful(Protocol):
    """What a checkpoint keeps beside the weights, as an optimizer's averages."""

    def state(self) -> dict[str, Array]:
        """Return arrays by name, numbers as 0-d ones; restored by writing into them."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint that is kept: its step, its files, and its validation loss where one is known.

    `optimizer` is None where there are weights alone. `measured` names the batches that the loss is
    the mean of: losses of others are not compared. `sha256` has the digests by file; checkpoints of
    version 0.6 and before have none.
    """

    step: int
    weights: str
    optimizer: str | None
    val_loss: float | None = None
    measured: str = ""
    sha256: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if type(self.step) is not int or not 0 <= self.step < MOST_STEPS:
            raise ValueError(f"the step {shortened(self.step)}")
        if not all(NAME.fullmatch(name) for name in self.files):
            raise ValueError(f"the file names {shortened((self.weights, self.optimizer))}")
        if self.val_loss is not None and not (isinstance(self.val_loss, float)
                                              and isfinite(self.val_loss)):
            raise ValueError(f"the validation loss {shortened(self.val_loss)}")
        if not isinstance(self.sha256, dict) or not all(
                isinstance(one, str) for one in self.sha256.values()):
            raise ValueError(f"the checksums {shortened(self.sha256)}")

    @property
    def files(self) -> list[str]:
        """The names of its files."""
        return [self.weights] if self.optimizer is None else [self.weights, self.optimizer]


class Saving:
    """A checkpoint on its way to the disk: the state after `step` updates, as it is now.

    `beside` is what is kept beside the weights, an optimizer or a run with all that it has; without
    it, it is the weights alone: other runs can begin with them. Raises UserError where the folder
    has weights without their state.
    """

    def __init__(self, folder: Path, model: LanguageModel, beside: Stateful | None, step: int,
                 keep: int = 1, every: int | None = None) -> None:
        if stray_weights(folder):
            raise UserError(_without_state(folder))
        self.folder, self.model, self.keep, self.every = folder, model, keep, every
        former = read_state(folder)["checkpoints"] if (folder / "state.json").exists() else []
        self.former: list[Saved] = former
        self.new = _new_names(step, former, beside is None)
        named = architecture(architecture_of(model)).weights(model)
        content: list[Mapping[str, Any]] = [{n: p.data for n, p in named.items()}]
        if beside is not None:
            content.append(beside.state())
        self.snapshots = dict(zip(self.new.files, map(Snapshot, content), strict=True))

    def settle(self) -> None:
        """Copy what is not written yet: from now on the arrays may change."""
        for snapshot in self.snapshots.values():
            snapshot.settle()

    def write(self) -> None:
        """Write all; then keep the newest checkpoints and the best, and with `every` the `due` one.

        Checkpoints of later steps, of a future that was given up, go. Raises UserError where it
        cannot be written; the former checkpoints are then still there and whole.
        """
        folder, new, former = self.folder, self.new, self.former
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "state.json").exists():  # weights without it are then no mistake
                temporary_beside(folder / FIRST).touch()
                flush_folder(folder)
            for name, snapshot in self.snapshots.items():
                write_in_one_step(folder / name, snapshot.parts())
            new = replace(new, sha256={n: one.sha256 for n, one in self.snapshots.items()})
            _commit(folder, self.model, [new, *(one for one in former if one.step < new.step)],
                    self.keep, self.every)
        except (OSError, MemoryError) as error:
            remove_unnamed(folder)  # state.json may be the new one, if what failed came behind it
            raise UserError(
                f"cannot save the checkpoint of step {new.step} in {folder}: "
                f"{error or 'memory ran out'}; {_former(folder)}make room there, or check its "
                f"permissions, and go on with --resume") from error


def save_checkpoint(folder: Path, model: LanguageModel, beside: Stateful | None, step: int,
                    keep: int = 1, every: int | None = None) -> None:
    """Write a checkpoint, and wait for it: see `Saving`."""
    Saving(folder, model, beside, step, keep, every).write()


def note_validation(folder: Path, model: LanguageModel, step: int, loss: float, measured: str,
                    keep: int = 1, every: int | None = None) -> None:
    """Note the validation loss of a checkpoint that was saved; it may now be the best.

    Raises UserError where that cannot be written.
    """
    noted = [replace(one, val_loss=loss, measured=measured) if one.step == step else one
             for one in read_state(folder)["checkpoints"]]
    try:
        _commit(folder, model, noted, keep, every)
    except OSError as error:
        raise UserError(f"cannot write {folder / 'state.json'}: {error.strerror}; the checkpoints "
                        f"are whole; make room there and go on with --resume") from error


def best(checkpoints: Sequence[Saved], measured: str | None = None) -> Saved | None:
    """Return the checkpoint of the lowest validation loss over the same batches.

    Over those that `measured` names, by default those of the newest loss; None where there is none.
    """
    known = [one for one in checkpoints if one.val_loss is not None]
    if measured is None and known:
        measured = max(known, key=lambda one: one.step).measured
    return min((one for one in known if one.measured == measured),
               key=lambda one: (one.val_loss, one.step), default=None)


def due(checkpoints: Sequence[Saved], every: int) -> Saved | None:
    """Return the newest checkpoint of a step that `every` divides, 0 where that is 0, if any.

    Others are of steps at which a run was stopped, or at which it was the best.
    """
    return next((one for one in checkpoints if (one.step % every if every else one.step) == 0),
                None)


def load_checkpoint(folder: Path, model: LanguageModel, beside: Stateful | None = None,
                    which: str = "last", may_differ: Collection[str] = ()) -> int:
    """Read a checkpoint into the model, and into what is kept beside it; return its step.

    `which` is "last", "best", a step, or "ema" for the average of the weights that the newest has
    beside them; `may_differ` names settings of the model that need not be
    the checkpoint's: of learnt positions, a shorter context takes the first. Raises UserError where
    a file is missing, damaged, or belongs to another configuration, and for a step that is not
    there; the model is then as it was.
    """
    state = read_state(folder)
    arch = architecture_of(model)
    saved, wanted = ({name: value for name, value in settings.items() if name not in may_differ}
                     for settings in ({"arch": state["arch"], **state["model"]},
                                      {"arch": arch, **asdict(model.config)}))
    if saved != wanted:
        raise UserError(f"the checkpoint in {folder} is from another configuration: "
                        f"{_differences(saved, wanted)}")
    chosen = _choose(folder, state["checkpoints"], "last" if which == "ema" else which)
    if beside is not None and chosen.optimizer is None:
        raise UserError(f"{folder} holds the weights of a model that was not trained here, without "
                        f"an optimizer's averages; begin with them: train --init")
    if which == "ema" and beside is not None:
        raise UserError("--checkpoint ema has averaged weights, with which no run goes on; give it "
                        "with --init, to begin another")
    try:
        weights = (_averaged_weights(folder, chosen) if which == "ema"
                   else _read_arrays(folder / chosen.weights, chosen))
        if "context" in may_differ:
            weights |= {name: np.asarray(weights[name])[:model.config.context]
                        for name in architecture(arch).by_position if name in weights}
        kept = {} if beside is None else _read_beside(folder, chosen, beside)
        load_parameters(architecture(arch).weights(model), weights)
    except ValueError as error:
        now = read_state(folder)["checkpoints"]
        if now != state["checkpoints"]:  # a run at work has saved the next one meanwhile
            return load_checkpoint(folder, model, beside, which, may_differ)
        sound = [str(one.step) for one in now if one != chosen and not damage(folder, one)
                 ] if damage(folder, chosen) else []
        raise UserError((str(error) if isinstance(error, UserError)
                         else f"{folder / chosen.weights}: {error}") + (
            f"; or take one that is sound: --checkpoint {' or '.join(sound)}" if sound else "")
        ) from error
    for name, array in ({} if beside is None else beside.state()).items():
        if name in kept:
            array[...] = namespace(array).asarray(kept[name])
    return chosen.step


def _choose(folder: Path, checkpoints: Sequence[Saved], which: str) -> Saved:
    found = checkpoints[0] if which == "last" else best(checkpoints) if which == "best" else next(
        (one for one in checkpoints if str(one.step) == which.strip()), None)
    if found is not None:
        return found
    steps = ", ".join(str(one.step) for one in checkpoints)
    raise UserError(f"no checkpoint {which!r} in {folder}; there are last"
                    f"{', best' if best(checkpoints) else ''} and the steps {steps}"
                    + (", and none has a validation loss" if which == "best" else ""))


def read_state(folder: Path) -> dict[str, Any]:
    """Return the content of `state.json`, its `checkpoints` as `Saved`, newest first.

    Raises UserError where there is no readable one.
    """
    path = folder / "state.json"
    try:
        state = {"arch": DEFAULT, **json.loads(path.read_bytes())}
        state["model"] = asdict(architecture(state["arch"]).config(**state["model"]))
        newest = {name: state[name] for name in ("step", "weights", "optimizer")}
        kept = [Saved(**one) for one in state.get("checkpoints", [newest])]  # 0.1 kept one only
        if not kept or newest != {name: getattr(kept[0], name) for name in newest}:
            raise ValueError("its first checkpoint is not the newest")
        return {**state, "checkpoints": kept}
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except FileNotFoundError:
        raise UserError(_without_state(folder)) from None
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); restore it, or start the run anew in "
                        f"another folder") from error


def _without_state(folder: Path) -> str:
    if weights := stray_weights(folder):
        return (f"{folder} has {weights[-1]} but no state.json, which says what it belongs to; "
                f"restore state.json, or move {folder} away to begin again at step 0")
    return f"there is no checkpoint in {folder}; train first, or check the path"


def stray_weights(folder: Path) -> list[str]:
    """Return the names of the weights in a folder that has no `state.json`, sorted."""
    if (folder / "state.json").exists() or any(folder.glob(f".{FIRST}.*.tmp")):
        return []  # the second where a process was killed while it wrote the first checkpoint
    return sorted(path.name for path in folder.glob("*.safetensors"))


def _new_names(step: int, former: Sequence[Saved], alone: bool = False) -> Saved:
    """Return names of files that no kept checkpoint has: the same step may be saved twice.

    If `alone`, there is none for the optimizer.
    """
    taken = {one.weights for one in former}
    ends = (f"{step:07d}{f'-{n}' if n else ''}.safetensors" for n in count())
    end = next(end for end in ends if f"weights-{end}" not in taken)
    return Saved(step, f"weights-{end}", None if alone else f"optimizer-{end}")


def _commit(folder: Path, model: LanguageModel, checkpoints: Sequence[Saved], keep: int,
            every: int | None) -> None:
    """Replace `state.json` by one that names those that are kept; delete all others."""
    wanted = [*checkpoints[:max(1, keep)], best(checkpoints),
              None if every is None else due(checkpoints, every)]
    kept = [one for one in checkpoints if one in wanted]
    state = {"step": kept[0].step, "weights": kept[0].weights, "optimizer": kept[0].optimizer,
             "arch": architecture_of(model), "model": asdict(model.config),
             "checkpoints": [asdict(one) for one in kept]}
    write_in_one_step(folder / "state.json", [json.dumps(state, indent=2).encode()])
    _sweep_up(folder, {name for one in kept for name in one.files})


def _sweep_up(folder: Path, named: Collection[str]) -> None:
    """Delete files that were never finished, and those of checkpoints that are not `named`."""
    for path in folder.iterdir():
        if path.name not in named and NAME.fullmatch(path.name.removesuffix(".tmp")):
            path.unlink(missing_ok=True)
    remove_temporaries(folder)


def remove_unnamed(folder: Path) -> None:
    """Delete what a process that was killed has left of a checkpoint."""
    if (folder / "state.json").exists():
        _sweep_up(folder, {name for one in read_state(folder)["checkpoints"] for name in one.files})
    elif folder.is_dir() and not stray_weights(folder):
        _sweep_up(folder, [])


def damage(folder: Path, saved: Saved) -> str:
    """Return what is wrong with the files of a checkpoint; "" where they are as they were written.

    All are read; those without a checksum have to be safetensors at least.
    """
    for name in saved.files:
        try:
            _compare_sum(folder / name, saved)
            if name not in saved.sha256:
                read_arrays(folder / name)
        except FileNotFoundError:
            return f"{name} is missing"
        except (SafetensorError, OSError, ValueError, TypeError) as error:
            return f"{name}: {error}"
    return ""


def _compare_sum(path: Path, saved: Saved) -> None:
    """Raise ValueError where a file has another checksum than the one that was noted, if any."""
    if path.name in saved.sha256 and sha256_of(path) != saved.sha256[path.name]:
        raise ValueError("its SHA-256 is not the one that state.json has")


def _read_arrays(path: Path, saved: Saved) -> dict[str, Any]:
    try:
        _compare_sum(path, saved)
        return read_arrays(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing, though state.json names it; restore it, or start "
                        f"the run anew in another folder") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or truncated ({error}); restore it, or start the run "
                        f"anew in another folder") from error
    except TypeError as error:
        raise UserError(f"{path} has numbers of another kind ({error}); restore it") from error


def _averaged_weights(folder: Path, saved: Saved) -> dict[str, Any]:
    """Return the weights that `optim.EMA` has averaged; those at step 0 as they are."""
    found = _read_arrays(folder / saved.optimizer, saved) if saved.optimizer else {}
    if np.asarray(found.get(UPDATES, 1)) == 0:
        return _read_arrays(folder / saved.weights, saved)
    averaged = {name.removeprefix(AVERAGE): array for name, array in found.items()
                if name.startswith(AVERAGE)}
    if not averaged:
        raise UserError(f"{folder} holds no average of the weights; train with --ema 0.999, or "
                        f"leave --checkpoint ema out")
    return averaged


def _read_beside(folder: Path, saved: Saved, beside: Stateful) -> dict[str, Any]:
    assert saved.optimizer is not None
    path = folder / saved.optimizer
    arrays, own = _read_arrays(path, saved), beside.state()
    kinds = [{name: (array.shape, array.dtype) for name, array in found.items()}
             for found in (arrays, own)]
    kinds[1] = {name: kind for name, kind in kinds[1].items()
                if name in arrays or not name.startswith(LATER)}
    if kinds[0] != kinds[1]:
        raise UserError(f"{path} does not fit the model; it is from another configuration")
    if any(not 0 <= np.asarray(array) <= saved.step for name, array in arrays.items()
           if name.startswith("steps.")):
        raise UserError(f"{path} counts other steps than the {saved.step} of state.json; it is "
                        f"damaged, or from another run")
    return arrays


def _former(folder: Path) -> str:
    try:
        return f"the one of step {read_state(folder)['step']} is untouched; "
    except UserError:
        return ""


def _differences(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {saved.get(key)!r} there and {value!r} here"
                     for key, value in wanted.items() if saved.get(key) != value)
