import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import CharTokenizer

any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates too


@given(any_text, st.data())
def test_decode_undoes_encode(source: str, data: st.DataObject) -> None:
    tokenizer = CharTokenizer.from_text(source)
    text = data.draw(st.text(st.sampled_from(tokenizer.characters))) if source else ""
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32 and ids.shape == (len(text),)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids.tolist()) == text


@given(any_text)
def test_ids_number_the_sorted_characters(text: str) -> None:
    tokenizer = CharTokenizer.from_text(text)
    assert tokenizer.characters == tuple(sorted(set(text)))
    assert tokenizer.vocab_size == len(set(text))
    assert tokenizer.encode(text).tolist() == [tokenizer.characters.index(c) for c in text]


def test_two_lone_surrogates_stay_two_characters() -> None:
    halves = "\ud83d\ude00"
    tokenizer = CharTokenizer.from_text(halves + "\U0001f600\r\n\0")
    assert tokenizer.vocab_size == 6
    assert tokenizer.decode(tokenizer.encode(halves)) == halves
    assert tokenizer.decode(tokenizer.encode("\U0001f600\r\n\0")) == "\U0001f600\r\n\0"


def test_unseen_characters_are_named() -> None:
    tokenizer = CharTokenizer.from_text("abc")
    with pytest.raises(UserError) as caught:
        tokenizer.encode("ab\U0001f600cé\U0001f600")
    message = str(caught.value)
    assert "'\U0001f600' (U+1F600)" in message and "'é' (U+00E9)" in message
    assert "2 of the text's characters" in message and "3 known" in message
    assert "the first, '\U0001f600' (U+1F600), is at position 2" in message


def test_many_unseen_characters_are_cut_short() -> None:
    with pytest.raises(UserError, match=r"'e' \(U\+0065\) and 2 more; the first, 'g'"):
        CharTokenizer.from_text("x").encode("gfedcba")


def test_an_unseen_lone_surrogate_is_named() -> None:
    with pytest.raises(UserError, match=r"'\\ud800' \(U\+D800\)"):
        CharTokenizer.from_text("abc").encode("a\ud800")


@pytest.mark.parametrize("wrong", [3, -1, 2**40])
def test_decode_refuses_ids_out_of_range(wrong: int) -> None:
    with pytest.raises(ValueError, match=rf"id {wrong} at position 1 is not in \[0, 3\)"):
        CharTokenizer.from_text("abc").decode([0, wrong])


def test_decode_refuses_other_shapes_and_kinds() -> None:
    tokenizer = CharTokenizer.from_text("abc")
    with pytest.raises(ValueError, match=r"shape \(N,\), got \(1, 2\)"):
        tokenizer.decode(np.array([[0, 1]]))
    with pytest.raises(ValueError, match="integers, got float64"):
        tokenizer.decode(np.array([0.0]))
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode(np.array([2, 0], np.uint16)) == "ca"


@pytest.mark.parametrize("characters", ["ba", "aa", ["ab"], [""], [1]])
def test_characters_must_be_single_sorted_distinct(characters: list[str]) -> None:
    with pytest.raises(ValueError, match="characters must be"):
        CharTokenizer(characters)


@given(any_text)
def test_load_undoes_save(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "saved.json"
    tokenizer = CharTokenizer.from_text(text)
    tokenizer.save(path)
    assert json.loads(path.read_bytes())["type"] == "char"
    assert CharTokenizer.load(path).characters == tokenizer.characters


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
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(UserError, match="prepare the data again"):
        CharTokenizer.load(path)


def test_load_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.json cannot be read .* No such file"):
        CharTokenizer.load(tmp_path / "absent.json")
