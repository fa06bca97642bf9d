r"""Speculative decoding: a draft guesses tokens, the model reads them all in one call.

A call of k + 1 positions costs little more than a call of one, as both read every weight once. So
what a cheap draft guesses is checked by the model at once, and kept as far as it could have been
written by the model itself. Let the draft have drawn x from q, and p be the model's distribution
at that place. x is accepted with probability $\min(1, p(x) / q(x))$; at the first refusal a token
is drawn from the residual $(p - q)_+ / \beta$ instead, and what was guessed behind it is dropped.

Why the text has the distribution of plain sampling. A draft is v and accepted with probability
$q(v) \min(1, p(v) / q(v)) = \min(p(v), q(v))$, so it is refused with probability

$$\beta = 1 - \sum_v \min(p(v), q(v)) = \sum_v (p(v) - q(v))_+ ,$$

which is what the residual is divided by. The token written is v with probability

$$\min(p(v), q(v)) + \beta \, (p(v) - q(v))_+ / \beta = p(v) .$$

That holds for any q, given the tokens before; and the next place is reached by a draft only where
those tokens are the ones that its p and q were computed behind. After k acceptances one more token
is drawn from $p_{k+1}$, for which there was no guess. A draft that is certain, $q(x) = 1$, is
accepted with probability p(x), and the residual is p without x. Where the model is greedy, p is 1
at one token: the draft is accepted if it is that token, which is written otherwise.

Sources: Leviathan, Kalman, Matias, "Fast Inference from Transformers via Speculative Decoding",
arXiv:2211.17192, section 2.3 and appendix A.1; Chen et al., "Accelerating Large Language Model
Decoding with Speculative Sampling", arXiv:2302.01318, algorithm 2. Look-up: Saxena, "Prompt Lookup
Decoding" (2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from autograd.backend import Array

from .logits import draw


def accept(p: Iterable[Array], q: Array | None, drafted: Sequence[int],
           rng: np.random.Generator) -> Iterator[int]:
    """Yield the tokens that are written where k were `drafted`: between 1 and k + 1.

    p are the model's distributions (k + 1, V) at the drafts' places and behind them, q those that
    the drafts were drawn from (k, V), None where each was certain. A row of p is taken when the
    token before it has been used: it may be computed from it then, and never is after a refusal.
    """
    rows = iter(p)
    for place, draft in enumerate(drafted):
        token = _follow(next(rows), None if q is None else q[place], draft, rng)
        yield token
        if token != draft:
            return
    yield _drawn(next(rows), rng)


def _follow(p: Array, q: Array | None, draft: int, rng: np.random.Generator) -> int:
    """Return the draft if it is accepted, otherwise a token of the residual."""
    if rng.random() * (1 if q is None else q[draft]) < p[draft]:
        return draft
    residual = np.maximum(p - (np.arange(len(p)) == draft if q is None else q), 0)
    # Where p and q differ by their rounding only, nothing may be left of the difference.
    return _drawn(residual if residual.any() else p, rng)


def _drawn(weights: Array, rng: np.random.Generator) -> int:
    """Return a token drawn with probabilities proportional to the weights (V,)."""
    with np.errstate(divide="ignore"):
        return draw(np.log(weights), rng)


class LookUp:
    """Drafts by what stood behind the same words before, in the prompt or in the answer.

    The last `ngram` tokens, or as many as there are, are looked for in what is before them; of the
    places where most of them agree, the last. The text is guessed to go on as it did there, at most
    `count` tokens long, through the guess itself where it comes to the end of the text.
    """

    def __init__(self, ngram: int = 3, count: int = 10) -> None:
        if ngram < 1 or count < 1:
            raise ValueError(f"look-up: expected an n-gram and a count of at least 1, got {ngram} "
                             f"and {count}")
        self.ngram, self.count = ngram, count

    def propose(self, ids: Sequence[int], count: int, chooser: object) -> tuple[list[int], None]:
        """Return at most `count` tokens that may follow `ids`, and None: each is certain."""
        start = self._found(ids)
        if not start:
            return [], None
        period = len(ids) - start
        return [ids[start + k % period] for k in range(min(count, self.count))], None

    def _found(self, ids: Sequence[int]) -> int:
        """Return the place behind the last of the longest earlier occurrences; 0: there is none."""
        best, longest = 0, 0
        for stop in range(len(ids) - 1, 0, -1):
            if ids[stop - 1] != ids[-1]:
                continue
            size = 1
            while size < min(self.ngram, stop) and ids[stop - 1 - size] == ids[-1 - size]:
                size += 1
            if size > longest:
                best, longest = stop, size
            if longest == self.ngram:
                break
        return best
