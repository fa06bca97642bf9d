"""Shards as they are written: one document after another, gone on with after a stop."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_shards import END, documents_of_ids, row, write

from tinygrad_llm.data.tokens.shard_writer import ShardWriter
from tinygrad_llm.data.tokens.shards import holds_shards, open_shards
from tinygrad_llm.host.errors import UserError


def test_the_tokenizers_file_is_known_again(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(b"abc")
    with ShardWriter(tmp_path / "s", 10, tokenizer=tmp_path / "tokenizer.json") as writer:
        writer.add([1])
    assert open_shards(tmp_path / "s").settings.tokenizer_sha256 == (
        hashlib.sha256(b"abc").hexdigest())
    with pytest.raises(UserError, match=r"cannot read the tokenizer .*absent\.json: No such"):
        ShardWriter(tmp_path / "t", 10, tokenizer=tmp_path / "absent.json")


@pytest.mark.parametrize("ids", [[100], [-1], [1, 2**40]])
def test_ids_outside_the_vocabulary_are_refused(tmp_path: Path, ids: list[int]) -> None:
    writer = ShardWriter(tmp_path, 100)
    with pytest.raises(ValueError, match=r"ids must be in \[0, 100\), got .*wrong tokenizer"):
        writer.add(ids)
    assert writer.documents == writer.tokens == 0


def test_what_is_no_document_is_refused(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 100, 8)
    for wrong in (np.array([0.5]), np.array([[1]]), np.array(["a"])):
        with pytest.raises(ValueError, match=r"integers of shape \(N,\)"):
            writer.add(wrong)
    with pytest.raises(ValueError, match="without ids"):
        writer.add([])
    with pytest.raises(UserError, match="no tokens to write"):
        writer.close()
    writer.add([1])
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.add([1])
    with pytest.raises(UserError, match="already holds token shards"):
        ShardWriter(tmp_path, 100, 8)


@pytest.mark.parametrize("settings", [
    {"vocab_size": 0}, {"vocab_size": 2**31 + 1}, {"shard_tokens": 0}, {"shard_tokens": 2**33},
    {"end_of_text": 100}, {"end_of_text": -1},
])
def test_impossible_settings_are_refused(tmp_path: Path, settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        ShardWriter(tmp_path, **{"vocab_size": 100, **settings})  # type: ignore[arg-type]


@given(documents_of_ids, st.integers(1, 9), st.data())
def test_a_stopped_writer_is_gone_on_with(documents: list[list[int]], size: int,
                                          data: Any) -> None:
    stops = sorted(data.draw(st.lists(st.integers(0, len(documents)), max_size=3)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "s")
        for stop in stops:
            writer = ShardWriter(folder, 100, size, end_of_text=END)
            assert writer.documents <= stop
            for ids in documents[writer.documents:stop]:
                writer.add(ids)
            assert not holds_shards(folder)
            (folder / f".000000.tokens.{'5f' * 8}.tmp").write_bytes(b"killed")
        writer = ShardWriter(folder, 100, size, end_of_text=END)
        for ids in documents[writer.documents:]:
            writer.add(ids)
        assert writer.documents == len(documents) and writer.tokens == len(row(documents)[0])
        writer.close()
        write(Path(name, "at once"), documents, size)
        at_once = {path.name: path.read_bytes() for path in Path(name, "at once").iterdir()}
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == at_once


def stopped(folder: Path) -> None:
    ShardWriter(folder, 100, 4, end_of_text=END).add([1, 2, 3, 4, 5, 6])


def test_going_on_wants_the_same_documents(tmp_path: Path) -> None:
    stopped(tmp_path)
    writer = ShardWriter(tmp_path, 100, 4, end_of_text=END)
    assert (writer.documents, writer.tokens) == (0, 4)
    for other in ([1, 2, 3, 5, 5, 6], [1, 2, 3], [1, 2]):
        with pytest.raises(UserError, match="document 0 is not the one"):
            writer.add(other)
    with pytest.raises(UserError, match="cut off"):
        writer.close()
    writer.add([1, 2, 3, 4, 5, 6])
    writer.close()
    assert open_shards(tmp_path)[:].tolist() == [1, 2, 3, 4, 5, 6, END]


def test_going_on_wants_the_same_settings(tmp_path: Path) -> None:
    stopped(tmp_path)
    for vocab_size, shard_tokens, end in ((101, 4, END), (100, 5, END), (100, 4, None)):
        with pytest.raises(UserError, match="unfinished shards of other settings"):
            ShardWriter(tmp_path, vocab_size, shard_tokens, end_of_text=end)


def test_an_exception_leaves_no_index(tmp_path: Path) -> None:
    def fail() -> None:
        with ShardWriter(tmp_path, 100) as writer:
            writer.add([1])
            raise KeyError("elsewhere")

    with pytest.raises(KeyError, match="elsewhere"):
        fail()
    assert not holds_shards(tmp_path)


@pytest.mark.parametrize("documents", [[[1, 2, 3], [4]], [[1] * 4], [[1] * 30, [2]]])
def test_the_writer_counts_tokens_before_and_after_closing(
        tmp_path: Path, documents: list[list[int]]) -> None:
    with ShardWriter(tmp_path, 100, 5, end_of_text=END) as writer:
        for document in documents:
            writer.add(document)
        before = writer.tokens
    assert writer.tokens == before == len(row(documents)[0]) == len(open_shards(tmp_path))
