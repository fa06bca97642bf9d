"""Whether the files of a run are as they were written: all that a run is opened with is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...data.prepared import is_prepared, open_prepared, open_tokenizer
from ...host.errors import UserError
from ..config import make_config, read_settings
from ..folder.checkpoint import best, damage, read_state, stray_weights
from ..folder.data_record import check_record, check_tokenizer, read_record
from ..log.metrics import record_of
from ..run import holds_run

Findings = dict[str, str]
"""The parts of a run, and of each what is wrong with it; "" where nothing is."""


def check_run(folder: Path) -> tuple[Findings, list[int]]:
    """Read all files of a run; return the findings, and the steps of the sound checkpoints.

    The newest come first. Each file of a checkpoint is compared with the SHA-256 that was noted
    while it was written; those of version 0.6 and before have none. A run that is at work may be
    checked. Raises UserError where there is no run.
    """
    if not holds_run(folder):
        raise UserError(f"there is no run in {folder}; name the folder of one")
    found = {"config.toml": _fault(lambda: make_config(read_settings(folder / "config.toml"))),
             "tokenizer.json": _fault(lambda: _tokenizer(folder)),
             "data": _fault(lambda: _data(folder)),
             "metrics.jsonl": _fault(lambda: _metrics(folder))}
    checkpoint = folder / "checkpoint"
    if not ((checkpoint / "state.json").exists() or stray_weights(checkpoint)):  # before the first
        return found, []
    if fault := _fault(lambda: read_state(checkpoint)):
        return {**found, "checkpoint": fault}, []
    return _checkpoints(checkpoint, found)


def _checkpoints(folder: Path, found: Findings) -> tuple[Findings, list[int]]:
    kept, sound = read_state(folder)["checkpoints"], []
    faults = [damage(folder, one) for one in kept]
    if any(faults) and read_state(folder)["checkpoints"] != kept:  # a run at work has saved
        return _checkpoints(folder, found)
    least = best(kept)
    for one, fault in zip(kept, faults, strict=True):
        loss = "" if one.val_loss is None else f", validation loss {one.val_loss:.4f}"
        found = {**found, f"checkpoint {one.step}{loss}{' (best)' * (one == least)}": fault}
        sound += [] if fault else [one.step]
    return found, sound


def _fault(read: Callable[[], object]) -> str:
    try:
        read()
    except (UserError, OSError) as error:
        return str(error)
    return ""


def _tokenizer(folder: Path) -> None:
    open_tokenizer(folder / "tokenizer.json")
    check_tokenizer(folder)


def _data(folder: Path) -> None:
    """Raise UserError where the tokens are damaged, or not those that the run was trained on."""
    config = make_config(read_settings(folder / "config.toml"))
    for place in (Path(config.data.data), folder / "data"):
        if config.data.data and is_prepared(place):  # tokens that are lost are made again
            check_record(folder, open_prepared(place))
            return
    read_record(folder)


def _metrics(folder: Path) -> None:
    """Raise UserError where lines hold no record; a kill may cut the last one short."""
    path = folder / "metrics.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    if lost := sum(record_of(line) is None for line in lines):
        raise UserError(f"{path}: {lost} of {len(lines)} lines hold no record; they are left out")
