"""The records of a run: its metrics, its pace, its picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.train import log as log_module
from tinygrad_llm.train.log import MetricsLog, Pace, plot_loss, read_metrics


def test_metrics_drop_the_future_and_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 5, "loss": 1.0}\n{"step": 6, "lo')
    log = MetricsLog(path, 3)
    log.write(step=4, loss=1.5)
    log.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 4]


def test_records_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    log = MetricsLog(path, 0)
    log.write(step=1, loss=2.5)
    assert read_metrics(path) == [{"step": 1, "loss": 2.5}], "a line is in the file at once"
    log.write(step=2, val_loss=1.5, batches=3)
    log.close()
    assert read_metrics(path)[1] == {"step": 2, "val_loss": 1.5, "batches": 3}


def test_lines_that_are_no_records_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('[1]\n{"loss": 1}\n{"step": "2"}\n\n{"step": 3}\n{"st')
    assert read_metrics(path) == [{"step": 3}]


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    class Full:
        name = "metrics.jsonl"

        def write(self, text: str) -> None:
            raise OSError(28, "No space left on device")

    log = MetricsLog(tmp_path / "metrics.jsonl", 0)
    log.close()
    log._file = Full()  # type: ignore[assignment]
    with pytest.raises(UserError, match="cannot write .*metrics.jsonl: No space left.*--resume"):
        log.write(step=1)


class Clock:
    """Stands in for time.perf_counter."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_the_pace_is_that_of_the_steps_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(log_module, "time", clock)
    pace = Pace(tokens=100)
    for _ in range(3):
        pace.step()
        clock.now += 0.5
        with pace.stopped():
            clock.now += 10
    assert pace.tokens_per_second() == 200.0
    clock.now += 4
    pace.step()
    assert pace.tokens_per_second() == 25.0, "since the last question"


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
    assert log_module._smooth([2.0] * 50) == pytest.approx([2.0] * 50)
    values = [float(i % 2) for i in range(100)]
    smooth = log_module._smooth(values)
    assert smooth[0] == 0 and abs(smooth[-1] - 0.5) < 0.15


ODD = [b"\xff\xfe\x00", b"[" * 100_000, b'{"step": ' + b"9" * 5000 + b"}", b'{"step": true}',
       b'{"step": 1e999}', b'\x00\x00', b'"\\ud800"']


@pytest.mark.parametrize("line", ODD)
def test_lines_of_any_bytes_are_left_out(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 2.0}\n' + line + b'\n{"step": 2, "loss": 1.0}\n')
    assert [record["step"] for record in read_metrics(path)] == [1, 2]
    MetricsLog(path, 1).close()
    assert read_metrics(path) == [{"step": 1, "loss": 2.0}]


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl", 0)
    log.write(step=1, val_loss=float("nan"), loss=float("inf"))
    log.close()
    assert (tmp_path / "metrics.jsonl").read_text() == (
        '{"step": 1, "val_loss": null, "loss": null}\n')


def test_a_picture_of_odd_records(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    odd = [{"step": 2, "loss": value} for value in ("x", None, [], True, 1e308, float("nan"))]
    assert plot_loss([*odd, {"step": 10**30, "loss": 1.0}, {"step": 1, "val_loss": {}}],
                     tmp_path / "loss.png")
    assert plot_loss([*odd, {"step": 1, "loss": 2.0}], tmp_path / "loss.png")


def test_a_clock_that_stands_still_is_no_division_by_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "time", Clock())
    pace = Pace(tokens=100)
    pace.step()
    assert pace.tokens_per_second() > 0


def test_a_log_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match="cannot write .*metrics.jsonl: Is a directory.*--resume"):
        MetricsLog(tmp_path / "metrics.jsonl", 0)


def test_of_two_validation_losses_of_a_step_the_one_over_more_batches_is_drawn() -> None:
    class Axes:
        drawn: ClassVar[dict[str, Any]] = {}

        def plot(self, steps: Any, losses: Any, *_: Any, label: str, **__: Any) -> None:
            self.drawn[label] = list(zip(steps, losses, strict=True))

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: None

    log_module._draw_losses(Axes(), [
        {"step": 1, "val_loss": 3.0, "batches": 20}, {"step": 2, "val_loss": 2.0, "batches": 400},
        {"step": 2, "val_loss": 9.0, "batches": 20}, {"step": 1, "loss": 4.0}])
    assert Axes.drawn["validation"] == [(1, 3.0), (2, 2.0)]
    assert set(Axes.drawn) == {"training, single batches", "training, smoothed", "validation"}
