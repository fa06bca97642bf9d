r"""Byte-pair encoding as SentencePiece's files define it: by the scores of pieces, without merges.

Two neighbours may be joined whenever together they are a piece, and the piece of the highest score
is made first, of equal scores the leftmost. That is `char_bpe` with a merge $(a, b)$ for each way
to cut each piece in two,

$$r(a, b) = |\{s : s > \mathrm{score}(ab)\}|, \quad s \text{ over the distinct scores},$$

so that joins into pieces of equal score have equal ranks. Four things are particular:

1. A character need not be a piece for a longer piece to begin with it: merging goes by strings.
   What is no piece after merging is unknown, and a run of unknown characters is one token.
2. User-defined pieces are found first, the longest from the left, and never merged with others.
3. Control, byte and unknown pieces do not come from merging.
4. Unused pieces are made, and then taken apart again, into the two that were last a candidate.

Source: Kudo and Richardson 2018, "SentencePiece", and its implementation (bpe_model.cc).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from .bpe import cuts
from .char_bpe import CharBPE, Pairs, Span


class ScoredBPE(CharBPE):
    """BPE over `pieces`, (token, score) each; a token's id is its place.

    unmatched: ids of pieces that text never becomes. always: ids of user-defined pieces. unused:
    ids of pieces that are taken apart again.

    >>> pieces = [("?", 0), ("a", -3), ("b", -4), ("ab", -1), ("ba", -2)]
    >>> ScoredBPE(pieces, unk_id=0, unmatched=[0]).encode_piece("bab!?")
    (2, 3, 0)
    """

    def __init__(
        self, pieces: Sequence[tuple[str, float]], unk_id: int, *, byte_fallback: bool = False,
        unmatched: Collection[int] = (), always: Collection[int] = (),
        unused: Collection[int] = (),
    ) -> None:
        self.pieces, self.unk_id = [(token, float(score)) for token, score in pieces], unk_id
        self.unmatched, self.always = frozenset(unmatched), frozenset(always)
        self.unused = frozenset(unused)
        self._ids = self._ids_of_strings()
        self._length = {id: len(token) for token, id in self._ids.items()}
        self._unknown = len(pieces) + 2 * len(self._ids)
        self._frozen = self._unknown + 1  # added to the ids of user-defined pieces
        self._atoms = {pieces[id][0]: id for id in self.always}
        longest_first = sorted(self._atoms, key=lambda atom: (-len(atom), atom))
        self._atom = re.compile("(" + ("|".join(map(re.escape, longest_first)) or "(?!)") + ")")
        merges, ranks = self._merges()
        super().__init__(
            {token: id for id, (token, _) in enumerate(pieces)}, merges, ranks=ranks,
            unk_token=pieces[unk_id][0], fuse_unk=True, byte_fallback=byte_fallback)
        self._made_of: dict[int, tuple[int, int]] = {}
        if self.unused:
            self._pairs = _Recorded(self._pairs, self._made_of)
        if self._ids.get("▁", self._unknown) >= len(pieces):
            self._word = None  # a run of unknown characters may cross it

    def _ids_of_strings(self) -> dict[str, int]:
        """Return the ids of what merging makes: of pieces, and of other characters that they have.

        The ids of these characters lie beyond the vocabulary.
        """
        ids = {token: id for id, (token, _) in enumerate(self.pieces) if id not in self.unmatched}
        for character in sorted(set().union(*ids)):
            ids.setdefault(character, len(self.pieces) + len(ids))
        return ids

    def _merges(self) -> tuple[list[tuple[str, str]], list[int]]:
        scores = sorted({score for _, score in self.pieces}, reverse=True)
        rank_of = {score: rank for rank, score in enumerate(scores)}
        found = []
        lengths = frozenset(map(len, self._ids))
        for id, (piece, score) in enumerate(self.pieces):
            if id not in self.unmatched:
                halves = ((piece[:k], piece[k:]) for k in cuts(len(piece), lengths))
                found += [(rank_of[score], pair) for pair in halves
                          if pair[0] in self._ids and pair[1] in self._ids]  # fmt: skip
        found.sort(key=lambda merge: merge[0])
        return [cut for _, cut in found], [rank for rank, _ in found]

    def _mergeable(self) -> dict[str, int]:
        return self._ids

    def _words(self, piece: str) -> list[str]:
        if self.unused:
            self._made_of.clear()  # the text as a whole decides what a piece was last made of
            return [piece]
        words: list[str] = []
        for part in self._atom.split(piece):
            words += [part] if part in self._atoms else super()._words(part)
        return [word for word in words if word]

    def _symbols(self, word: str) -> list[Span]:
        symbols: list[Span] = []
        at = 0
        for part in self._atom.split(word):
            if part in self._atoms:
                symbols.append((self._frozen + self._atoms[part], at, at + len(part)))
            else:
                symbols += [(self._ids.get(character, self._unknown), at + k, at + k + 1)
                            for k, character in enumerate(part)]
            at += len(part)
        return symbols

    def _merge_word(self, word: str) -> list[Span]:
        spans: list[Span] = []
        is_open = False  # whether the last token is unknown, and may grow
        for id, start, end in self._taken_apart(super()._merge_word(word)):
            if id >= self._frozen:
                id -= self._frozen
            elif id >= len(self.pieces):  # a character that is no piece
                id = self.unk_id
            in_bytes = self._in_bytes(word[start:end]) if id == self.unk_id else []
            if in_bytes:
                spans += [(byte, start, end) for byte in in_bytes]
            elif is_open and id == self.unk_id:
                spans[-1] = (id, spans[-1][1], end)
            else:
                spans.append((id, start, end))
            is_open = id == self.unk_id and not in_bytes
        return spans

    def _taken_apart(self, spans: list[Span]) -> list[Span]:
        """Return `spans` with each unused piece in its parts."""
        done: list[Span] = []
        todo = spans[::-1]
        while todo:
            id, start, end = todo.pop()
            if id not in self.unused or id not in self._made_of:
                done.append((self.unk_id if id in self.unused else id, start, end))
                continue
            left, right = self._made_of[id]
            middle = start + self._length[left]
            todo += [(right, middle, end), (left, start, middle)]
        return done


class _Recorded(dict[tuple[int, int], tuple[int, int]]):
    """Pairs that note in `made_of` which two were last candidates for a token."""

    def __init__(self, pairs: Pairs, made_of: dict[int, tuple[int, int]]) -> None:
        super().__init__(pairs)
        self.made_of = made_of

    def get(self, pair: tuple[int, int], default: None = None) -> tuple[int, int] | None:  # type: ignore[override]
        """Return the rank and the id of a merge, and note it."""
        candidate = super().get(pair)
        if candidate:
            self.made_of[candidate[1]] = pair
        return candidate
