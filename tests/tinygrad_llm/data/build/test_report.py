"""The report: counts that add up, and a page that shows text without running it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.build.plan import BuildSettings
from tinygrad_llm.data.build.report_page import render_page
from tinygrad_llm.data.build.result import seal
from tinygrad_llm.data.build.run import build

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)> & \u202e </pre></style>'
VOID = {"meta", "rect"}


class Reader(HTMLParser):
    """Checks that elements close in order, and keeps what is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.shown = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.shown += data


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Any]:
    """The report of a build with something of everything in it."""
    folder = tmp_path / "texts <b>"
    folder.mkdir()
    words = [f"word{i}" for i in range(2000)]
    for i in range(8):
        (folder / f"{i} & <i>.txt").write_text(" ".join(words[200 * i:200 * i + 260]) + HOSTILE)
    (folder / "zz same.txt").write_text((folder / "0 & <i>.txt").read_text() + "\n\n")
    long = " ".join(f"other{i}" for i in range(300))
    (folder / "zz long.txt").write_text(long + HOSTILE)
    (folder / "zz near.txt").write_text(long + " and a little more" + HOSTILE)
    (folder / "zz short.txt").write_text(HOSTILE + "x" * 300)
    (folder / "zz.bin").write_bytes(b"\0" * 100)
    (folder / "evaluation.jsonl").write_text(json.dumps({"text": " ".join(words[1010:1050])}))
    settings = BuildSettings(
        (str(folder),), vocab_size=270, rules="light", validation_share=0.3,
        decontaminate=(str(folder / "evaluation.jsonl"),))
    build(settings, tmp_path / "built", workers=1, progress=False)
    read: dict[str, Any] = json.loads((tmp_path / "built" / "report.json").read_text())
    assert (tmp_path / "built" / "report.html").read_text() == render_page(read)
    assert set(read["files"]) == {"tokenizer.json", "report.html", "train/index.json",
                                  "val/index.json"} and read["sha256"] == seal(read)
    return read


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


def test_the_page_shows_documents_as_text(report: dict[str, Any]) -> None:
    text = render_page(report)
    reader = Reader(text)
    assert not reader.tags & {"script", "img", "link", "iframe", "i", "object"}
    assert not {name for name in reader.attributes if name.startswith("on")} | (
        reader.attributes & {"src", "href"}), "nothing is loaded"
    assert HOSTILE in reader.shown, "an example shows it as it is"
    assert "texts <b>" in reader.shown and "zz short.txt" in reader.shown
    for heading in ("From stage to stage", "Sources", "What could not be read",
                    "What the rules refused", "Duplicates", "Text of evaluation files",
                    "Languages", "Personal data", "Length of documents", "Tokens",
                    "Settings and versions"):
        assert f"<h2>{heading}</h2>" in text
    assert "prefers-color-scheme: dark" in text and text.count("<svg") == 2


@given(st.text(), st.text(st.sampled_from("<>&\"'/ =sciptonx")))
def test_any_text_is_escaped(any_text: str, markup: str) -> None:
    expected = Reader(render_page(_named(SMALL, "name")))
    for hostile in (any_text.replace("\r", ""), markup):
        reader = Reader(render_page(_named(SMALL, hostile)))
        assert reader.tags == expected.tags and reader.attributes == expected.attributes
        assert hostile.replace("\0", "\ufffd") in reader.shown.replace("\0", "\ufffd")


def _named(part: Any, name: str) -> Any:
    """Return a report with another text wherever it says NAME."""
    if isinstance(part, dict):
        return {key.replace("NAME", name): _named(value, name) for key, value in part.items()}
    if isinstance(part, list):
        return [_named(value, name) for value in part]
    return part.replace("NAME", name) if isinstance(part, str) else part


PAIR = {"documents": 1, "bytes": 2}
SMALL: dict[str, Any] = {
    "settings": {"tokenizer": "NAME", "decontaminate": ["NAME"], "keep_pii": False},
    "versions": {"NAME": "NAME"},
    "funnel": [{"stage": stage, **PAIR} for stage in ("read", "decontaminated")],
    "sources": {"NAME": {"read": PAIR, "kept": PAIR, "tokens": 1, "bytes_per_token": 2.0}},
    "unreadable": {"NAME": {"count": 1, "why": "NAME"}},
    "dropped": {"NAME": {"why": "NAME", "share": 0.5, **PAIR,
                         "examples": [{"name": "NAME", "text": "NAME"}]}},
    "duplicates": {"NAME": {**PAIR, "examples": [
        {"name": "NAME", "text": "NAME", "earlier_name": "NAME", "earlier_text": "NAME"}]}},
    "contaminated": {**PAIR, "examples": [{"name": "NAME", "text": "NAME"}]},
    "languages": {"NAME": 1}, "personal": {"NAME": 1}, "lengths": [0, 1, 3],
    "tokens": {"train": {"documents": 1, "tokens": 2}, "val": {"documents": 0, "tokens": 0},
               "vocab_size": 3, "end_of_text": None, "bytes_per_token": 2.0, "never_used": 1,
               "most_frequent": [{"id": 1, "text": "NAME", "count": 2}]}}


def test_a_report_of_nearly_nothing_is_a_page() -> None:
    empty = {**SMALL, "dropped": {}, "unreadable": {}, "languages": {}, "personal": {},
             "lengths": [], "sources": {},
             "funnel": [{"stage": s, "documents": 0, "bytes": 0}
                        for s in ("read", "decontaminated")]}
    shown = Reader(render_page(empty)).shown
    assert "No rule refused any document." in shown and "None was found." in shown
