r"""Learn the merges of byte-level BPE from counted words.

Definition (Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units",
section 3.2, algorithm 1; over bytes: Radford et al. 2019, section 2.2). Every word begins as
the row of its bytes. Then, until there are enough tokens, the pair that comes most often is joined:

$$ c(a, b) = \sum_w n_w \sum_i [w_i = a \text{ and } w_{i+1} = b], \qquad
   (a^*, b^*) = \arg\max_{(a, b)} c(a, b) $$

where token i of word w is $w_i$ and w comes $n_w$ times. In every word, from left to right, $a^*$
followed by $b^*$ becomes one token.

Of pairs counted alike the one with the smallest (id of a, id of b) is best. The 256 bytes have ids
0 to 255 in GPT-2's order (`alphabet.BYTE_ORDER`), merged tokens the next ones as they are made.

No merge makes a token that exists. Where a stretch of a word is one token, no merge has crossed its
borders, so the merges inside do not depend on the text outside (in a run aaaa, paired from the
left, a border that is not crossed has an even number of a's before it): wherever the same stretch
keeps its borders, the same merge has joined it. So n merges make n new tokens.

`learn_merges_plainly` is the definition. `learn_merges` returns the same merges, but its time grows
with the number of joints between bytes, each of which closes once at most, not with merges times
text:

1. A pair keeps the list of its places, so a merge touches these and nothing else.
2. A merge (a, b) -> c takes places away from the pairs around it, and all pairs that gain places
   have c in them. So the count that a pair begins with bounds all its later counts. It is not kept
   up to date: the pair waits in a heap under that bound, and is counted when it comes to the top.
   Where places were lost it goes back under its new count; where not, no pair is more frequent.
   Most pairs never come to the top, and those that begin rarer than `min_frequency` are left out.
3. The bytes of all words lie in one row and never move. A token is noted at its first byte, in
   `first`, and at its last, in `last`: its neighbours are one step away, and b begins len(a) after
   a.
4. That row is an `array`, which loops of Python read twice as fast as NumPy's arrays, while NumPy
   works on the same memory: pairs of many places are merged by NumPy, those of few by a loop.

Oracle: `tokenizers.trainers.BpeTrainer` with `initial_alphabet=ByteLevel.alphabet()` makes the
same merges, with three differences. Its special tokens come before the bytes; where text spells one
out, a merge may end in it, without a new id. Its `max_token_length=n` spares pairs of bytes and
then means fewer than n bytes; here it means at most n.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...host.errors import UserError
from ..characters.alphabet import BYTE_ORDER

Merge: TypeAlias = tuple[bytes, bytes]
Places: TypeAlias = list[int] | NDArray[np.intp]
"""Where the first bytes of a pair's occurrences lie, ascending: NumPy's if there are many."""

BYTES = len(BYTE_ORDER)
_BITS = 20  # of an id: a pair is left << _BITS | right
_PAIR_BITS = 2 * _BITS
LARGEST_VOCABULARY = 1 << _BITS
_NO_LIMIT = 1 << 62
_EDGE = -1  # where no token begins or ends: between words
_MANY = 64  # places from which on NumPy pays: a merge costs it some 60 us, the loop 1 us a place
_AT_ONCE = 1 << 21  # bytes of words whose pairs are sorted at once


def learn_merges_plainly(counts: Mapping[str, int] | Mapping[bytes, int], vocab_size: int, *,
                min_frequency: int = 2, max_token_length: int | None = None) -> list[Merge]:
    """Return the merges of the words that come so often, in order: the definition, to be read.

    Every merge goes through all words anew, so the time grows with their length times the merges.

    There are vocab_size - 256 of them, or fewer where no pair is left that comes `min_frequency`
    times and is at most `max_token_length` bytes long.

    >>> learn_merges_plainly({"low": 5, "lower": 2, "newest": 6, "widest": 3}, 260)
    [(b'e', b's'), (b'es', b't'), (b'l', b'o'), (b'lo', b'w')]
    """
    least, longest = check_sizes(vocab_size, min_frequency, max_token_length)
    tokens = [bytes([byte]) for byte in BYTE_ORDER]
    words = [([BYTE_ORDER.index(byte) for byte in word], n) for word, n in _words_as_bytes(counts)]
    merges: list[Merge] = []
    while len(tokens) < vocab_size:
        pairs: Counter[tuple[int, int]] = Counter()
        for ids, n in words:
            for a, b in pairwise(ids):
                if len(tokens[a] + tokens[b]) <= longest:
                    pairs[a, b] += n
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < least:
            break
        words = [(replace_pair(ids, best, len(tokens)), n) for ids, n in words]
        merges.append((tokens[best[0]], tokens[best[1]]))
        tokens.append(tokens[best[0]] + tokens[best[1]])
    return merges


def replace_pair(ids: Sequence[int], pair: tuple[int, int], new: int) -> list[int]:
    """Return `ids` with every `pair`, found from left to right, replaced by `new`.

    >>> replace_pair([7, 7, 7, 5], (7, 7), 300)
    [300, 7, 5]
    """
    result: list[int] = []
    i = 0
    while i < len(ids):
        found = tuple(ids[i : i + 2]) == pair
        result.append(new if found else ids[i])
        i += 2 if found else 1
    return result


def learn_merges(counts: Mapping[str, int] | Mapping[bytes, int], vocab_size: int, *,
               min_frequency: int = 2, max_token_length: int | None = None,
               progress: bool = False) -> list[Merge]:
    """Return the merges that `learn_merges_plainly` returns, in less time."""
    least, longest = check_sizes(vocab_size, min_frequency, max_token_length)
    row = _TokenRow(_words_as_bytes(counts), vocab_size, least, longest)
    tokens = [bytes([byte]) for byte in BYTE_ORDER]
    merges: list[Merge] = []
    waiting: dict[int, Places] = {}
    heap: list[int] = []  # of pair - (count << _PAIR_BITS): the highest count, the least pair
    new_pairs = row.pairs_of_bytes()
    with tqdm(total=vocab_size - BYTES, desc="merges", disable=None if progress else True) as bar:
        while len(tokens) < vocab_size:
            for pair, places, count in new_pairs:
                waiting[pair] = places
                heappush(heap, pair - (count << _PAIR_BITS))
            if not heap:
                break
            pair = heappop(heap) & (1 << _PAIR_BITS) - 1
            a, b = pair >> _BITS, pair & (1 << _BITS) - 1
            places = waiting.pop(pair)
            live = row.live_places(a, b, places)
            if len(live) < len(places):
                new_pairs = row.if_frequent(pair, live)  # back into the heap
                continue
            merges.append((tokens[a], tokens[b]))
            new_pairs = row.join(a, b, len(tokens), live)
            tokens.append(tokens[a] + tokens[b])
            bar.update()
    return merges


NewPairs: TypeAlias = Iterator[tuple[int, Places, int]]
"""Pairs, with their places and the sum of their words' counts."""


