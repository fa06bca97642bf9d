r"""Documents that repeat an earlier one, found in memory of a few bytes a document.

**Exact.** Two documents are the same where 128 bits of BLAKE2b of their text are, every run of
white space taken for one space (and none at the ends). Case counts.

**Near.** Documents are sets of shingles, their runs of 5 words (word_runs.py; case and punctuation
do not count), compared by their Jaccard similarity J(A, B) = |A & B| / |A | B|. For a random order
of all shingles, the first of A | B is as likely any of them, and it is the first of A and of B
alike exactly if it is in A & B:

    P(first of A = first of B) = J(A, B).

A signature holds the first shingles of a document under K = 128 orders: the share of places at
which two signatures agree has mean J and deviation sqrt(J (1 - J) / K), 0.035 at J = 0.8. The
orders are those of a_k x + b_k mod 2**32 with odd a_k, which permutes the 32-bit numbers x.

**Candidates.** Not all pairs are compared. A signature's first b r places are cut into b bands of
r; candidates agree in a whole band, which pairs of similarity s do with probability

    1 - (1 - s**r)**b,

an S-shaped curve that turns steep near s = (1/b)**(1/r). `bands` takes the largest r for which a
pair at the threshold is still a candidate with probability RECALL; what is below the threshold
and becomes one is refused when the whole signatures are compared.

**Which one stays.** Documents are taken in their order; each is compared with the documents that
were kept before it, and repeats the first of these that is similar enough, or else is kept. So
every document that is left out has a kept one that it is similar to (unlike with clusters, along
which similarity can drift away).

Sources: Broder, "On the resemblance and containment of documents", 1997. Broder, Charikar, Frieze
and Mitzenmacher, "Min-wise independent permutations", 2000 (linear orders). Leskovec, Rajaraman
and Ullman, "Mining of massive datasets", chapter 3 (banding). Lee et al., "Deduplicating training
data makes language models better", 2022 (what to compare in corpora).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...host.errors import UserError
from .word_runs import FACTOR, normalized_words, run_hashes, word_hashes

Signatures = NDArray[np.uint32]  # (N, PERMUTATIONS), in memory or mapped
Numbers = NDArray[np.int64]
Matches = Callable[[Numbers, Numbers], NDArray[np.bool_]]

PERMUTATIONS = 128
SHINGLE = 5  # words
THRESHOLD = 0.8
RECALL = 0.99
NOTHING = 2**32 - 1  # a signature's places where there is no shingle
LEADERS = 32  # compared with in one band's group, which unlike documents make long
MANY = 4096  # linked documents that are compared in turn, not each leader with all
BLOCK = 2048  # shingles at once: 1 MiB
ROWS = 8192  # signatures at once: 4 MiB


def text_digest(text: str) -> bytes:
    """Return 16 bytes that texts share if they differ in white space at most.

    >>> text_digest("a  b\\n") == text_digest("a b"), text_digest("A b") == text_digest("a b")
    (True, False)
    """
    plain = " ".join(text.split())
    return blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def signature(text: str) -> NDArray[np.uint32]:
    """Return the text's MinHash signature, uint32 of shape (PERMUTATIONS,).

    A text of fewer than SHINGLE words is one shingle; one without words has no similarity to any.
    """
    hashes = word_hashes(normalized_words(text))
    runs = run_hashes(hashes, max(min(SHINGLE, len(hashes)), 1))
    return minhash((runs >> np.uint64(32)).astype(np.uint32))


def minhash(shingles: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the least of a_k x + b_k over the shingles x (N,), for each k: (PERMUTATIONS,)."""
    factors, offsets = _minhash_orders()
    found = np.full(PERMUTATIONS, NOTHING, np.uint32)
    for start in range(0, len(shingles), BLOCK):
        ranks = factors * shingles[start:start + BLOCK]  # (PERMUTATIONS, BLOCK)
        ranks += offsets
        np.minimum(found, ranks.min(1), out=found)
    return found


