r"""Byte-level byte-pair encoding: text to the ids of the tokens that merging bytes leads to.

A pre-token begins as its UTF-8 bytes. Of all neighbours that some merge joins, those of the lowest
rank $r$ are joined first, the leftmost of equals first, until none is left:

$$ i^* = \arg\min_i r(t_i, t_{i+1}), \qquad
   t \leftarrow (\dots, t_{i^*-1},\ t_{i^*} t_{i^*+1},\ t_{i^*+2}, \dots) $$

The ranks are the order in which training made the merges, so text is put together as the training
corpus was. tiktoken's files name no merges: there any two neighbours whose bytes together are a
token may be joined, and the rank is that token's id.

`merge_plainly` is this definition, $O(n^2)$ for $n$ bytes and the fastest for words;
`merge_with_heap` gives the same in $O(n \log n)$, so that no input is a denial of service.
`encode_text` is the fast way for whole texts: boundaries in arrays, then one look-up for all
pre-tokens; only those not seen before are merged, and many of them at once; see `neighbours`.

Sources: Gage, "A new algorithm for data compression", 1994; Sennrich et al., "Neural machine
translation of rare words with subword units", ACL 2016, section 3.2; Radford et al., "Language
models are unsupervised multitask learners", 2019, section 2.2 (on bytes).
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import compress, pairwise, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...host.errors import UserError
from ..characters.alphabet import printable
from ..cut import boundaries
from ..cut.blocks import BLOCK, next_cut
from .neighbours import LONGEST, Neighbours
from .piece_table import PieceTable

_NEVER = 1 << 60
_LONG = 200  # bytes from where the heap is faster
_MANY = 1 << 13  # bytes to merge from where `Neighbours` are faster
_SPARSE = 16  # ids for each token, too many for arrays of all ids
_PAYS = 2  # bytes to merge for each token in the vocabulary, and making them has paid
Pairs = Mapping[tuple[int, int], int]  # neighbours' ids -> rank


def merge_plainly(ids: list[int], ranks: Pairs, made: Sequence[int]) -> list[int]:
    """Return the ids after all merges: neighbours of rank r become the token made[r]."""
    found = list(map(ranks.get, pairwise(ids), repeat(_NEVER)))
    while found and (lowest := min(found)) != _NEVER:
        i = found.index(lowest)
        ids[i:i + 2] = [made[lowest]]
        del found[i]
        if i > 0:
            found[i - 1] = ranks.get((ids[i - 1], ids[i]), _NEVER)
        if i < len(found):
            found[i] = ranks.get((ids[i], ids[i + 1]), _NEVER)
    return ids


def merge_with_heap(ids: list[int], ranks: Pairs, made: Sequence[int]) -> list[int]:
    """Return the same as `merge_plainly`, in O(n log n): a heap of merges over a linked list.

    An entry of the heap may be out of date: it counts only while `found` has the same rank.
    """
    found = [*map(ranks.get, pairwise(ids), repeat(_NEVER)), _NEVER]
    before, after = list(range(-1, len(ids))), list(range(1, len(ids) + 1))
    ids = [*ids, -1]  # no token, which no merge joins
    heap = [rank << 32 | i for i, rank in enumerate(found) if rank != _NEVER]
    heapify(heap)
    while heap:
        entry = heappop(heap)
        rank, i = entry >> 32, entry & 0xFFFFFFFF
        if found[i] != rank:
            continue
        ids[i] = made[rank]
        gone = after[i]
        found[gone] = _NEVER
        after[i] = right = after[gone]
        ids[gone] = -1
        before[right] = i
        for left in (before[i], i):
            if left >= 0:
                found[left] = new = ranks.get((ids[left], ids[after[left]]), _NEVER)
                if new != _NEVER:
                    heappush(heap, new << 32 | left)
    return [token for token in ids if token >= 0]


class BPE:
    """Byte-level BPE over `vocab`, from tokens' bytes to ids, with `merges` in the order of rank.

    Where `merges` is None, any two neighbours whose bytes together are a token may be joined, and
    the token's id is the rank (the definition of tiktoken's files). With `ignore_merges` a
    pre-token that is itself a token becomes that token, even where merges lead elsewhere; tiktoken
    does so, and it is the default with None.

    A byte that is no token becomes `unknown`, or an error where that is None.

    Raises UserError where an id is used twice or is negative, or a merge names what is no token.

    >>> vocab = {bytes([b]): b for b in range(256)} | {b"an": 256, b"ana": 257}
    >>> BPE(vocab, [(b"a", b"n"), (b"an", b"a")]).encode_piece("banana")
    (98, 256, 257)
    """

    def __init__(self, vocab: Mapping[bytes, int],
                 merges: Sequence[tuple[bytes, bytes]] | None = None,
                 ignore_merges: bool | None = None, unknown: int | None = None) -> None:
        self.tokens = dict(vocab)
        self.merges = None if merges is None else [(left, right) for left, right in merges]
        self.ignore_merges = merges is None if ignore_merges is None else ignore_merges
        self.bytes_of = _bytes_by_id(self.tokens)
        self.unknown = unknown
        self._of_byte = [self.tokens.get(bytes([b]), -1 if unknown is None else unknown)
                         for b in range(256)]
        # The rank of every two neighbours' ids that may be joined, and what each rank makes.
        self.ranks, self.made = (_ranks_from_vocabulary(self.tokens) if self.merges is None
                                   else _ranks_from_merges(self.tokens, self.merges))
        self._table = PieceTable()
        self._neighbours: Neighbours | None = None
        self._merged = 0  # bytes of pre-tokens, so far
        self._new = _MANY  # bytes of those that the last block brought
        self._lock = threading.Lock()

    @property
    def vocab(self) -> dict[str, int]:
        """The ids of the tokens as files spell them, in GPT-2's printable alphabet."""
        return {printable(token): id for token, id in self.tokens.items()}

    def encode_piece(self, piece: str) -> tuple[int, ...]:
        """Return the ids of one pre-token."""
        return self.encode_bytes(piece.encode())

    def encode_bytes(self, piece: bytes) -> tuple[int, ...]:
        """Return the ids of one pre-token, given as bytes."""
        if self.ignore_merges and piece and piece in self.tokens:  # no text becomes an empty token
            return (self.tokens[piece],)
        ids = list(map(self._of_byte.__getitem__, piece))
        if -1 in ids:
            raise UserError(f"no token stands for the byte 0x{piece[ids.index(-1)]:02x} "
                            f"({printable(piece[ids.index(-1):][:1])!r} as files spell it): the "
                            f"vocabulary was made from text without it; train one on all 256 bytes")
        merge = merge_plainly if len(ids) < _LONG else merge_with_heap
        return tuple(merge(ids, self.ranks, self.made))

    def piece_spans(self, piece: str) -> list[tuple[int, int, int]]:
        """Return (id, start, end) of a pre-token's tokens: the characters each has a byte of."""
        character = [i for i, c in enumerate(piece) for _ in c.encode()]  # of every byte
        spans, at = [], 0
        for id in self.encode_piece(piece):
            end = at + len(self.bytes_of[id])
            spans.append((id, character[at], character[end - 1] + 1))
            at = end
        return spans

    def encode_text(self, text: str, pattern: str) -> NDArray[np.int32]:
        """Return the ids of a text that `pattern` cuts into pre-tokens, int32 of shape (N,).

        The text must have no lone surrogates.
        """
        if not boundaries.is_known(pattern):
            return self.encode_cut(text, boundaries.starts(text, pattern))
        parts: list[NDArray[np.int32]] = []
        at = 0
        while at < len(text) or not parts:
            block = text[at:next_cut(text, at, BLOCK if self._new < _MANY else 8 * BLOCK)]
            parts.append(self.encode_cut(block, boundaries.starts(block, pattern)))
            at += len(block)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def encode_cut(self, text: str, begins: NDArray[np.intp]) -> NDArray[np.int32]:
        """Return the ids of a text whose pre-tokens begin at the characters `begins`."""
        data = text.encode()
        if len(data) != len(text):
            begins = boundaries.byte_offsets(text)[begins]
        lengths = np.diff(begins, append=len(data))
        table = self._table
        entries = table.find(data, begins, lengths)
        unknown = np.flatnonzero(entries < 0)
        at, stop = begins[unknown].tolist(), (begins + lengths)[unknown].tolist()
        pieces = [data[a:b] for a, b in zip(at, stop, strict=True)]
        with self._lock:
            new = [piece for piece in dict.fromkeys(pieces) if piece not in table.entries]
            self._remember(table, new)
            if table.is_full and table is self._table:
                self._table = PieceTable(table.limit)
        entries[unknown] = list(map(table.entries.__getitem__, pieces))
        return table.ids(entries)

    def _remember(self, table: PieceTable, pieces: list[bytes]) -> None:
        """Merge distinct pre-tokens that the table does not have, and put them into it."""
        whole = self.tokens if self.ignore_merges else ()
        many = [piece for piece in pieces if len(piece) <= LONGEST and piece not in whole]
        self._new = sum(map(len, many))
        self._merged += self._new
        if (self._neighbours is None and self._merged > _PAYS * len(self.tokens)
                and max(self.bytes_of, default=0) < _SPARSE * len(self.tokens)):
            self._neighbours = Neighbours(self.tokens, self.ranks, self.made)
        if self._neighbours and self._new >= _MANY:
            ids, counts = self._neighbours.encode(many)
            table.add_flat(list(compress(many, counts.tolist())), ids, counts[counts > 0])
            pieces = [piece for piece in pieces if piece not in table.entries]
        table.add(pieces, list(map(self.encode_bytes, pieces)))

    def __getstate__(self) -> dict[str, Any]:
        """Return the arguments that make a copy: no pre-tokens remembered, and no lock."""
        return {"vocab": self.tokens, "merges": self.merges, "ignore_merges": self.ignore_merges,
                "unknown": self.unknown}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _bytes_by_id(tokens: Mapping[bytes, int]) -> dict[int, bytes]:
    """Return the bytes of each id. Raises UserError for an id used twice, or negative."""
    bytes_of = {id: token for token, id in tokens.items()}
    if len(bytes_of) < len(tokens):
        seen: dict[int, bytes] = {}
        for token, id in tokens.items():
            if seen.setdefault(id, token) != token:
                raise UserError(f"the vocabulary gives the id {id} to two tokens, "
                                f"{printable(seen[id])!r} and {printable(token)!r}")
    for id in (min(bytes_of), max(bytes_of)) if bytes_of else ():
        if not 0 <= id < 2**31:
            raise UserError(f"the vocabulary has the id {id}; ids are from 0 to {2**31 - 1}")
    return bytes_of


