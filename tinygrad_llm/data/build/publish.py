"""The last steps of a build: ids into shards, and everything to where its user finds it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...host.files import flush_folder, sha256_of, write_in_one_step
from ...text.special import end_of_text
from ...text.tokenizer import Tokenizer
from ..tokens.shard_index import INDEX
from ..tokens.shard_writer import ShardWriter
from .report_page import render_page
from .result import PAGE, seal
from .resumable import Crew
from .tasks import TRAIN, VALIDATION, EncodeTask, load_ids

LEAST_CUT = 2048  # ids of a single document that are for validation: a window of most models
CHUNK = 2**20  # ids that are counted at a time
PARTS = {"train": TRAIN, "val": VALIDATION}


@dataclass
class WrittenShards:
    """Token shards that are ready to be moved to their place, and what is in them."""

    folder: Path
    end_of_text: int | None
    vocab_size: int
    used: NDArray[np.int64]  # (V,): how often each id comes, in both parts, ends of text left out
    parts: dict[str, dict[str, int]] = field(default_factory=dict)


def write_shards(folder: Path, encoded: Sequence[EncodeTask], shard_tokens: int,
                 crew: Crew, validation_share: float = 0.0) -> WrittenShards:
    """Write the ids of all documents, in their order, as shards for training and for validation.

    Where there is one document only, its end is for validation, if `validation_share` asks for any.
    """
    path = encoded[0].tokenizer
    tokenizer = Tokenizer.load(path)
    size = tokenizer.vocab_size
    written = WrittenShards(folder, end_of_text(tokenizer.special_tokens), size,
                            np.zeros(size, np.int64))
    for task in encoded:
        ids = load_ids(task.out)
        for start in range(0, len(ids), CHUNK):
            written.used += np.bincount(ids[start:start + CHUNK], minlength=size)
    fates = np.concatenate([np.load(task.fates) for task in encoded])
    alone = validation_share > 0 and np.count_nonzero(fates <= VALIDATION) == 1
    cut = _cut(encoded, validation_share) if alone else {}
    for part, fate in PARTS.items():
        shutil.rmtree(folder / part, ignore_errors=True)
        if not (len(cut[part]) if alone else (fates == fate).any()):
            continue
        with crew.progress_bar(f"shards, {part}", len(encoded), " bundles") as bar, \
                ShardWriter(folder / part, size, shard_tokens, end_of_text=written.end_of_text,
                            tokenizer=path) as writer:
            for documents in ([cut[part]],) if alone else (
                    _documents_with(task, fate) for task in encoded):
                for ids in documents:
                    if len(ids) or written.end_of_text is not None:
                        writer.add(ids)
                bar.update()
            written.parts[part] = {"documents": writer.documents, "tokens": writer.tokens}
    return written


def _cut(encoded: Sequence[EncodeTask], share: float) -> dict[str, NDArray[np.uint32]]:
    """Return the ids of a single document to train on and to validate on.

    The latter are that share of them, but at least LEAST_CUT, or a tenth of fewer.
    """
    ids = np.concatenate([load_ids(task.out) for task in encoded])
    held = max(int(share * len(ids)), min(LEAST_CUT, len(ids) // 10))
    return {"train": ids[:len(ids) - held], "val": ids[len(ids) - held:]}


def _documents_with(task: EncodeTask, fate: int) -> Iterator[NDArray[np.uint32]]:
    """Yield the ids of a bundle's documents that have this fate."""
    fates = np.load(task.fates)
    ids, lengths = load_ids(task.out), np.load(task.out)
    ends = np.cumsum(lengths)
    for end, length, its in zip(ends.tolist(), lengths.tolist(),
                                fates[fates <= VALIDATION].tolist(), strict=True):
        if its == fate:
            yield ids[end - length:end]


def publish(report: Mapping[str, Any], written: WrittenShards, tokenizer: Path, out: Path
            ) -> dict[str, Any]:
    """Move the shards to their place, write what stands beside them, the report last; return it.

    The report gets the checksums of the files, and its own.
    """
    for part in PARTS:
        shutil.rmtree(out / part, ignore_errors=True)
        if part in written.parts:
            os.replace(written.folder / part, out / part)
    flush_folder(out)
    report = json.loads(json.dumps(report))  # as it will be when it is read again
    write_in_one_step(out / "tokenizer.json", [tokenizer.read_bytes()])
    write_in_one_step(out / PAGE, [render_page(report).encode()])
    names = ["tokenizer.json", PAGE, *(f"{part}/{INDEX}" for part in written.parts)]
    whole = {**report, "files": {name: sha256_of(out / name) for name in names}}
    whole["sha256"] = seal(whole)
    stored = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)
    write_in_one_step(out / "report.json", [stored.encode(), b"\n"])
    return whole
