r"""Byte-pair encoding over characters, as in Llama 2, Gemma and Mistral.

**Definition.** A merge is a pair of tokens with a rank, $r(a, b) \in \mathbb{N}$, and joins them
into the token $ab$. Encoding starts from the characters $x_1, \dots, x_N$ of the text and repeats:
of all neighbours that a merge joins, take the pair of smallest rank, the leftmost of equal ones,

$$k = \arg\min_i \, (r(x_i, x_{i+1}), \, i),$$

and put $x_k x_{k+1}$ in the place of both, until no merge applies (Sennrich et al. 2016, "Neural
machine translation of rare words with subword units", section 3.2). The merges were learnt as the
most frequent pairs, one after another, so small ranks are frequent pairs.

**Cost.** Each of at most $N - 1$ merges looks at all neighbours: $O(N^2)$, `merge_plainly`. In
`merge_with_heap` a heap holds the candidates $(r, i)$ and the text is a doubly linked list. A merge
changes only the pairs to its left and right, so it pushes at most two candidates, and one that is
popped after its tokens have changed is skipped: $O(N \log N)$.

**Unknown characters.** A character outside the vocabulary becomes the tokens <0x00> to <0xFF> of
its UTF-8 bytes (`byte_fallback`, where all of them are there), or else the unknown token, one for
a whole run with `fuse_unk`, or else nothing.

**Words.** These vocabularies write "▁" for a space, and their files often hand whole documents to
the model. Where no merge joins a token that ends in the character $c$ with one that begins with
"▁", no token crosses the place between the two. The text is cut there into words, which are
encoded apart; the result is the same, and words that come again are remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

from ...host.errors import UserError
from ..characters.surrogates import refuse_lone_surrogates

LONGEST_REMEMBERED = 64  # characters
MOST_REMEMBERED = 1 << 16
MOST_CROSSED = 100
GONE = -1

Span = tuple[int, int, int]  # id, start, end
Pairs = Mapping[tuple[int, int], tuple[int, int]]  # two ids: the rank of their merge, its id


class CharBPE:
    """A model with the tokens and ids of `vocab`, and `merges` from the smallest rank on.

    ranks: the merges' ranks where some are equal; else their places. unk_token, fuse_unk,
    byte_fallback: what becomes of unknown characters. continuing_subword_prefix: written before
    every character but a piece's first; end_of_word_suffix: behind its last. ignore_merges: a
    piece that is a token becomes that token, even where merges lead elsewhere.

    Raises UserError where a merge joins what is no token, or into what is none.

    >>> vocab = {"a": 0, "b": 1, "ab": 2, "abab": 3, "?": 4}
    >>> model = CharBPE(vocab, [("a", "b"), ("ab", "ab")], unk_token="?")
    >>> model.piece_spans("ababbx")
    [(3, 0, 4), (1, 4, 5), (4, 5, 6)]
    """

    def __init__(
        self, vocab: Mapping[str, int], merges: Sequence[tuple[str, str]], *,
        ranks: Sequence[int] | None = None, unk_token: str | None = None, fuse_unk: bool = False,
        byte_fallback: bool = False, continuing_subword_prefix: str = "",
        end_of_word_suffix: str = "", ignore_merges: bool = False,
    ) -> None:
        self.vocab = dict(vocab)
        self.merges = [(left, right) for left, right in merges]
        self.ranks = list(range(len(self.merges)) if ranks is None else ranks)
        if len(self.ranks) != len(self.merges):
            raise ValueError(f"{len(self.merges)} merges, but {len(self.ranks)} ranks")
        self.unk_token, self.fuse_unk, self.byte_fallback = unk_token, fuse_unk, byte_fallback
        self.continuing_subword_prefix = continuing_subword_prefix
        self.end_of_word_suffix = end_of_word_suffix
        self.ignore_merges = ignore_merges
        self._pairs: Pairs = self._join(self._mergeable())
        self._bytes = [self.vocab.get(f"<0x{byte:02X}>") for byte in range(256)]
        self._word = self._word_pattern()
        self._remembered: dict[str, tuple[tuple[int, ...], list[Span]]] = {}

    def encode_piece(self, piece: str) -> tuple[int, ...]:
        """Return the ids of `piece`; UserError as in `piece_spans`."""
        if self.ignore_merges and piece and piece in self.vocab:
            return (self.vocab[piece],)
        refuse_lone_surrogates(piece)
        ids: list[int] = []
        for word in self._words(piece):
            ids += (self._remembered.get(word) or self._encode_word(word))[0]
        return tuple(ids)

    def piece_spans(self, piece: str) -> list[Span]:
        """Return (id, start, end) of each token of `piece`: the characters it is made from.

        Raises UserError for lone surrogates, and for unknown characters where `unk_token` is not
        in the vocabulary.
        """
        if self.ignore_merges and piece and piece in self.vocab:
            return [(self.vocab[piece], 0, len(piece))]
        refuse_lone_surrogates(piece)
        spans: list[Span] = []
        at = 0
        for word in self._words(piece):
            _, found = self._remembered.get(word) or self._encode_word(word)
            spans += [(id, at + start, at + end) for id, start, end in found]
            at += len(word)
        return spans

    def _words(self, piece: str) -> list[str]:
        return [piece] if self._word is None else self._word.findall(piece)

    def _encode_word(self, word: str) -> tuple[tuple[int, ...], list[Span]]:
        """Return the ids of `word`, and the same as spans; remember both."""
        spans = self._merge_word(word)
        encoded = tuple(id for id, _, _ in spans), spans
        if len(word) <= LONGEST_REMEMBERED:
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[word] = encoded
        return encoded

    def _merge_word(self, word: str) -> list[Span]:
        symbols = self._symbols(word)
        spans: list[Span] = []
        first = 0
        for id, count in merge_with_heap([id for id, _, _ in symbols], self._pairs):
            last = first + count - 1
            spans.append((id, symbols[first][1], symbols[last][2]))
            first += count
        return spans

    def _symbols(self, word: str) -> list[Span]:
        """Return (id, start, end) of the symbols that merging starts from."""
        symbols: list[Span] = []
        unknown: Span | None = None
        for at, character in enumerate(word):
            spelled = self._affixed(character, at == 0, at == len(word) - 1)
            id = self.vocab.get(spelled)
            if id is not None:
                if unknown:
                    symbols.append(unknown)
                    unknown = None
                symbols.append((id, at, at + 1))
                continue
            in_bytes = self._in_bytes(spelled)
            if in_bytes:
                # HF does not write a waiting unknown token before bytes, and so it comes after
                # them. That happens only where some of the 256 byte tokens are missing.
                symbols += [(id, at, at + 1) for id in in_bytes]
            elif self.unk_token is not None:
                if unknown and self.fuse_unk:
                    unknown = (unknown[0], unknown[1], at + 1)
                else:
                    symbols += [unknown] if unknown else []
                    unknown = (self._unknown_id(character), at, at + 1)
        return symbols + ([unknown] if unknown else [])

    def _affixed(self, character: str, is_first: bool, is_last: bool) -> str:
        prefix = "" if is_first else self.continuing_subword_prefix
        return prefix + character + (self.end_of_word_suffix if is_last else "")

    def _in_bytes(self, spelled: str) -> list[int]:
        """Return the ids of the bytes of `spelled`, none where one is missing or unwanted."""
        if not self.byte_fallback:
            return []
        ids = [self._bytes[byte] for byte in spelled.encode()]
        return [] if None in ids else [id for id in ids if id is not None]

    def _unknown_id(self, character: str) -> int:
        id = self.vocab.get(self.unk_token) if self.unk_token is not None else None
        if id is None:
            raise UserError(
                f"{character!r} is not in the vocabulary, and neither is the unknown token "
                f"{self.unk_token!r}; take it out of the text, or use a vocabulary that has either"
            )
        return id

    def _mergeable(self) -> Mapping[str, int]:
        """Return the ids of what merges name."""
        return self.vocab

    def _join(self, ids: Mapping[str, int]) -> dict[tuple[int, int], tuple[int, int]]:
        """Return the pairs of ids that are merged, with the ranks and the ids they become."""
        pairs: dict[tuple[int, int], tuple[int, int]] = {}
        prefix = len(self.continuing_subword_prefix)
        for (left, right), rank in zip(self.merges, self.ranks, strict=True):
            joined = left + right[prefix:]
            missing = [token for token in (left, right, joined) if token not in ids]
            if missing:
                raise UserError(
                    f"the merge of {left!r} and {right!r} needs {missing[0]!r}, which is not in "
                    "the vocabulary; the vocabulary and the merges are of different tokenizers"
                )
            pairs[ids[left], ids[right]] = rank, ids[joined]
        return pairs

    def _word_pattern(self) -> re.Pattern[str] | None:
        """Return the pattern of words that no token crosses, None where there are none."""
        if self.continuing_subword_prefix or self.end_of_word_suffix or "▁" not in self.vocab:
            return None
        if self.unk_token is None and not (self.byte_fallback and None not in self._bytes):
            return None  # characters that are dropped let others meet
        fallback = {self.unk_token, *(f"<0x{byte:02X}>" for byte in range(256))}
        if any(left in fallback or right in fallback for left, right in self.merges):
            return None  # these tokens do not spell the characters they stand for
        crossed = {left[-1:] for left, right in self.merges if right[:1] == "▁"} - {"▁"}
        if len(crossed) > MOST_CROSSED:
            return None
        within = "".join(map(re.escape, sorted(crossed)))
        if not within:
            return re.compile("▁+[^▁]*|[^▁]+")
        # A "▁" behind one of these characters goes on with the word.
        more = f"(?:[^▁{within}]++|[{within}]▁*+)"
        return re.compile(f"▁++{more}*+|{more}++")


def merge_plainly(ids: Iterable[int], pairs: Pairs) -> list[tuple[int, int]]:
    """Return the ids after merging, each with the number of given ids that it is made from.

    The definition, word for word. Ids that no pair names stay as they are; none is negative.
    """
    left = [(id, 1) for id in ids]
    while True:
        neighbours = ((a, b) for (a, _), (b, _) in pairwise(left))
        ranked = [(pairs[pair][0], k) for k, pair in enumerate(neighbours) if pair in pairs]
        if not ranked:
            return left
        _, k = min(ranked)
        (a, count), (b, more) = left[k : k + 2]
        left[k : k + 2] = [(pairs[a, b][1], count + more)]


def merge_with_heap(ids: Iterable[int], pairs: Pairs) -> list[tuple[int, int]]:
    """Return the same as `merge_plainly`, with a heap of candidates and a linked list of ids."""
    ids = list(ids)
    size = len(ids)
    before, after = list(range(-1, size - 1)), list(range(1, size + 1))
    found = [pairs.get(pair) for pair in pairwise(ids)] + [None]  # of ids[k] and what follows it
    # One whole number, rank * size + k, compares faster than a tuple of both.
    heap = [candidate[0] * size + k for k, candidate in enumerate(found) if candidate]
    heapify(heap)
    while heap:
        rank, k = divmod(heappop(heap), size)
        candidate = found[k]
        if candidate is None or candidate[0] != rank:
            continue  # one of the two has been merged since
        gone = after[k]
        ids[k], ids[gone], found[gone] = candidate[1], GONE, None
        after[k] = right = after[gone]
        if right < size:
            before[right] = k
        for first in (before[k], k):
            if first >= 0:
                second = after[first]
                found[first] = pairs.get((ids[first], ids[second])) if second < size else None
                if candidate := found[first]:
                    heappush(heap, candidate[0] * size + first)
    return [(id, after[k] - k) for k, id in enumerate(ids) if id != GONE]
