"""GGUF files: a header, metadata, a table of tensors, and the tensors' data.

All numbers are little-endian, a string is its length (8 bytes) and that many bytes of UTF-8:

    "GGUF"   version, 4 bytes: 2 or 3    count of tensors, 8 bytes    count of entries, 8 bytes
    entries  key: string    type: 4 bytes    value; an array's is its items' type, their count, they
    tensors  name: string   axes: 4 bytes    their lengths, 8 bytes each, the innermost first
             type: 4 bytes  offset in the data: 8 bytes
    data     from the next multiple of general.alignment (32 unless given); so is every offset

The file is memory-mapped: a tensor's bytes are read when its numbers are. Nothing in the header is
believed: every count and length is held against what is left of the file before anything is made
from it, and tensors may not overlap. What a number or a name means is `models`' business.

Source: docs/gguf.md of ggml.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...host.errors import UserError, shortened
from .blocks import BLOCKS, NAMES, dequantize

VERSIONS = (2, 3)
MOST_AXES = 4
CHUNK = 1 << 18  # numbers that are dequantised at a time, so that they stay in cache

STRING, ARRAY, BOOL = 8, 9, 7
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", BOOL: "B", 10: "Q", 11: "q",
           12: "d"}
"""The value types of numbers, as `struct` spells them."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of the file: its type, its shape (outermost axis first), its bytes in the file."""

    name: str
    kind: str
    shape: tuple[int, ...]
    data: NDArray[np.uint8] = field(repr=False)

    def read_into(self, out: NDArray[Any]) -> None:
        """Write the numbers into `out`, some rows at a time.

        out: has as many numbers in the same order; its axes may be cut otherwise than the tensor's,
        and lie in memory in any way.
        """
        out = out[None] if out.ndim == 1 else out
        rows = max(1, CHUNK // math.prod(out.shape[1:]))
        for i in range(0, len(out), rows):
            part = out[i : i + rows]
            begin, end = (len(self.data) * k // len(out) for k in (i, i + len(part)))
            part[...] = dequantize(self.kind, self.data[begin:end]).reshape(part.shape)

    def floats(self) -> NDArray[np.float32]:
        """Return the numbers, float32."""
        out = np.empty(self.shape, np.float32)
        self.read_into(out)
        return out


@dataclass(frozen=True)
class GGUFFile:
    """The content of a file: metadata by key, tensors by name, both in the file's order."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, StoredTensor]


def open_gguf(path: str | Path) -> GGUFFile:
    """Return the content of the GGUF file `path`; arrays of numbers are NumPy's.

    Raises UserError where it cannot be read, is damaged, or has types that are not read here.
    """
    try:
        with open(path, "rb") as file:
            if not file.seek(0, 2):  # which `mmap` refuses in other words
                raise ValueError("it is empty")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        metadata, tensors = _read(_Reader(data))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; give the path of a "
                        "GGUF file") from error
    except ValueError as error:
        raise UserError(f"{path} cannot be read as a GGUF file: {error}") from error
    return GGUFFile(Path(path), metadata, tensors)


class _Reader:
    """Goes through the bytes of a file from its beginning; ValueError where they end too soon."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def reserve(self, count: int, size: int, name: str) -> None:
        """Raise ValueError where `count` things of at least `size` bytes are not left."""
        left = len(self.data) - self.at
        if count * size > left:
            raise ValueError(f"{name} would take {count} x {size} bytes at byte {self.at}, and "
                             f"{left} are left; the file is cut short or damaged")

    def take(self, size: int, name: str) -> bytes:
        """Return the next `size` bytes."""
        begin, end = self.at, self.at + size
        if end > len(self.data):
            self.reserve(size, 1, name)
        self.at = end
        return self.data[begin:end]

    def number(self, format: str, name: str) -> Any:
        """Return the next number, of a format of `struct`'s."""
        return struct.unpack(f"<{format}", self.take(struct.calcsize(format), name))[0]

    def string(self, name: str) -> str:
        """Return the next string."""
        content = self.take(int.from_bytes(self.take(8, name), "little"), name)
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is not UTF-8 at byte {self.at - len(content) + error.start}; "
                             "the file is damaged") from None


def _read(reader: _Reader) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
    tensors = _read_header(reader)
    count = reader.number("Q", "the count of metadata entries")
    reader.reserve(count, 13, "the metadata")
    metadata: dict[str, Any] = {}
    for _ in range(count):
        key = reader.string("a metadata key")
        name = f"the metadata entry {shortened(key)}"
        if key in metadata:
            raise ValueError(f"{name} is there twice; the file is damaged")
        metadata[key] = _read_value(reader, reader.number("I", name), name)
    reader.reserve(tensors, 32, "the table of tensors")
    entries = [_read_entry(reader) for _ in range(tensors)]
    return metadata, _placed(entries, _data(reader, metadata.get("general.alignment", 32)))


def _read_header(reader: _Reader) -> int:
    """Return the count of tensors; ValueError where the file is of another kind or version."""
    magic = reader.take(4, "the first word")
    if magic != b"GGUF":
        raise ValueError(f"it begins with {magic!r}, not with b'GGUF'")
    version: int = reader.number("I", "the version")
    if not version & 0xFFFF:
        raise ValueError("it is big-endian, or damaged; only little-endian files are read here")
    if version not in VERSIONS:
        raise ValueError(f"it is of version {version}; only 2 and 3 are read here, so convert the "
                         "model anew")
    count: int = reader.number("Q", "the count of tensors")
    return count


def _read_value(reader: _Reader, type: int, name: str) -> Any:
    if type == STRING:
        return reader.string(name)
    if type == ARRAY:
        return _read_array(reader, name)
    if type not in SCALARS:
        raise ValueError(f"{name} has a value of the type {type}; known are 0 to 12")
    value = reader.number(SCALARS[type], name)
    return _checked_bool(np.array(value), name).item() if type == BOOL else value


def _read_array(reader: _Reader, name: str) -> Any:
    """Return strings as a list, numbers as an array of NumPy's."""
    type, count = reader.number("I", name), reader.number("Q", name)
    if type == STRING:
        reader.reserve(count, 8, name)
        return [reader.string(name) for _ in range(count)]
    if type not in SCALARS:
        raise ValueError(f"{name} is an array of "
                         + ("arrays, which are not read here" if type == ARRAY else
                            f"values of the type {type}; known are 0 to 12"))
    dtype = np.dtype(f"<{SCALARS[type]}")
    reader.reserve(count, dtype.itemsize, name)
    values = np.frombuffer(reader.take(count * dtype.itemsize, name), dtype)
    return _checked_bool(values, name) if type == BOOL else values


def _checked_bool(values: NDArray[Any], name: str) -> NDArray[np.bool_]:
    if (values > 1).any():
        raise ValueError(f"{name} has {values.max()} where a truth value, 0 or 1, is expected")
    return values.astype(bool)


Entry = tuple[str, str, tuple[int, ...], int, int]  # name, type, shape, offset, bytes


def _read_entry(reader: _Reader) -> Entry:
    """Return a tensor's entry; ValueError where it contradicts itself."""
    name = reader.string("a tensor's name")
    where = f"the tensor {shortened(name)}"
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError(f"{where} has a name of other characters than letters, digits, '_', '.' "
                         "and '-'; the file is damaged")
    axes = reader.number("I", where)
    if not 1 <= axes <= MOST_AXES:
        raise ValueError(f"{where} has {axes} axes; 1 to {MOST_AXES} are known")
    lengths = [reader.number("Q", where) for _ in range(axes)]
    type, offset = reader.number("I", where), reader.number("Q", where)
    kind = NAMES.get(type, f"number {type}")
    if kind not in BLOCKS:
        raise ValueError(f"{where} is of the type {kind}, which is not read here; read are "
                         f"{', '.join(BLOCKS)}: take a file of these, such as a Q8_0 one")
    block = BLOCKS[kind]
    if 0 in lengths or lengths[0] % block.numbers:
        raise ValueError(f"{where} has axes of {lengths}; expected none of 0, and the first of "
                         f"whole blocks of {block.numbers}")
    size = math.prod(lengths) // block.numbers * block.bytes
    return name, kind, tuple(lengths[::-1]), offset, size


def _data(reader: _Reader, alignment: Any) -> tuple[NDArray[np.uint8], int]:
    """Return the bytes from where the data begin, and their alignment."""
    if type(alignment) is not int or alignment < 1 or alignment & alignment - 1:
        raise ValueError(f"general.alignment is {shortened(alignment)}; expected a power of two")
    begin = -(-reader.at // alignment) * alignment
    return np.frombuffer(reader.data, np.uint8)[begin:], alignment


def _placed(entries: Iterable[Entry], where: tuple[NDArray[np.uint8], int]
            ) -> dict[str, StoredTensor]:
    """Return the tensors with their bytes; ValueError where they overlap or lie outside."""
    data, alignment = where
    tensors: dict[str, StoredTensor] = {}
    spans = []
    for name, kind, shape, offset, size in entries:
        if name in tensors:
            raise ValueError(f"the tensor {name!r} is there twice; the file is damaged")
        if offset % alignment:
            raise ValueError(f"the tensor {name!r} begins at {offset} of the data, which is no "
                             f"multiple of the alignment {alignment}; the file is damaged")
        if offset + size > len(data):
            raise ValueError(f"the tensor {name!r} has {size} bytes from {offset} of the data, "
                             f"which has {len(data)}; the file is cut short or damaged")
        tensors[name] = StoredTensor(name, kind, shape, data[offset : offset + size])
        spans.append((offset, offset + size, name))
    for (_, end, one), (begin, _, other) in pairwise(sorted(spans)):
        if begin < end:
            raise ValueError(f"the tensors {one!r} and {other!r} overlap; the file is damaged")
    return tensors


KIND_NAMES = {int: "a whole number from 0 to 2147483647", float: "a finite number",
              bool: "a truth value", str: "a string", list: "an array of strings",
              np.ndarray: "an array of numbers"}
REQUIRED: Any = object()


def entry(metadata: Mapping[str, Any], key: str, kind: type, default: Any = REQUIRED) -> Any:
    """Return the metadata's value for `key`, of a type in KIND_NAMES, or the default.

    A float32 is given as the shortest decimal that rounds to it: 1e-05, as it was meant, not
    9.999999747378752e-06. Raises UserError where the value is missing or of another kind.
    """
    value = metadata.get(key, default)
    if value is REQUIRED:
        raise UserError(f"the metadata lack {key!r}")
    if key not in metadata:
        return value
    if kind is float and type(value) in (int, float):
        value = float(str(np.float32(value)))
    fits: bool = type(value) is kind
    if fits and not (kind is int and not 0 <= value < 2**31) and not (
            kind is float and not math.isfinite(value)):
        return value
    raise UserError(f"the metadata entry {key!r} must be {KIND_NAMES[kind]}, got "
                    f"{shortened(metadata[key])}")
