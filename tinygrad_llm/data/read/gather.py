"""The units of what to read, in a fixed order, and the documents in them.

The work is divided into units that can be read at the same time by different processes, each with
bounded memory: a file, or a slice of a large one. A slice [start, end) of a file of lines owns the
lines that begin in it, wherever they end; of a Parquet file it is row groups.
"""

from __future__ import annotations

import glob
import io
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from ...host.errors import UserError
from ...host.time_limit import TimeLimit
from .archives import Allowance, buffered, kind_by_suffix, kind_or_text, read_file
from .corpus import SHAKESPEARE, play_paths
from .decoding import MARKS
from .documents import Document
from .file_kinds import KIND_OF_SUFFIX
from .tables import open_parquet
from .text_pieces import CHUNK, Losses, ReadJob, Refused

STDIN = "-"
UNIT_BYTES = 1 << 26
READ_SECONDS = 60.0  # of computing for one document; 64 MB of HTML take 10


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of input that one process reads at a time.

    `source` is what the user named, `path` the file ("-" for standard input, which only the
    process that has it can read, once), `kind` how to read it. A unit with `end` >= 0 is the
    slice [start, end): bytes, or row groups of a .parquet.
    """

    source: str
    path: str
    kind: str
    start: int = 0
    end: int = -1


def find_units(
    sources: Sequence[str],
    errors: Losses | None = None,
    *,
    unit_bytes: int = UNIT_BYTES,
    without: Path | None = None,
) -> list[Unit]:
    """Return what to read for `sources`, in an order that depends on names alone.

    A source is "shakespeare", "-", a file, a folder (all below it but hidden files), or a glob
    pattern. Files named one by one are read as text where their suffix says nothing; in folders
    they are skipped and counted in `errors`. A file met twice is read once. The folder `without`,
    one that is written to meanwhile, is passed over. Raises UserError where a source does not exist
    or nothing is left to read.
    """
    errors = Losses() if errors is None else errors
    outside = None if without is None else os.path.realpath(without)
    found: list[Unit] = []
    seen: set[str] = set()
    for source in sources:
        for unit in _files_of(str(source), errors, outside):
            real = os.path.abspath(unit.path) if unit.path != STDIN else STDIN
            if real not in seen:
                seen.add(real)
                found += _cut_into_slices(unit, unit_bytes)
    if not found:
        skipped = ", ".join(f"{reason}: {number}" for reason, number in sorted(errors.items()))
        raise UserError(
            f"nothing to read in {', '.join(map(str, sources)) or 'no sources'}"
            f"{f' (skipped: {skipped})' if skipped else ''}; give files of the kinds "
            f"{' '.join(KIND_OF_SUFFIX)}, alone or in .zip .tar .tgz .gz .zst, or {SHAKESPEARE}"
        )
    return found


def read_unit(unit: Unit, errors: Losses, text_key: str | None = None) -> Iterator[Document]:
    """Yield the documents of a unit, in order, as they are read.

    What cannot be read is counted in `errors` under a key of text_pieces.REASONS and passed over;
    a document that takes longer than READ_SECONDS cannot. `text_key` names the field of .jsonl and
    the column of tables. Raises UserError where a package that the kind needs is missing.
    """
    documents = _documents_of(unit, errors, text_key)
    limit = TimeLimit(READ_SECONDS, Refused("too-slow"))
    while True:
        with limit:
            document = next(documents, None)
        if document is None:
            return
        yield document


def _documents_of(unit: Unit, errors: Losses, text_key: str | None) -> Iterator[Document]:
    """Yield the documents of a unit, however long that takes."""
    job = ReadJob(unit.source, errors, text_key, unit.start, unit.end)
    try:
        if unit.path == STDIN:
            yield from _read_stdin(job)
            return
        with open(unit.path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            stream: Any = file
            if unit.end >= 0 and unit.kind != "parquet":
                found = _open_slice(file, unit.start, unit.end)
                if found is None:
                    return
                stream, start = found
                job = ReadJob(unit.source, errors, text_key, start, unit.end)
            yield from read_file(stream, printable(unit.path), unit.kind, job, Allowance(size))
    except OSError:
        errors.count("unreadable", printable(unit.path))
    except Refused as refused:
        errors.count(refused.reason, printable(unit.path))


def _files_of(source: str, errors: Losses, without: str | None) -> Iterator[Unit]:
    """Yield whole files in order."""
    if source == STDIN:
        yield Unit(source, STDIN, "text")
    elif source == SHAKESPEARE:
        yield from (Unit(source, str(path), "play") for path in play_paths())
    elif os.path.isdir(source):
        yield from _files_below(source, source, errors, without)
    elif os.path.exists(source):
        yield Unit(source, source, kind_or_text(source))
    else:
        yield from _files_matching(source, errors, without)


def _files_matching(source: str, errors: Losses, without: str | None) -> Iterator[Unit]:
    """Yield the files that match a glob pattern, and those in the folders that match."""
    paths = sorted(glob.glob(source, recursive=True)) if glob.has_magic(source) else []
    if not paths:
        raise UserError(
            f"{source}: no such file or folder, and no pattern that matches any; give a path that "
            f'exists, a pattern such as "data/**/*.txt", "{SHAKESPEARE}", or - for standard input'
        )
    by_suffix = not glob.has_magic(Path(source).suffix) and Path(source).suffix != ""
    for path in paths:
        if without is not None and Path(os.path.realpath(path)).is_relative_to(without):
            continue
        if os.path.isdir(path):
            if not source.endswith("**"):  # which matches each file by itself too
                yield from _files_below(source, path, errors, without)
        elif kind := kind_or_text(path) if by_suffix else kind_by_suffix(path):
            yield Unit(source, path, kind)
        else:
            errors.count("unknown-suffix", printable(path))


def _files_below(source: str, folder: str, errors: Losses, without: str | None
                 ) -> Iterator[Unit]:
    """Yield the files of a folder at any depth, in the order of their names.

    Links to folders are followed, but a folder is entered once, which ends every loop.
    """
    seen: set[tuple[int, int]] = set()
    stack = [folder]
    while stack:
        path = stack.pop()
        try:
            about = os.stat(path)
            if os.path.isdir(path):
                if (about.st_dev, about.st_ino) not in seen and os.path.realpath(path) != without:
                    seen.add((about.st_dev, about.st_ino))
                    names = sorted(name for name in os.listdir(path) if not name.startswith("."))
                    stack += [os.path.join(path, name) for name in reversed(names)]
            elif not os.path.isfile(path):  # a pipe or device would make reading wait
                errors.count("unreadable", printable(path))
            elif kind := kind_by_suffix(path):
                yield Unit(source, path, kind)
            else:
                errors.count("unknown-suffix", printable(path))
        except OSError:  # no permission, or a link to nowhere
            errors.count("unreadable", printable(path))


def _cut_into_slices(unit: Unit, unit_bytes: int) -> list[Unit]:
    """Return a unit as slices of about `unit_bytes`, where it is larger and its kind allows."""
    try:
        size = os.path.getsize(unit.path) if unit.path != STDIN else 0
        if size <= unit_bytes or not os.path.isfile(unit.path):
            return [unit]
        with open(unit.path, "rb") as file:
            if unit.kind == "parquet":
                cuts = _row_groups(file, unit_bytes)
            elif unit.kind in ("text", "jsonl") and not _has_wide_characters(file.read(CHUNK)):
                cuts = [*range(0, size, unit_bytes), size]
            else:
                return [unit]
    except UserError:
        raise
    except Exception:  # whatever is wrong with it is found and counted when it is read
        return [unit]
    return [Unit(unit.source, unit.path, unit.kind, start, end) for start, end in pairwise(cuts)]


def _has_wide_characters(head: bytes) -> bool:
    """Whether a file is in UTF-16 or UTF-32, where the byte 0x0a need not be a line's end."""
    return b"\0" in head or any(head.startswith(mark) for mark, codec in MARKS if codec != "utf-8")