def _ranks_from_vocabulary(
    tokens: Mapping[bytes, int]
) -> tuple[dict[tuple[int, int], int], Sequence[int]]:
    """Return the rank of every two tokens whose bytes together are a token, and ids by rank."""
    ranks, get = {}, tokens.get
    lengths = frozenset(map(len, tokens))
    for token, id in tokens.items():
        for cut in cuts(len(token), lengths):
            left, right = get(token[:cut]), get(token[cut:])
            if left is not None and right is not None:
                ranks[left, right] = id
    return ranks, range(max(tokens.values(), default=-1) + 1)


def cuts(size: int, lengths: Collection[int]) -> Iterable[int]:
    """Return where a token of `size` bytes may be made of two that have `lengths`.

    A token may be as long as a text, and trying all of its cuts would take the square of that.
    """
    if size <= len(lengths):
        return range(1, size)
    return sorted(cut for cut in lengths if 0 < cut < size and size - cut in lengths)


def _ranks_from_merges(tokens: Mapping[bytes, int], merges: Iterable[tuple[bytes, bytes]]
            ) -> tuple[dict[tuple[int, int], int], Sequence[int]]:
    """Return the rank of every two tokens that a merge joins, and the ids by rank."""
    ranks, made = {}, []
    for rank, (left, right) in enumerate(merges):
        for token in (left, right, left + right):
            if token not in tokens:
                raise UserError(f"merge {rank} joins {printable(left)!r} and {printable(right)!r}, "
                                f"but {printable(token)!r} is not in the vocabulary")
        ranks[tokens[left], tokens[right]] = rank
        made.append(tokens[left + right])
    return ranks, made
