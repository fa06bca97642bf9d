"""The plan of a build: its settings, and its input, known by content."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ... import __version__
from ...host.errors import UserError
from ...host.files import sha256_of, write_in_one_step
from ...text.cut.patterns import PATTERNS, splitter
from ...text.formats import kind_of, load_tokenizer, save_tokenizer
from ..read.gather import STDIN, Unit, find_units, standard_input
from ..read.text_pieces import CHUNK, Losses
from ..select.decontaminate import Decontaminator
from ..select.rules import rules_of
from ..tokens.shard_writer import SHARD_TOKENS
from .resumable import Crew, key_of
from .tasks import FileState, file_state

SLICE_BYTES = 2**24  # bytes of a file from which on it is read in slices, which may cut a long text
BUNDLE_BYTES = 2**22  # bytes of input that are worked on at a time


@dataclass(frozen=True)
class BuildSettings:
    """All that a build is determined by, besides the content of its files."""

    sources: tuple[str, ...]
    tokenizer: str | None = None  # a file or folder; None: one is trained
    vocab_size: int = 8192  # of the one that is trained
    pattern: str = "gpt2"  # what it splits text by
    rules: str = "light"
    languages: tuple[str, ...] = ()  # that are kept; none: all
    keep_pii: bool = False
    near_duplicates: float | None = 0.8  # Jaccard similarity from which on; None: exact ones only
    decontaminate: tuple[str, ...] = ()  # evaluation files whose text must not be trained on
    validation_share: float = 0.01
    shard_tokens: int = SHARD_TOKENS
    seed: int = 0
    text_key: str | None = None  # the field of JSON lines and tables that holds the text

    def __post_init__(self) -> None:
        """Raise UserError for what no build can have."""
        near, share = self.near_duplicates, self.validation_share
        for name, holds, expected in [
            ("sources", bool(self.sources), "at least one file, folder, or 'shakespeare'"),
            ("near-duplicates", near is None or 0 < near <= 1, "in (0, 1]"),
            ("validation-share", 0 <= share < 1, "in [0, 1)"),
            ("shard-tokens", 1 <= self.shard_tokens <= 2**32, "in [1, 2**32]"),
            ("seed", 0 <= self.seed < 2**64, "in [0, 2**64)"),
            ("vocab-size", 256 < self.vocab_size <= 2**20, "in [257, 2**20]: the 256 bytes and "
                                                           "the end of a text are always in it"),
        ]:
            if not holds:
                value = getattr(self, name.replace("-", "_"))
                raise UserError(f"{name} must be {expected}; got {value!r}")


def check_settings(settings: BuildSettings) -> None:
    """Raise UserError now for what would otherwise be found wrong after hours of cleaning."""
    rules_of(settings.rules)
    if settings.decontaminate:
        Decontaminator(settings.decontaminate)
    if settings.tokenizer is not None:
        load_tokenizer(settings.tokenizer)
    elif settings.pattern.isalnum() and settings.pattern not in PATTERNS:
        raise UserError(f"unknown pattern {settings.pattern!r}; it can be {', '.join(PATTERNS)}, "
                        "or a regular expression")
    else:
        splitter(settings.pattern)


def describe_difference(done: dict[str, Any], settings: BuildSettings) -> str:
    """Return in words how a finished build differs from the one that is asked for."""
    before, now = done.get("settings", {}), json.loads(json.dumps(asdict(settings)))
    names = [name for name in now if before.get(name) != now[name]]
    if not names:
        return "other input: files have changed since, or the program has"
    return "other settings: " + ", ".join(
        f"{name.replace('_', '-')} {before.get(name)!r} instead of {now[name]!r}" for name in names)


class Bundle(NamedTuple):
    """Units that are worked on together, known by their content, and their size in bytes."""

    key: str
    size: int
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class Plan:
    """The work to do, all input known by its content."""

    settings: BuildSettings
    work: Path
    bundles: tuple[Bundle, ...]
    states: dict[str, FileState]  # of the files, before they were read for their digests
    input: str  # a key of all units' content
    unreadable: Losses
    tokenizer: Path | None  # the given one, as a file of ours
    evaluation: str  # a key of the evaluation files' content

    @property
    def key(self) -> str:
        """A name for all that decides the result."""
        given = None if self.tokenizer is None else sha256_of(self.tokenizer)
        return key_of(__version__, asdict(self.settings), self.input, given, self.evaluation)


def make_plan(settings: BuildSettings, work: Path, crew: Crew) -> Plan:
    """Find the input, read it once for its digests, and cut it into bundles."""
    unreadable = Losses()
    found = [_copied_if_stdin(unit, work) for unit in find_units(
        settings.sources, unreadable, unit_bytes=SLICE_BYTES, without=work.parent)]
    paths = sorted({unit.path for unit in found})
    states = {path: file_state(path) for path in paths}
    sizes = {path: state[0] if state else 0 for path, state in states.items()}
    digests = {}
    with (crew.progress_bar("looking", sum(sizes.values())) as bar,
          ThreadPoolExecutor(crew.workers) as pool):
        for path, digest in zip(paths, pool.map(_digest_if_any, paths), strict=True):
            digests[path] = digest
            bar.update(sizes[path])
    keys = {unit: key_of(unit.source, _path_for_key(unit), unit.kind, unit.start, unit.end,
                         digests[unit.path]) for unit in found}
    bundles = (Bundle(key_of([keys[unit] for unit in together]), size, together)
               for size, together in _bundles(found, sizes))
    return Plan(settings, work, tuple(bundles), states, key_of(list(keys.values())), unreadable,
                _given_tokenizer(settings, work), _evaluation_key(settings))


def _digest_if_any(path: str) -> str | None:
    """Return a file's digest, None for one that cannot be read, which the cleaning will count."""
    try:
        return sha256_of(path)
    except OSError:
        return None


