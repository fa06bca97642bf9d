"""The report of a build: counts that add up, and plain data."""

from __future__ import annotations

import json
import re
import signal
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_llm.cli.data import summary
from tinygrad_llm.data.build import tasks
from tinygrad_llm.data.build.plan import BuildSettings
from tinygrad_llm.data.build.report import Counts
from tinygrad_llm.data.build.report_page import render_page
from tinygrad_llm.data.build.run import build
from tinygrad_llm.data.build.tasks import EXACT, EXAMPLES, EXCERPT, TRAIN, VALIDATION
from tinygrad_llm.data.read import file_kinds, gather


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
            "unreadable_names": {"empty": [f"{source}.txt"]},
            "dropped": {"rule": {"documents": 1, "bytes": 5, "examples": [{"name": source}] * 2}},
            "languages": {"en": documents}, "personal": {}})
    assert counts.read == {"a": [5, 50], "b": [1, 10]} and counts.languages == {"en": 6}
    assert counts.unreadable == {"empty": 3}
    assert counts.unreadable.names == {"empty": ["a.txt", "b.txt"]}
    assert counts.dropped["rule"] == {"documents": 3, "bytes": 15, "examples": [
        {"name": "a"}, {"name": "a"}, {"name": "b"}]}
    rows = np.array([(100, 0), (10, 1), (1, 1)], [("bytes", "<i8"), ("source", "<i4")])
    fates = np.array([TRAIN, EXACT, VALIDATION], np.uint8)
    counts.add_bundle(["a", "b"], rows, fates, np.array([7, 3]))
    assert counts.kept == {"a": [1, 100], "b": [1, 1]} and counts.tokens == {"a": 7, "b": 3}
    assert counts.fates[[TRAIN, VALIDATION, EXACT]].tolist() == [[1, 100], [1, 1], [1, 10]]
    assert counts.lengths == {3: 1, 2: 1}  # of 4 to 7 tokens, of 2 to 3


def test_what_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text(" ".join(f"word{i}" for i in range(500)))
    (folder / "a.bin").write_bytes(b"x")
    (folder / "b.txt").write_bytes(b"\0" * 9)
    (folder / "c.txt.gz").write_bytes(b"no gzip")
    (folder / "d.html").write_text("<select>" + "<option>x" * 50_000)
    (folder / "e.jsonl").write_text('{"text": "short"}\n{broken\n{"no": 1}\n{broken')
    (folder / "f.csv").write_text("id,text\n1,a\n2\n")
    bad = "Sein oder nicht sein, das ist hier die Frage: ob's edler im Gemüt".encode() * 20
    (folder / "g.txt").write_bytes(bad + b"\xff")
    with zipfile.ZipFile(folder / "h.zip", "w") as archive:
        archive.writestr("i.txt", b"\0")
        for i in range(5):
            archive.writestr(f"{i}.txt", "")
    settings = BuildSettings((str(folder),), vocab_size=257)
    report = build(settings, tmp_path / "out", workers=1, progress=False)
    found = {why: [name.removeprefix(f"{folder.as_posix()}/") for name in entry["examples"]]
             for why, entry in report["unreadable"].items()}
    assert found == {
        "empty": ["h.zip!0.txt", "h.zip!1.txt", "h.zip!2.txt"], "binary": ["b.txt", "h.zip!i.txt"],
        "broken-line": ["e.jsonl#18", "e.jsonl#36"], "bad-bytes": ["g.txt"],
        "broken-row": ["f.csv#2"], "damaged": ["c.txt.gz"], "no-text": ["e.jsonl#26"],
        "too-complex": ["d.html"], "unknown-suffix": ["a.bin"]}
    assert [report["unreadable"][why]["count"] for why in ("empty", "broken-line")] == [5, 2]
    assert "d.html" in render_page(report) and "d.html" in summary(report)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer of this kind")
def test_a_document_that_takes_too_long_is_named(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.md").write_text(" ".join(f"{name}{i}" for i in range(200)))

    def stall(text: str) -> str:
        while text.startswith("b0 "):
            pass
        return text

    monkeypatch.setattr(tasks, "repair_text", stall)
    monkeypatch.setattr(tasks, "CLEAN_SECONDS", 0.5)
    settings = BuildSettings((str(folder),), vocab_size=257)
    report = build(settings, tmp_path / "1", workers=1, progress=False)
    entry = report["dropped"]["too-slow"]
    assert entry["documents"] == 1 and entry["examples"][0]["name"].endswith("/b.md")
    monkeypatch.setattr(tasks, "repair_text", str)
    pattern = re.compile("(?:a|aa|b0)+$")  # such as no reader of ours has
    monkeypatch.setattr(file_kinds, "FRONT_MATTER", pattern)
    monkeypatch.setattr(gather, "READ_SECONDS", 0.5)
    (folder / "b.md").write_text("b0" + "a" * 60 + " b")
    report = build(settings, tmp_path / "2", workers=1, progress=False)
    assert report["unreadable"]["too-slow"]["examples"] == [f"{folder.as_posix()}/b.md"]
    assert report["funnel"][0]["documents"] == 2
