"""A file's content shows its kind; what a kind leaves open, and only that, can be said."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import decoders
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.algorithms.wordpiece import WordPiece
from tinygrad_llm.text.char_tokenizer import CharTokenizer
from tinygrad_llm.text.characters.alphabet import BYTE_ORDER, BYTE_TO_CHAR
from tinygrad_llm.text.cut.patterns import GPT2
from tinygrad_llm.text.formats import (
    LOADERS,
    SAVERS,
    kind_of,
    load_tokenizer,
    save_tokenizer,
    tiktoken,
)
from tinygrad_llm.text.formats.sentencepiece import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    SentencePieceModel,
    model_bytes,
)
from tinygrad_llm.text.normalize.normalizers import NFC
from tinygrad_llm.text.tokenizer import Tokenizer

BYTES = {bytes([b]): b for b in range(256)}
PIECES = [("<unk>", 0.0, UNKNOWN), ("</s>", 0.0, CONTROL), ("a", -1.0, NORMAL)]
BERT = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##aff\nÉ\ne\n"


def huggingface_file(path: Path) -> None:
    save_tokenizer(Tokenizer(BPE(BYTES, []), decoder=decoders.ByteLevel()), path)


def gpt2_files(path: Path) -> None:
    path.write_text(json.dumps({BYTE_TO_CHAR[b]: i for i, b in enumerate(BYTE_ORDER)}))
    (path.parent / "merges.txt").write_text("#version: 0.2\n")


def tekken_file(path: Path) -> None:
    vocab = [{"rank": i, "token_bytes": base64.b64encode(bytes([i])).decode()} for i in range(256)]
    path.write_text(json.dumps({"config": {
        "pattern": GPT2, "default_vocab_size": 276, "default_num_special_tokens": 20,
        "version": "v3"}, "vocab": vocab}))


WRITERS: list[tuple[str, str, Callable[[Path], object]]] = [
    ("huggingface", "tokenizer.json", huggingface_file), ("gpt2", "vocab.json", gpt2_files),
    ("characters", "tokenizer.json", lambda path: CharTokenizer("ab").save(path)),
    ("tekken", "tekken.json", tekken_file),
    ("tiktoken", "ranks", lambda path: path.write_bytes(tiktoken.spell_ranks(BYTES))),
    ("bert", "vocab.txt", lambda path: path.write_text(BERT, encoding="utf-8")),
    ("sentencepiece", "tokenizer.model",
     lambda path: path.write_bytes(model_bytes(SentencePieceModel(PIECES)))),
]


@pytest.mark.parametrize("kind, name, write", WRITERS)
def test_the_content_shows_the_kind(
    kind: str, name: str, write: Callable[[Path], object], tmp_path: Path
) -> None:
    write(tmp_path / name)
    assert kind_of(tmp_path / name) == kind
    pattern = "gpt2" if kind == "tiktoken" else None
    tokenizer = load_tokenizer(tmp_path / name, pattern)
    assert tokenizer.decode(tokenizer.encode("a"))
    if kind != "tiktoken":  # a rank file has no name that a folder would show
        assert load_tokenizer(tmp_path).encode("a") == tokenizer.encode("a")
    assert kind in LOADERS and {kind for kind, _, _ in WRITERS} == LOADERS.keys()
    if kind != "gpt2":  # whose two files find each other by name
        (tmp_path / name).rename(tmp_path / "renamed")
        assert kind_of(tmp_path / "renamed") == kind


def test_the_merges_lead_to_the_vocabulary(tmp_path: Path) -> None:
    gpt2_files(tmp_path / "vocab.json")
    assert kind_of(tmp_path / "merges.txt") == "gpt2"
    assert load_tokenizer(tmp_path / "merges.txt").encode("!") == [0]
    (tmp_path / "other").write_text("#version: 0.2\na b\n")
    assert kind_of(tmp_path / "other") == "gpt2"


def test_in_a_folder_the_fullest_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text(BERT, encoding="utf-8")
    assert isinstance(load_tokenizer(tmp_path).model, WordPiece)
    gpt2_files(tmp_path / "vocab.json")
    assert load_tokenizer(tmp_path).vocab_size == 256
    CharTokenizer("ab").save(tmp_path / "tokenizer.json")
    assert load_tokenizer(tmp_path).vocab_size == 2


@pytest.mark.parametrize("content", [b"", b"   ", b"two words\n", b"\0\1\2", b"IQ==\t0 1 2\n"])
def test_what_is_of_no_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UserError, match=r"file is no tokenizer of a known kind: a tokenizer\.json"):
        load_tokenizer(tmp_path / "file")


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no tokenizer: expected tokenizer.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(UserError, match=r"absent cannot be read: No such file"):
        kind_of(tmp_path / "absent")


def test_what_a_file_leaves_open_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text(BERT, encoding="utf-8")
    for path in (tmp_path, tmp_path / "vocab.txt"):
        assert load_tokenizer(path, lowercase=False).encode("É") == [7]
        assert load_tokenizer(path, lowercase=True).encode("É") == [8]
        with pytest.raises(UserError, match="the kind bert, .* where text is cut; leave out"):
            load_tokenizer(path, "gpt2")
    ranks = tmp_path / "ranks"
    ranks.write_bytes(tiktoken.spell_ranks(BYTES))
    own = load_tokenizer(ranks, "gpt2", special_tokens={"<a>": 256})
    assert own.encode("a<a>", special="allow") == [97, 256]
    with pytest.raises(UserError, match="the kind tiktoken, .* lowercased; leave out the lower"):
        load_tokenizer(ranks, "gpt2", lowercase=True)


def test_save_takes_the_format_that_fits_or_the_one_that_is_named(tmp_path: Path) -> None:
    ranks = Tokenizer(BPE(BYTES, []), decoder=decoders.ByteLevel())
    for tokenizer, kind in ((ranks, "huggingface"), (CharTokenizer("ab"), "characters")):
        tokenizer.save(tmp_path / "file")
        assert kind_of(tmp_path / "file") == kind
        assert Tokenizer.load(tmp_path / "file").encode("ab") == tokenizer.encode("ab")
    with pytest.raises(UserError, match=f"saved as 'pickle'; known are {', '.join(SAVERS)}"):
        save_tokenizer(ranks, tmp_path / "pickled", "pickle")
    with pytest.raises(UserError, match=r"save a tokenizer\.json"):
        Tokenizer(BPE(BYTES, []), normalizer=NFC()).save(tmp_path / "ranks", "tiktoken")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
