"""The work on one bundle of input: clean it, select from it, encode it.

Each stage is a function of a task that can be sent to another process, and writes files named
after everything it depends on (see resumable.py):

    clean    input          ->  KEY.jsonl   the kept documents, a line each
                                KEY.rows    what is compared of them, a record each (see `row`)
                                KEY.json    counts and examples of what was read and dropped
    select   cleaned        ->  KEY.json    examples of documents that the evaluation files hold
                                KEY.npy     every document's fate
    encode   cleaned, fates ->  KEY.ids     the ids of the documents that stay, uint32
                                KEY.npy     how many ids each has

Files are written and read as streams: one document's text is in memory at a time.
"""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...host.errors import UserError
from ...host.files import write_in_one_step
from ...host.time_limit import TimeLimit
from ...text.tokenizer import Tokenizer
from ..read.documents import Document
from ..read.gather import STDIN, Unit, read_unit
from ..read.text_pieces import Losses
from ..select.decontaminate import Decontaminator
from ..select.dedupe import PERMUTATIONS, signature, text_digest
from ..select.language import identify_language
from ..select.pii import mask_pii
from ..select.repair import repair_text
from ..select.rules import Rule, failed_rule, rules_of

TRAIN, VALIDATION, EXACT, NEAR, CONTAMINATED = range(5)  # a cleaned document's fate
STAYS = TRAIN  # what it is before it is known to which part it belongs
IDS = np.dtype("<u4")
EXAMPLES = 3  # of each kind, kept for the report
EXCERPT = 240  # characters of an example
CLEAN_SECONDS = 60.0  # of computing for one document; the longest takes 3


FileState = tuple[int, int, int] | None  # of a file: bytes, time of its last change, inode


def file_state(path: str) -> FileState:
    """Return what changes when a file does, None for one that is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


@dataclass(frozen=True)
class Cleaning:
    """The settings that decide how a document is cleaned."""

    rules: str
    languages: tuple[str, ...]
    keep_pii: bool
    text_key: str | None
    signatures: bool


@dataclass(frozen=True)
class CleanTask:
    """Units of input, together of a size worth the trip to another process."""

    out: Path
    size: int
    units: tuple[Unit, ...]
    how: Cleaning
    states: tuple[FileState, ...]  # of the units' files as the plan found them


@dataclass
class Tally:
    """Counts of a bundle's documents up to their cleaning."""

    read: dict[str, list[int]] = field(default_factory=dict)  # source: [documents, bytes]
    dropped: dict[str, dict[str, Any]] = field(default_factory=dict)  # rule: counts, examples
    unreadable: Losses = field(default_factory=Losses)
    languages: Counter[str] = field(default_factory=Counter)  # of the documents that are kept
    personal: Counter[str] = field(default_factory=Counter)  # kind: how many were masked

    def add(self, document: Document, size: int) -> None:
        """Count a document that was read."""
        counts = self.read.setdefault(document.source, [0, 0])
        counts[0] += 1
        counts[1] += size

    def drop(self, code: str, document: Document, size: int, excerpt: str) -> None:
        """Count a document that a rule refuses, and keep the first few as examples."""
        entry = self.dropped.setdefault(code, {"documents": 0, "bytes": 0, "examples": []})
        entry["documents"] += 1
        entry["bytes"] += size
        if len(entry["examples"]) < EXAMPLES:
            entry["examples"].append({"name": document.name, "text": excerpt})


def record_type(signatures: bool) -> np.dtype[Any]:
    """Return the record of one document, with or without its MinHash signature."""
    return np.dtype([("digest", "u1", 16), ("bytes", "<i8"), ("source", "<i4"),
                     ("signature", "<u4", PERMUTATIONS if signatures else 0)])


