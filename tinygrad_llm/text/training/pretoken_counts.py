r"""How often each pre-token comes in texts and files of any size.

Training needs no text, only the counts of its distinct pre-tokens, and counts add up:

$$ \mathrm{count}(x y) = \mathrm{count}(x) + \mathrm{count}(y) $$

wherever no pre-token crosses from x into y. So texts are cut where that is certain (`cut.blocks`),
gathered into batches, and batches counted one by one in this process, or several at a time in
others. The batches are the same for any number of processes, and sums are taken in their order.

A batch is counted without making a string of each pre-token: a pre-token of up to 7 bytes is one
64-bit number, its bytes and its length, and equal numbers stand side by side once sorted.

Only distinct pre-tokens stay in memory. Web text has ever new ones, most of which come once; so
where they are more than MOST, or longer than LONGEST together, the rarest are dropped, down to half
of either. One that was dropped may come again, and is then counted from 0. So a count is exact or
too small; with m the largest count among those dropped at one time, it lacks at most the sum of m
over all times. Training would join such rare words last, if ever.

Source: Manku and Motwani, "Approximate frequency counts over data streams", VLDB 2002, section 4.2.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from itertools import accumulate
from os import PathLike
from typing import TypeAlias

import numpy as np
import regex
from numpy.typing import NDArray
from tqdm import tqdm

from ...host.errors import UserError
from ...host.machine import usable_cores
from ...host.processes import Processes
from ..cut.blocks import blocks_of_sources, blocks_of_text
from ..cut.boundaries import byte_offsets, is_known, starts
from ..cut.patterns import GPT2, splitter

Source: TypeAlias = "str | PathLike[str]"
"""A text, or the path of a file of UTF-8 text."""

BATCH = 1 << 20  # characters
ALONE = 1 << 26  # characters that this process counts before others are worth their start
MOST = 1 << 20  # distinct pre-tokens, some 150 MB
LONGEST = 1 << 23  # characters of all distinct pre-tokens; training takes 60 bytes for each
_SHORT = 7  # bytes of a pre-token that fit a number beside their length
_SMALL = 1 << 12  # characters of a text below which a regular expression is faster than arrays
_BETWEEN = "1"
_ENDS_BEFORE_IT = regex.compile(r"(?:[^\s\p{N}]|\S\n)\Z")
_NUMBER = regex.compile(r"\p{N}")


def count_pretokens(sources: Iterable[Source] | Source, pattern: str = GPT2, *,
                    workers: int | None = None, progress: bool = False) -> dict[str, int]:
    """Return how often each pre-token comes in the sources: texts (str), or paths of UTF-8 files.

    Sources are apart: no pre-token goes from one into the next. With one of the known patterns
    (`patterns.PATTERNS`) files are read in blocks; any other pattern, which might look anywhere,
    needs a whole file at once. `workers` processes count, by default as many as there are cores,
    once there is enough text; the result is the same for any number. Where they die, of want of
    memory for instance, this process counts what is left. Beyond MOST distinct ones the rarest are
    not counted.

    Raises UserError for files that cannot be read, and for lone surrogates in a text.

    >>> sorted(count_pretokens(["to be or not to be"]).items())
    [(' be', 2), (' not', 1), (' or', 1), (' to', 1), ('to', 1)]
    """
    if workers is not None and workers < 1:
        raise UserError(f"workers must be at least 1, got {workers}; leave it out for one a core")
    if isinstance(sources, str | PathLike):
        sources = [sources]
    counts: dict[str, int] = {}
    length = 0
    with tqdm(desc="counting", unit="char", unit_scale=True, disable=None if progress else True
              ) as bar:
        batches = _batches(_texts(sources, pattern))
        for size, part in _counts_of_batches(batches, pattern, workers or usable_cores()):
            for piece, times in part.items():
                before = counts.get(piece, 0)
                counts[piece] = before + times
                length += 0 if before else len(piece)
            if len(counts) > MOST or length > LONGEST:
                counts = _without_rarest(counts)
                length = sum(map(len, counts))
            bar.update(size)
    return counts


def _without_rarest(counts: dict[str, int]) -> dict[str, int]:
    """Return the most frequent of the counts, of equals the first: half of MOST and of LONGEST."""
    order = sorted(counts, key=counts.__getitem__, reverse=True)[:MOST // 2]
    fitting = bisect_right(list(accumulate(map(len, order))), LONGEST // 2)
    return {piece: counts[piece] for piece in order[:max(1, fitting)]}


def count_batch(texts: list[str], pattern: str) -> Mapping[str, int]:
    """Return the counts of the texts' pre-tokens, each text by itself.

    Many texts make one where that is certain not to matter: a number ends every pre-token before
    it that is no number, nor white space that might end otherwise at the end of a text; and
    begins none but itself if no number follows.
    """
    if not is_known(pattern):
        return Counter(piece for text in texts for piece in splitter(pattern).split(text))
    counts: Counter[str] = Counter()
    together: list[str] = []
    for text in texts:
        if _ENDS_BEFORE_IT.search(text[-2:]) and not _NUMBER.match(text):
            together.append(text)
        elif len(text) < _SMALL:
            counts.update(splitter(pattern).split(text))
        else:
            counts.update(_count_known(text, pattern))
    counts.update(_count_known(_BETWEEN.join(together), pattern))
    if len(together) > 1:
        counts[_BETWEEN] -= len(together) - 1
    return +counts  # without those that come 0 times


def _count_known(text: str, pattern: str) -> dict[str, int]:
    """Return the counts of the pre-tokens of a known pattern."""
    numbers = [np.empty(0, np.uint64)]
    counts: Counter[bytes] = Counter()
    for block in blocks_of_text(text):
        data = block.encode()
        begins = starts(block, pattern)
        if len(data) > len(block):
            begins = byte_offsets(block)[begins]
        lengths = np.diff(begins, append=len(data))
        short = lengths <= _SHORT
        numbers.append(_as_numbers(data, begins[short], lengths[short]))
        begins, lengths = begins[~short], lengths[~short]
        ends = begins + lengths
        counts.update([data[i:j] for i, j in zip(begins.tolist(), ends.tolist(), strict=True)])
    distinct, times = np.unique(np.concatenate(numbers), return_counts=True)
    for number, n in zip(distinct.tolist(), times.tolist(), strict=True):
        counts[number.to_bytes(8, "little")[:number >> 56]] = n
    return {piece.decode(): n for piece, n in counts.items()}


_LOW_BYTES = np.array([(1 << 8 * n) - 1 for n in range(_SHORT + 1)], np.uint64)


def _as_numbers(data: bytes, begins: NDArray[np.intp], lengths: NDArray[np.intp]
                ) -> NDArray[np.uint64]:
    """Return `data[begins:begins + lengths]`, N times up to 7 bytes, as uint64 of shape (N,).

    The bytes are the low ones, the first lowest, and the length is the highest.
    """
    from_every_byte = np.ndarray((len(data) + 1,), "<u8", data + bytes(8), strides=(1,))
    found: NDArray[np.uint64] = from_every_byte[begins] & _LOW_BYTES[lengths]
    return found | lengths.astype(np.uint64) << np.uint64(56)


def _texts(sources: Iterable[Source], pattern: str) -> Iterator[str]:
    """Yield the sources' texts, long ones in parts that can be counted apart."""
    if is_known(pattern):
        return blocks_of_sources(sources, BATCH)
    return ("".join(blocks_of_sources([source])) for source in sources)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts in lists of some BATCH characters."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text) + 1  # so that a list of empty texts ends, too
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


