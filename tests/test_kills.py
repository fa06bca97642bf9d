"""A run that is killed at random moments, and gone on with: the benchmark, with few kills."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from small_runs import silent, small, write_text

from benchmarks import kills
from tinygrad_llm.train import start_run, train


@pytest.mark.long
def test_kills_change_no_bit_and_leave_no_file(tmp_path: Path) -> None:
    out = tmp_path / "kills.jsonl"
    assert kills.main(["--kills", "3", "--steps", "120", "--out", str(out)]) == 0
    record = json.loads(out.read_text())
    assert record["kills"] == 3 and record["while_writing"] > 0 and record["differences"] == []


def test_what_it_would_find(tmp_path: Path) -> None:
    text = write_text(tmp_path)
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        assert train(start_run(small(text), folder), silent)
    assert kills.differences(one, other) == [] and kills.corrupt(other) == []
    (other / "checkpoint" / ".weights-0000006.safetensors.0123456789abcdef.tmp").touch()
    path = other / "checkpoint" / "optimizer-0000006.safetensors"
    arrays = load_file(path)
    name = next(name for name in arrays if arrays[name].size > 1)
    arrays[name].reshape(-1)[0] = np.nextafter(arrays[name].reshape(-1)[0], np.inf)
    save_file(arrays, path)
    metrics = other / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"loss": ', '"loss": 1', 1))
    assert kills.differences(one, other) == [
        name, "metrics.jsonl", "checkpoint/.weights-0000006.safetensors.0123456789abcdef.tmp"]
    assert kills.corrupt(other) == [path.name]
