"""The picture of a run: loss.png."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from ...host.files import write_in_one_step
from .metrics import whole

VALIDATIONS = (("val_loss", "validation", "tab:orange"),
               ("val_loss_ema", "validation, averaged weights", "tab:green"))


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
    precise = sorted(records, key=lambda r: whole(r.get("batches"), 0))
    measured = [(name, colour, sorted(dict(points).items())) for field, name, colour in VALIDATIONS
                if (points := _points(precise, field))]  # a step's, over most batches
    if train:
        steps, losses = zip(*train, strict=True)
        axes.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=0.8,
                  label="training, single batches")
        axes.plot(steps, _smooth(losses), color="tab:blue", linewidth=1.6,
                  label="training, smoothed")
    for number, (name, colour, points) in enumerate(measured):
        steps, losses = zip(*points, strict=True)
        axes.plot(steps, losses, "o-", color=colour, markersize=4, label=name)
        axes.annotate(f"{losses[-1]:.3f}", (steps[-1], losses[-1]), textcoords="offset points",
                      xytext=(0, -14 if number else 8), ha="right", color=colour)
    axes.set(xlabel="step", ylabel="loss (nats a token)")
    axes.grid(alpha=0.3)
    if train or measured:
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
