"""Files inside .zip, .tar, .gz and .zst, read in a stream: nothing is written to the disk.

So a member named ../../etc/passwd is only a name. An archive can still unpack without end: text
shrinks to a tenth or a fiftieth, so one that grows by more than EXPANSION is stopped.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from ...host.errors import UserError
from .documents import Document
from .file_kinds import KIND_OF_SUFFIX, READERS
from .text_pieces import ReadJob, Refused

EXPANSION = 200  # bytes unpacked for each byte of the file, in all
ALWAYS_ALLOWED = 1 << 26  # bytes that may be unpacked in any case
DEEPEST_ARCHIVE = 4  # containers in containers; .tar.gz is two
WINDOW = 1 << 27  # bytes that unpacking .zst may look back; zstd --long uses as many
IN_MEMORY = 1 << 28  # bytes of a .zip inside another archive: it is read from its end

# What a broken file makes the readers raise. OSError is gzip's too, without an errno.
DAMAGE_ERRORS = (
    EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, struct.error, ValueError,
    NotImplementedError, RuntimeError, IndexError, KeyError, OverflowError)  # fmt: skip


class Bomb(Refused):
    """An archive unpacks to more than it is allowed; nothing more of the outermost one is read."""


class Allowance:
    """How many bytes all that is inside one file may still unpack to."""

    def __init__(self, size: int) -> None:
        self.left = ALWAYS_ALLOWED + EXPANSION * size

    def spend(self, count: int) -> None:
        """Count bytes that were unpacked. Raises Bomb where they are too many."""
        self.left -= count
        if self.left < 0:
            raise Bomb("expands-too-much")


class LimitedBytes(io.RawIOBase):
    """The bytes of `stream`, counted against an allowance, at most `length` of them."""

    def __init__(self, stream: Any, allowance: Allowance | None, length: int = -1) -> None:
        self.stream, self.allowance, self.length = stream, allowance, length

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read up to len(buffer) bytes and return how many."""
        wanted = len(buffer) if self.length < 0 else min(len(buffer), self.length)
        data = self.stream.read(wanted)
        if self.allowance:
            self.allowance.spend(len(data))
        if self.length >= 0:
            self.length -= len(data)
        buffer[: len(data)] = data
        return len(data)


def buffered(stream: Any, allowance: Allowance | None, length: int = -1) -> io.BufferedReader:
    """Return a stream with readline and read(n), which reads n bytes where there are so many."""
    return io.BufferedReader(LimitedBytes(stream, allowance, length), 1 << 17)


def kind_by_suffix(name: str) -> str | None:
    """Return how to read a file of this name, or None: a key of READERS, "zip", "tar", or "gz" or
    "zst" and what is compressed: "gz tar". That is text where its name has no other suffix."""
    path = PurePosixPath(name.lower())
    if path.suffix == ".tgz":
        return "gz tar"
    if path.suffix in COMPRESSED:
        inner = kind_by_suffix(path.stem) if PurePosixPath(path.stem).suffix else "text"
        return f"{path.suffix[1:]} {inner}" if inner else None
    return {".zip": "zip", ".tar": "tar"}.get(path.suffix) or KIND_OF_SUFFIX.get(path.suffix)


def kind_or_text(name: str) -> str:
    """Return `kind_by_suffix`, or else text, compressed or not: the user has named the file."""
    suffix = PurePosixPath(name.lower()).suffix
    return kind_by_suffix(name) or (f"{suffix[1:]} text" if suffix in COMPRESSED else "text")


def read_file(
    stream: io.BufferedReader, name: str, kind: str | None, job: ReadJob,
    allowance: Allowance, depth: int = 0,
) -> Iterator[Document]:  # fmt: skip
    """Yield the documents of a file or of all that it contains; count what stops that."""
    try:
        yield from _documents_in(stream, name, kind, job, allowance, depth)
    except (Bomb, UserError):
        raise
    except Refused as refused:
        job.errors.count(refused.reason, name)
    except OSError as error:
        job.errors.count("unreadable" if error.errno else "damaged", name)
    except DAMAGE_ERRORS:
        job.errors.count("damaged", name)
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("zstandard", "zstd", "pyarrow"):
            raise
        job.errors.count("damaged", name)


def _documents_in(stream: io.BufferedReader, name: str, kind: str | None, job: ReadJob,
                  allowance: Allowance, depth: int) -> Iterator[Document]:
    """Yield the documents of a file by its kind; whatever a broken one raises comes through."""
    if kind is None:
        raise Refused("unknown-suffix")
    if depth > DEEPEST_ARCHIVE:
        raise Refused("nested-too-deep")
    outer, _, inner = kind.partition(" ")
    if outer in READERS:
        yield from READERS[outer](stream, name, job)
    elif outer in CONTAINERS:
        yield from CONTAINERS[outer](stream, name, job, allowance, depth + 1)
    else:
        unpacked = buffered(COMPRESSED[f".{outer}"](stream), allowance)
        yield from read_file(unpacked, name, inner, job, allowance, depth + 1)


def _gunzip(stream: io.BufferedReader) -> Any:
    return gzip.GzipFile(fileobj=stream)


def _unzstd(stream: io.BufferedReader) -> Any:
    try:
        from zstandard import ZstdDecompressor
    except ImportError:
        raise UserError(
            'reading .zst needs zstandard: pip install "tinygrad_llm[data]"'
        ) from None
    return ZstdDecompressor(max_window_size=WINDOW).stream_reader(stream, read_across_frames=True)


def _read_zip(stream: io.BufferedReader, name: str, job: ReadJob, allowance: Allowance,
              depth: int) -> Iterator[Document]:
    """Yield the documents of each member of a .zip, in the order of their names."""
    whole: Any = stream
    if not stream.seekable():
        whole = io.BytesIO(stream.read(IN_MEMORY + 1))
        if whole.getbuffer().nbytes > IN_MEMORY:
            raise Refused("too-large")
    with zipfile.ZipFile(whole) as archive:
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            if member.is_dir() or is_hidden(member.filename):
                continue
            if member.flag_bits & 1:
                job.errors.count("encrypted", f"{name}!{member.filename}")
                continue
            yield from _read_member(partial(archive.open, member), member.filename, name,
                                    job, allowance, depth)


def _read_tar(stream: io.BufferedReader, name: str, job: ReadJob, allowance: Allowance,
              depth: int) -> Iterator[Document]:
    """Yield the documents of each file in a .tar, in its order: it is read once, forwards."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # every file so far
            if not member.isreg() or member.issparse() or is_hidden(member.name):
                continue
            yield from _read_member(partial(archive.extractfile, member), member.name, name,
                                    job, allowance, depth)


def _read_member(opened: Callable[[], Any], member: str, name: str, job: ReadJob,
                 allowance: Allowance, depth: int) -> Iterator[Document]:
    """Yield the documents of one member; what is wrong with it leaves the others as they are."""
    try:
        stream = buffered(opened(), allowance)
    except DAMAGE_ERRORS:
        job.errors.count("damaged", f"{name}!{member}")
        return
    inner = ReadJob(job.source, job.errors, job.text_key)
    kind = kind_by_suffix(member)
    yield from read_file(stream, f"{name}!{member}", kind, inner, allowance, depth)


def is_hidden(name: str) -> bool:
    """Whether a path has a part that begins with a dot, or is what macOS adds to archives."""
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") and part != ".." for part in parts) or "__MACOSX" in parts


COMPRESSED = {".gz": _gunzip, ".zst": _unzstd}
CONTAINERS = {"zip": _read_zip, "tar": _read_tar}