def _row_groups(file: BinaryIO, unit_bytes: int) -> list[int]:
    """Return where to divide a Parquet file's row groups, 0 and their number included."""
    about = open_parquet(file).metadata
    cuts, size = [0], 0
    for group in range(about.num_row_groups):
        size += about.row_group(group).total_byte_size
        if size >= unit_bytes:
            cuts.append(group + 1)
            size = 0
    return cuts if cuts[-1] == about.num_row_groups else [*cuts, about.num_row_groups]


def _open_slice(file: BinaryIO, start: int, end: int) -> tuple[io.BufferedReader, int] | None:
    """Return a stream of the lines that begin in [start, end) and the byte it starts at, or None
    where no line begins there."""
    first = _line_start(file, start, end)
    if first >= end:
        return None
    last = _line_start(file, end)
    file.seek(first)
    return buffered(file, None, last - first), first


def _line_start(file: BinaryIO, place: int, until: int | None = None) -> int:
    """Return where the first line begins that begins at `place` or after it.

    Beyond `until` the answer may be any place beyond it: so a line that spans many slices is read
    through by the one that owns it only.
    """
    if place == 0:
        return 0
    file.seek(place - 1)
    while line := file.readline(CHUNK):
        if line.endswith(b"\n") or (until is not None and file.tell() >= until):
            break
    return file.tell()


def standard_input() -> BinaryIO:
    """Return standard input's bytes. Raises UserError where it is closed."""
    if sys.stdin is None:
        raise UserError(f"there is no standard input to read as {STDIN}; give a file, or pipe "
                        "something in")
    return sys.stdin.buffer


def _read_stdin(job: ReadJob) -> Iterator[Document]:
    """Yield what standard input holds: lines of JSON where it begins with a brace, else text."""
    stream = buffered(standard_input(), None)
    kind = "jsonl" if stream.peek(1).lstrip()[:1] == b"{" else "text"
    yield from read_file(stream, STDIN, kind, job, Allowance(0))


def printable(path: str) -> str:
    """Return a path as text that can be written, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "replace").replace(os.sep, "/")
