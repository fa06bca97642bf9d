"""The results of a sweep: a table, best first, and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import inf
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ..host.files import write_in_one_step
from ..train.log import read_metrics
from .grid import Point, Sweep, Trial, described

FAILED = "failed.txt"
TAIL = 65536  # bytes at the end of a file of metrics, which hold its last record


@dataclass(frozen=True)
class Result:
    """A point of the grid: the final validation losses of the seeds that are done.

    `states` says of the others what has become of them.
    """

    point: Point
    losses: tuple[float, ...]
    states: tuple[str, ...]

    @property
    def mean(self) -> float:
        """The mean loss, infinite where none is known."""
        return mean(self.losses) if self.losses else inf

    @property
    def spread(self) -> float | None:
        """The standard deviation among the seeds; None for fewer than two."""
        return stdev(self.losses) if len(self.losses) > 1 else None


def last_step(folder: Path) -> int:
    """Return the step of the last record in a run's metrics, 0 where there is none."""
    path = folder / "metrics.jsonl"
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().splitlines()
    except OSError:
        return 0
    for line in reversed(lines):
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):  # cut short by a crash
            continue
    return 0


def is_done(trial: Trial, folder: Path) -> bool:
    """Whether a run has done all its steps and its final evaluation."""
    if last_step(folder / trial.name) < trial.config.run.steps:
        return False
    return _without_validation(folder / trial.name) or any(
        _is_final(trial, record) for record in read_metrics(folder / trial.name / "metrics.jsonl"))


def _is_final(trial: Trial, record: dict[str, Any]) -> bool:
    settings = trial.config.run
    return (record["step"] == settings.steps and isinstance(record.get("val_loss"), float)
            and record.get("batches") == settings.final_eval_batches)


def _without_validation(folder: Path) -> bool:
    """Whether the run's own text was too short to keep a part of it back."""
    data = folder / "data"
    return (data / "train.bin").exists() and not (data / "val.bin").exists()


def results(sweep: Sweep, folder: Path) -> list[Result]:
    """Return what is known of each point of the grid, the lowest mean loss first."""
    found: dict[str, tuple[list[float], list[str]]] = {}
    points = {described(trial.point): trial.point for trial in sweep.trials}
    for trial in sweep.trials:
        losses, states = found.setdefault(described(trial.point), ([], []))
        finals = [r["val_loss"] for r in read_metrics(folder / trial.name / "metrics.jsonl")
                  if _is_final(trial, r)]
        if finals:
            losses.append(finals[-1])
        else:
            states.append(_state(trial, folder / trial.name))
    return sorted((Result(points[name], tuple(losses), tuple(states))
                   for name, (losses, states) in found.items()), key=lambda one: one.mean)


def _state(trial: Trial, folder: Path) -> str:
    if (folder / FAILED).exists():
        return f"seed {trial.seed} failed"
    step = last_step(folder)
    return f"seed {trial.seed} at step {step}" if step else f"seed {trial.seed} not begun"


def table(sweep: Sweep, folder: Path) -> str:
    """Return the results as a Markdown table: settings, mean loss, spread, seeds that are done."""
    lines = [[*sweep.grid, "validation loss", "spread", "seeds"]]
    lines.append(["---"] * len(lines[0]))
    for one in results(sweep, folder):
        lines.append([*(str(value) for value in one.point.values()),
                      f"{one.mean:.4f}" if one.losses else "-",
                      "-" if one.spread is None else f"{one.spread:.4f}",
                      "; ".join([str(len(one.losses)), *one.states])])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("| " + " | ".join(cell.ljust(width, "-" if cell == "---" else " ")
                                       for cell, width in zip(line, widths, strict=True)) + " |"
                     for line in lines)


def plot(sweep: Sweep, folder: Path) -> Path | None:
    """Draw the losses over the setting of numbers with the most values, a line for all others.

    Returns the picture's path; None where matplotlib is missing, or no loss is known.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    known = [one for one in results(sweep, folder) if one.losses]
    if not known:
        return None
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    _draw(figure.add_subplot(), sweep, known)
    picture, path = BytesIO(), folder / "sweep.png"
    figure.savefig(picture, dpi=150, format="png")
    write_in_one_step(path, [picture.getbuffer()])
    return path


def _draw(axes: Any, sweep: Sweep, known: Sequence[Result]) -> None:
    numbers = [name for name, values in sweep.grid.items()
               if all(type(value) in (int, float) for value in values)]
    across = max(numbers, key=lambda name: len(sweep.grid[name]), default=next(iter(sweep.grid)))
    curves: dict[str, list[Result]] = {}
    for one in known:
        rest = described({k: v for k, v in one.point.items() if k != across})
        curves.setdefault(rest, []).append(one)
    values = sweep.grid[across]
    for label, ones in sorted(curves.items()):
        ones.sort(key=lambda one: values.index(one.point[across]))
        x = [one.point[across] if numbers else str(one.point[across]) for one in ones]
        axes.errorbar(x, [one.mean for one in ones], [one.spread or 0.0 for one in ones],
                      marker="o", capsize=3, label=label or None)
    if numbers and min(values) > 0 and max(values) >= 8 * min(values):
        axes.set_xscale("log")
    axes.set(xlabel=across, ylabel="validation loss (nats a token)")
    axes.grid(alpha=0.3)
    if any(curves):
        axes.legend(frameon=False, fontsize="small")
