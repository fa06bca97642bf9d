"""One document: the unit in which text is cleaned, compared, split and tokenized."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """A text and where it came from.

    `source` is what the user named (a folder, a file, "shakespeare"); `name` says where in it:
    the path of a file, with "!member" for a file inside an archive and "#row" for a row of a
    table, a line of JSON, or a part of a file too large to be one document.
    """

    text: str
    source: str
    name: str
