"""The report of a build: counts and examples, as plain data for report.json.

It holds no time and no path of the build's own folder, so that the same input and settings give
the same report. Read bundle by bundle: only counts stay in memory.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...text.tokenizer import Tokenizer
from ..read.text_pieces import REASONS, Losses
from ..select.rules import rules_of
from .plan import Plan
from .publish import WrittenShards
from .repeats import rows_of
from .tasks import (
    CONTAMINATED,
    EXACT,
    EXAMPLES,
    EXCERPT,
    NEAR,
    VALIDATION,
    CleanTask,
    EncodeTask,
    SelectTask,
    read_cleaned,
)

MOST = 60  # tokens that are listed
LIBRARIES = ("numpy", "regex", "ftfy", "selectolax", "trafilatura", "pyarrow",
             "zstandard")  # whose version can make a difference
WHY = {"empty": "nothing but white space", "language": "in a language that was not asked for",
       "too-slow": "not cleaned within a minute of computing"}


@dataclass
class Counts:
    """The sums over all bundles; a pair of numbers is [documents, bytes]."""

    fates: NDArray[np.int64] = field(default_factory=lambda: np.zeros((5, 2), np.int64))
    read: dict[str, list[int]] = field(default_factory=dict)  # by source
    kept: dict[str, list[int]] = field(default_factory=dict)  # by source
    tokens: Counter[str] = field(default_factory=Counter)  # by source
    lengths: Counter[int] = field(default_factory=Counter)  # documents of 2**(k-1) to 2**k tokens
    dropped: dict[str, dict[str, Any]] = field(default_factory=dict)  # by rule
    unreadable: Losses = field(default_factory=Losses)
    languages: Counter[str] = field(default_factory=Counter)
    personal: Counter[str] = field(default_factory=Counter)
    contaminated: list[dict[str, str]] = field(default_factory=list)  # examples

    def add_tally(self, tally: Mapping[str, Any]) -> None:
        """Add what the cleaning of a bundle counted (see tasks.Tally)."""
        for source, counts in tally["read"].items():
            _add_pair(self.read, source, *counts)
        for code, entry in tally["dropped"].items():
            whole = self.dropped.setdefault(code, {"documents": 0, "bytes": 0, "examples": []})
            whole["documents"] += entry["documents"]
            whole["bytes"] += entry["bytes"]
            whole["examples"] = (whole["examples"] + entry["examples"])[:EXAMPLES]
        self.unreadable.add(Losses(tally["unreadable"], tally.get("unreadable_names")))
        self.languages.update(tally["languages"])
        self.personal.update(tally["personal"])

    def add_bundle(self, sources: Sequence[str], rows: NDArray[Any], fates: NDArray[np.uint8],
                   lengths: NDArray[np.int64]) -> None:
        """Add a bundle's documents: records (N,), fates (N,), how many ids those kept have."""
        sizes, places = rows["bytes"], rows["source"]
        for fate in range(len(self.fates)):
            self.fates[fate] += [(fates == fate).sum(), sizes[fates == fate].sum()]
        stays = fates <= VALIDATION
        for number, source in enumerate(sources):
            its = places[stays] == number
            _add_pair(self.kept, source, int(its.sum()), int(sizes[stays][its].sum()))
            self.tokens[source] += int(lengths[its].sum())
        self.lengths.update(int(length).bit_length() for length in lengths)


def summarize(plan: Plan, cleaned: Sequence[CleanTask], repeats: Path,
              selected: Sequence[SelectTask], encoded: Sequence[EncodeTask], written: WrittenShards
              ) -> dict[str, Any]:
    """Return the report of a build."""
    counts = _count_all(plan.unreadable, cleaned, selected, encoded)
    return {
        "settings": asdict(plan.settings),
        "versions": _versions(),
        "funnel": _funnel(counts),
        "sources": _sources(counts),
        "unreadable": {code: {"count": count, "why": REASONS.get(code, ""),
                              "examples": counts.unreadable.names.get(code, [])}
                       for code, count in _ordered(counts.unreadable).items()},
        "dropped": _dropped(counts, plan.settings.rules),
        "duplicates": _duplicates(cleaned, repeats, counts),
        "contaminated": {**_pair(counts.fates[CONTAMINATED]),
                         "examples": counts.contaminated[:EXAMPLES]},
        "languages": _ordered(counts.languages),
        "personal": _ordered(counts.personal),
        "lengths": [counts.lengths[k] for k in range(max(counts.lengths, default=0) + 1)],
        "tokens": _tokens(Tokenizer.load(encoded[0].tokenizer), written, counts),
    }


