"""The report of a build: counts that add up, and plain data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_llm.data.build.report import Counts
from tinygrad_llm.data.build.tasks import EXACT, EXAMPLES, EXCERPT, TRAIN, VALIDATION


def test_the_counts_add_up(report: dict[str, Any]) -> None:
    after = {row["stage"]: row for row in report["funnel"]}
    dropped, duplicates = report["dropped"].values(), report["duplicates"].values()
    for what in ("documents", "bytes"):
        kept = after["training"][what] + after["validation"][what]
        assert kept == after["decontaminated"][what]
        assert kept + report["contaminated"][what] == after["deduplicated"][what]
        assert after["deduplicated"][what] + sum(d[what] for d in duplicates) == (
            after["cleaned"][what])
        assert sum(s["read"][what] for s in report["sources"].values()) == after["read"][what]
        assert sum(s["kept"][what] for s in report["sources"].values()) == kept
    assert after["read"]["documents"] - after["cleaned"]["documents"] == sum(
        entry["documents"] for entry in dropped) >= 1
    assert [entry["documents"] for entry in duplicates] == [1, 1]
    assert report["contaminated"]["documents"] == len(report["contaminated"]["examples"]) >= 2
    assert sum(report["languages"].values()) == after["cleaned"]["documents"]
    tokens = report["tokens"]
    assert sum(report["lengths"]) == after["decontaminated"]["documents"] == (
        tokens["train"]["documents"] + tokens["val"]["documents"])
    ends = after["decontaminated"]["documents"]
    whole = tokens["train"]["tokens"] + tokens["val"]["tokens"] - ends
    assert whole == sum(source["tokens"] for source in report["sources"].values())
    assert tokens["bytes_per_token"] == pytest.approx(
        after["decontaminated"]["bytes"] / whole, abs=1e-4)
    assert sum(entry["count"] for entry in tokens["most_frequent"]) <= whole
    frequent = [entry["count"] for entry in tokens["most_frequent"]]
    assert frequent == sorted(frequent, reverse=True) and frequent[0] > 0


def test_the_report_is_plain_data_without_the_built_folder(
        report: dict[str, Any], tmp_path: Path) -> None:
    assert json.loads(json.dumps(report)) == report
    text = json.dumps({key: value for key, value in report.items() if key != "versions"})
    assert str(tmp_path / "built") not in text
    assert next(iter(report["settings"])) == "sources"
    assert {"tinygrad_llm", "Python", "numpy"} <= set(report["versions"])


def test_examples_are_few_and_short(report: dict[str, Any]) -> None:
    entries = [*report["dropped"].values(), *report["duplicates"].values(),
               report["contaminated"]]
    for entry in entries:
        assert len(entry["examples"]) <= min(EXAMPLES, entry["documents"])
        for example in entry["examples"]:
            assert all(len(text) <= EXCERPT for key, text in example.items()
                       if key.endswith("text"))
    for code, entry in report["dropped"].items():
        assert entry["why"] and 0 < entry["share"] < 1, code


def test_counts_of_bundles_are_added_up() -> None:
    counts = Counts()
    for source, documents in (("a", 2), ("b", 1), ("a", 3)):
        counts.add_tally({
            "read": {source: [documents, 10 * documents]}, "unreadable": {"empty": 1},
            "dropped": {"rule": {"documents": 1, "bytes": 5, "examples": [{"name": source}] * 2}},
            "languages": {"en": documents}, "personal": {}})
    assert counts.read == {"a": [5, 50], "b": [1, 10]} and counts.languages == {"en": 6}
    assert counts.unreadable == {"empty": 3}
    assert counts.dropped["rule"] == {"documents": 3, "bytes": 15, "examples": [
        {"name": "a"}, {"name": "a"}, {"name": "b"}]}
    rows = np.array([(100, 0), (10, 1), (1, 1)], [("bytes", "<i8"), ("source", "<i4")])
    fates = np.array([TRAIN, EXACT, VALIDATION], np.uint8)
    counts.add_bundle(["a", "b"], rows, fates, np.array([7, 3]))
    assert counts.kept == {"a": [1, 100], "b": [1, 1]} and counts.tokens == {"a": 7, "b": 3}
    assert counts.fates[[TRAIN, VALIDATION, EXACT]].tolist() == [[1, 100], [1, 1], [1, 10]]
    assert counts.lengths == {3: 1, 2: 1}  # of 4 to 7 tokens, of 2 to 3
