"""Many texts on all cores, and files larger than memory.

Encoding is Python and NumPy calls on small arrays, which threads would do one after another; so
batches go to processes. Starting one costs about half a second, in which one core encodes some 20
MB: smaller batches are encoded where they are. The ids are the same either way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..host.errors import UserError
from ..host.machine import usable_cores
from ..host.processes import Processes, needs_main
from .characters.utf8_files import read_chunks
from .cut.blocks import SAFE_CUT, blocks_of_chunks
from .cut.boundaries import is_known
from .special import Special
from .tokenizer import Tokenizer

WORTH_PROCESSES = 40_000_000  # characters
GROUP = 1_000_000  # characters that go to a process at a time

_tokenizer: Tokenizer  # in a worker: the one it was started with


def encode_batch(tokenizer: Tokenizer, texts: Iterable[str], *, special: Special = "refuse",
                 template: bool = False, workers: int | None = None) -> list[list[int]]:
    """Return `tokenizer.encode` of each text, in order.

    workers: processes to use; by default all cores where the texts are long enough to pay for
    starting them, else none; also none where the caller's script defines parts of the tokenizer,
    which other processes would not know. Raises UserError as `encode` does, naming the text by its
    number.
    """
    texts = list(texts)
    if workers is not None and workers < 1:
        raise UserError(f"workers must be at least 1, got {workers}")
    if workers is None:
        workers = usable_cores() if sum(map(len, texts)) >= WORTH_PROCESSES else 1
    groups = list(_groups(texts))
    if min(workers, len(groups)) <= 1 or needs_main(tokenizer):
        return [ids.tolist() for first, group in groups
                for ids in _encode_group(tokenizer, first, group, special, template)]
    with Processes(workers, _start_worker, tokenizer) as pool:
        found = pool.map(_encode_group_in_worker, *zip(
            *((first, group, special, template) for first, group in groups), strict=True))
        return [ids.tolist() for group_ids in found for ids in group_ids]


def _groups(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield texts in groups of about equal length, each with the number of its first."""
    first, size = 0, 0
    for i, text in enumerate(texts):
        size += len(text)
        if size >= GROUP:
            yield first, list(texts[first:i + 1])
            first, size = i + 1, 0
    if first < len(texts):
        yield first, list(texts[first:])


def _encode_group(tokenizer: Tokenizer, first: int, texts: Sequence[str], special: Special,
             template: bool) -> list[NDArray[np.int32]]:
    found = []
    for i, text in enumerate(texts):
        try:
            found.append(tokenizer.encode_to_array(text, special=special, template=template))
        except UserError as error:
            raise UserError(f"text {first + i} of the batch: {error}") from error
    return found


def _start_worker(tokenizer: Tokenizer) -> None:
    global _tokenizer
    _tokenizer = tokenizer


def _encode_group_in_worker(first: int, texts: Sequence[str], special: Special, template: bool
                   ) -> list[NDArray[np.int32]]:
    return _encode_group(_tokenizer, first, texts, special, template)


def encode_file(tokenizer: Tokenizer, path: str | Path, *, special: Special = "refuse",
                errors: str = "strict") -> Iterator[NDArray[np.int32]]:
    """Yield the ids of a UTF-8 file part by part, int32 arrays that joined are those of its text.

    Where the tokenizer cuts text by one of the known patterns, and changes none of it before, parts
    are blocks of about 64,000 characters and memory does not grow with the file. Any other
    tokenizer may need the whole text, and gets it.

    errors: the policy for bytes that are no UTF-8, "strict", "replace", "ignore" or
    "backslashreplace". Raises UserError as `encode` and `read_chunks` do.
    """
    chunks = read_chunks(path, errors)
    for block in blocks_of_chunks(chunks) if _can_be_cut(tokenizer) else ["".join(chunks)]:
        yield tokenizer.encode_to_array(block, special=special)


def _can_be_cut(tokenizer: Tokenizer) -> bool:
    """Return whether the ids of blocks, cut at safe places, are those of the whole text."""
    pattern = tokenizer.pattern
    if pattern is None or not is_known(pattern) or tokenizer.normalizer is not None:
        return False
    return not any(token.single_word or token.lstrip or token.rstrip
                   or SAFE_CUT.search(token.content) for token in tokenizer.added.tokens)
