"""Token shards: documents of any total size, written once, mapped into memory for training.

A folder of shards is one long row of ids, cut into files:

    shard-00000.bin     ids, little-endian uint16 or uint32 (what the vocabulary needs), exactly
    shard-00001.bin     `shard_tokens` of them in every shard but the last
    shard-00000.starts  little-endian uint32: where, within the shard, a document begins
    index.json          counts, checksums, settings; written last (see shard_index.py)

Documents lie back to back, each followed by the end-of-text id, which the writer adds. A document
that reaches a shard's end goes on in the next shard: all shards but the last are equally long, so
that position p of the row is position p % shard_tokens of shard p // shard_tokens, and nobody has
to search. The starts keep every boundary, also where no end-of-text id is in use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..errors import UserError
from ..files import write_in_one_step
from .shard_index import (
    INDEX,
    PARTIAL,
    Index,
    Settings,
    Shard,
    read_index,
    starts_path,
    token_path,
    write_index,
)
from .tokens import FILE_TYPES

SHARD_TOKENS = 2**25  # 64 or 128 MB a file
START = np.dtype("<u4")
CHUNK = 2**20  # tokens that are checked at once


class ShardWriter:
    """Write documents, one `add` each, as shards into `folder`; `close` makes the folder whole.

    `end_of_text` is added after every document unless it is None; `tokenizer` is the tokenizer's
    file, whose SHA-256 is kept. Memory: one shard.

    A writer that was stopped leaves whole shards and no index. A new one on that folder, with the
    same settings, goes on after them: `documents` tells how many whole documents it has, and the
    next `add` must bring the document after those (whose first tokens may be stored already, and
    are compared).

    Raises UserError where the folder holds a whole set of shards, or unfinished shards of other
    settings; ValueError for settings that no shards can have.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with ShardWriter(folder, vocab_size=10, shard_tokens=4, end_of_text=9) as writer:
    ...         writer.add([1, 2, 3, 4])
    ...         writer.add([5])
    ...     tokens = open_shards(folder)
    ...     tokens[:].tolist(), tokens.document_of(np.arange(7)).tolist()
    ([1, 2, 3, 4, 9, 5, 9], [0, 0, 0, 0, 0, 1, 1])
    """

    def __init__(self, folder: str | Path, vocab_size: int, shard_tokens: int = SHARD_TOKENS, *,
                 end_of_text: int | None = None, tokenizer: str | Path | None = None) -> None:
        digest = None if tokenizer is None else _sha256(Path(tokenizer))
        self.folder = Path(folder)
        self.settings = Settings(vocab_size, shard_tokens, end_of_text, digest)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._shards: list[Shard] = []
        self._unfinished = 0  # tokens, in whole shards, of the document that is being written
        self._stored = np.zeros(0, np.int64)  # those tokens, where another writer wrote them
        self.documents = 0
        self._buffer = np.empty(shard_tokens, FILE_TYPES[self.settings.dtype_name])
        self._used = 0
        self._starts: list[int] = []
        self._closed = False
        if (self.folder / INDEX).exists():
            raise UserError(f"{self.folder} already holds token shards; name another folder, or "
                            "remove that one")
        if (self.folder / PARTIAL).exists():
            self._go_on()

    @property
    def tokens(self) -> int:
        """How many tokens were added, end-of-text ids included."""
        return sum(shard.tokens for shard in self._shards) + self._used

    def add(self, ids: Sequence[int] | NDArray[Any]) -> None:
        """Write one document of `ids`, whole numbers of shape (N,).

        Raises ValueError for ids outside the vocabulary, for a document without any token, and
        after `close`; UserError where the document is not the one that was being written when a
        former writer stopped.
        """
        if self._closed:
            raise ValueError("the shards are closed: no document can be added")
        array = self._checked(ids)
        if len(self._stored):
            array = self._rest(array)
        else:
            self._starts.append(self._used)
        while len(array):
            room = len(self._buffer) - self._used
            part, array = array[:room], array[room:]
            self._buffer[self._used:self._used + len(part)] = part
            self._used += len(part)
            self._unfinished += len(part)
            if self._used == len(self._buffer):
                if not len(array):
                    self._unfinished = 0
                self._write_shard()
        self._unfinished = 0
        self.documents += 1

    def close(self) -> None:
        """Write the last shard and the index. Raises UserError where there is no document."""
        if self._closed:
            return
        if len(self._stored):
            raise UserError(f"{self.folder}: the last document in the whole shards is cut off "
                            "and was not given again; add it before closing")
        if not self.tokens:
            raise UserError(f"no tokens to write to {self.folder}; give more text")
        if self._used:
            self._write_shard()
        write_index(self.folder / INDEX, Index(self.settings, tuple(self._shards)))
        (self.folder / PARTIAL).unlink(missing_ok=True)
        self._closed = True

    def __enter__(self) -> ShardWriter:
        """Return the writer itself: `with` closes it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Close, unless an exception says that not all documents were added."""
        if kind is None:
            self.close()

    def _checked(self, ids: Sequence[int] | NDArray[Any]) -> NDArray[Any]:
        """Return the ids as an array that fits the vocabulary, end of text included."""
        array = np.asarray(ids)
        if array.ndim == 1 and not array.size:
            array = np.zeros(0, np.int64)  # NumPy takes [] for float64
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ValueError(f"ids must be integers of shape (N,), got {array.dtype} {array.shape}")
        vocab_size, end = self.settings.vocab_size, self.settings.end_of_text
        if array.size and (int(array.min()) < 0 or int(array.max()) >= vocab_size):
            raise ValueError(f"ids must be in [0, {vocab_size}), got [{array.min()}, "
                             f"{array.max()}]; wrong tokenizer?")
        if end is None and not array.size:
            raise ValueError("a document without ids; leave it out, or set end_of_text")
        return array if end is None else np.append(array.astype(np.int64), end)

    def _rest(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return what a former writer had not yet stored of the document it was writing."""
        stored, self._stored = self._stored, np.zeros(0, np.int64)
        if len(array) <= len(stored) or not np.array_equal(array[:len(stored)], stored):
            self._stored = stored
            raise UserError(f"document {self.documents} is not the one that {self.folder} was "
                            "being written from; give the same documents in the same order, or "
                            "remove the folder")
        return array[len(stored):]

    def _write_shard(self) -> None:
        """Write the buffer as a whole shard, then how far the folder is."""
        number = len(self._shards)
        ids, starts = self._buffer[:self._used], np.array(self._starts, START)
        write_in_one_step(token_path(self.folder, number), [ids.data])
        write_in_one_step(starts_path(self.folder, number), [starts.data])
        self._shards.append(Shard(len(ids), len(starts), hashlib.sha256(ids.data).hexdigest(),
                                  hashlib.sha256(starts.data).hexdigest()))
        if len(ids) == self.settings.shard_tokens:
            write_index(self.folder / PARTIAL,
                        Index(self.settings, tuple(self._shards), self._unfinished))
        self._used, self._starts = 0, []

    def _go_on(self) -> None:
        """Take over the whole shards of a writer that was stopped."""
        index = read_index(self.folder / PARTIAL)
        if index.settings != self.settings:
            raise UserError(f"{self.folder} holds unfinished shards of other settings: "
                            f"{index.settings} where now {self.settings}; remove it, or name "
                            "another folder")
        stored = ShardedTokens(self.folder, index)
        self._shards = list(index.shards)
        self._unfinished = index.unfinished
        self._stored = stored[len(stored) - index.unfinished:].astype(np.int64)
        self.documents = stored.documents - (index.unfinished > 0)


