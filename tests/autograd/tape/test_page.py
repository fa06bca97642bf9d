"""Pages stand alone, and files are written whole or not at all."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from tapes import toy

from autograd.tape import explain, trace
from autograd.tape.page import STYLE, html_fragment, html_page, save_as, write_in_one_step


def test_a_page_needs_no_other_file_and_its_title_is_safe() -> None:
    page = html_page("a < b & c", "<p>body</p>")
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n")
    assert "<title>a &lt; b &amp; c</title>" in page and html_fragment("<p>body</p>") in page
    assert "http" not in page and "src=" not in page
    ElementTree.fromstring(html_fragment("<p>body</p>"))


def test_ink_and_paper_are_those_of_the_theme() -> None:
    """On a dark page text is light: no colour is set without the other."""
    page = html_page("title", explain(toy()[0])._body())
    assert "color: inherit" in STYLE and '<meta name="color-scheme" content="light dark">' in page
    assert not re.search(r"(?<!-)color:(?! inherit)", STYLE) and "background: #fff" not in STYLE
    for text in re.findall(r"<text [^>]*>", trace(toy()[0]).svg()):  # on its own white paper
        assert 'fill="#' in text


def test_the_suffix_chooses_the_maker(tmp_path: Path) -> None:
    makers = {".txt": lambda: "text", ".html": lambda: "page"}
    for name, expected in [("a.txt", "text"), ("a.HTML", "page")]:
        save_as(tmp_path / name, makers)
        assert (tmp_path / name).read_text() == expected
    save_as(str(tmp_path / "b.txt"), makers)
    assert (tmp_path / "b.txt").exists()


@pytest.mark.parametrize("name", ["tape.png", "tape", ".svg"])
def test_an_unknown_kind_of_file_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"save: a path must end in \.svg, \.dot"):
        trace(toy()[0]).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder .*missing"):
        trace(toy()[0]).save(tmp_path / "missing" / "tape.svg")


def test_a_maker_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        save_as(path, {".txt": lambda: 1 / 0})
    assert path.read_text() == "old"


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_in_one_step(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    write_in_one_step(tmp_path / "a.txt", "x̄ = ⟨h⟩")
    assert (tmp_path / "a.txt").read_bytes() == "x̄ = ⟨h⟩".encode()
