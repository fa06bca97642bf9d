import hashlib
import json
import pickle
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.tokens.shard_writer import ShardWriter
from tinygrad_llm.data.tokens.shards import ShardedTokens, holds_shards, open_shards
from tinygrad_llm.host.errors import UserError

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


def test_the_tokenizers_file_is_known_again(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(b"abc")
    with ShardWriter(tmp_path / "s", 10, tokenizer=tmp_path / "tokenizer.json") as writer:
        writer.add([1])
    assert open_shards(tmp_path / "s").settings.tokenizer_sha256 == (
        hashlib.sha256(b"abc").hexdigest())
    with pytest.raises(UserError, match=r"cannot read the tokenizer .*absent\.json: No such"):
        ShardWriter(tmp_path / "t", 10, tokenizer=tmp_path / "absent.json")


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


def test_unfinished_shards_cannot_be_opened(tmp_path: Path) -> None:
    stopped(tmp_path)
    with pytest.raises(UserError, match=r"index\.json: No such file"):
        open_shards(tmp_path)
    (tmp_path / "index.partial.json").rename(tmp_path / "index.json")
    with pytest.raises(UserError, match="last document is unfinished"):
        open_shards(tmp_path)


def test_an_exception_leaves_no_index(tmp_path: Path) -> None:
    def fail() -> None:
        with ShardWriter(tmp_path, 100) as writer:
            writer.add([1])
            raise KeyError("elsewhere")

    with pytest.raises(KeyError, match="elsewhere"):
        fail()
    assert not holds_shards(tmp_path)


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
        # A mapped file that was cut cannot be asked: reading it again tells.
        (tmp_path / name).write_bytes(stored)
    assert open_shards(tmp_path).check(progress=False) == []


@pytest.mark.parametrize("name", ["shard-00001.bin", "shard-00000.starts", "shard-00001.starts"])
def test_a_changed_byte_is_found(tmp_path: Path, name: str) -> None:
    write(tmp_path, [[1] * 8, [2]])
    stored = bytearray((tmp_path / name).read_bytes())
    stored[-2] ^= 1
    (tmp_path / name).write_bytes(stored)
    faults = open_shards(tmp_path).check(progress=False)
    assert any(name in fault and "another checksum" in fault for fault in faults)


def forge(folder: Path, name: str, content: bytes, key: str) -> None:
    """Change a file of shard 0 and its checksum."""
    (folder / name).write_bytes(content)
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0][key] = hashlib.sha256(content).hexdigest()
    (folder / "index.json").write_text(json.dumps(index))


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


def test_a_copy_is_as_good(tmp_path: Path) -> None:
    write(tmp_path / "a", [[1] * 7, [2]])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert open_shards(tmp_path / "b")[:].tolist() == [1] * 7 + [END, 2, END]


@pytest.mark.parametrize("documents", [[[1, 2, 3], [4]], [[1] * 4], [[1] * 30, [2]]])
def test_the_writer_counts_tokens_before_and_after_closing(
        tmp_path: Path, documents: list[list[int]]) -> None:
    with ShardWriter(tmp_path, 100, 5, end_of_text=END) as writer:
        for document in documents:
            writer.add(document)
        before = writer.tokens
    assert writer.tokens == before == len(row(documents)[0]) == len(open_shards(tmp_path))


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
    assert tokens[:5].tolist() == [1, 2, 3, END, 4]
    for key in (5, -3, slice(None), np.array([[0, 5]])):
        with pytest.raises(UserError, match=r"hold the id 60000, outside \[0, 100\)"):
            tokens[key]
