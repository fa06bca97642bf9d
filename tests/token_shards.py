"""Shared by tests of token shards: small shards, what they must hold, forged files."""

import hashlib
import json
from pathlib import Path

from hypothesis import strategies as st

from tinygrad_llm.data.tokens.shard_writer import ShardWriter
from tinygrad_llm.data.tokens.shards import ShardedTokens, open_shards

END = 99

documents_of_ids = st.lists(st.lists(st.integers(0, 98), max_size=12), min_size=1, max_size=12)


def write(folder: Path, documents: list[list[int]], shard_tokens: int = 5,
          vocab_size: int = 100) -> ShardedTokens:
    with ShardWriter(folder, vocab_size, shard_tokens, end_of_text=END) as writer:
        for ids in documents:
            writer.add(ids)
    return open_shards(folder)


def row(documents: list[list[int]]) -> tuple[list[int], list[int]]:
    """Return what the shards must hold, in plain Python: the ids, and each one's document."""
    ids = [i for document in documents for i in [*document, END]]
    return ids, [number for number, document in enumerate(documents) for _ in [*document, END]]


def forge(folder: Path, name: str, content: bytes, key: str) -> None:
    """Change a file of shard 0 and its checksum."""
    (folder / name).write_bytes(content)
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0][key] = hashlib.sha256(content).hexdigest()
    (folder / "index.json").write_text(json.dumps(index))
