"""The report as a page: all of it shown, none of it run."""

from __future__ import annotations

from typing import Any

from html_pages import Reader
from hypothesis import given
from hypothesis import strategies as st
from mixed_corpus import HOSTILE

from tinygrad_llm.data.build.report_page import render_page


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
    "unreadable": {"NAME": {"count": 1, "why": "NAME", "examples": ["NAME"]}},
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
