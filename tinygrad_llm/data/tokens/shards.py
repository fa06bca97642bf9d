"""Token shards: documents of any total size, written once, read in windows for training.

A folder of shards is one long row of ids, cut into files:

    shard-00000.bin     ids, little-endian uint16 or uint32 (what the vocabulary needs), exactly
    shard-00001.bin     `shard_tokens` of them in every shard but the last
    shard-00000.starts  little-endian uint32: where, within the shard, a document begins
    index.json          counts, checksums, settings; written last (see shard_index.py)

Documents lie back to back, each followed by the end-of-text id, which the writer adds. A document
that reaches a shard's end goes on in the next shard: all shards but the last are equally long, so
that position p of the row is position p % shard_tokens of shard p // shard_tokens, without a
search. The starts keep every boundary, also where no end-of-text id is in use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...host.errors import UserError
from .shard_index import (
    INDEX,
    Shard,
    ShardIndex,
    ShardSettings,
    read_index,
    starts_path,
    token_path,
)
from .stored import StoredArray
from .token_file import FILE_TYPES

START = np.dtype("<u4")
CHUNK = 2**20  # tokens that are checked at once


class ShardedTokens:
    """The ids of a folder of shards, read-only, indexed as one array of shape (N,).

    `tokens[i]`, `tokens[a:b:c]` and `tokens[array of any shape]` copy what they read and leave
    the rest on the disk; the result has the files' dtype. Instances can be shared by threads and
    sent to processes (what is sent is the folder's name).
    """

    def __init__(self, folder: Path, index: ShardIndex) -> None:
        self.folder = folder
        self.settings = index.settings
        self.vocab_size = index.settings.vocab_size
        self.end_of_text = index.settings.end_of_text
        self.dtype = FILE_TYPES[index.settings.dtype_name]
        self.shards = index.shards
        self.documents = sum(shard.documents for shard in index.shards)
        self._len = sum(shard.tokens for shard in index.shards)
        self._ids = [StoredArray(token_path(folder, i), self.dtype, shard.tokens)
                     for i, shard in enumerate(index.shards)]
        self._starts = [StoredArray(starts_path(folder, i), START, shard.documents)
                        for i, shard in enumerate(index.shards)]
        self._starts_read: dict[int, NDArray[Any]] = {}
        self._documents_before = [0, *accumulate(shard.documents for shard in index.shards)]

    def __len__(self) -> int:
        """Return N, the tokens in all shards."""
        return self._len

    @property
    def shape(self) -> tuple[int]:
        """The shape as an array's: (N,)."""
        return (self._len,)

    def __getitem__(self, key: Any) -> Any:
        """Return the ids at `key`, a whole number, slice, or integer array, as NumPy does."""
        if isinstance(key, slice):
            return self._slice(*key.indices(self._len))
        places = np.asarray(key)
        if places.dtype.kind not in "iu":
            if places.size:
                raise IndexError(f"positions must be whole numbers, got {places.dtype}")
            places = places.astype(np.int64)
        return self._gather(places)[()]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all ids in memory."""
        if copy is False:
            raise ValueError("the ids of shards cannot be an array without being copied")
        return np.asarray(self[:], dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the folder's name to another process, not the tokens."""
        return open_shards, (self.folder,)

    def document_of(self, positions: Any) -> NDArray[np.int64]:
        """Return the number of the document that each position lies in, int64 of its shape.

        An end-of-text id belongs to the document that it ends. Raises IndexError outside [-N, N).
        """
        places = np.asarray(positions)
        found = np.empty(places.shape, np.int64)
        flat = found.reshape(-1)
        for number, which, within in self._by_shard(places):
            # Before a shard's first start goes on the last document of the shards before it.
            started = np.searchsorted(self._starts_in(number), within.astype(START), side="right")
            flat[which] = self._documents_before[number] + started - 1
        return found

    def document(self, number: int) -> NDArray[Any]:
        """Return the ids of one document, its end-of-text id included."""
        if not 0 <= number < self.documents:
            raise IndexError(f"document {number} is not in [0, {self.documents})")
        end = self.start_of(number + 1) if number + 1 < self.documents else self._len
        ids: NDArray[Any] = self[self.start_of(number):end]
        return ids

    def check(self, progress: bool = True) -> list[str]:
        """Return a sentence for every fault of the files; reads all of them.

        Compares sizes and checksums, ids with the vocabulary, starts with each other, and the
        names of the files.
        """
        own = {INDEX, *(path(self.folder, i).name for i in range(len(self.shards))
                        for path in (token_path, starts_path))}
        others = sorted(path.name for path in self.folder.iterdir())
        faults = [f"{self.folder / name} does not belong to these shards; take it away"
                  for name in others if name not in own and not name.startswith(".")]
        total = sum(ids.nbytes for ids in self._ids)
        with tqdm(total=total, unit="B", unit_scale=True, desc="checking shards",
                  disable=not progress, dynamic_ncols=True) as bar:
            for number, shard in enumerate(self.shards):
                faults += _token_faults(token_path(self.folder, number), shard, self.settings, bar)
                faults += _starts_faults(starts_path(self.folder, number), shard, number == 0)
        return faults

    def start_of(self, document: int) -> int:
        """Return the position of a document's first token."""
        number = int(np.searchsorted(self._documents_before, document, side="right")) - 1
        local = self._starts_in(number)[document - self._documents_before[number]]
        return number * self.settings.shard_tokens + int(local)

    def _starts_in(self, number: int) -> NDArray[Any]:
        """Return where documents begin in a shard, which is read once: 4 bytes a document."""
        if number not in self._starts_read:
            self._starts_read[number] = self._starts[number][:]
        return self._starts_read[number]

    def _slice(self, start: int, stop: int, step: int) -> NDArray[Any]:
        if step != 1 or stop <= start:
            return self._gather(np.arange(start, stop, step))
        size = self.settings.shard_tokens
        pieces = []
        for number in range(start // size, (stop - 1) // size + 1):
            pieces.append(self._ids[number][max(start - number * size, 0):stop - number * size])
        return self._within_vocabulary(np.concatenate(pieces))

    def _gather(self, places: NDArray[Any]) -> NDArray[Any]:
        found = np.empty(places.shape, self.dtype)
        flat = found.reshape(-1)
        for number, which, within in self._by_shard(places):
            flat[which] = self._ids[number][within]
        return self._within_vocabulary(found)

    def _within_vocabulary(self, ids: NDArray[Any]) -> NDArray[Any]:
        """Return `ids`. Raises UserError for one that no tokenizer has made."""
        if ids.size and (largest := int(ids.max())) >= self.vocab_size:
            raise UserError(f"the shards in {self.folder} hold the id {largest}, outside "
                            f"[0, {self.vocab_size}): a file was changed; copy it again, or build "
                            "the data again")
        return ids

    def _by_shard(self, places: NDArray[Any]) -> Iterator[tuple[int, Any, NDArray[np.int64]]]:
        """Yield, for each shard that is needed, (its number, which of the flat places lie in it,
        where in it these are).
        """
        if not places.size:
            return
        low, high = int(places.min()), int(places.max())
        if low < -self._len or high >= self._len:
            raise IndexError(f"positions must be in [-{self._len}, {self._len}), "
                             f"got [{low}, {high}]")
        flat = places.reshape(-1).astype(np.int64)
        if low < 0:
            flat[flat < 0] += self._len
            low, high = int(flat.min()), int(flat.max())
        size = self.settings.shard_tokens
        first, last = low // size, high // size
        if first == last:
            yield first, slice(None), flat - first * size
            return
        numbers = flat // size
        order = np.argsort(numbers, kind="stable")  # neighbours stay neighbours
        used, begins = np.unique(numbers[order], return_index=True)
        for number, which in zip(used.tolist(), np.split(order, begins[1:]), strict=True):
            yield number, which, flat[which] - number * size


def open_shards(folder: str | Path) -> ShardedTokens:
    """Open the shards in `folder`; sizes are compared at once, checksums by `.check()`.

    Raises UserError, which names the file, where one is missing, cut short or not what it should.
    """
    folder = Path(folder)
    index = read_index(folder / INDEX)
    if index.unfinished:
        raise UserError(f"{folder / INDEX} says that its last document is unfinished; build the "
                        "data again")
    return ShardedTokens(folder, index)


def holds_shards(folder: str | Path) -> bool:
    """Whether `folder` is one that a ShardWriter has closed."""
    return (Path(folder) / INDEX).is_file()


def _token_faults(path: Path, shard: Shard, settings: ShardSettings, bar: Any) -> list[str]:
    digest, largest, size = hashlib.sha256(), 0, 0
    item = FILE_TYPES[settings.dtype_name]
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK * item.itemsize):
                digest.update(chunk)
                size += len(chunk)
                whole = len(chunk) // item.itemsize
                largest = max(largest, int(np.frombuffer(chunk, item, whole).max(initial=0)))
                bar.update(len(chunk))
    except OSError as error:
        return [f"{path}: {error.strerror}"]
    if size != shard.tokens * item.itemsize:
        return [f"{path} has {size} bytes where the index says {shard.tokens * item.itemsize}"]
    faults = []
    if digest.hexdigest() != shard.sha256:
        faults.append(f"{path} has another checksum than the index says: it was changed")
    if largest >= settings.vocab_size:
        faults.append(f"{path} holds the id {largest}, outside [0, {settings.vocab_size})")
    return faults


def _starts_faults(path: Path, shard: Shard, is_first: bool) -> list[str]:
    try:
        stored = path.read_bytes()
    except OSError as error:
        return [f"{path}: {error.strerror}"]
    if len(stored) != shard.documents * START.itemsize:
        return [f"{path} has {len(stored)} bytes where the index says "
                f"{shard.documents * START.itemsize}"]
    faults = []
    if hashlib.sha256(stored).hexdigest() != shard.starts_sha256:
        faults.append(f"{path} has another checksum than the index says: it was changed")
    starts = np.frombuffer(stored, START).astype(np.int64)
    if (np.diff(starts) <= 0).any() or (len(starts) and starts[-1] >= shard.tokens):
        faults.append(f"{path} holds starts that do not ascend within [0, {shard.tokens})")
    if is_first and starts[0] != 0:
        faults.append(f"{path} leaves out the first document, at 0")
    return faults
