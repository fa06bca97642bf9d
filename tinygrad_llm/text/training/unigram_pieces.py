r"""Learn the pieces of a unigram model and their probabilities from counted words.

**Problem.** Words $X_1, X_2, \dots$ come $n_1, n_2, \dots$ times. Sought are a vocabulary $V$ of a
given size and probabilities $p$ that make the log-likelihood large,

$$\mathcal{L} = \sum_w n_w \log P(X_w), \qquad P(X) = \sum_{\mathbf{x} \in S(X)} \prod_i p(x_i),$$

where $S(X)$ are the ways to cut $X$ into pieces of $V$ (see `unigram`). Kudo 2018, "Subword
regularization", section 3.2, begins with a large $V$ and alternates two steps.

**EM for fixed $V$.** How often a piece is used is hidden, so its expectation takes the place of a
count (E), and the counts give new probabilities (M); $\mathcal{L}$ never falls. Forward and
backward sums over the lattice of a word of $N$ characters,

$$\alpha_t = \log \sum_{s \to t} e^{\alpha_s + \log p(X_{s:t})}, \qquad
  \beta_s = \log \sum_{s \to t} e^{\log p(X_{s:t}) + \beta_t}, \qquad \alpha_0 = \beta_N = 0,$$

give the probability that the edge $s \to t$ is used: the paths through it over all paths,

$$c(v) = \sum_w n_w \sum_{s \to t:\, X_{s:t} = v} e^{\alpha_s + \log p(v) + \beta_t - \alpha_N},
  \qquad p(v) = \frac{c(v)}{\sum_u c(u)}.$$

With a sparse Dirichlet prior, $\log p(v) = \psi(c(v)) - \psi(\sum_u c(u))$ instead, $\psi$ the
digamma function (variational Bayes; Liang et al. 2007, "The infinite PCFG using hierarchical
Dirichlet processes", section 3; SentencePiece does so). As $e^{\psi(c)} \approx c - 1/2$ it takes
half an occurrence from every piece and so leads rare ones to die out.

**Pruning.** Without $v$, each of its $c(v)$ uses would be spelt by the best other segmentation
$\mathbf{y}$ of $v$, so to first order the likelihood loses
$c(v) \, (\log p(v) - \sum_i \log p(y_i))$. The quarter that loses least is dropped, never single
characters, until the vocabulary has its size.

**Arrays.** All distinct words lie in one row of slots, each after a separator. Slot $t$ is a
character and also the place behind it; the separator is a word's place 0. `ending[t, l - 1]` is the
piece of length $l$ that ends in slot $t$, or -1. It is made once, for all frequent substrings, and
pruning only erases from it: no trie is walked. The recursions go through all words abreast, so the
longest word sets the number of their steps: words of more than LONGEST_WORD characters are cut.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...host.errors import UserError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHRINK = 0.75  # the share of the pieces that a round of pruning keeps
SUB_ITERATIONS = 2  # of EM before each
LEAST_COUNT = 0.5  # pieces expected less often than this are dropped first
LONGEST_WORD = 1 << 10  # characters; a longer word is learnt from in parts, abreast
DECIMALS = 12  # of a score: at most 15 digits, which every reader of JSON reads alike


def learn_pieces(
    words: Mapping[str, int],
    vocab_size: int,
    *,
    max_piece_length: int = 16,
    seed_size: int = 1_000_000,
    character_coverage: float = 1.0,
    bayesian: bool = True,
    progress: bool = False,
) -> list[tuple[str, float]]:
    """Return `vocab_size` pieces and their log-probabilities, the most probable first.

    words: how often each word comes; no piece crosses a word's ends. There are fewer pieces where
    the words have too few substrings that come twice. max_piece_length: in characters. seed_size:
    how many substrings to begin with. character_coverage: the share of the text whose characters
    are to be pieces; the rarest others become unknown. bayesian: digamma in the M step.

    Raises UserError where there are no words, or more characters than pieces.
    """
    words = _without_rare_characters(words, vocab_size, max_piece_length, character_coverage)
    lattices = Lattices.of(words, max_piece_length, max(seed_size, vocab_size))
    scores = _normalised(lattices.frequency * lattices.lengths)
    rounds = math.ceil(math.log(max(1, lattices.size / vocab_size)) / -math.log(SHRINK)) + 1
    with tqdm(total=rounds, desc="unigram", disable=not progress) as bar:
        while lattices.size > vocab_size:
            scores, counts = _em_steps(lattices, scores, bayesian)
            keep = _most_useful(lattices, scores, counts, vocab_size)
            lattices, scores = lattices.only(keep), scores[keep]
            bar.set_postfix(pieces=lattices.size)
            bar.update()
        scores, _ = _em_steps(lattices, scores, bayesian)
        bar.update()
    pieces = zip(lattices.pieces(), scores.round(DECIMALS).tolist(), strict=True)
    return sorted(pieces, key=lambda piece: (-piece[1], piece[0]))


def _em_steps(lattices: Lattices, scores: Floats, bayesian: bool) -> tuple[Floats, Floats]:
    """Return the log-probabilities after a few steps, and the last expected counts."""
    for _ in range(SUB_ITERATIONS):
        counts, _ = lattices.expected_counts(scores)
        scores = m_step(counts, bayesian)
    return scores, counts


def m_step(counts: Floats, bayesian: bool) -> Floats:
    """Return the log-probabilities of the M step, float64 like `counts`."""
    counts = np.maximum(counts, LEAST_COUNT)
    if bayesian:
        return digamma(counts) - digamma(counts.sum(keepdims=True))
    return _normalised(counts)


def _most_useful(lattices: Lattices, scores: Floats, counts: Floats, vocab_size: int) -> Ints:
    """Return the pieces that pruning keeps, in order."""
    loss = counts * (scores - lattices.best_alternatives(scores))
    is_character = lattices.lengths == 1
    used = int(np.count_nonzero((counts >= LEAST_COUNT) | is_character))
    size = max(vocab_size, min(int(SHRINK * lattices.size), used))
    order = np.argsort(np.where(is_character, -np.inf, -loss), kind="stable")
    return np.sort(order[:size])


@dataclass(frozen=True)
class Lattices:
    """All words' lattices over P pieces, in B slots.

    code: each slot's character, 0 for a separator, (B,). weight: how often the slot's word comes,
    (B,). starts: the words' separators, the longest word first, (W,); sizes: the words' lengths.
    ending: (B + L, L), see the module; the last L rows are empty, so that looking ahead is safe.
    lengths, last: each piece's length and a slot where it ends, (P,). frequency: how often it
    occurs, overlaps counted, (P,).
    """

    alphabet: str
    code: Ints
    weight: Floats
    starts: Ints
    sizes: Ints
    ending: NDArray[np.int32]
    lengths: Ints
    last: Ints
    frequency: Floats

    @classmethod
    def of(cls, words: Mapping[str, int], max_length: int, seed_size: int) -> Lattices:
        """Return the lattices over all characters and the most frequent longer substrings."""
        ordered = sorted(words, key=lambda word: (-len(word), word))
        sizes = np.array([len(word) for word in ordered])
        starts = np.cumsum(sizes + 1) - (sizes + 1)
        alphabet = "".join(sorted(set().union(*ordered)))
        code = np.zeros(int((sizes + 1).sum()), np.int64)
        is_character = np.ones(len(code), bool)
        is_character[starts] = False
        points = np.frombuffer("".join(ordered).encode("utf-32-le"), "<u4")
        known = np.frombuffer(alphabet.encode("utf-32-le"), "<u4")
        code[is_character] = np.searchsorted(known, points) + 1
        counts = np.array([float(words[word]) for word in ordered])
        weight = np.repeat(counts, sizes + 1)
        seeds = _seeds(code, weight, len(alphabet), max_length, seed_size)
        return cls(alphabet, code, weight, starts, sizes, *seeds)

    @property
    def size(self) -> int:
        """The number of pieces."""
        return len(self.lengths)

    def pieces(self) -> list[str]:
        """Return the pieces as strings."""
        text = "".join([" ", *self.alphabet][c] for c in self.code.tolist())
        ends = (self.last + 1).tolist()
        return [text[e - n : e] for e, n in zip(ends, self.lengths.tolist(), strict=True)]

    def only(self, keep: Ints) -> Lattices:
        """Return the lattices over the pieces `keep`, numbered anew."""
        renumbered = np.full(self.size + 1, -1, np.int32)  # the last one is for -1 itself
        renumbered[keep] = np.arange(len(keep), dtype=np.int32)
        return Lattices(
            self.alphabet, self.code, self.weight, self.starts, self.sizes,
            renumbered[self.ending], self.lengths[keep], self.last[keep], self.frequency[keep],
        )  # fmt: skip

    def expected_counts(self, scores: Floats) -> tuple[Floats, float]:
        """Return how often each piece is expected to be used (P,), and the log-likelihood.

        scores: the pieces' log-probabilities (P,).
        """
        alpha, beta = self._forward(scores), self._backward(scores)
        ends, k = np.nonzero(self.ending >= 0)
        piece = self.ending[ends, k]
        word = np.repeat(np.arange(len(self.starts)), self.sizes + 1)
        total = alpha[self.starts + self.sizes]  # log P(X), a word
        log = alpha[ends - k - 1] + scores[piece] + beta[ends] - total[word[ends]]
        uses = self.weight[ends] * np.exp(log)
        counts: Floats = np.bincount(piece, uses, self.size).astype(np.float64)
        return counts, float(self.weight[self.starts] @ total)

    def _forward(self, scores: Floats) -> Floats:
        """Return alpha of each slot (B,)."""
        padded = np.append(scores, -np.inf)  # so that piece -1 is impossible
        alpha = np.zeros(len(self.code))
        back = np.arange(1, self.ending.shape[1] + 1)
        for place in range(1, int(self.sizes[0]) + 1):
            slots = self._abreast(place) + place
            before = np.maximum(slots[:, None] - back, 0)  # no piece begins before slot 0
            logs = padded[self.ending[slots]] + alpha[before]
            alpha[slots] = _log_sum(logs)
        return alpha

    def _backward(self, scores: Floats) -> Floats:
        """Return beta of each slot (B,)."""
        padded = np.append(scores, -np.inf)
        ahead = np.arange(1, self.ending.shape[1] + 1)
        beta = np.zeros(len(self.code) + len(ahead))
        for place in range(int(self.sizes[0]) - 1, -1, -1):
            slots = (self._abreast(place + 1) + place)[:, None] + ahead
            beta[slots[:, 0] - 1] = _log_sum(padded[self.ending[slots, ahead - 1]] + beta[slots])
        return beta[: len(self.code)]

    def _abreast(self, place: int) -> Ints:
        """Return the starts of the words of `place` characters or more: the first ones."""
        return self.starts[: int(np.searchsorted(-self.sizes, -place, side="right"))]

    def best_alternatives(self, scores: Floats) -> Floats:
        """Return the weight of the best segmentation of each piece into others (P,).

        -inf where there is none. That is Viterbi over the lattice of the piece's own characters,
        which is a stretch of the lattice of any word that it ends in.
        """
        padded = np.append(scores, -np.inf)
        order = np.argsort(-self.lengths, kind="stable")
        lengths, first = self.lengths[order], (self.last - self.lengths)[order]
        best = np.full((self.size, self.ending.shape[1] + 1), -np.inf)
        best[:, 0] = 0.0
        for place in range(1, int(lengths[0]) + 1):
            rows = int(np.searchsorted(-lengths, -place, side="right"))
            slots = first[:rows] + place
            for back in range(1, place + 1):
                edge = padded[self.ending[slots, back - 1]]
                if back == place:
                    edge[lengths[:rows] == place] = -np.inf  # the piece itself
                np.maximum(best[:rows, place], best[:rows, place - back] + edge,
                           out=best[:rows, place])  # fmt: skip
        alternatives = np.empty(self.size)
        alternatives[order] = best[np.arange(self.size), lengths]
        return alternatives


def _seeds(
    code: Ints, weight: Floats, alphabet: int, max_length: int, seed_size: int
) -> tuple[NDArray[np.int32], Ints, Ints, Floats]:
    """Return `ending`, `lengths`, `last` and `frequency` of the pieces to begin with.

    A substring of length l is the one of length l - 1 before its last character and that character,
    so np.unique over such pairs numbers all substrings of a length. One that comes less than twice
    has no longer one that comes twice. One that is always followed, or always preceded, by the
    same character is left out: the longer one stands for it.
    """
    numbers = code - 1  # of the substring of the current length that ends in each slot, or -1
    ending = np.full((len(code) + max_length, max_length), -1, np.int64)
    found: list[_Substrings] = []
    total = 0
    for length in range(1, max_length + 1):
        shorter = numbers
        if length > 1:
            numbers = _one_longer(shorter, code, alphabet)
        if not (numbers >= 0).any():
            break
        numbers, these = _frequent(numbers, weight, length)
        if length > 2:
            found[-1].cover(shorter, these)
        ending[: len(code), length - 1] = np.where(numbers >= 0, numbers + total, -1)
        total += len(these.last)
        found.append(these)
    lengths, last, frequency, covered = (np.concatenate(part) for part in zip(*found, strict=True))
    kept = _largest(frequency * lengths * ~covered, lengths == 1, seed_size)
    renumbered = np.full(total + 1, -1, np.int64)
    renumbered[kept] = np.arange(len(kept))
    return renumbered[ending].astype(np.int32), lengths[kept], last[kept], frequency[kept]


class _Substrings(NamedTuple):
    """S distinct substrings of one length: lengths, a slot where each ends, how often it comes.

    covered: whether a longer one stands for it. All of shape (S,).
    """

    lengths: Ints
    last: Ints
    frequency: Floats
    covered: NDArray[np.bool_]

    def cover(self, numbers: Ints, longer: _Substrings) -> None:
        """Mark those that come only as the beginning, or the end, of one that is longer by one.

        numbers: of these substrings, by the slot where they end.
        """
        for part in (numbers[longer.last - 1], numbers[longer.last]):
            self.covered[part[self.frequency[part] == longer.frequency]] = True


def _one_longer(shorter: Ints, code: Ints, alphabet: int) -> Ints:
    """Return a number for the substring, longer by one, that ends in each slot, or -1 (B,)."""
    numbers = np.full(len(code), -1)
    slots = 1 + np.flatnonzero((shorter[:-1] >= 0) & (code[1:] > 0))
    numbers[slots] = shorter[slots - 1] * (alphabet + 1) + code[slots]
    return numbers


def _frequent(numbers: Ints, weight: Floats, length: int) -> tuple[Ints, _Substrings]:
    """Return the substrings of a length that come twice, or are characters, numbered from 0.

    numbers: of the substring that ends in each slot, or -1; the new numbers come first (B,).
    """
    slots = np.flatnonzero(numbers >= 0)
    _, at, inverse = np.unique(numbers[slots], return_index=True, return_inverse=True)
    frequency: Floats = np.bincount(inverse, weight[slots]).astype(np.float64)
    keep = (frequency >= 2) | (length == 1)
    renumbered = np.full(len(numbers), -1)
    renumbered[slots] = np.where(keep, np.cumsum(keep) - 1, -1)[inverse]
    last: Ints = slots[at[keep]].astype(np.int64)
    count = len(last)
    return renumbered, _Substrings(np.full(count, length, np.int64), last, frequency[keep],
                                   np.zeros(count, bool))


def _largest(score: Floats, always: NDArray[np.bool_], size: int) -> Ints:
    """Return the places of the `size` largest positive scores, and of `always`, in order."""
    order = np.argsort(np.where(always, -np.inf, -score), kind="stable")
    order = order[: max(size, int(always.sum()))]
    return np.sort(order[always[order] | (score[order] > 0)])


def _without_rare_characters(
    words: Mapping[str, int], vocab_size: int, max_piece_length: int, coverage: float
) -> dict[str, int]:
    """Return the words, cut at characters that are too rare to be pieces, and where too long."""
    if max_piece_length < 1 or not 0 < coverage <= 1:
        raise UserError("max_piece_length must be at least 1 and character_coverage in (0, 1], got "
                        f"{max_piece_length} and {coverage}")
    characters = _count_characters(words)
    kept = _frequent_characters(characters, coverage)
    if not kept:
        raise UserError("there are no words to learn from; give a text that is not empty")
    if len(kept) > vocab_size:
        raise UserError(
            f"the words have {len(kept)} different characters, and each must be a piece, but "
            f"vocab_size is {vocab_size}; raise it, or lower character_coverage"
        )
    if len(kept) == len(characters) and max(map(len, words)) <= LONGEST_WORD:
        return {word: count for word, count in words.items() if word}
    cut: Counter[str] = Counter()
    for word, count in words.items():
        for part in "".join(c if c in kept else "\ud800" for c in word).split("\ud800"):
            for start in range(0, len(part), LONGEST_WORD):
                cut[part[start:start + LONGEST_WORD]] += count
    return dict(cut)


def _count_characters(words: Mapping[str, int]) -> Counter[str]:
    """Return how often each character comes; UserError for a word's count that is none."""
    characters: Counter[str] = Counter()
    for word, count in words.items():
        if type(count) is not int or count < 1:
            raise UserError(f"the word {word!r} is counted {count!r} times; give whole numbers > 0")
        for character in word:
            characters[character] += count
    return characters


