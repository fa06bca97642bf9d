"""The index of a folder of token shards, and how far to believe it: index.json

    {"version": 1, "dtype": "uint16", "vocab_size": 50257, "shard_tokens": 33554432,
     "end_of_text": 50256, "tokenizer_sha256": "...", "unfinished": 0,
     "shards": [{"tokens": 33554432, "documents": 28114, "sha256": "...", "starts_sha256": "..."}]}

Shard number i is `shard-{i:05d}.bin`, and `shard-{i:05d}.starts` beside it. The index never names
a file, so that no index can point outside its folder. All shards but the last hold exactly
`shard_tokens` tokens. `unfinished` counts the tokens of a last document that goes on in a shard
not yet written; it is 0 in the index of a whole folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...host.errors import UserError
from ...host.files import write_in_one_step
from .token_file import FILE_TYPES, LARGEST_VOCABULARY

VERSION = 1
INDEX, PARTIAL = "index.json", "index.partial.json"
LARGEST_SHARD = 2**32  # starts within a shard are uint32


@dataclass(frozen=True)
class ShardSettings:
    """The settings that all shards of a folder share."""

    vocab_size: int
    shard_tokens: int
    end_of_text: int | None = None
    tokenizer_sha256: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for settings that no shards can have."""
        if not _is_count(self.vocab_size) or not 0 < self.vocab_size <= LARGEST_VOCABULARY:
            raise ValueError(f"vocab_size must be in [1, {LARGEST_VOCABULARY}], "
                             f"got {self.vocab_size!r}")
        if not _is_count(self.shard_tokens) or not 0 < self.shard_tokens <= LARGEST_SHARD:
            raise ValueError(f"shard_tokens must be in [1, {LARGEST_SHARD}], "
                             f"got {self.shard_tokens!r}")
        end = self.end_of_text
        if end is not None and not (_is_count(end) and end < self.vocab_size):
            raise ValueError(f"end_of_text must be None or in [0, {self.vocab_size}), got {end!r}")
        if self.tokenizer_sha256 is not None and not _is_digest(self.tokenizer_sha256):
            raise ValueError(f"tokenizer_sha256 must be None or 64 hexadecimal digits, "
                             f"got {self.tokenizer_sha256!r}")

    @property
    def dtype_name(self) -> str:
        """uint16 where the vocabulary allows it, uint32 where not."""
        return "uint16" if self.vocab_size <= 2**16 else "uint32"


@dataclass(frozen=True)
class Shard:
    """The counts and checksums of one shard; `documents` counts those that begin in it."""

    tokens: int
    documents: int
    sha256: str
    starts_sha256: str

    def __post_init__(self) -> None:
        """Raise ValueError for what no shard can be."""
        if not (_is_count(self.tokens) and self.tokens > 0):
            raise ValueError(f"tokens must be a count above 0, got {self.tokens!r}")
        if not (_is_count(self.documents) and self.documents <= self.tokens):
            raise ValueError(f"documents must be in [0, {self.tokens}], got {self.documents!r}")
        if not (_is_digest(self.sha256) and _is_digest(self.starts_sha256)):
            raise ValueError("checksums must be 64 hexadecimal digits")


@dataclass(frozen=True)
class ShardIndex:
    """The settings, the shards in their order, and the tokens of an unfinished last document."""

    settings: ShardSettings
    shards: tuple[Shard, ...]
    unfinished: int = 0


def token_path(folder: Path, number: int) -> Path:
    """Where the ids of shard `number` are."""
    return folder / f"shard-{number:05d}.bin"


def starts_path(folder: Path, number: int) -> Path:
    """Where the positions, within shard `number`, of its documents' first tokens are."""
    return folder / f"shard-{number:05d}.starts"


def write_index(path: Path, index: ShardIndex) -> None:
    """Write `index` in one step."""
    about = {"version": VERSION, "dtype": index.settings.dtype_name, **asdict(index.settings),
             "unfinished": index.unfinished, "shards": [asdict(shard) for shard in index.shards]}
    write_in_one_step(path, [json.dumps(about, indent=1).encode()])


def read_index(path: Path) -> ShardIndex:
    """Return the index at `path`, once the files that it describes have the sizes it says.

    Raises UserError, which names the file at fault, where anything is missing or does not fit.
    """
    try:
        index = _parse_index(json.loads(path.read_bytes(), object_pairs_hook=_without_twins))
    except OSError as error:
        reason = error.strerror or str(error)
    except RecursionError:
        reason = "it nests too deeply"
    except (ValueError, TypeError) as error:
        reason = str(error)
    else:
        _check_sizes(path.parent, index)
        return index
    raise UserError(f"no whole token shards in {path.parent}: {path}: {reason}; "
                    "build the data again")


def _parse_index(about: Any) -> ShardIndex:
    """Return the index that a JSON value describes. Raises ValueError where it is none."""
    fields = _fields(about, {"version", "dtype", "vocab_size", "shard_tokens", "end_of_text",
                             "tokenizer_sha256", "unfinished", "shards"}, "the index")
    version, dtype = fields.pop("version"), fields.pop("dtype")
    unfinished, listed = fields.pop("unfinished"), fields.pop("shards")
    if type(version) is not int or version != VERSION:
        raise ValueError(f"version {version!r} is not known, only {VERSION}")
    settings = ShardSettings(**fields)
    if dtype != settings.dtype_name:
        raise ValueError(f"dtype is {dtype!r} where vocab_size {settings.vocab_size} has "
                         f"{settings.dtype_name!r}")
    if not isinstance(listed, list) or not listed:
        raise ValueError("shards must be a list of one or more")
    keys = {"tokens", "documents", "sha256", "starts_sha256"}
    shards = tuple(Shard(**_fields(one, keys, f"shard {i}")) for i, one in enumerate(listed))
    _check_counts(settings, shards, unfinished)
    return ShardIndex(settings, shards, unfinished)


def _check_counts(settings: ShardSettings, shards: Sequence[Shard], unfinished: Any) -> None:
    for i, shard in enumerate(shards):
        if shard.tokens > settings.shard_tokens or (
                i < len(shards) - 1 and shard.tokens != settings.shard_tokens):
            raise ValueError(f"shard {i} has {shard.tokens} tokens where shard_tokens is "
                             f"{settings.shard_tokens}")
    if not shards[0].documents:
        raise ValueError("no document begins in shard 0")
    if not (_is_count(unfinished) and unfinished <= sum(shard.tokens for shard in shards)):
        raise ValueError(f"unfinished is {unfinished!r}, not a count of tokens")


def _check_sizes(folder: Path, index: ShardIndex) -> None:
    """Raise UserError where a file of the shards is missing or of another size."""
    item = FILE_TYPES[index.settings.dtype_name].itemsize
    for i, shard in enumerate(index.shards):
        for path, size in ((token_path(folder, i), shard.tokens * item),
                           (starts_path(folder, i), shard.documents * 4)):
            try:
                found = path.stat().st_size
            except OSError as error:
                raise UserError(f"{path}: {error.strerror}; copy it again, or build the data "
                                "again") from error
            if found != size:
                raise UserError(f"{path} has {found} bytes where the index says {size}: it was "
                                "cut short or changed; copy it again, or build the data again")


def _fields(value: Any, names: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object")
    if value.keys() != names:
        odd = sorted(value.keys() ^ names)
        raise ValueError(f"{what} has {', '.join(map(repr, odd[:5]))} missing or unknown")
    return dict(value)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
