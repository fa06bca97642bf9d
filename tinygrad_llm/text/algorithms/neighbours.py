r"""Byte-pair encoding of many pre-tokens at once, in arrays: which tokens may be neighbours.

Merging takes Python a step for each merge. But its result can be recognised without it: the tokens
$t_1 \dots t_n$ are what their bytes become exactly when every two neighbours are,

$$ \mathrm{bpe}(t_1 \cdots t_n) = (t_1, \dots, t_n) \iff
   \mathrm{bpe}(t_i\, t_{i+1}) = (t_i, t_{i+1}) \quad \text{for } 1 \le i < n $$

for the first merge across the seam of two tokens in the whole would be made in the two alone as
well: up to then both saw the same merges in the same order. As merging has one result, a sequence
whose neighbours all **fit** is that result, however it was found. The search goes from the left:
take the longest token that fits the one before, else the next shorter, else take the token before
back. The bytes up to any place have one result, so at most one sequence that fits ends there: none
is tried twice, and the number of steps grows with the length alone. All pre-tokens take their steps
together.

Whether u and v fit is seen by taking their merges back, the last first. At the seam then stand
pairs of parts of u and v, each pair for a while: until the merge of rank $d_u$ that took its left
part, or $d_v$ that took its right part. A merge of rank r would have joined it before, if

$$ r < d_u \quad\text{and}\quad r \le d_v $$

since of equal ranks the leftmost merge comes first. This needs each token's own last merge, and
that its rank is above those of its parts, as it is wherever training made the merges. A token of
which that is not true, or whose own bytes become something else, takes no part here; nor does a
pre-token in which it is met, or one that has a byte without a token.

Source: van Antwerpen and Neubeck, "So many tokens, so little time", github.blog, 2024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from .int_table import IntTable, pair_keys
from .prefixes import Prefixes

LONGEST = 200  # bytes of a pre-token, and so of tokens that matter
_NEVER = np.iinfo(np.int32).max
_NO_TOKEN, _BYTE = -2, -1  # instead of the rank of a token's last merge
_TOO_FEW = 32  # pre-tokens left, so few that merging them one by one is faster
_Ids = NDArray[np.int32]


class Neighbours:
    """The tokens of a model, and which may follow one another.

    tokens: their bytes and ids. ranks: the rank of each pair of ids that may be merged. made: the
    id that a merge makes, by its rank.
    """

    def __init__(self, tokens: Mapping[bytes, int], ranks: Mapping[tuple[int, int], int],
                 made: Sequence[int]) -> None:
        size = max(tokens.values(), default=-1) + 1
        self._length = np.zeros(size + 1, np.int32)  # the last place is that of no token, -1
        self._length[list(tokens.values())] = list(map(len, tokens))
        self._left, self._right = np.zeros((2, size), np.int32)
        self._birth = np.full(size, _NO_TOKEN, np.int32)  # the rank of a token's last merge
        self._birth[[id for token, id in tokens.items() if len(token) == 1]] = _BYTE
        pairs = np.fromiter(chain.from_iterable(ranks), np.int32).reshape(-1, 2)
        rank = np.fromiter(ranks.values(), np.int32, len(ranks))
        self._ranks = IntTable(pair_keys(pairs[:, 0], pairs[:, 1]), rank)
        self._find_births(pairs, rank, np.asarray(made, np.int32)[rank])
        known = (self._birth > _NO_TOKEN).tolist()
        self._prefixes = Prefixes({token: id for token, id in tokens.items() if known[id]})

    def _find_births(self, pairs: _Ids, rank: _Ids, made: _Ids) -> None:
        """Find out of which merge each token comes, the shortest tokens first."""
        lengths = self._length[made]
        order = np.argsort(lengths, kind="stable")
        for same_length in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
            if not len(same_length) or lengths[same_length[0]] > LONGEST:
                break
            (left, right), r = pairs[same_length].T, rank[same_length]
            before = np.minimum(self._birth[left], self._birth[right]) > _NO_TOKEN
            before &= r > np.maximum(self._birth[left], self._birth[right])
            at = same_length[before]
            at = at[self.fit(pairs[at, 0], pairs[at, 1], rank[at])]
            self._left[made[at]], self._right[made[at]] = pairs[at].T
            self._birth[made[at]] = rank[at]

    def fit(self, left: _Ids, right: _Ids, until: _Ids | None = None) -> NDArray[np.bool_]:
        """Return whether no merge, or none of a rank below `until`, joins across the seam.

        Pairs of ids, (N,) each; returns shape (N,).
        """
        fits, at = np.ones(len(left), np.bool_), np.arange(len(left))
        ends_left = np.full(len(left), _NEVER, np.int32) if until is None else until
        ends_right = ends_left
        while len(at):
            rank = self._ranks.find(pair_keys(left, right))
            joined = (rank >= 0) & (rank < ends_left) & (rank <= ends_right)
            fits[at[joined]] = False
            births = self._birth[left], self._birth[right]
            left_is_last = births[0] > births[1]
            ends_left = np.where(left_is_last, births[0], ends_left)
            ends_right = np.where(left_is_last, ends_right, births[1])
            left, right = (np.where(left_is_last, self._right[left], left),
                           np.where(left_is_last, right, self._left[right]))
            more = np.flatnonzero(~joined & (np.maximum(*births) > _BYTE))
            at, left, right = at[more], left[more], right[more]
            ends_left, ends_right = ends_left[more], ends_right[more]
        return fits

    def encode(self, pieces: Sequence[bytes]) -> tuple[_Ids, _Ids]:
        """Return the ids of N pre-tokens, one after another, and how many each has, (N,).

        A pre-token that must be merged has none. No pre-token may be empty.
        """
        lengths = np.fromiter(map(len, pieces), np.intp, len(pieces))
        ends = np.cumsum(lengths + 1) - 1  # a byte between any two keeps their places apart
        token_from = self._search(b"\0".join(pieces), ends - lengths, ends)
        places = np.flatnonzero(token_from >= 0)
        counts = np.diff(np.searchsorted(places, ends), prepend=0).astype(np.int32)
        return token_from[places], counts

    def _search(self, data: bytes, at: NDArray[np.intp], end: NDArray[np.intp]) -> _Ids:
        """Return the token that begins at each byte, -1 where none does.

        at: the byte that each pre-token begins at, and later where it is tried to go on.
        """
        longest = np.append(self._prefixes.longest(np.frombuffer(data, np.uint8)), np.int32(-1))
        shorter, length, start = self._prefixes.shorter, self._length, at
        token_from, token_to = np.full((2, len(longest)), -1, np.int32)  # as far as they are found
        token = longest[at]
        while len(at) > _TOO_FEW:
            before = token_to[at]
            to = at + length[token]
            good = (token >= 0) & (to <= end)
            seam = np.flatnonzero(good & (before >= 0))
            good[seam] = self.fit(before[seam], token[seam])
            token_from[at[good]] = token_to[to[good]] = token[good]
            token = np.where(good, longest[to], shorter[token])
            at = np.where(good, to, at)
            back = np.flatnonzero(~good & (token < 0) & (before >= 0))
            at[back] -= length[before[back]]
            token_from[at[back]] = -1
            token[back] = shorter[before[back]]
            more = (at < end) & ((token >= 0) | (at > start))
            at, end, start, token = at[more], end[more], start[more], token[more]
        for a, b in zip(start.tolist(), at.tolist(), strict=True):
            token_from[a:b] = -1
        return token_from
