"""The records of a run: metrics.jsonl, one object a line, its pace, and loss.png."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from math import inf, isfinite
from pathlib import Path
from typing import Any, TextIO

from ..host.errors import UserError
from ..host.files import write_in_one_step


class MetricsLog:
    """Appends records to a file; opening it drops those of what a resumed run does once more.

    Records have a key "step", the number of updates done when they were written; those of a batch
    that brought trouble have its number, "batch". A run that goes on after `step` updates with the
    batch number `batch` drops later ones. Raises UserError where the file cannot be written.
    """

    _file: TextIO | None = None

    def __init__(self, path: Path, step: int, batch: float = inf) -> None:
        self.path = path
        self.go_back(step, batch)

    def go_back(self, step: int, batch: float) -> None:
        """Drop the records after a step, or of that batch and later ones."""
        path = self.path
        self.close()
        try:
            kept = [record for record in read_metrics(path)
                    if record["step"] <= step and _number(record.get("batch"), -1) < batch]
            write_in_one_step(path, [f"{json.dumps(record)}\n".encode() for record in kept])
            self._file = open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115, see close()
        except OSError as error:
            raise _cannot_write(path, error) from error

    def write(self, **record: Any) -> None:
        """Append one record; a number that is not finite, which JSON lacks, becomes null."""
        assert self._file is not None
        known = {name: None if isinstance(value, float) and not isfinite(value) else value
                 for name, value in record.items()}
        try:
            self._file.write(json.dumps(known) + "\n")
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def close(self) -> None:
        """Close the file; what could not be written has been reported."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()


def _number(value: Any, otherwise: int) -> int:
    return value if type(value) is int else otherwise


def _cannot_write(path: str | Path, error: OSError) -> UserError:
    return UserError(f"cannot write {path}: {error.strerror}; make room there, or check its "
                     f"permissions, and go on with --resume")


class Pace:
    """Tokens a second, of steps alone: the time inside `stopped()` does not count."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens  # in a step
        self.steps, self.since = 0, time.perf_counter()

    def step(self) -> None:
        """Count a step."""
        self.steps += 1

    def tokens_per_second(self) -> float:
        """Return the pace since the last call, or since the beginning."""
        now = time.perf_counter()
        pace = self.steps * self.tokens / max(now - self.since, 1e-9)
        self.steps, self.since = 0, now
        return round(pace, 1)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the clock inside the block."""
        began = time.perf_counter()
        yield
        self.since += time.perf_counter() - began


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the records of a metrics file; a last line cut short by a crash is left out.

    So is any other line that holds no record, whatever its bytes are.
    """
    records = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and type(record.get("step")) is int:
            records.append(record)
    return records


def plot_loss(records: list[dict[str, Any]], path: Path) -> bool:
    """Draw training and validation loss over the steps; return False where matplotlib is missing.

    Thin: the loss of single batches; thick: their exponential average over 1/20 of the run.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    _draw_losses(figure.add_subplot(), records)
    picture = BytesIO()
    figure.savefig(picture, dpi=150, format="png")
    write_in_one_step(path, [picture.getbuffer()])
    return True


def _draw_losses(axes: Any, records: list[dict[str, Any]]) -> None:
    train = _points(records, "loss")
    precise = sorted(records, key=lambda r: _number(r.get("batches"), 0))
    validation = sorted(dict(_points(precise, "val_loss")).items())  # a step's, over most batches
    if train:
        steps, losses = zip(*train, strict=True)
        axes.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=0.8,
                  label="training, single batches")
        axes.plot(steps, _smooth(losses), color="tab:blue", linewidth=1.6,
                  label="training, smoothed")
    if validation:
        steps, losses = zip(*validation, strict=True)
        axes.plot(steps, losses, "o-", color="tab:orange", markersize=4, label="validation")
        axes.annotate(f"{losses[-1]:.3f}", (steps[-1], losses[-1]), textcoords="offset points",
                      xytext=(0, 8), ha="right", color="tab:orange")
    axes.set(xlabel="step", ylabel="loss (nats a token)")
    axes.grid(alpha=0.3)
    if train or validation:
        axes.legend()


def _points(records: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """Return (step, value) where the value is a finite number."""
    return [(r["step"], r[name]) for r in records if abs(r["step"]) < 2**63
            and type(r.get(name)) in (int, float) and abs(r[name]) < 1e300]


def _smooth(values: Any) -> list[float]:
    """Return the exponential average, corrected for its start as Adam's is."""
    average, smooth = 0.0, []
    decay = 1 - 1 / max(2, len(values) / 20)
    for i, value in enumerate(values):
        average = decay * average + (1 - decay) * value
        smooth.append(average / (1 - decay ** (i + 1)))
    return smooth