class _TokenRow:
    """All words as one row of tokens, each word's bytes between two edges.

    `first[i]` is the token that begins at byte i and `last[i]` the one that ends there, `weight[i]`
    how often the word comes. Where no token begins `first` is negative; `last` is only ever read
    just before a token's first byte, where one ends.
    """

    def __init__(self, words: list[tuple[bytes, int]], vocab_size: int, least: int, longest: int
                 ) -> None:
        data = b"\0" + b"".join(word + b"\0" for word, _ in words)
        sizes = np.fromiter((len(word) + 1 for word, _ in words), np.int64, len(words))
        ids = np.empty(256, np.int32)
        ids[list(BYTE_ORDER)] = np.arange(BYTES)
        tokens = ids[np.frombuffer(data, np.uint8)]
        tokens[np.append(0, np.cumsum(sizes))] = _EDGE
        weights = np.array([0, *(n for _, n in words)], np.int64)
        weights = np.repeat(weights, np.append(1, sizes))
        self.first, self.last, self.weight = array("i"), array("i"), array("q")
        for own, values in ((self.first, tokens), (self.last, tokens), (self.weight, weights)):
            own.frombytes(values.view(np.uint8).data)
        self.firsts, self.lasts = (np.frombuffer(a, np.int32) for a in (self.first, self.last))
        self.weights = np.frombuffer(self.weight, np.int64)
        self.length = [1] * BYTES
        self.lengths = np.ones(vocab_size, np.int64)
        self.least, self.longest = least, longest

    def pairs_of_bytes(self) -> NewPairs:
        """Yield the pairs that the words begin with; if there are many, a part at a time."""
        left, right = self.firsts[:-1], self.firsts[1:]
        parts = 1 + len(left) // _AT_ONCE if self.longest >= 2 else 0
        for part in range(parts):
            places = np.flatnonzero((left >= 0) & (right >= 0) & (left % parts == part))
            yield from self._grouped(left[places].astype(np.int64) << _BITS | right[places], places)

    def live_places(self, a: int, b: int, places: Places) -> Places:
        """Return those of the places where b still follows a."""
        step = self.length[a]
        if isinstance(places, list):
            first = self.first
            return [i for i in places if first[i] == a and first[i + step] == b]
        return _list_if_few(places[(self.firsts[places] == a) & (self.firsts[places + step] == b)])

    def if_frequent(self, pair: int, places: Places) -> NewPairs:
        """Yield the pair with its count, unless that is too small ever to be merged."""
        weight = self.weight
        count = (sum([weight[i] for i in places]) if isinstance(places, list)
                 else int(self.weights[places].sum()))
        if count >= self.least:
            yield pair, places, count

    def join(self, a: int, b: int, c: int, places: Places) -> NewPairs:
        """Make c of every a and b at the places; yield the pairs that have c in them."""
        self.length.append(self.length[a] + self.length[b])
        self.lengths[c] = self.length[c]
        if isinstance(places, list):
            return self._join_few(a, b, c, places)
        return self._join_many(a, b, c, places)

    def _join_few(self, a: int, b: int, c: int, places: list[int]) -> NewPairs:
        first, last, length = self.first, self.last, self.length
        to_b, to_next = length[a], length[c]
        before: defaultdict[int, list[int]] = defaultdict(list)  # left neighbour -> places of c
        after: defaultdict[int, list[int]] = defaultdict(list)
        for i in places:
            if first[i] == a:  # else it went into the one before, as in aaa
                first[i], first[i + to_b], last[i + to_next - 1] = c, _EDGE, c
                before[last[i - 1]].append(i)
                after[first[i + to_next]].append(i)
        room = self.longest - to_next
        for x, at in before.items():
            if x != _EDGE and (to_x := length[x]) <= room:
                yield from self.if_frequent(x << _BITS | c, [i - to_x for i in at])
        for y, at in after.items():
            if y != _EDGE and length[y] <= room:
                yield from self.if_frequent(c << _BITS | y, at)

    def _join_many(self, a: int, b: int, c: int, places: NDArray[np.intp]) -> NewPairs:
        first, last, lengths = self.firsts, self.lasts, self.lengths
        to_b, to_next = self.length[a], self.length[c]
        if a == b:
            places = _every_other(places, to_b)
        first[places], first[places + to_b], last[places + to_next - 1] = c, _EDGE, c
        x, y = last[places - 1].astype(np.int64), first[places + to_next].astype(np.int64)
        room = self.longest - to_next
        kept = (x != _EDGE) & (lengths[x] <= room)
        x = x[kept]
        yield from self._grouped(x << _BITS | c, places[kept] - lengths[x])
        kept = (y != _EDGE) & (lengths[y] <= room) & (y != c)  # (c, c) was among the former
        yield from self._grouped(c << _BITS | y[kept], places[kept])

    def _grouped(self, pairs: NDArray[np.int64], places: NDArray[np.intp]) -> NewPairs:
        """Yield each of the distinct `pairs`, of shape (N,) as their places."""
        if not len(pairs):
            return
        order = np.argsort(pairs, kind="stable")
        pairs, places = pairs[order], places[order]
        begins = np.flatnonzero(np.append(True, pairs[1:] != pairs[:-1]))
        ends = np.append(begins[1:], len(pairs))
        counts = np.add.reduceat(self.weights[places], begins)
        frequent = counts >= self.least
        begins, ends, counts = begins[frequent], ends[frequent], counts[frequent]
        for pair, begin, end, count in zip(pairs[begins].tolist(), begins.tolist(), ends.tolist(),
                                           counts.tolist(), strict=True):
            yield pair, _list_if_few(places[begin:end]), count


