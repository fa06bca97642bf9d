"""A metrics file is read as it grows, and from its beginning where it was written anew."""

from __future__ import annotations

import json
from pathlib import Path

from tinygrad_llm.watch.follow import TAIL, Follower


def line(step: int, **more: object) -> str:
    return json.dumps({"step": step, **more}) + "\n"


def test_each_record_comes_once_and_a_half_written_one_waits(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    follower = Follower(path)
    assert follower.news() == (False, []), "there is no file yet"
    path.write_text(line(1) + line(2)[:7])
    assert follower.news() == (False, [{"step": 1}])
    assert follower.news() == (False, [])
    with open(path, "a") as file:
        file.write(line(2)[7:] + line(3, loss=1.5))
    assert follower.news() == (False, [{"step": 2}, {"step": 3, "loss": 1.5}])
    assert follower.last == {"step": 3, "loss": 1.5}


def test_damaged_lines_are_read_past(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(line(1).encode() + b"\xff\x00{\n[]\n{\"loss\": 1}\n\n" + line(2).encode())
    assert Follower(path).news() == (False, [{"step": 1}, {"step": 2}])


def test_a_file_that_a_resumed_run_wrote_anew_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(line(step) for step in range(100)))
    follower = Follower(path)
    assert len(follower.news()[1]) == 100
    path.write_text("".join(line(step) for step in range(60)))  # shorter
    assert follower.news() == (True, [{"step": step} for step in range(60)])
    longer = "".join(line(step, loss=2) for step in range(100))  # other bytes, and more of them
    assert len(longer) > 2 * TAIL
    path.write_text(longer)
    anew, records = follower.news()
    assert anew and len(records) == 100
    path.unlink()
    assert follower.news() == (True, []) and follower.last == {}
    assert follower.news() == (False, [])