def _frequent_characters(characters: Counter[str], coverage: float) -> set[str]:
    """Return the most frequent characters, of which that share of the text is made."""
    total, covered, kept = characters.total(), 0, set()
    for character, count in sorted(characters.items(), key=lambda item: (-item[1], item[0])):
        if covered >= coverage * total or "\ud800" <= character <= "\udfff":
            continue
        covered += count
        kept.add(character)
    return kept


def _log_sum(logs: Floats) -> Floats:
    """Return the log of the sum of exp(logs) over the last axis; no row is all -inf."""
    largest = logs.max(-1)
    sums: Floats = largest + np.log(np.exp(logs - largest[..., None]).sum(-1))
    return sums


def _normalised(counts: Any) -> Floats:
    scores: Floats = np.log(counts) - np.log(counts.sum())
    return scores


def digamma(x: Floats) -> Floats:
    r"""Return $\psi(x) = \frac{d}{dx} \log \Gamma(x)$ for x > 0, to 1e-12.

    $\psi(x) = \psi(x + 1) - 1/x$ leads to x >= 8, and there the asymptotic series
    $\log x - 1/(2x) - 1/(12 x^2) + 1/(120 x^4) - \dots$ holds (Abramowitz and Stegun, 6.3.18).
    """
    shift = np.zeros_like(x)
    for _ in range(8):
        small = x < 8
        shift = shift - np.where(small, 1 / x, 0.0)
        x = np.where(small, x + 1, x)
    series = np.zeros_like(x)
    for coefficient in (-691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12):
        series = (series + coefficient) / (x * x)
    result: Floats = shift + np.log(x) - 0.5 / x - series
    return result
