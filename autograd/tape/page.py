"""HTML pages that stand alone, and files that are never half-written."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

STYLE = """
.tape { font: 14px/1.5 system-ui, sans-serif; color: inherit; }
.tape table { border-collapse: collapse; font: 12px/1.5 ui-monospace, monospace; }
.tape td, .tape th { padding: 1px 10px; text-align: left; border-bottom: 1px solid #8886; }
.tape td:nth-last-child(-n+2) { text-align: right; }
.tape pre { background: #8882; color: inherit; padding: 8px 12px; border-radius: 6px;
  overflow-x: auto; }
.tape .math { margin: 6px 0 6px 28px; overflow-x: auto; }
.tape .formula { font-family: "STIX Two Math", "Cambria Math", serif; }
.tape .item { margin: 4px 0 4px 28px; text-indent: -20px; }
.tape .note { opacity: .75; font-size: 13px; margin: 2px 0 2px 28px; }
.tape h3 { margin: 18px 0 4px; font-size: 15px; }
"""
"""Ink and paper are those of the page around it, which may be dark."""


def html_fragment(body: str) -> str:
    """Return HTML for a notebook's cell."""
    return f'<div class="tape"><style>{STYLE}</style>{body}</div>'


def html_page(title: str, body: str) -> str:
    """Return an HTML page that needs no other file."""
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta name="color-scheme" content="light dark"><title>{escape(title)}'
            f'</title></head><body style="margin:24px auto;max-width:1100px">{html_fragment(body)}'
            f"</body></html>\n")


def save_as(path: str | os.PathLike[str], makers: dict[str, object]) -> None:
    """Write what the maker of the path's suffix returns, in one step."""
    path = Path(path)
    make = makers.get(path.suffix.lower())
    if not callable(make):
        raise ValueError(f"save: a path must end in {', '.join(makers)}; got {path.name!r}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"save: there is no folder {str(path.parent)!r} for {path.name!r}")
    write_in_one_step(path, make())


def write_in_one_step(path: Path, text: str) -> None:
    """Write a file beside the path and rename it: a reader sees the old text or the new one."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
