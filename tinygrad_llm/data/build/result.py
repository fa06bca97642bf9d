"""The folder that a build leaves: its report read, its documents shown, its files checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...host.errors import UserError
from ...host.files import sha256_of
from ...text.tokenizer import Tokenizer
from ..tokens.shards import holds_shards, open_shards

PAGE = "report.html"
SAMPLES = 3
SAMPLE_TOKENS = 120
QUICK = 2**28  # bytes of shards, half a second of SHA-256


def seal(report: Mapping[str, Any]) -> str:
    """Return the checksum of a report, its own left out, however it is laid out in its file."""
    rest = {name: value for name, value in report.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_finished(out: Path) -> dict[str, Any] | None:
    """Return the report of a finished build. Raises UserError for a folder that is no build's."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give --out a folder")
    try:
        report = json.loads((out / "report.json").read_bytes())
        if isinstance(report, dict) and isinstance(report.get("key"), str):
            return report
    except FileNotFoundError:
        if (out / "work" / "lock").exists() or not out.is_dir() or not any(out.iterdir()):
            return None
    except (ValueError, RecursionError):
        pass
    raise UserError(f"{out} holds files that no build has left; give --out another folder")


def read_report(folder: Path) -> dict[str, Any]:
    """Return the report of a built folder. Raises UserError where it is missing or changed."""
    path = folder / "report.json"
    try:
        report = json.loads(path.read_bytes())
        if isinstance(report, dict) and report.get("sha256") == seal(report):
            return report
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); is {folder} a folder that "
                        f"'tinygrad-llm data build' has finished?") from error
    except (ValueError, RecursionError):
        pass
    raise UserError(f"{path} is not as it was written; build the data again")


def samples(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the beginnings of a few documents of the training part, evenly apart, and a title."""
    tokens = open_shards(folder / "train")
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    last = tokens.documents - 1
    for number in sorted({last * i // max(SAMPLES - 1, 1) for i in range(SAMPLES)}):
        ids = tokens.document(number)
        text = tokenizer.decode(ids[:SAMPLE_TOKENS].tolist())
        more = "..." if len(ids) > SAMPLE_TOKENS else ""
        yield f"document {number:,} of {tokens.documents:,}, {len(ids):,} tokens", text + more


def is_built(folder: Path) -> bool:
    """Whether a build has finished in `folder`, whatever has happened to its files since."""
    try:
        report = json.loads((folder / "report.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(report, dict) and {"key", "files", "sha256"} <= report.keys()


def faults(folder: Path, thorough: bool = True) -> list[str]:
    """Return a sentence for every fault; reads all files.

    Each file is compared with its checksum, the shards with their indices, these with the report
    and the tokenizer. Unless `thorough`, files that training does without are left out, and shards
    of more than QUICK bytes are compared by their sizes only.
    """
    try:
        report = read_report(folder)
    except UserError as error:
        return [str(error)]
    found = []
    for name, digest in report["files"].items():
        if not thorough and name == PAGE:
            continue
        try:
            if sha256_of(folder / name) != digest:
                found.append(f"{folder / name} has another checksum than the report says: it was "
                             "changed")
        except OSError as error:
            found.append(f"{folder / name} cannot be read: {error.strerror}")
    try:
        tokenizer = Tokenizer.load(folder / "tokenizer.json")
        if tokenizer.vocab_size != report["tokens"]["vocab_size"]:
            found.append(f"{folder / 'tokenizer.json'} has {tokenizer.vocab_size} ids where the "
                         f"report says {report['tokens']['vocab_size']}")
    except UserError as error:
        found.append(str(error))
    for part in ("train", "val"):
        found += _part_faults(folder / part, report["tokens"][part], report["files"], thorough)
    return found


def _part_faults(part: Path, expected: dict[str, int], digests: dict[str, str], thorough: bool
                 ) -> list[str]:
    if not expected["documents"]:
        return [f"{part} holds shards that the report does not know"] if holds_shards(part) else []
    try:
        tokens = open_shards(part)
    except UserError as error:
        return [str(error)]
    whole = thorough or len(tokens) * tokens.dtype.itemsize <= QUICK
    found = tokens.check(progress=False) if whole else []
    if (len(tokens), tokens.documents) != (expected["tokens"], expected["documents"]):
        found.append(f"{part} has {len(tokens)} tokens of {tokens.documents} documents where the "
                     f"report says {expected['tokens']} of {expected['documents']}")
    if tokens.settings.tokenizer_sha256 != digests["tokenizer.json"]:
        found.append(f"{part} was made with another tokenizer than the report's")
    return found
