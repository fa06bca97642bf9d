"""The records of a run: metrics.jsonl, one object a line.

Each record has "step", the number of updates done when it was written, the "tokens" of their
batches, and "seconds", the time that the run has been at work, all resumes together. Beside these:

    loss, lr, grad_norm, tokens_per_s, memory   of a step; memory in bytes, now resident
    val_loss, batches                           a validation loss, and over how many batches
    val_loss_ema                                beside it, that of averaged weights (--ema)
    sample                                      a text of the model's
    update_ratio, weight_norm, gradient_norm    by part, and
    stream, attention, mlp                      by layer: see `look`
    end                                         "done", or why the run stopped
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf, isfinite
from pathlib import Path
from typing import Any, TextIO

from ...host.errors import UserError
from ...host.files import write_in_one_step

Callback = Callable[[dict[str, Any]], object]
"""Is given each record once it is written."""


class MetricsLog:
    """Appends records to a file; opening it drops those of what a resumed run does once more.

    A run goes on after `step` updates with the batch number `batch`; records of later ones go. A
    step has `tokens`. A callback that raises an Exception does not end the run: `say` is given its
    first message, and it is given the next record all the same. Raises UserError where the file
    cannot be written.
    """

    _file: TextIO | None = None

    def __init__(self, path: Path, step: int, batch: float = inf, tokens: int = 0,
                 callbacks: Sequence[Callback] = (), say: Callable[[str], None] = print) -> None:
        self.path, self.tokens, self.callbacks, self.say = path, tokens, callbacks, say
        self.failed: set[int] = set()
        past = self.go_back(step, batch)
        self.began = time.perf_counter() - max(
            (r["seconds"] for r in past if _is_time(r.get("seconds"))), default=0.0)

    def go_back(self, step: int, batch: float) -> list[dict[str, Any]]:
        """Drop the records after a step, or of that batch and later ones; return the others."""
        self.close()
        try:
            kept = [record for record in read_metrics(self.path) if "end" not in record
                    and record["step"] <= step and whole(record.get("batch"), -1) < batch]
            write_in_one_step(self.path, [f"{json.dumps(record)}\n".encode() for record in kept])
            self._file = open(self.path, "a", buffering=1,  # noqa: SIM115, see close()
                              encoding="utf-8")
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        known = [r for r in kept if type(r.get("tokens")) is int]  # of other batches, perhaps
        self.first = known[-1] if known else {"step": 0, "tokens": 0}
        return kept

    def write(self, step: int, **record: Any) -> None:
        """Append one record; a number that is not finite, which JSON lacks, becomes null."""
        assert self._file is not None
        known = {"step": step, **finite(record),
                 "tokens": self.first["tokens"] + (step - self.first["step"]) * self.tokens,
                 "seconds": round(time.perf_counter() - self.began, 3)}
        try:
            self._file.write(json.dumps(known) + "\n")
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        for number, callback in enumerate(self.callbacks):
            try:
                callback(known)
            except Exception as error:  # of a service that cannot be reached, for instance
                if number not in self.failed:
                    self.say(f"the callback {getattr(callback, '__name__', callback)!s} failed "
                             f"at step {step}: {type(error).__name__}: {error}; the run goes on")
                self.failed.add(number)

    def close(self) -> None:
        """Close the file; what could not be written has been reported."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


def whole(value: Any, otherwise: int) -> int:
    """Return a whole number; `otherwise` for anything else."""
    return value if type(value) is int else otherwise


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e12


def finite(value: Any) -> Any:
    """Return a record with null for each number that is not finite, however deep it lies."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _cannot_write(path: str | Path, error: OSError) -> UserError:
    return UserError(f"cannot write {path}: {error.strerror}; make room there, or check its "
                     f"permissions, and go on with --resume")


def record_of(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line; None for one that holds none, whatever its bytes are."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and type(record.get("step")) is int else None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the records of a metrics file; a last line cut short by a crash is left out.

    So is any other line that holds no record.
    """
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [record for record in map(record_of, lines) if record is not None]
