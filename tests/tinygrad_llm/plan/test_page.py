"""The page, the JSON, and the line beside what a run took."""

from __future__ import annotations

import json
import re

import pytest

from tinygrad_llm.host.machine import Memory
from tinygrad_llm.plan import Plan, as_json, compared, predict, report
from tinygrad_llm.plan.page import amount, duration
from tinygrad_llm.train import make_config
from tinygrad_llm.train.run import with_slices


@pytest.fixture(scope="module")
def plan() -> Plan:
    config = with_slices(make_config({"layers": 3, "width": 16, "heads": 2, "context": 64,
                                      "batch": 8, "dropout": 0.1}))
    return predict(config, 11, before=Memory(50 << 20, 0), threads=2, seconds=0.1)


def test_a_page_fits_a_screen(plan: Plan) -> None:
    lines = report(plan).splitlines()
    assert len(lines) <= 30 and max(map(len, lines)) <= 132
    words = report(plan)
    for word in ("feed-forward", "weights", "at the most", "gelu", "others", "GFLOP", "the run:",
                 "--threads 1", "--slices 4"):
        assert word in words
    assert "warning" not in words
    less = words[words.index("less memory:"):]
    found = re.findall(r"--([a-z-]+) +(?:\d+|true) +([\d.]+) +MiB", less.replace("\n", " "))
    assert {name for name, _ in found} == {"slices", "threads", "accumulate", "recompute",
                                           "offload-moments"}
    assert max(float(number) for _, number in found) < plan.peak / 2**20 - 0.04


def test_all_ops_are_on_the_page(plan: Plan) -> None:
    """Those with names and the others sum up to what is predicted."""
    found = as_json(plan)
    ops = found["slice"]["ops"]
    assert sum(op["calls"] for op in ops) == sum(op.count for op in plan.measured.ops)
    assert [op["kept"] for op in ops] == sorted((op["kept"] for op in ops), reverse=True)
    assert json.loads(json.dumps(found)) == found
    assert found["memory"]["peak"] == plan.peak
    assert found["parameters"]["all"] == sum(plan.parameters.values())


def test_a_run_that_does_not_fit(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_llm.plan.page.memory_of_machine", lambda: 32 << 20)
    assert f"warning: {amount(plan.peak)} are more than the 32.0 MiB of" in report(plan)


def test_beside_what_a_run_took(plan: Plan) -> None:
    line = compared(plan, plan.step_seconds / 2, 2 * plan.peak)
    assert "(2.00)" in line and "(0.50)" in line


@pytest.mark.parametrize(("seconds", "text"), [
    (0.00049, "0.5 ms"), (1, "1.0 s"), (59.4, "59.4 s"), (60, "1 min 0 s"), (3600, "1 h 0 min"),
    (90_000, "1 d 1 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
