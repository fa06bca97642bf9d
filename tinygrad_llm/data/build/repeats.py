"""A build's repeated documents: the digests and signatures of all bundles, seen as one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..select.dedupe import PERMUTATIONS, find_duplicates
from .tasks import EXACT, NEAR, STAYS, CleanTask, load_rows, write_array

REPEAT = np.dtype([("earlier", "<i8"), ("kind", "u1")])
BLOCK = 4096  # signatures that are copied at a time: 2 MiB


def find_repeats(path: Path, cleaned: Sequence[CleanTask], threshold: float | None) -> None:
    """Write, for each document of the build, which earlier one it repeats (-1: none), and how.

    An array of REPEAT, shape (N,); `kind` is STAYS, EXACT or NEAR. Signatures lie in a file that
    is mapped into memory while they are compared.
    """
    digests = np.concatenate([rows["digest"] for rows in map(rows_of, cleaned)])
    table = path.with_suffix(".signatures")
    try:
        signatures = None if threshold is None else _map_signatures(table, cleaned, len(digests))
        found = find_duplicates(digests, signatures, threshold or 1.0)
        del signatures
    finally:
        table.unlink(missing_ok=True)
    repeats = np.zeros(len(digests), REPEAT)
    repeats["earlier"] = found
    repeats["kind"] = np.where((digests == digests[found]).all(1), EXACT, NEAR)
    repeats["kind"][found < 0] = STAYS
    write_array(path, repeats)


def rows_of(task: CleanTask) -> NDArray[Any]:
    """Return the records of a bundle's documents."""
    return load_rows(task.out, task.how.signatures)


def _map_signatures(table: Path, cleaned: Sequence[CleanTask], count: int) -> NDArray[np.uint32]:
    """Return all signatures (N, PERMUTATIONS), mapped from the file `table`."""
    with open(table, "wb") as file:
        for rows in map(rows_of, cleaned):
            for start in range(0, len(rows), BLOCK):
                file.write(rows["signature"][start:start + BLOCK].tobytes())
    return np.asarray(np.memmap(table, np.uint32, "r", shape=(count, PERMUTATIONS)))
