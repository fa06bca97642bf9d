"""Token shards, written: one document after another, in memory of one shard (see shards.py)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...host.errors import UserError
from ...host.files import remove_temporaries, sha256_of, write_in_one_step
from .shard_index import (
    INDEX,
    PARTIAL,
    Shard,
    ShardIndex,
    ShardSettings,
    read_index,
    starts_path,
    token_path,
    write_index,
)
from .shards import START, ShardedTokens
from .token_file import FILE_TYPES

SHARD_TOKENS = 2**25  # 64 or 128 MB a file


class ShardWriter:
    """Write documents, one `add` each, as shards into `folder`; `close` makes the folder whole.

    `end_of_text` is added after every document unless it is None; `tokenizer` is the tokenizer's
    file, whose SHA-256 is kept. Memory: one shard.

    A writer that was stopped leaves whole shards and no index. A new one on that folder, with the
    same settings, goes on after them: `documents` counts the whole documents it has, and the
    next `add` must bring the document after those (whose first tokens may be stored already, and
    are compared).

    Raises UserError where the folder holds a whole set of shards, or unfinished shards of other
    settings; ValueError for settings that no shards can have.

    >>> from tempfile import TemporaryDirectory
    >>> from tinygrad_llm.data.tokens.shards import open_shards
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
        digest = None if tokenizer is None else _tokenizer_sha256(Path(tokenizer))
        self.folder = Path(folder)
        self.settings = ShardSettings(vocab_size, shard_tokens, end_of_text, digest)
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
        remove_temporaries(self.folder)
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
        write_index(self.folder / INDEX, ShardIndex(self.settings, tuple(self._shards)))
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
                        ShardIndex(self.settings, tuple(self._shards), self._unfinished))
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


def _tokenizer_sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise UserError(f"cannot read the tokenizer {path}: {error.strerror}; give the file that "
                        "it was saved to") from error
