from pathlib import Path

import numpy as np
import pytest

from tinygrad_llm.data.prepared import bpe_of, is_prepared, open_prepared, open_tokenizer, prepare
from tinygrad_llm.data.tokens.shard_writer import ShardWriter
from tinygrad_llm.data.tokens.shards import ShardedTokens
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.decoders import ByteLevel
from tinygrad_llm.text.tokenizer import Tokenizer

DOCUMENTS = [f"the {i}th naïve café: {i * i} €\n" for i in range(40)]


def save_tokenizer(path: Path, kind: str) -> Tokenizer:
    if kind == "char":
        CharTokenizer.from_text("".join(DOCUMENTS)).save(path)
    else:
        vocab = {bytes([b]): b for b in range(256)} | {b"th": 256, b"the": 257}
        Tokenizer(BPE(vocab, [(b"t", b"h"), (b"th", b"e")]),
                  decoder=ByteLevel()).save(path)
    return open_tokenizer(path)


def write_part(folder: Path, tokenizer: Tokenizer, documents: list[str]) -> None:
    with ShardWriter(folder, tokenizer.vocab_size, 64,
                     tokenizer=folder.parent / "tokenizer.json") as writer:
        for document in documents:
            writer.add(tokenizer.encode(document))


@pytest.fixture(params=["char", "bpe"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    tokenizer = save_tokenizer(tmp_path / "tokenizer.json", request.param)
    write_part(tmp_path / "train", tokenizer, DOCUMENTS[:35])
    write_part(tmp_path / "val", tokenizer, DOCUMENTS[35:])
    return tmp_path


def test_shards_are_opened_with_their_tokenizer(folder: Path) -> None:
    assert is_prepared(folder)
    data = open_prepared(folder)
    assert isinstance(data.train, ShardedTokens) and isinstance(data.validation, ShardedTokens)
    assert data.tokenizer.decode(data.train[:]) == "".join(DOCUMENTS[:35])
    assert data.tokenizer.decode(data.validation[:]) == "".join(DOCUMENTS[35:])
    data.copy_tokenizer(folder / "copy.json")
    assert (folder / "copy.json").read_bytes() == (folder / "tokenizer.json").read_bytes()


def test_validation_may_be_missing_but_not_damaged(folder: Path) -> None:
    (folder / "val" / "index.json").rename(folder / "index.json")
    with pytest.raises(UserError, match=r"val/index\.json"):
        open_prepared(folder)
    for path in (folder / "val").iterdir():
        path.unlink()
    (folder / "val").rmdir()
    assert open_prepared(folder).validation is None


def test_another_tokenizer_is_refused(folder: Path) -> None:
    with open(folder / "tokenizer.json", "a") as file:
        file.write(" ")
    with pytest.raises(UserError, match=r"tokenizer\.json is not the tokenizer that .*train"):
        open_prepared(folder)


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tokenizer.json", "char")
    with ShardWriter(tmp_path / "train", 7) as writer:
        writer.add(np.arange(7))
    with pytest.raises(UserError, match="vocabulary of 7 where"):
        open_prepared(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"[" * 100_000, b"[]", b"{}", b"1", b"\xff",
                                     b'{"model": 1}', b'{"model": {"type": "no"}}'])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(UserError, match=r"tokenizer\.json.*prepare the data again"):
        open_tokenizer(tmp_path / "tokenizer.json")


def test_a_text_is_prepared_as_its_characters(tmp_path: Path) -> None:
    text = "".join(DOCUMENTS)
    data = prepare(text, tmp_path / "a" / "b", context=8)
    assert data.validation is not None and data.folder == tmp_path / "a" / "b"
    assert len(data.train) == int(0.9 * len(text))
    assert data.tokenizer.decode([*data.train, *data.validation]) == text
    again = open_prepared(tmp_path / "a" / "b")
    assert np.array_equal(again.train, data.train) and is_prepared(tmp_path / "a" / "b")


@pytest.mark.parametrize("name", ["train.bin", "val.bin"])
def test_ids_that_the_tokenizer_has_not_are_refused(tmp_path: Path, name: str) -> None:
    size = prepare("".join(DOCUMENTS), tmp_path, context=8).tokenizer.vocab_size
    tokens = np.memmap(tmp_path / name, "<u2", "r+")
    tokens[3] = size - 1
    open_prepared(tmp_path)
    tokens[3] = size
    tokens.flush()
    with pytest.raises(UserError, match=rf"{name} holds the id {size}, outside \[0, {size}\)"):
        open_prepared(tmp_path)


def test_a_part_shorter_than_a_window_is_trained_on(tmp_path: Path) -> None:
    assert prepare("abcdefghij" * 2, tmp_path, context=1).validation is not None  # 18 and 2
    data = prepare("abcdefghij" * 2, tmp_path, context=2)
    assert data.validation is None and len(data.train) == 20
    assert not (tmp_path / "val.bin").exists(), "of the preparation before"


def test_too_short_a_text_leaves_nothing(tmp_path: Path) -> None:
    assert len(prepare("abcdefghi", tmp_path / "a", context=8).train) == 9
    with pytest.raises(UserError, match="8 tokens, too few: .* context 8 and its targets need 9"):
        prepare("abcdefgh", tmp_path / "b", context=8)
    assert not (tmp_path / "b").exists() and not is_prepared(tmp_path / "b")


def test_a_preparation_that_was_stopped_is_none(tmp_path: Path) -> None:
    prepare("".join(DOCUMENTS), tmp_path, context=8)
    (tmp_path / "tokenizer.json").unlink()  # it is written last
    assert not is_prepared(tmp_path)


def test_a_text_is_prepared_with_bpe_that_its_training_part_makes(tmp_path: Path) -> None:
    text = "".join(DOCUMENTS) + " \u2603\u2603" * 30  # which are in the last tenth only
    data = prepare(text, tmp_path, 8, bpe_of(text, 280))
    assert data.tokenizer.vocab_size == 280 and data.validation is not None
    assert data.tokenizer.decode([*data.train, *data.validation]) == text
    assert not any("\u2603" in data.tokenizer.decode([i]) for i in range(256, 280))
    assert len(data.train) < 0.6 * len(text)
