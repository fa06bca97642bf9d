r"""Arrays on their way into safetensors files, while the next step is about to change them.

To save 124M parameters with two averages each takes seconds, in which a run had better go on. Its
forward and backward passes only read what is saved; the update changes it. So a `Snapshot` copies
next to nothing at first: a thread hashes and writes the arrays where they lie, block by block, and
what is not written yet when the update comes is copied then (`settle`). Where the disk keeps pace
with a step, that is nothing; at most it is a copy of all, freed as the blocks are written.

A file is a length (8 bytes), a header (JSON: each array's dtype, shape and place) and the bytes.
It is read array by array (`read_arrays`): a model of 16 bits takes no memory for the file's 32.

Source: https://github.com/huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from numpy.typing import NDArray
from safetensors import safe_open

from autograd import to_host
from autograd.backend import Array

from ...host.threads import each

BLOCK = 1 << 22  # bytes that are written, or copied, at a time
SMALL = 1 << 16  # bytes of an array that is copied at once: counters change without an update
DTYPES = {"float64": "F64", "int64": "I64", "uint64": "U64", "float32": "F32", "int32": "I32",
          "uint32": "U32", "bfloat16": "BF16", "float16": "F16", "int16": "I16", "uint16": "U16",
          "int8": "I8", "uint8": "U8", "bool": "BOOL"}
"""The names that the format has for dtypes, wide ones first: so no number lies across a word."""

Bytes = NDArray[np.uint8]


class Snapshot:
    """Arrays by name as they are now, to be written to one file; `sha256` is known once they are.

    Raises TypeError for a dtype that the format lacks.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self.sha256 = ""
        self._lock = Lock()  # held by whoever works on the blocks that are left
        self._blocks: list[Bytes] = []
        self._written = 0
        header: dict[str, object] = {}
        end = 0
        for name in sorted(arrays, key=lambda name: (_place(name, arrays[name]), name)):
            array = np.asarray(to_host(arrays[name]), order="C")
            header[name] = {"dtype": DTYPES[array.dtype.name], "shape": list(array.shape),
                            "data_offsets": [end, end := end + array.nbytes]}
            content = array.reshape(-1).view(np.uint8)
            if array.nbytes <= SMALL:
                content = content.copy()
            self._blocks += [content[i:i + BLOCK] for i in range(0, len(content), BLOCK)]
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._header = len(text).to_bytes(8, "little") + text

    def parts(self) -> Iterator[bytes | memoryview]:
        """Yield the file's content, once. A part must be done with when the next is asked for."""
        digest, buffer = hashlib.sha256(self._header), np.empty(BLOCK, np.uint8)
        yield self._header
        for number in range(len(self._blocks)):
            with self._lock:  # for the copy only: a disk may take its time over the rest
                part = buffer[:len(self._blocks[number])]
                part[...] = self._blocks[number]
                self._blocks[number] = _NOTHING
                self._written = number + 1
            digest.update(part.data)
            yield part.data
        self.sha256 = digest.hexdigest()

    def settle(self) -> None:
        """Copy what is not written yet: from now on the arrays may change."""
        if self._written == len(self._blocks):
            return
        with self._lock:
            left = range(self._written, len(self._blocks))
            for number, copied in zip(left, each(len(left), lambda i: self._blocks[left[i]].copy()),
                                      strict=True):
                self._blocks[number] = copied


_NOTHING: Bytes = np.empty(0, np.uint8)


class _Open:
    """A file that is open as long as something refers to it: it may be replaced meanwhile."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


@dataclass(frozen=True)
class Stored:
    """An array in a file, which is read each time that it is asked for."""

    file: _Open
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Return the array. Raises ValueError where the file has become shorter."""
        with open(self.file.number, "rb", closefd=False) as file:
            file.seek(self.start)
            return np.fromfile(file, self.dtype, prod(self.shape)).reshape(self.shape)


def read_arrays(path: Path) -> dict[str, Stored]:
    """Return the arrays of a file by name, to be read when they are asked for.

    Raises SafetensorError or OSError for what is no such file, TypeError for numbers of a kind
    that is not written here.
    """
    with safe_open(path, framework="numpy"):  # which checks all that is believed below
        pass
    opened = _Open(path)
    with open(opened.number, "rb", closefd=False) as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
    header.pop("__metadata__", None)
    if unknown := {one["dtype"] for one in header.values()} - {*DTYPES.values()}:
        raise TypeError(', '.join(sorted(unknown)))
    kinds = {short: np.dtype(bfloat16 if name == "bfloat16" else name)
             for name, short in DTYPES.items()}
    return {name: Stored(opened, start + one["data_offsets"][0], tuple(one["shape"]),
                         kinds[one["dtype"]]) for name, one in header.items()}


def _place(name: str, array: Array) -> int:
    """Return the place of an array's dtype in a file."""
    if (kind := np.dtype(array.dtype).name) not in DTYPES:
        raise TypeError(f"{name}: an array of {kind} has no place in a safetensors file")
    return [*DTYPES].index(kind)
