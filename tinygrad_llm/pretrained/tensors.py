"""Tensors in safetensors files, read and written one at a time.

A file is a length (8 bytes), a header (JSON: each tensor's dtype, shape and place) and the bytes.
The library checks the header against the file before anything else: then tensors are views of the
mapped file, read when their numbers are. Files are written here: the library wants all bytes at
once, a second copy of the model. The bytes are those that it writes.

Source: https://github.com/huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from autograd.backend import Array

from ..host.errors import UserError, shortened
from ..host.files import write_in_one_step
from ..text.formats.json_files import read_json_object

DTYPES: dict[str, Any] = {"F64": np.float64, "F32": np.float32, "BF16": ml_dtypes.bfloat16,
                          "F16": np.float16}
"""The numbers that are read and written, in the order in which files have them."""
NAMES = {np.dtype(kind).name: name for name, kind in DTYPES.items()}
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class Stored:
    """A tensor in a file, and the file: its array is a view of the mapped bytes."""

    path: Path
    array: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> str:
        """The tensor's dtype, by NumPy's name."""
        return str(self.array.dtype.name)


class TensorFiles:
    """The tensors of a folder by name, in `model.safetensors` or in the shards of its index.

    Raises UserError where there are none, and for a file that is damaged or contradicts the index.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stored: dict[str, Stored] = {}
        if (folder / SINGLE).is_file():
            self._add(folder / SINGLE)
        elif (folder / INDEX).is_file():
            self._add_shards(folder / INDEX)
        else:
            raise UserError(_without_weights(folder))

    def _add(self, path: Path) -> set[str]:
        """Add a file's tensors; return their names."""
        try:
            with safe_open(path, framework="numpy"):  # which checks all that is believed below
                pass
            data = np.memmap(path, np.uint8, mode="r")
            start = 8 + int.from_bytes(data[:8].tobytes(), "little")
            header = json.loads(data[8:start].tobytes())
        except FileNotFoundError:
            raise UserError(f"{path} is missing; fetch it again") from None
        except (SafetensorError, OSError, ValueError, TypeError) as error:
            raise UserError(f"{path} is damaged or truncated ({error}); fetch it again") from error
        header.pop("__metadata__", None)
        for name, one in header.items():
            if one["dtype"] not in DTYPES:
                raise UserError(f"{path}: {shortened(name)} has numbers of the type "
                                f"{one['dtype']}; known are {', '.join(DTYPES)}: convert the model "
                                f"to one of them")
            begin, end = (start + offset for offset in one["data_offsets"])
            array = data[begin:end].view(DTYPES[one["dtype"]]).reshape(one["shape"])
            self.stored[name] = Stored(path, array)
        return set(header)

    def _add_shards(self, index: Path) -> None:
        places = read_index(index, read_json_object(index))
        for file in sorted(set(places.values())):
            if not (index.parent / file).is_file():
                raise UserError(f"{index} names {file}, which is not there; fetch it again")
            self._add_shard(index, index.parent / file,
                            {name for name, place in places.items() if place == file})

    def _add_shard(self, index: Path, path: Path, named: set[str]) -> None:
        """Add the tensors of a shard, which have to be those that the index has there."""
        if other := sorted(self._add(path) ^ named):
            where = "index" if other[0] in named else "file"
            raise UserError(f"{index} and {path.name} do not agree on the tensor "
                            f"{shortened(other[0])}, which is in the {where} only; fetch both anew")


def read_index(path: str | Path, content: Any) -> dict[str, str]:
    """Return the file of each tensor, by an index: names of files in its own folder, and no others.

    Raises UserError for anything else, with the index's `path`.
    """
    places = content.get("weight_map") if isinstance(content, dict) else content
    if not isinstance(places, dict) or not all(isinstance(f, str) for f in places.values()):
        raise UserError(f"{path}: expected a weight_map from tensors to files, got "
                        f"{shortened(places)}; fetch it anew")
    for file in places.values():
        if file in ("", ".", "..") or set(file) & set("/\\:\0"):
            raise UserError(f"{path} names the file {shortened(file)}: expected a name in its own "
                            f"folder; such an index is not to be trusted")
    return places


def _without_weights(folder: Path) -> str:
    pickled = sorted(path.name for kind in ("*.bin", "*.pt", "*.pth") for path in folder.glob(kind))
    return (f"{folder} has no {SINGLE} and no {INDEX}"
            + (f", only {pickled[0]}, which is a pickle: reading it runs whatever code is in it. "
               f"Where you trust it, convert it with transformers: from transformers import "
               f"AutoModelForCausalLM as M; M.from_pretrained({str(folder)!r})"
               f".save_pretrained('converted')" if pickled else "; check the path"))


def write_tensors(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]],
                  data: Callable[[str], Array]) -> None:
    """Write tensors, given as dtype and shape by name; `data(name)` returns the array of one.

    Raises OSError where that is not possible; a former file is then as it was.
    """
    order = list(DTYPES)
    names = sorted(tensors, key=lambda name: (order.index(NAMES[tensors[name][0]]), name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        dtype, shape = tensors[name]
        start, end = end, end + prod(shape) * np.dtype(DTYPES[NAMES[dtype]]).itemsize
        header[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)

    def parts() -> Iterator[bytes | memoryview]:
        yield len(text).to_bytes(8, "little") + text
        for name in names:
            array = np.ascontiguousarray(data(name), DTYPES[NAMES[tensors[name][0]]])
            yield memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]

    write_in_one_step(path, parts())


def split(sizes: Mapping[str, int], most: int) -> list[list[str]]:
    """Return the names in groups of at most `most` bytes, as far as that goes, in their order.

    A tensor that is larger stands alone. These are the groups of Hugging Face's own shards.
    """
    groups: list[list[str]] = []
    open_group: list[str] = []
    size = 0
    for name, of_one in sizes.items():
        if of_one > most:
            groups.append([name])
            continue
        if size + of_one > most:
            groups.append(open_group)
            open_group, size = [], 0
        open_group.append(name)
        size += of_one
    return [group for group in [*groups, open_group] if group]