def clean_bundle(task: CleanTask) -> None:
    """Read a bundle's documents, repair them and keep those that the rules let through.

    Raises UserError where a file is not as the plan found it: the result's name would be wrong.
    """
    tally = Tally()
    sources = sorted({unit.source for unit in task.units})
    lines = (json.dumps({"name": document.name, "source": sources.index(document.source),
                         "text": document.text}, ensure_ascii=False).encode() + b"\n"
             for document in _cleaned_documents(task, tally))
    write_in_one_step(task.out.with_suffix(".jsonl"), lines)
    write_in_one_step(task.out.with_suffix(".rows"), _records(task))
    counts = {"sources": sources, "read": tally.read, "dropped": tally.dropped,
              "unreadable": tally.unreadable, "unreadable_names": tally.unreadable.names,
              "languages": tally.languages,
              "personal": tally.personal}
    write_in_one_step(task.out, [json.dumps(counts).encode()])


def _records(task: CleanTask) -> Iterator[bytes]:
    record = np.zeros((), record_type(task.how.signatures))
    for document in read_cleaned(task.out):
        text = document["text"]
        record["digest"] = np.frombuffer(text_digest(text), np.uint8)
        record["bytes"] = len(text.encode())
        record["source"] = document["source"]
        if task.how.signatures:
            record["signature"] = signature(text)
        yield record.tobytes()


def _cleaned_documents(task: CleanTask, tally: Tally) -> Iterator[Document]:
    """Yield what is kept of a bundle's documents, and count the rest."""
    rules = rules_of(task.how.rules)
    for unit, state in zip(task.units, task.states, strict=True):
        losses = Losses()
        for document in read_unit(unit, losses, task.how.text_key):
            document = replace(document, name=_name_for_report(document.name, unit))
            cleaned = _clean_in_time(document, task.how, rules, tally)
            if cleaned is not None:
                yield cleaned
        tally.unreadable.add(Losses(losses, {
            why: [_name_for_report(name, unit) for name in names]
            for why, names in losses.names.items()}))
        if file_state(unit.path) != state:
            raise UserError(f"{unit.path} has changed since the build began; give the same command "
                            "again, or name a copy that stays as it is")


def _name_for_report(name: str, unit: Unit) -> str:
    """Return a name itself; for the copy of standard input, whose place is of no interest, "-"."""
    return STDIN + name.rpartition("/stdin")[2] if unit.source == STDIN else name


def _clean_in_time(document: Document, how: Cleaning, rules: Sequence[Rule], tally: Tally
                   ) -> Document | None:
    """Return `_clean_document`, None where it takes longer than CLEAN_SECONDS."""
    try:
        with TimeLimit(CLEAN_SECONDS, TimeoutError()):
            return _clean_document(document, how, rules, tally)
    except TimeoutError:
        size = len(document.text.encode(errors="replace"))
        excerpt = document.text[:EXCERPT].encode(errors="replace").decode()
        tally.drop("too-slow", document, size, excerpt if how.keep_pii else mask_pii(excerpt)[0])
        return None


def _clean_document(document: Document, how: Cleaning, rules: Sequence[Rule], tally: Tally
                    ) -> Document | None:
    """Return what is kept of a document, None where it is dropped, and count it."""
    size = len(document.text.encode(errors="replace"))
    tally.add(document, size)
    text = repair_text(document.text).encode(errors="replace").decode()  # no lone surrogates
    code, language = _judge(text, how, rules)
    if code is not None:
        excerpt = text[:EXCERPT]
        tally.drop(code, document, size, excerpt if how.keep_pii else mask_pii(excerpt)[0])
        return None
    if not how.keep_pii:
        text, found = mask_pii(text)
        tally.personal += found
    tally.languages[language or identify_language(text)[0]] += 1
    return Document(text, document.source, document.name)


def _judge(text: str, how: Cleaning, rules: Sequence[Rule]) -> tuple[str | None, str | None]:
    """Return the code of what drops a text, or None, and its language where that decides."""
    if not text.strip():
        return "empty", None
    language = None
    if how.languages or any(rule.english_only for rule in rules):
        language = identify_language(text)[0]
        if how.languages and language not in how.languages:
            return "language", language
    return failed_rule(text, rules, language or "en"), language


@dataclass(frozen=True)
class SelectTask:
    """A cleaned bundle and what decides where its documents go."""

    out: Path
    size: int
    cleaned: Path
    signatures: bool  # whether there are any
    repeats: Path  # for each document of the build, the earlier one that it repeats, or -1
    first: int  # the number, in the build, of the bundle's first document
    evaluation: tuple[str, ...]
    evaluation_key: str  # of their content
    share: float
    seed: int


