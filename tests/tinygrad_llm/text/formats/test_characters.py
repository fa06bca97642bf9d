import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import CharTokenizer, load_tokenizer, save_tokenizer
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.algorithms.characters import Characters
from tinygrad_llm.text.decoders import Fuse
from tinygrad_llm.text.formats import characters, kind_of
from tinygrad_llm.text.normalize.normalizers import NFC
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.tokenizer import Tokenizer


@given(st.text(st.characters(exclude_categories=())))
def test_load_undoes_save(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "saved.json"
    tokenizer = CharTokenizer.from_text(text)
    tokenizer.save(path)
    assert kind_of(path) == "characters"
    assert json.loads(path.read_bytes()) == {"type": "char", "characters": sorted(set(text))}
    for again in (characters.load(path), load_tokenizer(path)):
        assert isinstance(again, CharTokenizer) and again.characters == tokenizer.characters


def test_a_file_of_version_0_1(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(
        b'{"type": "char", "characters": ["\\n", " ", "a", "\\u00e9", "\\ud83d"]}')
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        assert load_tokenizer(path).encode("a é\n\ud83d") == [2, 1, 3, 0, 4]
    (tmp_path / "tokenizer.json").write_bytes(b' {"characters": ["a"], "type": "char"}')
    assert load_tokenizer(tmp_path).encode("aa") == [0, 0]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "char.json"
    CharTokenizer.from_text("old").save(path)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        CharTokenizer.from_text("new text").save(path)
    assert os.listdir(tmp_path) == ["char.json"]
    assert CharTokenizer.load(path).characters == tuple("dlo")


@pytest.mark.parametrize("parts", [
    {"normalizer": NFC()}, {"decoder": None}, {"unused": {"xy": 9}},
    {"added": AddedTokens([AddedToken("<|end|>", 9)])}, {"model": BPE({b"a": 0}, [])}])
def test_what_the_file_cannot_say_is_refused(tmp_path: Path, parts: dict[str, object]) -> None:
    tokenizer = Tokenizer(**{"model": Characters("ab"), "decoder": Fuse()} | parts)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="other parts"):
        save_tokenizer(tokenizer, tmp_path / "char.json", "characters")
    save_tokenizer(Tokenizer(Characters("ab"), decoder=Fuse()), tmp_path / "char.json")
    assert load_tokenizer(tmp_path / "char.json").encode("ba") == [1, 0]


def test_other_formats_do_not_hold_characters(tmp_path: Path) -> None:
    for format in ("tiktoken", "gpt2", "bert", "sentencepiece"):
        with pytest.raises(UserError):
            save_tokenizer(CharTokenizer("ab"), tmp_path / "file", format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[1]",
        b"{}",
        b'{"characters": ["a"]}',
        b'{"type": "bpe", "characters": ["a"]}',
        b'{"type": "char"}',
        b'{"type": "char", "characters": "ab"}',
        b'{"type": "char", "characters": ["b", "a"]}',
        b'{"type": "char", "characters": ["ab"]}',
        b'{"type": "char", "characters": [1]}',
        b'{"type": "char", "characters": [["a"]]}',
        b"[" * 100_000,
    ],
)
def test_load_refuses_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "char.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"char\.json cannot be read as a character tokenizer"):
        characters.load(path)
    with pytest.raises(UserError, match=r"char\.json"):
        load_tokenizer(path)


def test_load_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.json cannot be read .* No such file"):
        characters.load(tmp_path / "absent.json")