class ShardedTokens:
    """The ids of a folder of shards, read-only, indexed as one array of shape (N,).

    `tokens[i]`, `tokens[a:b:c]` and `tokens[array of any shape]` copy what they read and leave
    the rest on the disk; the result has the files' dtype. Instances can be shared by threads and
    sent to processes (what is sent is the folder's name).
    """

    def __init__(self, folder: Path, index: Index) -> None:
        self.folder = folder
        self.settings = index.settings
        self.vocab_size = index.settings.vocab_size
        self.end_of_text = index.settings.end_of_text
        self.dtype = FILE_TYPES[index.settings.dtype_name]
        self.shards = index.shards
        self.documents = sum(shard.documents for shard in index.shards)
        self._len = sum(shard.tokens for shard in index.shards)
        self._ids = [_map(token_path(folder, i), self.dtype, shard.tokens)
                     for i, shard in enumerate(index.shards)]
        self._starts = [_map(starts_path(folder, i), START, shard.documents)
                        for i, shard in enumerate(index.shards)]
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
            started = np.searchsorted(self._starts[number], within.astype(START), side="right")
            flat[which] = self._documents_before[number] + started - 1
        return found

    def document(self, number: int) -> NDArray[Any]:
        """Return the ids of one document, its end-of-text id included."""
        if not 0 <= number < self.documents:
            raise IndexError(f"document {number} is not in [0, {self.documents})")
        end = self._start(number + 1) if number + 1 < self.documents else self._len
        ids: NDArray[Any] = self[self._start(number):end]
        return ids

    def check(self, progress: bool = True) -> list[str]:
        """Return a sentence for every fault of the files; reads all of them.

        What is compared: sizes and checksums, ids with the vocabulary, starts with each other, and
        which files there are.
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

    def _start(self, document: int) -> int:
        number = int(np.searchsorted(self._documents_before, document, side="right")) - 1
        local = self._starts[number][document - self._documents_before[number]]
        return number * self.settings.shard_tokens + int(local)

    def _slice(self, start: int, stop: int, step: int) -> NDArray[Any]:
        if step != 1 or stop <= start:
            return self._gather(np.arange(start, stop, step))
        size = self.settings.shard_tokens
        pieces = []
        for number in range(start // size, (stop - 1) // size + 1):
            pieces.append(self._ids[number][max(start - number * size, 0):stop - number * size])
        return self._known(np.concatenate(pieces))

    def _gather(self, places: NDArray[Any]) -> NDArray[Any]:
        found = np.empty(places.shape, self.dtype)
        flat = found.reshape(-1)
        for number, which, within in self._by_shard(places):
            flat[which] = self._ids[number][within]
        return self._known(found)

    def _known(self, ids: NDArray[Any]) -> NDArray[Any]:
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


def _map(path: Path, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """Return a file as an array: not np.memmap's class, whose indexing is slower."""
    if not count:  # an empty file cannot be mapped
        return np.zeros(0, dtype)
    try:
        return np.asarray(np.memmap(path, dtype, "r", shape=(count,)))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; build the data again") from error


def _sha256(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read the tokenizer {path}: {error.strerror}; give the file that "
                        "it was saved to") from error


def _token_faults(path: Path, shard: Shard, settings: Settings, bar: Any) -> list[str]:
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