def select_from_bundle(task: SelectTask) -> None:
    """Give every document its fate: which part it belongs to, or why it is left out."""
    rows = load_rows(task.cleaned, task.signatures)
    kinds = np.load(task.repeats, mmap_mode="r")["kind"][task.first:task.first + len(rows)]
    lots = draw_lots(rows["digest"], task.seed)
    fates = np.where(kinds != STAYS, kinds, np.where(lots < task.share, VALIDATION, TRAIN))
    examples: list[dict[str, str]] = []
    if task.evaluation:
        find = _decontaminator(task.evaluation, task.evaluation_key).overlap
        for i, document in enumerate(read_cleaned(task.cleaned)):
            if fates[i] in (TRAIN, VALIDATION) and (found := find(document["text"])) is not None:
                fates[i] = CONTAMINATED
                if len(examples) < EXAMPLES:
                    examples.append({"name": document["name"], "text": str(found)[:EXCERPT]})
    write_in_one_step(task.out.with_suffix(".json"), [json.dumps(examples).encode()])
    write_array(task.out, fates.astype(np.uint8))


def draw_lots(digests: NDArray[np.uint8], seed: int) -> NDArray[np.float64]:
    """Return a number in [0, 1), float64, for each of N digests (N, 16).

    It is the hash of the text's digest and the seed, so it depends on no other document: adding
    documents moves none from one part to the other.
    """
    key = seed.to_bytes(8, "little")
    drawn = [int.from_bytes(blake2b(digest.tobytes(), digest_size=8, key=key).digest(), "little")
             for digest in digests]
    return np.array([number >> 11 for number in drawn], np.float64) / 2**53


@dataclass(frozen=True)
class EncodeTask:
    """A cleaned bundle whose documents have their fates, and a tokenizer's file."""

    out: Path
    size: int
    cleaned: Path
    fates: Path
    tokenizer: Path
    digest: str  # of the tokenizer


def encode_bundle(task: EncodeTask) -> None:
    """Write the ids of the documents that stay; special tokens in them are plain text."""
    tokenizer = _tokenizer(task.tokenizer, task.digest)
    lengths: list[int] = []

    def ids() -> Iterator[bytes]:
        fates = np.load(task.fates)
        for document, fate in zip(read_cleaned(task.cleaned), fates, strict=True):
            if fate in (TRAIN, VALIDATION):
                found = tokenizer.encode_to_array(document["text"], special="text")
                lengths.append(len(found))
                yield found.astype(IDS).tobytes()

    write_in_one_step(task.out.with_suffix(".ids"), ids())
    write_array(task.out, np.array(lengths, np.int64))


def read_cleaned(cleaned: Path) -> Iterator[dict[str, Any]]:
    """Yield a bundle's cleaned documents: name, number of the source, text."""
    with open(cleaned.with_suffix(".jsonl"), "rb") as file:
        for line in file:
            yield json.loads(line)


def load_rows(cleaned: Path, signatures: bool) -> NDArray[Any]:
    """Return what is compared of a bundle's documents, (N,) records, mapped from the file."""
    return _map_array(cleaned.with_suffix(".rows"), record_type(signatures))


def load_ids(encoded: Path) -> NDArray[np.uint32]:
    """Return a bundle's ids, one document after another, mapped from the file."""
    return _map_array(encoded.with_suffix(".ids"), IDS)


def _map_array(path: Path, kind: np.dtype[Any]) -> NDArray[Any]:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.zeros(0, kind)
    return np.asarray(np.memmap(path, kind, "r"))


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write one array in NumPy's format."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_in_one_step(path, [buffer.getbuffer()])


# A file may change between two builds of one process: its content's key is an argument, too.


@lru_cache(maxsize=1)
def _decontaminator(paths: tuple[str, ...], key: str) -> Decontaminator:
    return Decontaminator(paths)


@lru_cache(maxsize=1)
def _tokenizer(path: Path, digest: str) -> Tokenizer:
    return Tokenizer.load(path)