Counted: TypeAlias = Iterator[tuple[int, Mapping[str, int]]]
"""The number of characters of each batch, and the counts of its pre-tokens."""


def _counts_of_batches(batches: Iterator[list[str]], pattern: str, workers: int) -> Counted:
    """Yield the batches' counts, in order, using other processes after the first ALONE."""
    spent = 0
    while workers == 1 or spent < ALONE:
        if (batch := next(batches, None)) is None:
            return
        size = sum(map(len, batch))
        spent += size
        yield size, count_batch(batch, pattern)
    yield from _counts_from_processes(batches, pattern, workers)


def _counts_from_processes(batches: Iterable[list[str]], pattern: str, workers: int) -> Counted:
    """Yield the batches' counts from `workers` processes; at most two batches wait for each."""
    pool = Processes(workers)
    under_way: deque[tuple[list[str], Future[Mapping[str, int]] | None]] = deque()
    try:
        for batch in batches:
            if len(under_way) == 2 * workers:
                yield _size_and_counts(*under_way.popleft(), pattern)
            try:
                under_way.append((batch, pool.submit(count_batch, batch, pattern)))
            except BrokenProcessPool:
                under_way.append((batch, None))
        while under_way:
            yield _size_and_counts(*under_way.popleft(), pattern)
    finally:
        pool.shutdown(cancel_futures=True)


def _size_and_counts(batch: list[str], future: Future[Mapping[str, int]] | None, pattern: str
            ) -> tuple[int, Mapping[str, int]]:
    """Return a batch's size and counts; where its process could not live, they are made here."""
    try:
        counts = future.result() if future else count_batch(batch, pattern)
    except BrokenProcessPool:
        counts = count_batch(batch, pattern)
    return sum(map(len, batch)), counts