def _evaluation_key(settings: BuildSettings) -> str:
    """Return a key of the evaluation files' content."""
    if not settings.decontaminate:
        return key_of()
    return key_of([sha256_of(unit.path) for unit in find_units(settings.decontaminate)])


def _copied_if_stdin(unit: Unit, work: Path) -> Unit:
    """Return the unit itself; for standard input, which can be read once only, that of a copy."""
    if unit.path != STDIN:
        return unit
    path, stream = work / "stdin", standard_input()
    beginning = stream.read(CHUNK)
    write_in_one_step(path, chain([beginning], iter(lambda: stream.read(CHUNK), b"")))
    kind = "jsonl" if beginning.lstrip()[:1] == b"{" else unit.kind
    return replace(unit, path=str(path), kind=kind)


def _path_for_key(unit: Unit) -> str:
    """Return what a unit's path is called, wherever the work folder is."""
    return STDIN if unit.source == STDIN else unit.path


def _bundles(found: Sequence[Unit], sizes: dict[str, int]
             ) -> Iterable[tuple[int, tuple[Unit, ...]]]:
    """Yield bundles of units in their order, with their size in bytes."""
    parts = Counter(unit.path for unit in found)
    bundle: list[Unit] = []
    total = 0
    for unit in found:
        size = sizes[unit.path] // parts[unit.path]  # parts of one file are alike
        if bundle and total + size > BUNDLE_BYTES:
            yield total, tuple(bundle)
            bundle, total = [], 0
        bundle.append(unit)
        total += size
    if bundle:
        yield total, tuple(bundle)


def _given_tokenizer(settings: BuildSettings, work: Path) -> Path | None:
    """Return the given tokenizer as a tokenizer.json, unchanged where it is one; None without.

    Raises UserError where a tokenizer.json cannot say what it does.
    """
    if settings.tokenizer is None:
        return None
    given, path = Path(settings.tokenizer), work / "given-tokenizer.json"
    file = given / "tokenizer.json" if given.is_dir() else given
    if file.is_file() and kind_of(file) == "huggingface":
        write_in_one_step(path, [file.read_bytes()])
        return path
    try:
        save_tokenizer(load_tokenizer(given), path, "huggingface")
    except UserError as error:
        raise UserError(f"a built folder keeps its tokenizer as a tokenizer.json, which {given} "
                        f"cannot become: {error}; give another --tokenizer") from error
    return path
