"""The record of what a run was trained on, in `data.json` of its folder: tokens and tokenizer.

They are described by their content.

Batches are a function of the seed and the step alone, and of the tokens. A run that went on with
other tokens, after its data was built again, would see the same ids with other meanings, without
an error: its loss jumps, its text is garbage. So the tokens' content is compared, wherever they
lie and whatever their folder's name.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ...data.prepared import Prepared, Tokens
from ...data.tokens.shard_index import token_path
from ...data.tokens.shards import ShardedTokens
from ...host.errors import UserError
from ...host.files import sha256_of, write_in_one_step

NAME = "data.json"
PARTS = {"tokenizer": "tokenizer", "train": "tokens to train on", "val": "tokens to validate on"}
READ_WHOLE = 2**28  # bytes of shards; of more, the checksums in their index are taken for them


def describe(data: Prepared) -> dict[str, Any]:
    """Return the hashes of the tokenizer and of the tokens of each part, and how many these are."""
    return {"tokenizer": {"sha256": sha256_of(data.folder / "tokenizer.json"),
                          "size": data.tokenizer.vocab_size},
            "train": _part(data.folder / "train.bin", data.train),
            "val": None if data.validation is None
            else _part(data.folder / "val.bin", data.validation)}


def _part(path: Path, tokens: Tokens) -> dict[str, Any]:
    return {"sha256": _content(tokens) if isinstance(tokens, ShardedTokens) else sha256_of(path),
            "size": len(tokens)}


def _content(tokens: ShardedTokens) -> str:
    digest = hashlib.sha256()
    whole = len(tokens) * tokens.dtype.itemsize <= READ_WHOLE
    for number, shard in enumerate(tokens.shards):
        found = sha256_of(token_path(tokens.folder, number)) if whole else shard.sha256
        digest.update(found.encode())
    return digest.hexdigest()


def write_record(folder: Path, data: Prepared, content: dict[str, Any]) -> None:
    """Write down what the run in `folder` is trained on, `content` being `describe(data)`.

    Raises OSError where it cannot.
    """
    record = {"folder": str(data.folder.absolute()), **content}
    write_in_one_step(folder / NAME, [json.dumps(record, indent=2).encode()])


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of the run in `folder`; None for a run of before there were records.

    Raises UserError where it is damaged.
    """
    path = folder / NAME
    try:
        record = json.loads(path.read_bytes())
        if [*map(type, (record["tokenizer"]["sha256"], record["train"]["sha256"]))] == [str, str]:
            return dict(record)
        reason = "hashes are texts"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error)
    raise UserError(f"{path} is damaged ({reason}); restore it, or remove it if you are sure that "
                    f"the data is what the run was trained on")


def check_record(folder: Path, data: Prepared) -> dict[str, Any]:
    """Return `describe(data)`, for which every token is read.

    Raises UserError, with the difference, where `data` is not what the run was trained on.
    """
    now, record = describe(data), read_record(folder)
    if record is None:  # the run's copy of the tokenizer is all there is
        copy = folder / "tokenizer.json"
        record = {"tokenizer": {"sha256": sha256_of(copy)}} if copy.is_file() else {}
    different = [f"the {name}: {_in_words(record[part])} then, {_in_words(now[part])} now"
                 for part, name in PARTS.items()
                 if part in record and _sha(record[part]) != _sha(now[part])]
    if different:
        raise UserError(f"the data in {data.folder} is not what the run in {folder} was trained "
                        f"on; changed are {'; '.join(different)}. Name its place with --data, "
                        f"make it again as it was, or start another run with --out")
    return now


def check_tokenizer(folder: Path) -> None:
    """Raise UserError where the run's own copy of its tokenizer has changed or is missing."""
    path, record = folder / "tokenizer.json", read_record(folder)
    if record is not None and path.is_file() and sha256_of(path) != record["tokenizer"]["sha256"]:
        raise UserError(f"{path} is not the tokenizer that the run was trained with; copy that one "
                        f"there again, from {record.get('folder')}")


def _sha(part: Any) -> Any:
    return part.get("sha256") if isinstance(part, dict) else None


def _in_words(part: Any) -> str:
    if not isinstance(part, dict):
        return "none"
    size = f"{part['size']:,} " if type(part.get("size")) is int else ""
    return f"{size}({str(part.get('sha256'))[:8]})"
