"""The common steps of all readers of files: from streams of bytes to pieces of text, to documents.

Memory stays bounded however large a file is. What cannot be used is counted by reason and passed
over; Refused is raised where that is the rest of the file.
"""

from __future__ import annotations

import codecs
import io
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from .decoding import detect_encoding
from .documents import Document

PART = 1 << 22  # characters of one document; a longer text is cut (Chinese takes 80 bytes each)
CHUNK = 1 << 20  # read at once, after the first PART
EXAMPLES = 3  # names that are kept for each reason
LINE_LIMIT = 1 << 26  # bytes of a line of .jsonl or a field of .csv; and of a page of HTML
TEXT_KEYS = ("text", "content", "body", "document", "article", "raw_content")

REASONS = {
    "unknown-suffix": "files of a kind that is not read",
    "unreadable": "files or folders that the system would not open",
    "binary": "files that are not text",
    "empty": "files or rows without text",
    "damaged": "files or archives cut short or broken",
    "encrypted": "archive members behind a password",
    "expands-too-much": "archives that unpack to far more than text does",
    "nested-too-deep": "archives in archives in archives, or pages of endlessly nested elements",
    "too-complex": "pages that would take the parser hours: thousands of attributes, options or "
                   "unclosed fonts",
    "too-slow": "documents that were not read within a minute of computing",
    "too-large": "lines, pages or inner archives too large to hold in memory",
    "broken-line": "lines of .jsonl that are not JSON in UTF-8",
    "broken-row": "rows of a table that do not fit its columns",
    "no-text": "lines or tables without a field of text",
    "unsure-encoding": "files that could be in several encodings, read in the likeliest",
    "bad-bytes": "byte sequences that are not of the file's encoding, replaced by U+FFFD",
}

IN_DOUBT = frozenset(["unsure-encoding", "bad-bytes"])  # what is read all the same


class Losses(Counter[str]):
    """How often each of REASONS has stood in the way, and the `names` of the first few each."""

    def __init__(self, counts: Mapping[str, int] | None = None,
                 names: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(counts or {})
        self.names = {reason: [*some[:EXAMPLES]] for reason, some in (names or {}).items()}

    def count(self, reason: str, name: str, times: int = 1) -> None:
        """Count what could not be read of the file, row or folder called `name`."""
        self[reason] += times
        names = self.names.setdefault(reason, [])
        if len(names) < EXAMPLES and name not in names:
            names.append(name)

    def add(self, other: Losses) -> None:
        """Add what another reader has counted after this one."""
        self.update(other)
        for reason, names in other.names.items():
            mine = self.names.setdefault(reason, [])
            mine += [name for name in names if name not in mine][:EXAMPLES - len(mine)]


class Refused(Exception):
    """The rest of a file cannot be read; `reason` is one of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(REASONS[reason])
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReadJob:
    """A reader's task: the source's name, the count of reasons, the key that was asked for, and
    the bytes or row groups of the file that are this reader's own."""

    source: str
    errors: Losses
    text_key: str | None = None
    start: int = 0
    end: int = -1

    def documents(self, pieces: Iterable[str], name: str) -> Iterator[Document]:
        """Yield the joined `pieces` as one document, or cut into "name#1", "name#2", ...

        Where there is no text, that is counted.
        """
        cut = (part for part in parts(pieces) if not part.isspace())
        first, second = next(cut, None), next(cut, None)
        if first is None:
            self.errors.count("empty", name)
        elif second is None:
            yield Document(first, self.source, name)
        else:
            for number, part in enumerate(chain((first, second), cut), 1):
                yield Document(part, self.source, f"{name}#{number}")


FileReader = Callable[[io.BufferedReader, str, ReadJob], Iterator[Document]]


def parts(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the joined `pieces`, cut into texts of at most PART characters at the best place."""
    text = ""
    for piece in pieces:
        text += piece
        while len(text) > PART:
            end = cut_place(text, PART)
            yield text[:end]
            text = text[end:]
    if text:
        yield text


def cut_place(text: str, limit: int) -> int:
    """Return where in the second half of text[:limit] to cut: after a paragraph, else a line,
    else a space, else where no character is torn from the marks that belong to it."""
    for mark in ("\n\n", "\n", " "):
        place = text.rfind(mark, limit // 2, limit)
        if place >= 0:
            return place + len(mark)
    for place in range(limit, max(limit - 32, limit // 2), -1):
        joined = "\u200d" in text[place - 1 : place + 1]  # as in emoji made of several
        if not joined and not unicodedata.category(text[place]).startswith("M"):
            return place
    return limit


def decoded(stream: io.BufferedReader, name: str, errors: Losses) -> Iterator[str]:
    """Yield the text of a stream of bytes in pieces, with universal newlines.

    The encoding is found from the first PART bytes; where that is not sure, it is counted. Bytes
    that are not in it become U+FFFD and are counted. Raises Refused where it is not text.
    """
    data = stream.read(PART + 1)
    encoding = detect_encoding(data, whole=len(data) <= PART)
    if encoding is None:
        raise Refused("binary")
    if not encoding.sure:
        errors.count("unsure-encoding", name)
    codec = codecs.getincrementaldecoder(encoding.codec)("replace")
    newlines = io.IncrementalNewlineDecoder(codec, translate=True)
    data = data[encoding.mark :]
    while data:
        piece = newlines.decode(data)
        sound = "\ufffd".encode(encoding.codec, "ignore") or b"\xff"  # one that the file itself has
        if (faults := piece.count("\ufffd") - data.count(sound)) > 0:
            errors.count("bad-bytes", name, faults)
        yield piece
        data = stream.read(CHUNK)
    last = newlines.decode(b"", final=True)
    if "\ufffd" in last:  # the file ends within a character
        errors.count("bad-bytes", name)
    yield last


def read_whole(stream: BinaryIO | io.BufferedReader, limit: int) -> bytes:
    """Return all that is left of a stream. Raises Refused where that is more than `limit`."""
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise Refused("too-large")
    return data
