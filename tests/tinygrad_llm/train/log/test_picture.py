"""The picture of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tinygrad_llm.train.log import picture, plot_loss


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    records = [{"step": i, "loss": 3 - i / 10} for i in range(10)] + [{"step": 9, "val_loss": 2.5}]
    assert plot_loss(records, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_no_picture_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert not plot_loss([], tmp_path / "loss.png")
    assert not (tmp_path / "loss.png").exists()


def test_the_smooth_curve_is_corrected_for_its_start() -> None:
    assert picture._smooth([2.0] * 50) == pytest.approx([2.0] * 50)
    values = [float(i % 2) for i in range(100)]
    smooth = picture._smooth(values)
    assert smooth[0] == 0 and abs(smooth[-1] - 0.5) < 0.15


def test_a_picture_of_odd_records(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    odd = [{"step": 2, "loss": value} for value in ("x", None, [], True, 1e308, float("nan"))]
    assert plot_loss([*odd, {"step": 10**30, "loss": 1.0}, {"step": 1, "val_loss": {}}],
                     tmp_path / "loss.png")
    assert plot_loss([*odd, {"step": 1, "loss": 2.0}], tmp_path / "loss.png")


def test_of_two_validation_losses_of_a_step_the_one_over_more_batches_is_drawn() -> None:
    class Axes:
        drawn: ClassVar[dict[str, Any]] = {}

        def plot(self, steps: Any, losses: Any, *_: Any, label: str, **__: Any) -> None:
            self.drawn[label] = list(zip(steps, losses, strict=True))

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: None

    picture._draw_losses(Axes(), [
        {"step": 1, "val_loss": 3.0, "batches": 20}, {"step": 2, "val_loss": 2.0, "batches": 400},
        {"step": 2, "val_loss": 9.0, "batches": 20}, {"step": 1, "loss": 4.0},
        {"step": 2, "val_loss": 2.0, "val_loss_ema": 1.5, "batches": 400}])
    assert Axes.drawn["validation"] == [(1, 3.0), (2, 2.0)]
    assert Axes.drawn["validation, averaged weights"] == [(2, 1.5)]
    assert set(Axes.drawn) == {"training, single batches", "training, smoothed", "validation",
                               "validation, averaged weights"}

