"""Shards as they are read: one row of ids, the documents in it, the faults of its files."""

import pickle
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_shards import END, documents_of_ids, forge, row, write

from tinygrad_llm.data.tokens.shard_writer import ShardWriter
from tinygrad_llm.data.tokens.shards import open_shards
from tinygrad_llm.host.errors import UserError


@given(documents_of_ids, st.integers(1, 20), st.data())
def test_the_row_of_all_documents(documents: list[list[int]], size: int, data: Any) -> None:
    ids, numbers = row(documents)
    whole = np.array(ids)
    with tempfile.TemporaryDirectory() as folder:
        tokens = write(Path(folder), documents, size)
        assert len(tokens) == len(ids) and tokens.shape == (len(ids),)
        assert tokens.documents == len(documents) and tokens.check(progress=False) == []
        assert tokens[:].tolist() == ids and np.asarray(tokens).tolist() == ids
        assert [shard.tokens for shard in tokens.shards[:-1]] == [size] * (len(tokens.shards) - 1)
        assert tokens.document_of(np.arange(len(ids))).tolist() == numbers
        for number, document in enumerate(documents):
            assert tokens.document(number).tolist() == [*document, END]
        place = st.integers(-len(ids), len(ids) - 1)
        places = np.array(data.draw(st.lists(st.lists(place, min_size=3, max_size=3), max_size=5)),
                          np.int64).reshape(-1, 3)
        assert np.array_equal(tokens[places], whole[places])
        assert np.array_equal(tokens.document_of(places), np.array(numbers)[places])
        assert int(tokens[data.draw(place)]) in ids
        cut = data.draw(st.slices(len(ids)))
        assert tokens[cut].tolist() == ids[cut]


@pytest.mark.parametrize(("vocab_size", "dtype"), [(2**16, np.uint16), (2**16 + 1, np.uint32)])
def test_the_vocabulary_chooses_the_width(tmp_path: Path, vocab_size: int, dtype: Any) -> None:
    with ShardWriter(tmp_path / "s", vocab_size, 4) as writer:
        writer.add(np.array([vocab_size - 1, 0, 1, 2, vocab_size - 1]))
    tokens = open_shards(tmp_path / "s")
    assert tokens[[4, 0]].dtype == dtype and tokens[[0, 4]].tolist() == [vocab_size - 1] * 2
    assert tokens.end_of_text is None and tokens.vocab_size == vocab_size


def test_no_end_of_text_keeps_the_boundaries(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, 10, 3) as writer:
        for ids in ([1], [2, 3, 4, 5, 6, 7, 8], [9]):
            writer.add(ids)
    tokens = open_shards(tmp_path)
    assert tokens.document_of(np.arange(9)).tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 2]
    assert [shard.documents for shard in tokens.shards] == [2, 0, 1]
    assert [tokens.document(i).tolist() for i in range(3)] == [[1], [2, 3, 4, 5, 6, 7, 8], [9]]


def test_threads_and_processes_read_the_same(tmp_path: Path) -> None:
    tokens = write(tmp_path, [[i % 90] * (i % 7) for i in range(200)], 16)
    places = np.random.default_rng(0).integers(0, len(tokens), (40, 50))
    expected = tokens[:][places]
    with ThreadPoolExecutor(4) as pool:
        assert np.array_equal(list(pool.map(tokens.__getitem__, places)), expected)
    sent = pickle.dumps(tokens)
    assert len(sent) < 500
    assert np.array_equal(pickle.loads(sent)[places], expected)


@pytest.mark.parametrize("places", [[17], [-18], [[0, 17]], [0.5], [True]])
def test_positions_outside_are_refused(tmp_path: Path, places: Any) -> None:
    tokens = write(tmp_path, [[1] * 16])
    with pytest.raises(IndexError, match="positions must be"):
        tokens[places]


def test_the_row_is_not_written_to(tmp_path: Path) -> None:
    tokens = write(tmp_path, [[1] * 16])
    tokens[0:3][:] = 7
    assert tokens[:].tolist() == [1] * 16 + [END]
    with pytest.raises(TypeError):
        tokens[0] = 1  # type: ignore[index]
    with pytest.raises(ValueError, match="without being copied"):
        np.array(tokens, copy=False)


def test_unfinished_shards_cannot_be_opened(tmp_path: Path) -> None:
    ShardWriter(tmp_path, 100, 4, end_of_text=END).add([1, 2, 3, 4, 5, 6])
    with pytest.raises(UserError, match=r"index\.json: No such file"):
        open_shards(tmp_path)
    (tmp_path / "index.partial.json").rename(tmp_path / "index.json")
    with pytest.raises(UserError, match="last document is unfinished"):
        open_shards(tmp_path)


@pytest.mark.parametrize("name", ["shard-00001.bin", "shard-00000.starts", "shard-00001.starts"])
def test_a_changed_byte_is_found(tmp_path: Path, name: str) -> None:
    write(tmp_path, [[1] * 8, [2]])
    stored = bytearray((tmp_path / name).read_bytes())
    stored[-2] ^= 1
    (tmp_path / name).write_bytes(stored)
    faults = open_shards(tmp_path).check(progress=False)
    assert any(name in fault and "another checksum" in fault for fault in faults)


def test_forged_ids_are_found(tmp_path: Path) -> None:
    write(tmp_path, [[1, 2], [3]])
    forge(tmp_path, "shard-00000.bin", np.array([1, 2, 9, 100, 9], "<u2").tobytes(), "sha256")
    assert open_shards(tmp_path).check(progress=False) == [
        f"{tmp_path / 'shard-00000.bin'} holds the id 100, outside [0, 100)"]


@pytest.mark.parametrize(("starts", "fault"), [
    ([0, 5], "do not ascend"), ([3, 1], "do not ascend"), ([0, 0], "do not ascend"),
    ([1, 3], "leaves out the first document"),
])
def test_forged_starts_are_found(tmp_path: Path, starts: list[int], fault: str) -> None:
    write(tmp_path, [[1, 2], [3]])
    forge(tmp_path, "shard-00000.starts", np.array(starts, "<u4").tobytes(), "starts_sha256")
    faults = open_shards(tmp_path).check(progress=False)
    assert any(fault in sentence for sentence in faults)


def test_a_copy_is_as_good(tmp_path: Path) -> None:
    write(tmp_path / "a", [[1] * 7, [2]])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert open_shards(tmp_path / "b")[:].tolist() == [1] * 7 + [END, 2, END]


def test_a_file_that_is_none_of_the_shards_is_found(tmp_path: Path) -> None:
    tokens = write(tmp_path, [[1, 2, 3], [4, 5, 6]])
    (tmp_path / ".DS_Store").write_bytes(b"what macOS leaves")
    assert tokens.check(progress=False) == []
    shutil.copy(tmp_path / "shard-00000.bin", tmp_path / "shard-00002.bin")
    (fault,) = tokens.check(progress=False)
    assert "shard-00002.bin does not belong" in fault


def test_an_id_outside_the_vocabulary_is_a_sentence_when_it_is_read(tmp_path: Path) -> None:
    tokens = write(tmp_path, [[1, 2, 3], [4, 5, 6]])
    with open(tmp_path / "shard-00001.bin", "r+b") as file:
        file.write((60_000).to_bytes(2, "little"))
    tokens = open_shards(tmp_path)
    assert tokens[:5].tolist() == [1, 2, 3, END, 4]
    for key in (5, -3, slice(None), np.array([[0, 5]])):
        with pytest.raises(UserError, match=r"hold the id 60000, outside \[0, 100\)"):
            tokens[key]
