"""Training documents that hold text of an evaluation set.

A document is contaminated where it shares a run of 13 words with one of the evaluation documents:
Brown et al., "Language models are few-shot learners" (GPT-3), 2020, appendix C, whose lower case,
missing punctuation and least length of 8 are kept, too. An evaluation document of 8 to 12 words
counts as one run, which must occur whole; one of fewer words is too common a phrase to be
evidence, and is left out (`ignored` counts them). Unlike there, nothing is cut out of a
contaminated document: the build drops it whole.

The runs are kept as sorted 64-bit numbers, 8 bytes each, and looked up by bisection; a bit map
before it drops most runs that are not there. A number that is found is not yet a proof: the words
themselves are then searched in the evaluation set, so no false hit is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...host.errors import UserError
from ..read.gather import find_units, read_unit
from ..read.text_pieces import IN_DOUBT, Losses
from .word_runs import normalized_words, run_hashes, word_hashes

RUN = 13  # words
LEAST = 8
HARMLESS = IN_DOUBT | {"empty"}  # of text_pieces.REASONS: they hide no text
SPARSE = 16  # bits of the map for each run: one in 16 of other runs gets through


class Decontaminator:
    """Finds text of evaluation documents: those of the files `paths`, and `texts` besides.

    Instances can be sent to processes. Raises UserError where a file cannot be read, and where no
    document has LEAST words.

    >>> evaluation = Decontaminator(texts=["It was the best of times, it was the worst of times"])
    >>> evaluation.overlap("IT WAS (the best) of times; it was the worst of times. It was")
    'it was the best of times it was the worst of times'
    """

    def __init__(self, paths: Sequence[str | Path] = (), texts: Iterable[str] = ()) -> None:
        self.documents = self.ignored = 0
        runs: dict[int, list[NDArray[np.uint64]]] = {}
        rows = []
        for text in (*_evaluation_texts(paths), *texts):
            found = normalized_words(text)
            length = min(len(found), RUN)
            self.documents += 1
            if length < LEAST:
                self.ignored += 1
                continue
            runs.setdefault(length, []).append(run_hashes(word_hashes(found), length))
            rows.append(b" ".join(found))
        if not rows:
            raise UserError(f"none of the {self.documents} evaluation documents has {LEAST} words, "
                            "so none can be recognised; give others, or leave them out")
        # Every word has a space on both sides.
        self.evaluation_words = b" \n ".join((b"", *rows, b""))
        self.runs = {length: _NumberSet(np.concatenate(runs[length])) for length in sorted(runs)}

    def __len__(self) -> int:
        """Return how many different runs are looked for."""
        return sum(len(numbers.sorted) for numbers in self.runs.values())

    def overlap(self, text: str) -> str | None:
        """Return the first run of words that `text` shares with an evaluation document, or None.

        Where runs of several lengths are shared, the shortest comes first.
        """
        found = normalized_words(text)
        hashes = word_hashes(found)
        for length, numbers in self.runs.items():
            for place in numbers.where(run_hashes(hashes, length)).tolist():
                run = b" ".join(found[place:place + length])
                if self._holds(run, length):
                    return run.decode("utf-8", "surrogatepass")
        return None

    def _holds(self, run: bytes, length: int) -> bool:
        """Whether these words are in the evaluation set, as a run of that length."""
        if length < RUN:
            return b" \n " + run + b" \n " in self.evaluation_words
        return b" " + run + b" " in self.evaluation_words


class _NumberSet:
    """A set of 64-bit numbers."""

    def __init__(self, numbers: NDArray[np.uint64]) -> None:
        self.sorted = np.unique(numbers)
        bits = max((len(self.sorted) * SPARSE - 1).bit_length(), 3)
        self.shift = np.uint64(64 - bits)
        marked = np.zeros(2**bits, np.bool_)
        marked[self.sorted >> self.shift] = True
        self.map = np.packbits(marked, bitorder="little")

    def where(self, numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the ascending places of those of `numbers` that are in the set."""
        bits = numbers >> self.shift
        marked = self.map[bits >> np.uint64(3)] >> (bits & np.uint64(7)).astype(np.uint8) & 1
        places = np.flatnonzero(marked)
        some = numbers[places]
        at = np.minimum(np.searchsorted(self.sorted, some), len(self.sorted) - 1)
        there: NDArray[np.int64] = places[self.sorted[at] == some]
        return there


def _evaluation_texts(paths: Sequence[str | Path]) -> Iterator[str]:
    """Yield the evaluation documents. Raises UserError where any of them cannot be read."""
    if not paths:
        return
    errors = Losses()
    for unit in find_units([str(path) for path in paths], errors):
        yield from (document.text for document in read_unit(unit, errors))
    lost = {why: count for why, count in errors.items() if why not in HARMLESS}
    if lost:
        reasons = ", ".join(f"{why}: {count}, as {errors.names[why][0]}"
                            for why, count in sorted(lost.items()))
        raise UserError(f"the evaluation files cannot be read whole ({reasons}), so what they hold "
                        "could not be kept out of the training; mend them, or leave them out")
