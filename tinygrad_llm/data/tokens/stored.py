"""Numbers in a file that are read when they are asked for: a damaged file is an error, no signal.

Where a mapped file is cut short, the next touch of what is gone ends the process by SIGBUS,
whatever was checked a moment before; a read returns too little instead. So nothing is mapped. Each
access opens the file, reads, and then compares its size and its time of change with those that it
had at first: what was changed before or during the read is known, and a file that is gone has no
name to be opened by. No file stays open, so there may be any number of them.

A batch of 12 windows of 64 tokens took 0.33 ms on a busy machine, where a mapped file took 0.07 ms.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...host.errors import UserError

GAP = 4096  # numbers between two places, up to which they are read at once
CHUNK = 2**20  # numbers that `max` looks at together
WAY_OUT = "put it back as it was and go on with --resume, or build the data again"

reading: dict[int, Path] = {}
"""The file that each thread is reading now, by the thread's identifier."""


class StoredArray:
    """The `count` numbers of a file, indexed as an array of shape (count,); the rest stays there.

    `a[i]`, `a[i:j:k]` and `a[array of any shape]` copy what they read. Raises UserError, which
    names the file, where it is missing, too short, or has changed since it was opened.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], count: int) -> None:
        self.path, self.dtype, self.shape = path, dtype, (count,)
        self.nbytes = count * dtype.itemsize
        try:
            self._as_opened = _about(os.stat(path))
        except OSError as error:
            raise self._unreadable(error) from error
        if self._as_opened[0] != self.nbytes:
            raise UserError(f"{path} has {self._as_opened[0]} bytes, expected {self.nbytes}; "
                            f"{WAY_OUT}")

    def __len__(self) -> int:
        """Return the count."""
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Return the numbers at `key`, a whole number, slice, or array of whole numbers."""
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return self._read([(start, max(0, stop - start))])[0]
            key = np.arange(start, stop, step)
        places = np.asarray(key)
        if not places.size:
            return np.empty(places.shape, self.dtype)
        if places.dtype.kind not in "iu":
            raise IndexError(f"positions must be whole numbers, got {places.dtype}")
        low, high = int(places.min()), int(places.max())
        if low < -len(self) or high >= len(self):
            raise IndexError(f"positions must be in [-{len(self)}, {len(self)}), got [{low}, "
                             f"{high}]")
        return self._gather(places.astype(np.int64) % len(self))[()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all numbers in memory."""
        if copy is False:
            raise ValueError("the numbers of a file cannot be an array without being copied")
        return np.asarray(self[:], dtype)

    def max(self) -> Any:
        """Return the largest number, a chunk at a time."""
        return max(self[i:i + CHUNK].max() for i in range(0, len(self), CHUNK))

    def _gather(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """Return the numbers at places, neighbours in one read."""
        flat = places.reshape(-1)
        order = np.argsort(flat, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(flat[order]) > GAP) + 1)
        spans = [(int(flat[group[0]]), int(flat[group[-1]] - flat[group[0]]) + 1)
                 for group in groups]
        found = np.empty(flat.shape, self.dtype)
        for group, (start, _), numbers in zip(groups, spans, self._read(spans), strict=True):
            found[group] = numbers[flat[group] - start]
        return found.reshape(places.shape)

    def _read(self, spans: list[tuple[int, int]]) -> list[NDArray[Any]]:
        """Return the numbers of spans (start, count). Raises UserError as the class says."""
        found = [np.empty(count, self.dtype) for _, count in spans]
        reading[get_ident()] = self.path
        try:
            with open(self.path, "rb", buffering=0) as file:
                whole = all([_fill(file, start * self.dtype.itemsize, numbers)
                             for (start, _), numbers in zip(spans, found, strict=True)])
                now = _about(os.fstat(file.fileno()))
        except OSError as error:
            raise self._unreadable(error) from error
        finally:
            del reading[get_ident()]
        if now != self._as_opened or not whole:
            raise UserError(f"{self.path} has changed while it was in use: it had "
                            f"{self._as_opened[0]} bytes and has {now[0]}"
                            f"{', other ones' if now[0] == self._as_opened[0] else ''}; {WAY_OUT}")
        return found

    def _unreadable(self, error: OSError) -> UserError:
        return UserError(f"{self.path}: {error.strerror or error}; {WAY_OUT}")


def _about(status: os.stat_result) -> tuple[int, int]:
    """Return the size of a file and its time of change."""
    return status.st_size, status.st_mtime_ns


def _fill(file: FileIO, start: int, numbers: NDArray[Any]) -> bool:
    """Read a file from byte `start` on into an array; return whether it had as much."""
    view = numbers.view(np.uint8).data
    file.seek(start)
    while len(view) and (read := file.readinto(view)):
        view = view[read:]
    return not len(view)
