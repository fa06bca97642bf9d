"""Docstrings as blocks: paragraphs, items of lists, formulas that stand alone, and code."""

from __future__ import annotations

import re
from functools import lru_cache
from textwrap import dedent

_DISPLAYED = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
_ITEM = re.compile(r"(?m)^(?=(?:\d+\.|-) )")


def blocks(text: str) -> list[tuple[str, str]]:
    """Return the kind ("prose", "item", "maths" or "code") and the text of each block in turn."""
    found: list[tuple[str, str]] = []
    for i, part in enumerate(_DISPLAYED.split(text)):
        if i % 2:
            found.append(("maths", part.strip()))
            continue
        for paragraph in re.split(r"\n[ \t]*\n", part.strip("\n")):
            found += _paragraph(paragraph) if paragraph.strip() else []
    return found


def _paragraph(text: str) -> list[tuple[str, str]]:
    lines = text.split("\n")
    if re.match(r">{3} ", text) or all(line.startswith("    ") for line in lines):
        return [("code", dedent(text))]
    if re.fullmatch(r"\$[^$]+\$[.,;:]?", text.strip()):
        return [("maths", text.strip().rstrip(".,;:").strip("$"))]
    first, *items = _ITEM.split(text) if _ITEM.search(text) else [text]
    return ([("prose", flat(first))] if first.strip() else []) + [
        ("item", flat(item)) for item in items]


def flat(text: str) -> str:
    """Return a paragraph as one line."""
    return " ".join(text.split())


@lru_cache(256)
def clauses(text: str) -> tuple[str, ...]:
    """Return the parts of the prose between full stops, colons and semicolons, maths kept whole."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    found: list[str] = []
    for kind, block in blocks(text):
        if kind in ("prose", "item"):
            block = re.sub(r"^(?:\d+\.|-) ", "", re.sub(r"\$[^$]+\$|`[^`]+`", keep, block))
            found += [re.sub("\0(\\d+)\0", lambda m: kept[int(m[1])], part).strip(" .,;:")
                      for part in re.split(r"(?<=[.;:])\s+", block)]
    return tuple(found)