def _list_if_few(places: NDArray[np.intp]) -> Places:
    """Return the places as a list if they are few, as the faster way to join them needs them."""
    if len(places) > _MANY:
        return places
    few: list[int] = places.tolist()
    return few


def _every_other(places: NDArray[np.intp], step: int) -> NDArray[np.intp]:
    """Return the 1st, 3rd, 5th ... of each run of places `step` apart: in aaaa (aa)(aa)."""
    index = np.arange(len(places))
    run_begins = np.append(True, np.diff(places) != step)
    odd = (index - np.maximum.accumulate(np.where(run_begins, index, 0))) % 2 == 0
    chosen: NDArray[np.intp] = places[odd]
    return chosen


def check_sizes(vocab_size: int, min_frequency: int, max_token_length: int | None
                ) -> tuple[int, int]:
    """Return the least count and the greatest length of a token.

    Raises UserError for numbers that make no sense.
    """
    if not BYTES <= vocab_size <= LARGEST_VOCABULARY:
        raise UserError(f"vocab_size must be in [{BYTES}, {LARGEST_VOCABULARY}], got {vocab_size}: "
                        f"every byte has a token of its own, and merges come on top")
    if min_frequency < 0:
        raise UserError(f"min_frequency must not be negative, got {min_frequency}; "
                        "1 merges all that ever stands side by side")
    if max_token_length is not None and max_token_length < 1:
        raise UserError(f"max_token_length must be at least 1 byte, got {max_token_length}; "
                        "leave it out for tokens of any length")
    return max(1, min_frequency), _NO_LIMIT if max_token_length is None else max_token_length


def _words_as_bytes(counts: Mapping[str, int] | Mapping[bytes, int]) -> list[tuple[bytes, int]]:
    """Return the words as bytes, with their counts.

    Raises ValueError for counts below 1 or too large to add up, UserError for lone surrogates.
    """
    words: list[tuple[bytes, int]] = []
    total = 0
    for word, n in counts.items():
        if n < 1:
            raise ValueError(f"the count of {word!r} must be at least 1, got {n}")
        try:
            data = word if isinstance(word, bytes) else word.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{word!r} has a lone surrogate at position {error.start}, which no "
                            'UTF-8 spells; replace them: text.encode("utf-8", "replace").decode()'
                            ) from error
        words.append((data, n))
        total += n * len(data)
    if total >= _NO_LIMIT:
        raise ValueError(f"the words' counts add up to {total} bytes, 2**62 or more")
    return words
