"""The index of a folder of shards, and how far it is believed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from token_shards import forge, write

from tinygrad_llm.data.tokens.shard_index import (
    Shard,
    ShardIndex,
    ShardSettings,
    read_index,
    starts_path,
    token_path,
    write_index,
)
from tinygrad_llm.data.tokens.shards import open_shards
from tinygrad_llm.host.errors import UserError


@pytest.mark.parametrize("name", ["shard-00001.bin", "shard-00000.starts"])
def test_missing_and_cut_files_are_named(tmp_path: Path, name: str) -> None:
    tokens = write(tmp_path, [[1] * 8, [2]])
    stored = (tmp_path / name).read_bytes()
    for content, fault in ((stored[:-1], "cut short"), (stored + b"\0", "cut short"),
                           (None, "No such file")):
        if content is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name}.*{fault}.*build the data again"):
            open_shards(tmp_path)
        if content is None:
            assert [name in sentence for sentence in tokens.check(progress=False)] == [True]
        # A mapped file that was cut must not be read: opening it again finds the fault.
        (tmp_path / name).write_bytes(stored)
    assert open_shards(tmp_path).check(progress=False) == []


def change(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda index: {**index, **fields}


def change_shard(number: int, **fields: Any) -> Callable[[dict[str, Any]], Any]:
    def changed(index: dict[str, Any]) -> Any:
        index["shards"][number].update(fields)
        return index

    return changed


@pytest.mark.parametrize("forged", [
    lambda index: [], lambda index: None, lambda index: 1, lambda index: {},
    lambda index: {key: index[key] for key in index if key != "shards"},
    change(more=1), change(version=2), change(version=True), change(version="1"),
    change(dtype="uint32"), change(dtype=[]), change(vocab_size=0), change(vocab_size=2**40),
    change(vocab_size=100.0), change(vocab_size="100"), change(vocab_size=None),
    change(shard_tokens=0), change(shard_tokens=-5), change(shard_tokens=4),
    change(shard_tokens=6), change(end_of_text=100), change(end_of_text="x"),
    change(tokenizer_sha256=1), change(tokenizer_sha256="../x"), change(unfinished=-1),
    change(unfinished=1000), change(unfinished=None), change(unfinished=False),
    change(unfinished=1), change(shards=[]),
    change(shards={}), change(shards=[1]), change(shards=None),
    change_shard(0, tokens=4), change_shard(0, tokens=-5), change_shard(1, tokens=10**30),
    change_shard(0, documents=-1), change_shard(0, documents=6), change_shard(0, documents=0),
    change_shard(0, sha256=None), change_shard(1, starts_sha256="A" * 64),
    change_shard(1, tokens=True), change_shard(0, path="../../etc/passwd"),
])
def test_a_hostile_index_is_refused(tmp_path: Path, forged: Callable[[Any], Any]) -> None:
    write(tmp_path, [[1] * 7, [2]])
    index = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(forged(index)))
    with pytest.raises(UserError, match="build the data again"):
        open_shards(tmp_path)


@pytest.mark.parametrize("content", [
    b"", b"\xff", b"[" * 100_000, b'{"version": 1, "version": 1}', b"1" * 5000, b"NaN",
])
def test_an_index_that_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, [[1]])
    (tmp_path / "index.json").write_bytes(content)
    with pytest.raises(UserError, match=r"index\.json: .*build the data again"):
        open_shards(tmp_path)


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [[1]])
    stored = (tmp_path / "index.json").read_text()
    (tmp_path / "index.json").write_text(stored.replace("{", '{"version": 1, ', 1))
    with pytest.raises(UserError, match="a key occurs twice"):
        open_shards(tmp_path)


def test_a_row_that_begins_with_no_document_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [[1]])
    forge(tmp_path, "shard-00000.starts", b"", "starts_sha256")
    index = json.loads((tmp_path / "index.json").read_text())
    index["shards"][0]["documents"] = 0
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="no document begins in shard 0"):
        open_shards(tmp_path)


def index_of(*tokens: int) -> ShardIndex:
    shards = tuple(Shard(count, 1, "0" * 64, "f" * 64) for count in tokens)
    return ShardIndex(ShardSettings(70_000, 5, end_of_text=3), shards)


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    index = index_of(5, 2)
    for number, shard in enumerate(index.shards):
        token_path(tmp_path, number).write_bytes(b"\0" * 4 * shard.tokens)
        starts_path(tmp_path, number).write_bytes(b"\0" * 4 * shard.documents)
    write_index(tmp_path / "index.json", index)
    assert read_index(tmp_path / "index.json") == index
    about = json.loads((tmp_path / "index.json").read_text())
    assert (about["version"], about["dtype"], about["unfinished"]) == (1, "uint32", 0)
    assert token_path(tmp_path, 1).name == "shard-00001.bin"
    assert starts_path(tmp_path, 123_456).name == "shard-123456.starts"


@pytest.mark.parametrize("vocab_size, name", [(1, "uint16"), (2**16, "uint16"),
                                              (2**16 + 1, "uint32"), (2**31, "uint32")])
def test_the_vocabulary_chooses_the_type(vocab_size: int, name: str) -> None:
    assert ShardSettings(vocab_size, 1).dtype_name == name


@pytest.mark.parametrize("wrong", [
    {"tokens": 0}, {"tokens": 2.0}, {"documents": 3}, {"documents": -1}, {"sha256": "0" * 63},
    {"sha256": "G" * 64}, {"starts_sha256": None}])
def test_what_no_shard_can_be_is_refused(wrong: dict[str, Any]) -> None:
    sound = {"tokens": 2, "documents": 1, "sha256": "0" * 64, "starts_sha256": "0" * 64}
    Shard(**sound)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be"):
        Shard(**{**sound, **wrong})
