from pathlib import Path

import numpy as np
import pytest

from tinygrad_llm.data.prepared import is_prepared, open_prepared, open_tokenizer
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
