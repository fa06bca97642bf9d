"""A text that remembers where it came from.

Normalisers rewrite a text before it is tokenized, yet users ask which characters of *their* text a
token covers. So each character of the rewritten text carries its span in the source: character k
came from source[starts[k]:ends[k]]. Both arrays rise (or stay level) from left to right, so a
stretch of characters came from the first one's start up to the last one's end.

    source      " Ça"          0 1 2 3
    lowercase   " ça"          (0,1) (1,2) (2,3)
    NFD         " c¸a"         (0,1) (1,2) (1,2) (2,3)     both halves came from Ç
    strip       "c¸a"          (1,2) (1,2) (2,3)
    prepend     "▁c¸a"         (1,1) (1,2) (1,2) (2,3)     an inserted character came from nothing
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """A text of N characters and their source spans, `starts` and `ends` int64 of shape (N,).

    >>> a = Aligned.of("fish").rewrite([(0, 1, "d"), (3, 4, "")])
    >>> a.text, a.spans([0, 1], [1, 3]).tolist()
    ('dis', [[0, 1], [1, 3]])
    """

    text: str
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not len(self.text) == len(self.starts) == len(self.ends):
            raise ValueError(
                f"Aligned: {len(self.text)} characters, {len(self.starts)} starts and "
                f"{len(self.ends)} ends; each character needs one of each"
            )

    @classmethod
    def of(cls, text: str) -> Aligned:
        """Return `text` as its own source: character k spans [k, k + 1)."""
        places = np.arange(len(text) + 1)
        return cls(text, places[:-1], places[1:])

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, stretch: slice) -> Aligned:
        """Return the characters of `stretch`, a slice without a step, as a view."""
        if stretch.step not in (None, 1):
            raise ValueError(f"Aligned: slices go one by one, got step {stretch.step}")
        return Aligned(self.text[stretch], self.starts[stretch], self.ends[stretch])

    def spans(self, first: Any, last: Any) -> NDArray[np.int64]:
        """Return the source spans of the stretches [first, last) of this text, int64 (M, 2).

        `first` and `last` are whole numbers of shape (M,), 0 <= first <= last <= N. An empty
        stretch has the empty span before the character at its place (after the last, at the end).
        """
        first, last = np.asarray(first, np.int64), np.asarray(last, np.int64)
        end = self.ends[-1:] if len(self.text) else np.zeros(1, np.int64)
        starts = np.concatenate((self.starts, end))[first]
        ends = np.where(last > first, np.concatenate((end, self.ends))[last], starts)
        return np.stack((starts, ends), axis=-1)

    def remap(self, text: str, first: Any, last: Any) -> Aligned:
        """Return a new `text` whose character k was made from the characters [first_k, last_k).

        So alignments compose: spans into this text become spans into its source. Characters that
        are inserted between others from the same place came from there, too.
        """
        spans = self.spans(first, last)
        return Aligned(text, spans[:, 0], np.maximum.accumulate(spans[:, 1]))

    def rewrite(self, edits: Iterable[tuple[int, int, str]]) -> Aligned:
        """Return this text with `edits` made, each (first, last, replacement).

        Every character of a replacement came from the whole stretch [first, last) it replaces; an
        empty replacement deletes, an empty stretch inserts. The edits go from left to right and do
        not overlap (ValueError).
        """
        texts, places, lengths, done = [], [0], [], 0
        for first, last, replacement in edits:
            if not done <= first <= last <= len(self.text):
                raise ValueError(
                    f"Aligned: edit [{first}, {last}) after [.., {done}) in {len(self.text)} "
                    "characters; edits go from left to right and do not overlap"
                )
            texts += [self.text[done:first], replacement]
            places += [first, last]
            lengths += [first - done, len(replacement)]
            done = last
        if not lengths:
            return self
        texts.append(self.text[done:])
        lengths.append(len(self.text) - done)
        return self.remap("".join(texts), *_stretches(np.array(places), np.array(lengths)))


def _stretches(
    begins: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the old stretch [first, last) of each new character, where stretches alternate.

    Stretches 0, 2, 4, ... are kept: their character k is old character begins + k. Stretches
    1, 3, ... are new: all of their characters came from the old stretch that they replace, which
    ends where the next kept one begins. `begins` and `lengths` have shape (2 E + 1,).
    """
    number = np.repeat(np.arange(len(begins)), lengths)
    is_kept = number % 2 == 0
    k = np.arange(len(number)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    first = begins[number] + np.where(is_kept, k, 0)
    ends = np.append(begins[1:], 0)  # the last stretch is kept, and its end is never used
    return first, np.where(is_kept, first + 1, ends[number])