def similarity(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> Any:
    """Return the estimated Jaccard similarity of signatures, over their last axis."""
    return (one == other).mean(-1)


def bands(threshold: float) -> tuple[int, int]:
    """Return (b, r): so many bands of so many places. Raises UserError outside (0, 1].

    >>> bands(0.8)
    (21, 6)
    """
    if not 0 < threshold <= 1:
        raise UserError(f"the similarity of near duplicates must be in (0, 1], got {threshold}")
    rows = [r for r in range(1, PERMUTATIONS + 1)
            if 1 - (1 - threshold**r) ** (PERMUTATIONS // r) >= RECALL]
    r = max(rows, default=1)
    return PERMUTATIONS // r, r


def find_duplicates(digests: NDArray[np.uint8], signatures: Signatures | None = None,
                    threshold: float = THRESHOLD, progress: bool = False) -> Numbers:
    """Return, for each of N documents, the earlier kept one that it repeats, or -1: int64 (N,).

    `digests` are (N, 16); `signatures` (N, PERMUTATIONS) may be mapped from a file, and None finds
    exact repetitions only. Memory: some 60 bytes a document.
    """
    repeats = exact_duplicates(digests)
    if signatures is None:
        return repeats
    alone = np.flatnonzero(repeats < 0)
    near = near_duplicates(signatures, threshold, alone, progress)
    again = np.flatnonzero(repeats >= 0)
    first = repeats[again]
    repeats[again] = np.where(near[first] >= 0, near[first], first)
    repeats[alone] = near[alone]
    return repeats


def exact_duplicates(digests: NDArray[np.uint8]) -> Numbers:
    """Return, for each of N digests (N, 16), the number of the first that equals it, or -1."""
    repeats = np.full(len(digests), -1, np.int64)
    if not len(digests):
        return repeats
    halves = np.ascontiguousarray(digests).view(np.uint64)  # (N, 2)
    order = np.lexsort((halves[:, 0], halves[:, 1]))  # stable: the first of equals is the earliest
    new = np.ones(len(order), np.bool_)
    new[1:] = (halves[order[1:]] != halves[order[:-1]]).any(1)
    first = order[new][np.cumsum(new) - 1]
    repeats[order[~new]] = first[~new]
    return repeats


def near_duplicates(signatures: Signatures, threshold: float = THRESHOLD,
                    among: Numbers | None = None, progress: bool = False) -> Numbers:
    """Return, for each of N documents, the earlier kept one that it is similar to, or -1.

    Only the ascending document numbers `among` are looked at (None: all). First, one band at a
    time, documents that agree in it are linked if they are similar; then, within each set of
    linked documents, the rule about which one stays is followed to the letter.
    """
    count, rows = bands(threshold)
    parts = [slice(first, first + rows) for first in range(0, count * rows, rows)]
    documents = np.arange(len(signatures)) if among is None else among
    documents = documents[_call_in_blocks(documents, lambda some: signatures[some, 0] != NOTHING)]
    similar = _matcher(signatures, threshold)
    bar = tqdm(parts, "comparing", disable=not progress, unit="band")
    roots = _link_by_band(signatures, documents, bar, similar)
    repeats = np.full(len(signatures), -1, np.int64)
    documents, roots = _shared_keys(documents, roots[documents])
    many = np.bincount(roots, minlength=1)[roots] > MANY
    for leaders, others in match_with_leaders(documents[~many], roots[~many], similar):
        repeats[others] = leaders
    for root in np.unique(roots[many]):
        members = documents[roots == root]
        keys = np.stack([_band_keys(signatures, members, part) for part in parts], axis=1)
        for leader, other in match_in_turn(members, keys, similar):
            repeats[other] = leader
    return repeats


def _link_by_band(signatures: Signatures, documents: Numbers, parts: Iterable[slice],
                  similar: Matches) -> Numbers:
    """Return the least member of each document's set, once those that agree in a band and are
    similar are linked."""
    links = _Links(len(signatures))
    for part in parts:
        roots, keys = links.roots(), _band_keys(signatures, documents, part)

        def linked(a: Numbers, b: Numbers, roots: Numbers = roots) -> NDArray[np.bool_]:
            known: NDArray[np.bool_] = roots[a] == roots[b]
            known[~known] = similar(a[~known], b[~known])
            return known

        for leaders, others in match_with_leaders(*_shared_keys(documents, keys), linked, LEADERS):
            links.add(leaders, others)
    return links.roots()


def match_in_turn(documents: Numbers, keys: NDArray[np.uint64], matches: Matches
                  ) -> Iterator[tuple[int, int]]:
    """Yield pairs (leader, other) that match, of one group; keys (N, bands) say which to compare.

    Each document is compared with the kept ones that agree with it in a band, not with all of its
    group: of m documents of which k stay, `match_with_leaders` compares m k pairs. Some at the
    threshold may be missed, as in any search by bands.
    """
    kept: dict[tuple[int, int], list[int]] = {}
    for document, row in zip(documents.tolist(), keys.tolist(), strict=True):
        places = list(enumerate(row))
        candidates = sorted({leader for place in places for leader in kept.get(place, ())})
        same = matches(np.array(candidates, np.int64), np.full(len(candidates), document))
        if same.any():
            yield candidates[int(same.argmax())], document
        else:
            for place in places:
                kept.setdefault(place, []).append(document)


def match_with_leaders(documents: Numbers, groups: NDArray[Any], matches: Matches,
                       rounds: int | None = None) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield pairs (leaders, others) that match, from documents that are sorted by group.

    In every round each group's first document leads: those of its group that match it leave with
    it. What is left has a new leader in the next round.
    """
    while len(documents) and rounds != 0:
        new = np.ones(len(groups), np.bool_)
        new[1:] = groups[1:] != groups[:-1]
        leaders = documents[new][np.cumsum(new) - 1][~new]
        documents, groups = documents[~new], groups[~new]
        same = matches(leaders, documents)
        yield leaders[same], documents[same]
        documents, groups = documents[~same], groups[~same]
        rounds = None if rounds is None else rounds - 1


class _Links:
    """Sets of linked documents, each named by its least member (union-find)."""

    def __init__(self, count: int) -> None:
        self.parent = np.arange(count)

    def roots(self) -> Numbers:
        """Return the least member of each document's set, and point every document at it."""
        while not np.array_equal(up := self.parent[self.parent], self.parent):
            self.parent = up
        return self.parent.copy()

    def add(self, some: Numbers, others: Numbers) -> None:
        """Link each of `some` with the one of `others` at its place."""
        apart = self.parent[some] != self.parent[others]
        for pair in zip(some[apart].tolist(), others[apart].tolist(), strict=True):
            low, high = sorted(map(self._root, pair))
            self.parent[high] = low

    def _root(self, document: int) -> int:
        parent = self.parent
        while (up := int(parent[document])) != document:
            parent[document] = parent[up]
            document = up
        return document


def _shared_keys(documents: Numbers, keys: NDArray[Any]) -> tuple[Numbers, NDArray[Any]]:
    """Return documents, sorted by key and then number, and their keys, without the single ones."""
    order = np.argsort(keys, kind="stable")
    documents, keys = documents[order], keys[order]
    same = keys[1:] == keys[:-1]
    shared = np.zeros(len(keys), np.bool_)
    shared[1:] |= same
    shared[:-1] |= same
    return documents[shared], keys[shared]


def _matcher(signatures: Signatures, threshold: float) -> Matches:
    needed = int(np.ceil(threshold * PERMUTATIONS - 1e-9))

    def similar(a: Numbers, b: Numbers) -> NDArray[np.bool_]:
        return _call_in_blocks(np.arange(len(a)), lambda some: (
            signatures[a[some]] == signatures[b[some]]).sum(1) >= needed)

    return similar


def _call_in_blocks(numbers: Numbers, function: Callable[[Numbers], NDArray[Any]]) -> NDArray[Any]:
    """Return function(numbers), called with ROWS numbers at a time."""
    parts = [function(numbers[i:i + ROWS]) for i in range(0, max(len(numbers), 1), ROWS)]
    return np.concatenate(parts)


def _band_keys(signatures: Signatures, documents: Numbers, part: slice) -> NDArray[np.uint64]:
    """Return a number for each document's places in `part`, alike where these are alike."""
    def mixed(some: Numbers) -> NDArray[np.uint64]:
        keys = np.zeros(len(some), np.uint64)
        for column in signatures[some, part].T:
            keys = (keys ^ column) * FACTOR
            keys ^= keys >> np.uint64(29)
        return keys

    return _call_in_blocks(documents, mixed)


@cache
def _minhash_orders() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return a (odd) and b of the orders a x + b mod 2**32, each of shape (PERMUTATIONS, 1)."""
    drawn = np.random.Philox(key=int.from_bytes(b"MinHash", "little")).random_raw(PERMUTATIONS)
    factors, offsets = drawn >> np.uint64(32), drawn & np.uint64(2**32 - 1)
    return (factors.astype(np.uint32) | np.uint32(1))[:, None], offsets.astype(np.uint32)[:, None]
