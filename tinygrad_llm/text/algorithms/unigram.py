r"""A text is cut into the pieces whose product of probabilities is largest.

**Likelihood.** A unigram language model (Kudo 2018, "Subword regularization", section 3.2) has
pieces $v$ with probabilities $p(v)$, $\sum_v p(v) = 1$, and takes the pieces of a segmentation
$\mathbf{x} = (x_1, \dots, x_M)$ to be independent: $P(\mathbf{x}) = \prod_i p(x_i)$. A text $X$ of
$N$ characters has many segmentations $S(X)$, up to $2^{N-1}$; the likelihood of the text is
$P(X) = \sum_{\mathbf{x} \in S(X)} P(\mathbf{x})$.

**Lattice.** The places between characters are nodes $0, \dots, N$, and each piece that the text has
from place $s$ to place $t$ is an edge $s \to t$ of weight $w_{st} = \log p(X_{s:t})$. Segmentations
are the paths from 0 to $N$. A trie finds the edges that leave a place in one walk, no longer than
the longest piece: so the time grows with $N$ times that.

**Viterbi.** A best path to $t$ ends in some edge $s \to t$ behind a best path to $s$, so

$$\delta_0 = 0, \qquad \delta_t = \max_{s \to t} (\delta_s + w_{st}),$$

and the edges that gave the maxima, followed back from $N$, are $\arg\max_\mathbf{x} P(\mathbf{x})$.

**Forward sums.** The same recursion with a sum in place of the maximum,

$$\alpha_0 = 0, \qquad \alpha_t = \log \sum_{s \to t} \exp(\alpha_s + \theta w_{st}),$$

gives $\alpha_N = \log P(X)$ for $\theta = 1$. It also samples segmentations with probability
proportional to $P(\mathbf{x})^\theta$: from $t = N$ backwards, take the edge $s \to t$ with
probability $\exp(\alpha_s + \theta w_{st} - \alpha_t)$. (The product of these telescopes to
$P(\mathbf{x})^\theta / \exp \alpha_N$.) The smaller $\theta$, the more varied the segmentations;
$\theta \to \infty$ is Viterbi.

**Unknown characters.** Where no piece is just the next character, an edge over it with weight
$\min_v \log p(v) - 10$ keeps the end within reach. A run of such edges becomes one unknown token,
or, with `byte_fallback`, the tokens <0x00> to <0xFF> of its UTF-8 bytes.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from ...host.errors import UserError
from ..characters.surrogates import refuse_lone_surrogates

UNKNOWN_PENALTY = 10.0
LARGEST_SINGLE = 100_000.0
_LEAF: dict[str, Any] = {}  # stays empty; a dict for each leaf would double the memory
UNKNOWN = -1  # the id of an edge over an unknown character, until it is spelt out

Span = tuple[int, int, int]  # id, start, end
Edge = tuple[int, float, int]  # end, weight, id


class Unigram:
    """A unigram model over `pieces`, (token, log-probability) each; a token's id is its place.

    unk_id: the id of unknown characters, None to refuse them. byte_fallback: spell them in bytes.

    The rest is for SentencePiece's files. unmatched: ids of pieces that text never becomes, though
    it spells them (control, byte and unused pieces). always: ids of user-defined pieces, which
    weigh 0.1 for each of their bytes but the first, so that they nearly always win. unknown_score:
    the weight of unknown characters where it is not the smallest of all less 10. single_precision:
    add up in float32, see `_best_path_single`.

    Raises UserError where there are no pieces, or a piece, its weight or an id is none.

    >>> model = Unigram([("<unk>", 0.0), ("a", -1.0), ("b", -2.0), ("ab", -2.5)], unk_id=0)
    >>> model.encode_piece("abba?!")
    (3, 2, 1, 0)
    """

    def __init__(
        self, pieces: Sequence[tuple[str, float]], unk_id: int | None, *,
        byte_fallback: bool = False, unmatched: Collection[int] = (),
        always: Collection[int] = (), unknown_score: float | None = None,
        single_precision: bool = False,
    ) -> None:
        _check(pieces, unk_id)
        self.pieces = [(token, float(score)) for token, score in pieces]
        self.vocab = {token: id for id, (token, _) in enumerate(self.pieces)}
        self.unk_id, self.byte_fallback = unk_id, byte_fallback
        self.unmatched, self.always = frozenset(unmatched), frozenset(always)
        self.single_precision = single_precision
        if unknown_score is None:
            unknown_score = min(score for _, score in self.pieces) - UNKNOWN_PENALTY
        self.unknown_score = unknown_score
        self._longest = max(len(token) for token in self.vocab)
        self._root: dict[str, Any] = {}
        for token, id in self.vocab.items():
            if token and id not in self.unmatched:
                self._plant(token, id)
        self._bytes = [self.vocab.get(f"<0x{byte:02X}>") for byte in range(256)]

    def encode_piece(self, piece: str) -> tuple[int, ...]:
        """Return the ids of the most probable segmentation of `piece`."""
        return tuple(id for id, _, _ in self.piece_spans(piece))

    def piece_spans(self, piece: str) -> list[Span]:
        """Return (id, start, end) of each token of the most probable segmentation.

        Raises UserError for lone surrogates, and for unknown characters where `unk_id` is None.
        """
        refuse_lone_surrogates(piece)
        return self._spell(piece, self._best_path(piece))

    def sample(self, piece: str, alpha: float, rng: np.random.Generator) -> tuple[int, ...]:
        """Return the ids of a segmentation drawn with probability proportional to P(x)^alpha.

        alpha: 1 samples the model's own distribution, 0 all segmentations alike.
        """
        refuse_lone_surrogates(piece)
        incoming = self.incoming(piece, alpha)
        path: list[Span] = []
        end = len(piece)
        while end:
            probabilities, edges = incoming[end]
            start, id = edges[rng.choice(len(edges), p=probabilities)]
            path.append((id, start, end))
            end = start
        return tuple(id for id, _, _ in self._spell(piece, path[::-1]))

    def incoming(self, piece: str, alpha: float) -> list[tuple[list[float], list[tuple[int, int]]]]:
        """Return, for each place, its incoming edges (start, id) and their probabilities.

        exp(alpha_s + theta w_st - alpha_t) of the module's text, with theta = `alpha`.
        """
        if not (math.isfinite(alpha) and alpha >= 0):
            raise ValueError(f"alpha must be a number >= 0, got {alpha}")
        arriving: list[list[tuple[float, int, int]]] = [[] for _ in range(len(piece) + 1)]
        incoming: list[tuple[list[float], list[tuple[int, int]]]] = [([], [])]
        forward = [0.0]
        for start in range(len(piece) + 1):
            if start:
                logs = [log for log, _, _ in arriving[start]]
                forward.append(float(np.logaddexp.reduce(logs)))
                probabilities = np.exp(np.array(logs) - forward[start])
                edges = [(s, id) for _, s, id in arriving[start]]
                incoming.append(((probabilities / probabilities.sum()).tolist(), edges))
            for end, weight, id in self.edges(piece, start):
                arriving[end].append((forward[start] + alpha * weight, start, id))
        return incoming

    def edges(self, piece: str, start: int) -> Iterator[Edge]:
        """Yield (end, weight, id) of the lattice's edges that leave the place `start`.

        The edge over an unknown character has the id UNKNOWN.
        """
        if start == len(piece):
            return
        children, is_known = self._root, False
        for end in range(start + 1, len(piece) + 1):
            entry = children.get(piece[end - 1])
            if entry is None:
                break
            children, id, weight = entry
            if id is not None:
                is_known |= end == start + 1
                yield end, weight, id
        if not is_known:
            yield start + 1, self.unknown_score, UNKNOWN

    def _best_path(self, piece: str) -> list[Span]:
        """Return the path of the largest weight; of equal ones, that with the longest last edge.

        The loop of `edges` is written out here: a generator would take twice as long.
        """
        if self.single_precision:
            return self._best_path_single(piece)
        count, root, unknown = len(piece), self._root, self.unknown_score
        best, came, ids = _empty_paths(count, "d")
        for start in range(count):
            here = best[start]
            children, is_known = root, False
            for end in range(start + 1, count + 1):
                entry = children.get(piece[end - 1])
                if entry is None:
                    break
                children, id, weight = entry
                if id is not None:
                    if end == start + 1:
                        is_known = True
                    if here + weight > best[end]:
                        best[end], came[end], ids[end] = here + weight, start, id
            if not is_known and here + unknown > best[start + 1]:
                best[start + 1], came[start + 1], ids[start + 1] = here + unknown, start, UNKNOWN
        return _path_back(came, ids)

    def _best_path_single(self, piece: str) -> list[Span]:
        """Return the path that SentencePiece (0.2.3) finds, which rounds every sum to float32.

        With 24 bits, a document's later words meet a sum so large that nearly equal paths tie: only
        the same rounding makes the same choice. Where a sum exceeds 100,000 it is taken away from
        itself and from all sums ahead, which were rounded before.
        """
        count, root, unknown = len(piece), self._root, self.unknown_score
        best, came, ids = _empty_paths(count, "f")  # an array rounds to its type what is put in
        rounded = array("f", [0.0])
        for start in range(count):
            here = best[start]
            if abs(here) > LARGEST_SINGLE:
                for end in range(start + 1, min(start + self._longest, count) + 1):
                    best[end] -= here
                here = 0.0
            children, is_known = root, False
            for end in range(start + 1, count + 1):
                entry = children.get(piece[end - 1])
                if entry is None:
                    break
                children, id, weight = entry
                if id is not None:
                    if end == start + 1:
                        is_known = True
                    if here + weight > best[end]:  # or its rounded value is not larger either
                        rounded[0] = here + weight
                        if rounded[0] > best[end]:
                            best[end], came[end], ids[end] = rounded[0], start, id
            rounded[0] = here + unknown
            if not is_known and rounded[0] > best[start + 1]:
                best[start + 1], came[start + 1], ids[start + 1] = rounded[0], start, UNKNOWN
        return _path_back(came, ids)

    def _spell(self, piece: str, path: list[Span]) -> list[Span]:
        """Return `path` with its runs of unknown characters as tokens."""
        spans: list[Span] = []
        place = 0
        while place < len(path):
            if not self._is_unknown(path[place][0]):
                spans.append(path[place])
                place += 1
                continue
            start = path[place][1]
            while place < len(path) and self._is_unknown(path[place][0]):
                place += 1
            spans += self._spell_unknown(piece, start, path[place - 1][2])
        return spans

    def _is_unknown(self, id: int) -> bool:
        # A text may also spell the unknown token itself; HF fuses that like any other.
        return id == UNKNOWN or id == self.unk_id

    def _spell_unknown(self, piece: str, start: int, end: int) -> list[Span]:
        text = piece[start:end]
        id = self.vocab.get(text)
        if id is not None and id not in self.unmatched:
            return [(id, start, end)]
        if self.byte_fallback:
            spelled = [(byte, start + k) for k, c in enumerate(text) for byte in c.encode()]
            spans = [(id, at, at + 1) for b, at in spelled if (id := self._bytes[b]) is not None]
            if len(spans) == len(spelled):
                return spans
        if self.unk_id is None:
            raise UserError(
                f"{text!r} at position {start} of {piece[:40]!r} is in no piece, and the model has "
                "no unknown token; take it out of the text, or give unk_id"
            )
        return [(self.unk_id, start, end)]

    def _plant(self, token: str, id: int) -> None:
        """Put `token` into the trie: a character leads to [children, id or None, weight]."""
        children = self._root
        for character in token[:-1]:
            entry = children.setdefault(character, [{}, None, 0.0])
            if entry[0] is _LEAF:
                entry[0] = {}
            children = entry[0]
        entry = children.setdefault(token[-1], [_LEAF, None, 0.0])
        weight = self.pieces[id][1]
        if id in self.always:
            size = len(token.encode("utf-8", "surrogatepass"))
            weight = float(np.float32(0.1 * (size - 1)))
        entry[1:] = [id, weight]


def _empty_paths(count: int, typecode: str) -> tuple[array[float], list[int], list[int]]:
    """Return each place's best weight, and the start and the id of the edge that gave it."""
    best = array(typecode, [-math.inf]) * (count + 1)
    best[0] = 0.0
    return best, [0] * (count + 1), [UNKNOWN] * (count + 1)


def _path_back(came: list[int], ids: list[int]) -> list[Span]:
    """Return the path to the last place."""
    path: list[Span] = []
    end = len(came) - 1
    while end:
        path.append((ids[end], came[end], end))
        end = came[end]
    return path[::-1]


def _check(pieces: Sequence[tuple[str, float]], unk_id: int | None) -> None:
    if not pieces:
        raise UserError("a unigram model needs at least one piece, got none")
    for id, (token, score) in enumerate(pieces):
        if not math.isfinite(score):
            raise UserError(f"piece {id}, {token!r}, has log-probability {score}; give a number")
    if unk_id is not None and not 0 <= unk_id < len(pieces):
        raise UserError(f"unk_id is {unk_id}, but there are {len(pieces)} pieces; name one")
