"""The token file: ids, prepared once, of which training reads what it needs.

`train.bin` holds nothing but the ids, little-endian uint16 where the vocabulary allows it and
uint32 where not; `train.json` beside it says which, how many there are, and the size of the
vocabulary. By the count, a file that was cut short is known.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...host.errors import UserError
from ...host.files import write_in_one_step
from .stored import StoredArray

FILE_TYPES: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}
LARGEST_VOCABULARY = 2**31  # models index with int32


def write_tokens(path: str | Path, ids: Sequence[int] | NDArray[Any], vocab_size: int) -> None:
    """Write `ids`, whole numbers of shape (N,), to `path` and their description beside it.

    Raises ValueError for ids outside [0, vocab_size), UserError where there are none.
    """
    array = np.asarray(ids)
    _check_ids(array, vocab_size)
    name = "uint16" if vocab_size <= 2**16 else "uint32"
    about = {"dtype": name, "count": array.size, "vocab_size": vocab_size}
    about_path = _about_path(path)
    stored = np.ascontiguousarray(array, FILE_TYPES[name])
    write_in_one_step(path, [stored.data])
    write_in_one_step(about_path, [json.dumps(about).encode()])


def open_tokens(path: str | Path) -> StoredArray:
    """Return the ids in the token file `path`, uint16 or uint32 of shape (N,), read-only.

    Raises UserError where one of the two files is missing, damaged, or does not fit the other.
    """
    path = Path(path)
    try:
        about = json.loads(_about_path(path).read_bytes())
        dtype, count = FILE_TYPES[about["dtype"]], about["count"]
        if type(count) is not int or count < 1:
            raise ValueError(f"count is {count!r}")
        size = path.stat().st_size
        if size != count * dtype.itemsize:
            raise ValueError(f"{count * dtype.itemsize} bytes expected, {size} found")
        return StoredArray(path, dtype, count)
    except OSError as error:
        reason = f"{error.filename or path}: {error.strerror or error}"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    except (KeyError, TypeError):
        reason = f"{_about_path(path)} does not say dtype ({' or '.join(FILE_TYPES)}) and count"
    raise UserError(f"no whole token file at {path}: {reason}; prepare the data again")


def _about_path(path: str | Path) -> Path:
    about_path = Path(path).with_suffix(".json")
    if about_path == Path(path):
        raise ValueError(f"{path} is where the description goes; end the token file's name in .bin")
    return about_path


def _check_ids(array: NDArray[Any], vocab_size: int) -> None:
    if not 0 < vocab_size <= LARGEST_VOCABULARY:
        raise ValueError(f"vocab_size must be in [1, {LARGEST_VOCABULARY}], got {vocab_size}")
    if array.ndim == 1 and array.size == 0:
        raise UserError("no tokens to write; prepare the data from a longer text")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"ids must be integers of shape (N,), got {array.dtype} {array.shape}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= vocab_size:
        raise ValueError(f"ids must be in [0, {vocab_size}), got [{low}, {high}]; wrong tokenizer?")
