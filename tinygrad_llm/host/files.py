"""Files that are never half-written, the digest of a file, and files in the place of memory."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np

from autograd.backend import Array

from .errors import UserError

PREFIX, SUFFIX = "moments-", ".tmp"
_FILE = 1 << 26  # bytes of a file, at least: a process may not have many open
_SMALL = 1 << 16  # bytes of an array that stays in memory
_ZEROS = 1 << 20


def write_in_one_step(path: str | Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write the concatenated `parts` to `path` so that a reader sees the old file or the new one.

    A temporary file beside it is written, flushed to the disk and renamed, which is atomic on one
    file system; that is why it may not lie in the system's temporary folder. Its name is new and
    hidden. Then the folder is flushed, so that the new name survives a crash. A link stays one, and
    its target is replaced; what is no file, such as /dev/null, is refused. An OSError names the
    file.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "It is a device or a pipe, and no file", str(path))
    temporary = temporary_beside(path)  # one of tempfile's would be its owner's alone to read
    try:
        with open(temporary, "xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # Python leaves it out of a full disk's
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(path.parent)


@contextmanager
def errors_name(path: str | Path) -> Iterator[None]:
    """Let an OSError of the block name the file, as Python leaves it out of a full disk's."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def temporary_beside(path: Path) -> Path:
    """Return a new hidden name beside a file: what is left there is known as nobody's any more."""
    return path.with_name(f".{path.name[:40]}.{token_hex(8)}.tmp")  # a name may have 255 bytes


def remove_temporaries(folder: Path) -> None:
    """Remove from a folder what processes that were killed have left under temporary names.

    Those of `temporary_beside`, which `write_in_one_step` uses, and no others.
    """
    for path in folder.glob(f".*.{'[0-9a-f]' * 16}.tmp"):
        path.unlink(missing_ok=True)


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Scratch:
    """A folder for arrays whose numbers lie in files and not in memory, while the process has them.

    A file is allocated whole before it is mapped: a page for which the disk has no room would end
    the process by SIGBUS, at some later moment. It is there for this process alone: on Linux and
    macOS it has no name from the beginning, on Windows it is deleted as the process ends, so
    nothing goes on from it. What the system holds of it in memory is a copy that it may drop at any
    time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[tuple[mmap.mmap, np.ndarray[Any, Any]]] = []
        self.used = 0  # bytes of the last

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array of zeros in a file; a small one in memory.

        Raises UserError where the disk has no room for it, or its files cannot be mapped.
        """
        size = prod(shape) * np.dtype(dtype).itemsize
        if size < _SMALL:
            return np.zeros(shape, dtype)
        if not self.files or self.used + size > self.files[-1][1].size:
            self._add_file(max(size, _FILE))
        part = self.files[-1][1][self.used : self.used + size]
        self.used += _pages(size) * mmap.PAGESIZE
        return part.view(dtype).reshape(shape)

    def _add_file(self, size: int) -> None:
        try:
            with TemporaryFile(prefix=PREFIX, suffix=SUFFIX, dir=self.folder) as file:
                allocate(file, size)
                mapped = mmap.mmap(file.fileno(), size)
        except (OSError, ValueError) as error:
            raise UserError(
                f"no file of {size / 2**20:,.0f} MiB for the optimizer's averages in "
                f"{self.folder}: {getattr(error, 'strerror', None) or error}; make room there, or "
                f"leave --offload-moments out") from error
        self.files.append((mapped, np.frombuffer(mapped, np.uint8)))
        self.used = 0

    def rest(self, *arrays: Array) -> None:
        """Have the process hold no memory for arrays, but for broken pages, until they are used.

        Their numbers stay. That is a matter of Linux; elsewhere the system decides alone.
        """
        if sys.platform != "linux":
            return
        for array in arrays:
            for mapped, start, stop in self._places(array):
                first, last = _pages(start), stop // mmap.PAGESIZE
                if first < last:
                    mapped.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE,
                                   (last - first) * mmap.PAGESIZE)

    def _places(self, array: Array) -> Iterator[tuple[mmap.mmap, int, int]]:
        """Yield the file in which an array lies, if it does, with its first byte and its end."""
        for mapped, content in self.files:
            start = array.ctypes.data - content.ctypes.data
            if 0 <= start < content.size:
                yield mapped, start, start + array.nbytes


def remove_scratch(folder: Path) -> None:
    """Remove what a `Scratch` in a folder has left where Windows crashed."""
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError):
            path.unlink()


def _pages(size: int) -> int:
    """Return how many pages so many bytes begin."""
    return -(-size // mmap.PAGESIZE)


def allocate(file: IO[bytes], size: int) -> None:
    """Have the disk keep room for a file of zeros. Raises OSError where it has none."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system without it
                raise
    for start in range(0, size, _ZEROS):  # macOS and Windows have no such call
        file.write(bytes(min(_ZEROS, size - start)))
    file.flush()
