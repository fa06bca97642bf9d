"""The records of a run: what is written, what is read, and who else is given them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.train.log import MetricsLog, metrics, read_metrics


def without_time(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.items() if k not in ("seconds", "tokens")} for r in records]


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
    assert without_time(read_metrics(path)) == [
        {"step": 1, "loss": 2.5}], "a line is in the file at once"
    log.write(step=2, val_loss=1.5, batches=3)
    log.close()
    assert without_time(read_metrics(path))[1] == {"step": 2, "val_loss": 1.5, "batches": 3}


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
    log.write(step=1, val_loss=float("nan"), loss=float("inf"), by={"a": float("nan")}, of=[-1e999])
    log.close()
    assert (tmp_path / "metrics.jsonl").read_text().startswith(
        '{"step": 1, "val_loss": null, "loss": null, "by": {"a": null}, "of": [null], ')


def test_a_log_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match="cannot write .*metrics.jsonl: Is a directory.*--resume"):
        MetricsLog(tmp_path / "metrics.jsonl", 0)


class Clock:
    """Stands in for time.perf_counter."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


def test_tokens_and_seconds_go_on_where_the_run_was(tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    clock, path = Clock(), tmp_path / "metrics.jsonl"
    monkeypatch.setattr(metrics, "time", clock)
    log = MetricsLog(path, 0, tokens=10)
    clock.now += 2.5
    log.write(step=4, loss=1.0)
    clock.now += 1.0
    log.write(step=6, end="SIGINT")
    log.close()
    clock.now += 1000.0
    log = MetricsLog(path, 6, tokens=100)
    clock.now += 0.25
    log.write(step=7, loss=1.0)
    log.close()
    assert [(r["step"], r["tokens"], r["seconds"]) for r in read_metrics(path)] == [
        (4, 40, 2.5), (7, 340, 2.75)], "and why it ended then is no more"


@pytest.mark.parametrize("past", [{"seconds": "x"}, {"seconds": -1}, {"seconds": 1e999},
                                  {"seconds": True}, {"tokens": "x"}, {"tokens": 1.5}, {}])
def test_a_past_of_odd_records_hinders_nothing(tmp_path: Path, past: dict[str, Any]) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 3, **past}) + "\n")
    log = MetricsLog(path, 3, tokens=10)
    log.write(step=4)
    log.close()
    assert read_metrics(path)[1]["tokens"] == 40 and 0 <= read_metrics(path)[1]["seconds"] < 5


def test_callbacks_are_given_what_is_written(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    log = MetricsLog(tmp_path / "metrics.jsonl", 0, 9, 10, [seen.append])
    log.write(step=1, loss=float("nan"))
    log.close()
    assert seen == read_metrics(tmp_path / "metrics.jsonl") and seen[0]["loss"] is None


def test_a_callback_that_fails_is_said_once_and_asked_again(tmp_path: Path) -> None:
    said: list[str] = []
    seen: list[int] = []

    def send(record: dict[str, Any]) -> None:
        if record["step"] < 3:
            raise ConnectionError("no route to host")
        seen.append(record["step"])

    log = MetricsLog(tmp_path / "metrics.jsonl", 0, 9, 10, [send], said.append)
    for step in (1, 2, 3):
        log.write(step)
    log.close()
    assert seen == [3] and len(read_metrics(tmp_path / "metrics.jsonl")) == 3
    assert said == ["the callback send failed at step 1: ConnectionError: no route to host; "
                    "the run goes on"]