def _count_all(unreadable: Losses, cleaned: Sequence[CleanTask],
               selected: Sequence[SelectTask], encoded: Sequence[EncodeTask]) -> Counts:
    """Return what all bundles hold together, with what could not even be opened."""
    counts = Counts(unreadable=Losses(unreadable, unreadable.names))
    for clean, select, encode in zip(cleaned, selected, encoded, strict=True):
        tally = json.loads(clean.out.read_bytes())
        counts.add_tally(tally)
        counts.add_bundle(tally["sources"], rows_of(clean), np.load(select.out),
                          np.load(encode.out))
        counts.contaminated += json.loads(select.out.with_suffix(".json").read_bytes())
    return counts


def _funnel(counts: Counts) -> list[dict[str, Any]]:
    """Return documents and bytes after each stage, the last two being parts of the one before."""
    train, validation, exact, near, contaminated = counts.fates
    kept = train + validation
    read = np.array(list(counts.read.values()) or [[0, 0]]).sum(axis=0)
    rows = {"read": read, "cleaned": kept + contaminated + near + exact,
            "deduplicated": kept + contaminated, "decontaminated": kept,
            "training": train, "validation": validation}
    return [{"stage": stage, **_pair(pair)} for stage, pair in rows.items()]


def _sources(counts: Counts) -> dict[str, dict[str, Any]]:
    table = {}
    for source, read in counts.read.items():
        kept = counts.kept.get(source, [0, 0])
        table[source] = {"read": _pair(read), "kept": _pair(kept), "tokens": counts.tokens[source],
                         "bytes_per_token": _ratio(kept[1], counts.tokens[source])}
    return table


def _dropped(counts: Counts, preset: str) -> dict[str, dict[str, Any]]:
    why = WHY | {rule.code: rule.why for rule in rules_of(preset)}
    whole = sum(documents for documents, _ in counts.read.values())
    return {code: {"why": why.get(code, ""), "share": _ratio(entry["documents"], whole), **entry}
            for code, entry in sorted(counts.dropped.items(),
                                      key=lambda item: (-item[1]["documents"], item[0]))}


def _duplicates(cleaned: Sequence[CleanTask], repeats: Path, counts: Counts) -> dict[str, Any]:
    """Return counts and, for each kind, the first few pairs as examples."""
    found = np.load(repeats, mmap_mode="r")
    bundles = [len(rows_of(task)) for task in cleaned]
    kinds = {}
    for name, kind in (("exact", EXACT), ("near", NEAR)):
        pairs = []
        for later in np.flatnonzero(found["kind"] == kind)[:EXAMPLES].tolist():
            one = _document(cleaned, bundles, later)
            other = _document(cleaned, bundles, int(found["earlier"][later]))
            pairs.append({"name": one["name"], "text": one["text"][:EXCERPT],
                          "earlier_name": other["name"], "earlier_text": other["text"][:EXCERPT]})
        kinds[name] = {**_pair(counts.fates[kind]), "examples": pairs}
    return kinds


def _document(cleaned: Sequence[CleanTask], bundles: Sequence[int], number: int) -> dict[str, str]:
    """Return a document by its number in the build."""
    for task, size in zip(cleaned, bundles, strict=True):
        if number < size:
            return next(document for row, document in enumerate(read_cleaned(task.out))
                        if row == number)
        number -= size
    raise ValueError(f"the build has {number} documents too few")


def _tokens(tokenizer: Tokenizer, written: WrittenShards, counts: Counts) -> dict[str, Any]:
    used, size = written.used, sum(pair[1] for pair in counts.kept.values())
    most = np.argsort(-used, kind="stable")[:MOST]
    return {
        **{part: written.parts.get(part, {"documents": 0, "tokens": 0})
           for part in ("train", "val")},
        "vocab_size": written.vocab_size,
        "end_of_text": written.end_of_text,
        "bytes_per_token": _ratio(size, int(used.sum())),
        "never_used": int((used == 0).sum()),
        "most_frequent": [{"id": int(i), "text": tokenizer.decode([int(i)]), "count": int(used[i])}
                          for i in most if used[i]],
    }


def _versions() -> dict[str, str]:
    found = {"tinygrad_llm": __version__, "Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _add_pair(table: dict[str, list[int]], key: str, documents: int, size: int) -> None:
    entry = table.setdefault(key, [0, 0])
    entry[0] += documents
    entry[1] += size


def _pair(pair: Iterable[int]) -> dict[str, int]:
    documents, size = pair
    return {"documents": int(documents), "bytes": int(size)}


def _ordered(counter: Mapping[str, int]) -> dict[str, int]:
    """Return what was counted at all, the most frequent first."""
    return dict(sorted((item for item in counter.items() if item[1]),
                       key=lambda item: (-item[1], item[0])))


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
