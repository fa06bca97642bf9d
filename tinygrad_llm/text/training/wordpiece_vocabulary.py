r"""Learn a WordPiece vocabulary from counted words.

Every word, counted $n$ times in the text, begins as the row of its characters, all but the first
spelled with "##" in front. Under a unigram model, which takes every token $t$ for an independent
draw with probability $p(t) = c_t / N$ ($c_t$ its count, $N$ the count of all), the text has

$$ \log L = \sum_t c_t \log \frac{c_t}{N} $$

Merging all $c_{ab}$ places where $b$ follows $a$ into one token replaces, at each of them, the
factors $p(a) p(b)$ by $p(ab)$. To first order in $c_{ab}/c_a$, $c_{ab}/c_b$ and $c_{ab}/N$, that
is, as long as the other probabilities stay what they were, each place gains

$$ \log p(ab) - \log p(a) - \log p(b) = \log \frac{c_{ab} / N}{(c_a / N)(c_b / N)}
   = \log \frac{c_{ab}}{c_a c_b} + \log N $$

So the pair that gains the most at a place is the one of the highest score
$c_{ab} / (c_a c_b)$: not the most frequent pair, as in BPE, but the one whose parts are rarest
without each other. A pair of two characters that came by once, together, has the highest score
there is, so what keeps such chance out matters as much as the score does. A fixed threshold, merge
no pair that comes fewer than `min_frequency` times, is right for one size of text and of vocabulary
only: too low and ids go to rare pairs, too high and the vocabulary stays small. By default it falls
instead. A text of W words and V tokens uses a token W / V times on average if it spells each word
with one; so often pairs must come at first, and when none is left that does, half as often, and
again, down to twice. Tokens a word, learnt from nine tenths of Shakespeare's plays (W = 1.01
million, lower case) and counted in the last tenth:

    V         W / V   falling   fixed at 2       20       50      100     most frequent pair
    4,096       248     1.209        2.520    1.971    1.555   1.276*                  1.195
    8,192       124     1.119        2.152    1.258   1.199*   1.276*                  1.114
    16,000       63     1.070        1.633   1.135*                                    1.069
    4,096        17     1.236        1.904   (the first 16th of the text)              1.223

    * the vocabulary is not full: 3,277 tokens with 100, 5,374 with 50, 9,245 with 20

No fixed number came below the falling threshold, and the best ones, about 75, 26 and 8 in the
first three rows, follow from W and V by no simple rule. Dividing by 1.4 in place of 2 makes 1.117
of 1.119. Few words, W < 4 V, have the threshold 2 or 3 from the beginning.

Of pairs with the same score the more frequent one is merged, then the one with the smallest (id of
a, id of b). Scores are float64, $c_{ab}$ divided by the product of $c_a$ and $c_b$. The special
tokens have the first ids, then come the characters by code point, those that begin first, then the
merged tokens as they are made. Two ways to one string ("ab" + "##c", "a" + "##bc") make one token.

`learn_vocabulary_plainly` is this definition. `learn_vocabulary` returns the same vocabulary: a
pair keeps a list of the places where it stood, and only the counts and scores that a merge changes
are computed anew. `train_wordpiece` (in its own file) goes from texts to a tokenizer.

Sources: Schuster and Nakajima, "Japanese and Korean voice search", ICASSP 2012, section 3 (merge
what raises the likelihood the most); Devlin et al., "BERT", NAACL 2019 (the spelling). The trainer
named WordPiece in Hugging Face's tokenizers merges by frequency: that is BPE with "##".
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...host.errors import UserError
from .bpe_merges import LARGEST_VOCABULARY, replace_pair

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PREFIX = "##"
LIMIT_ALPHABET = 1000  # characters; BERT's Chinese ones alone would be twice 20,000 tokens
_EDGE, _GONE = -1, -2  # between words, and where no token begins any more
Pair = tuple[int, int]
Words = list[tuple[list[int], int]]  # the ids of each word's tokens, and its count


def learn_vocabulary_plainly(
    counts: Mapping[str, int],
    vocab_size: int,
    *,
    min_frequency: int | None = None,
    limit_alphabet: int | None = None,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    prefix: str = PREFIX,
) -> dict[str, int]:
    """Return the vocabulary, from tokens to ids: the definition, to be read, slow for long words.

    It has `vocab_size` tokens, or fewer where no pair comes `min_frequency` times; None: a
    threshold that falls to 2, see above. Of the characters the `limit_alphabet` most frequent
    count; a word with another is [UNK], and left out.
    """
    _check_sizes(vocab_size, min_frequency, limit_alphabet)
    vocab, words = _alphabet_and_words(counts, vocab_size, limit_alphabet, special_tokens, prefix)
    for least in _thresholds(words, vocab_size, min_frequency):
        while len(vocab) < vocab_size and (best := _best_pair(words, least)):
            new = _id_of_merged(vocab, list(vocab), best, prefix)
            words = [(replace_pair(ids, best, new), n) for ids, n in words]
    return vocab


def _best_pair(words: Words, least: int) -> Pair | None:
    """Return the pair to merge, None where all come fewer than `least` times."""
    tokens: Counter[int] = Counter()
    pairs: Counter[Pair] = Counter()
    for ids, n in words:
        for id in ids:
            tokens[id] += n
        for pair in pairwise(ids):
            pairs[pair] += n
    rank = {
        (a, b): (-n / (float(tokens[a]) * tokens[b]), -n, a, b)
        for (a, b), n in pairs.items()
        if n >= least
    }
    return min(rank, key=rank.__getitem__, default=None)


def _thresholds(words: Words, vocab_size: int, min_frequency: int | None) -> list[int]:
    """Return the least counts of a pair to merge: the next one holds when no pair is left."""
    if min_frequency is not None:
        return [min_frequency]
    falling = [max(2, sum(n for _, n in words) // vocab_size)]
    while falling[-1] > 2:
        falling.append(max(2, falling[-1] // 2))
    return falling


def _id_of_merged(vocab: dict[str, int], tokens: Sequence[str], pair: Pair, prefix: str) -> int:
    """Return the id of the token that merging `pair` makes, a new one where it is new."""
    string = tokens[pair[0]] + tokens[pair[1]].removeprefix(prefix)
    return vocab.setdefault(string, len(vocab))


def _check_sizes(vocab_size: int, min_frequency: int | None, limit_alphabet: int | None) -> None:
    if vocab_size > LARGEST_VOCABULARY:
        raise UserError(f"vocab_size must be at most {LARGEST_VOCABULARY}, got {vocab_size}")
    for name, given in (("min_frequency", min_frequency), ("limit_alphabet", limit_alphabet)):
        if given is not None and given < 1:
            raise UserError(f"{name} must be at least 1, got {given}; leave it out for the default")


def _alphabet_and_words(
    counts: Mapping[str, int], vocab_size: int, limit_alphabet: int | None,
    special_tokens: Sequence[str], prefix: str,
) -> tuple[dict[str, int], Words]:
    """Return the vocabulary before any merge, and the words in its tokens, sorted."""
    characters: Counter[str] = Counter()
    for word, n in counts.items():
        for character in word:
            characters[character] += n
    often = sorted(characters, key=lambda c: (-characters[c], c))[:limit_alphabet]
    kept = set(often)
    words = sorted(word for word in counts if word and kept.issuperset(word))
    tail = {character for word in words for character in word[1:]}
    alphabet = [*sorted(kept), *(prefix + character for character in sorted(tail))]
    vocab = {t: i for i, t in enumerate(dict.fromkeys([*special_tokens, *alphabet]))}
    if len(vocab) > vocab_size:
        raise UserError(
            f"vocab_size={vocab_size} is below the {len(vocab)} of the special tokens and the "
            f"characters; raise it, or keep fewer characters with limit_alphabet"
        )
    split = [[vocab[w[0]], *(vocab[prefix + c] for c in w[1:])] for w in words]
    return vocab, list(zip(split, (counts[word] for word in words), strict=True))


def learn_vocabulary(
    counts: Mapping[str, int],
    vocab_size: int,
    *,
    min_frequency: int | None = None,
    limit_alphabet: int | None = None,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    prefix: str = PREFIX,
    progress: bool = False,
) -> dict[str, int]:
    """Return the vocabulary of `learn_vocabulary_plainly`, sooner; `progress` shows a bar."""
    _check_sizes(vocab_size, min_frequency, limit_alphabet)
    vocab, words = _alphabet_and_words(counts, vocab_size, limit_alphabet, special_tokens, prefix)
    tokens = list(vocab)
    pairs = _Pairs(words, vocab_size)
    with tqdm(total=vocab_size, initial=len(vocab), disable=not progress, unit="token") as bar:
        for least in _thresholds(words, vocab_size, min_frequency):
            pairs.ask_for(least)
            while len(vocab) < vocab_size and (best := pairs.best()):
                new = _id_of_merged(vocab, tokens, best, prefix)
                if new == len(tokens):
                    tokens = list(vocab)
                    bar.update()
                pairs.merge(best, new)
    return vocab


class _Pairs:
    """Every pair that came by, with a slot each in arrays: its tokens, its count and its score.

    The tokens of all words lie in one row, an edge between any two words. A token stays where its
    first character is, and `before` and `after` lead to its neighbours, so a merge touches the
    places of its pair and their neighbours, however long the word. The score of a pair that is too
    rare to merge is -1.
    """

    def __init__(self, words: Words, vocab_size: int) -> None:
        self.least = 1
        self.row = array("i", [_EDGE])
        self.weight = array("q", [0])  # how often the word comes, a place
        tokens: Counter[int] = Counter()
        for ids, n in words:
            self.row.extend(ids)
            self.row.append(_EDGE)
            self.weight.extend([n] * (len(ids) + 1))
            for id in ids:
                tokens[id] += n
        places = range(len(self.row))
        self.before, self.after = array("q", [0, *places[:-1]]), array("q", [*places[1:], 0])
        self.tokens = np.zeros(vocab_size, np.int64)  # the count of each token
        self.tokens[list(tokens)] = list(tokens.values())
        self.slots: dict[Pair, int] = {}
        self.places: list[array[int]] = []  # of each slot; some have lost the pair since
        self.left, self.right, self.count = (np.zeros(1024, np.int64) for _ in range(3))
        self.score = np.full(1024, -1.0)
        changes: Counter[Pair] = Counter()
        for place, pair in enumerate(pairwise(self.row)):
            if _EDGE not in pair:
                self._add(pair, place, changes)
        self._count(changes)

    def ask_for(self, least: int) -> None:
        """Pairs that come fewer than `least` times are not to be merged from now on."""
        self.least = least
        self._rescore(np.arange(len(self.slots)))

    def best(self) -> Pair | None:
        """Return the pair to merge, None where all are too rare."""
        if not self.slots or (top := self.score.max()) < 0:
            return None
        ties = np.flatnonzero(self.score == top)
        ties = ties[self.count[ties] == self.count[ties].max()]
        ties = ties[self.left[ties] == self.left[ties].min()]
        slot = ties[self.right[ties].argmin()]
        return int(self.left[slot]), int(self.right[slot])

    def merge(self, pair: Pair, new: int) -> None:
        """Put `new` in the place of `pair` in all words."""
        slot, merged = self.slots[pair], 0
        changes: Counter[Pair] = Counter()
        row, (a, b) = self.row, pair
        found, self.places[slot] = self.places[slot], array("q")
        for place in sorted(found):
            gone = self.after[place]
            if row[place] != a or row[gone] != b:
                continue  # merged since, or with the one before as in aaa
            left, right = self.before[place], self.after[gone]
            n = self.weight[place]
            changes[pair] -= n
            row[place], row[gone] = new, _GONE
            self.after[place], self.before[right] = right, place
            merged += n
            if row[left] != _EDGE:
                changes[row[left], a] -= n
                self._add((row[left], new), left, changes)
            if row[right] != _EDGE:
                changes[b, row[right]] -= n
                self._add((new, row[right]), place, changes)
        for id, n in ((a, -merged), (b, -merged), (new, merged)):
            self.tokens[id] += n
        self._count(changes)
        touched = np.zeros(len(self.left), bool)  # all pairs that changed have one of the three
        for id in {*pair, new}:
            touched |= (self.left == id) | (self.right == id)
        touched[len(self.slots) :] = False
        self._rescore(np.flatnonzero(touched))

    def _add(self, pair: Pair, place: int, changes: Counter[Pair]) -> None:
        """Note that `pair` stands at `place`, as often as its word comes."""
        slot = self.slots.setdefault(pair, len(self.places))
        if slot == len(self.places):
            self.places.append(array("q"))
        self.places[slot].append(place)
        changes[pair] += self.weight[place]

    def _count(self, changes: Mapping[Pair, int]) -> None:
        while len(self.left) < len(self.slots):
            self.left, self.right, self.count = (
                np.concatenate([a, np.zeros_like(a)]) for a in (self.left, self.right, self.count)
            )
            self.score = np.concatenate([self.score, np.full_like(self.score, -1)])
        for pair, n in changes.items():
            slot = self.slots[pair]
            self.left[slot], self.right[slot] = pair
            self.count[slot] += n

    def _rescore(self, slots: NDArray[Any]) -> None:
        count = self.count[slots]
        parts = self.tokens.astype(float)[self.left[slots]] * self.tokens[self.right[slots]]
        score = count / np.maximum(parts, 1)  # a pair that is gone may have parts that are gone
        self.score[slots] = np.where(count >= self.least, score, -1)
