"""The character tokenizer is a Tokenizer like any other."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import CharTokenizer, Tokenizer, encode_batch, encode_file

any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates too


@given(any_text, st.data())
def test_decode_undoes_encode(source: str, data: st.DataObject) -> None:
    tokenizer = CharTokenizer.from_text(source)
    assert tokenizer.characters == tuple(sorted(set(source)))
    assert tokenizer.vocab_size == len(set(source))
    text = data.draw(st.text(st.sampled_from(tokenizer.characters))) if source else ""
    ids = tokenizer.encode(text)
    assert isinstance(ids, list) and ids == [tokenizer.characters.index(c) for c in text]
    assert tokenizer.decode(ids) == tokenizer.decode(np.array(ids, np.uint16)) == text
    stream = tokenizer.stream_decoder()
    assert "".join([*map(stream.push, ids), stream.finish()]) == text
    array, offsets = tokenizer.encode_to_array(text), tokenizer.encode_with_offsets(text)[1]
    assert array.dtype == np.int32 and array.tolist() == ids
    assert offsets.tolist() == [[i, i + 1] for i in range(len(text))]


def test_two_lone_surrogates_stay_two_characters() -> None:
    halves = "\ud83d\ude00"
    tokenizer = CharTokenizer.from_text(halves + "\U0001f600\r\n\0")
    assert tokenizer.vocab_size == 6
    assert tokenizer.decode(tokenizer.encode(halves)) == halves
    assert tokenizer.decode(tokenizer.encode("\U0001f600\r\n\0")) == "\U0001f600\r\n\0"


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


def test_characters_must_be_sorted() -> None:
    with pytest.raises(ValueError, match="characters must be sorted"):
        CharTokenizer("ba")


def test_batches_files_and_tokens(tmp_path: Path) -> None:
    tokenizer = CharTokenizer.from_text("abc\n")
    assert encode_batch(tokenizer, ["ab", "", "c\n"]) == [[1, 2], [], [3, 0]]
    (tmp_path / "text").write_bytes(b"cab\n" * 100)
    ids = np.concatenate(list(encode_file(tokenizer, tmp_path / "text")))
    assert ids.tolist() == [3, 1, 2, 0] * 100
    assert tokenizer.token(3) == "c" and tokenizer.id("\n") == 0
    assert tokenizer.special_tokens == {}


def test_a_text_begins_on_a_new_line_or_with_the_first_character() -> None:
    assert CharTokenizer.from_text("ab\n").beginning() == [0]
    assert CharTokenizer.from_text("\tab\n").beginning() == [1]
    assert CharTokenizer.from_text("ba").beginning() == [0]


def test_save_and_load(tmp_path: Path) -> None:
    tokenizer = CharTokenizer.from_text("banana")
    tokenizer.save(tmp_path / "char.json")
    for again in (CharTokenizer.load(tmp_path / "char.json"),
                  Tokenizer.load(tmp_path / "char.json")):
        assert isinstance(again, CharTokenizer) and again.characters == ("a", "b", "n")
    (tmp_path / "other.json").write_text('{"model": {}}')
    with pytest.raises(UserError, match="character tokenizer"):
        CharTokenizer.load(tmp_path / "other.json")


def test_a_large_text_is_encoded_in_arrays() -> None:
    tokenizer, text = CharTokenizer.from_text("ab\n"), "ab\n" * 2_000_000
    tokenizer.encode_to_array(text[:3])
    start = time.process_time()
    assert tokenizer.encode_to_array(text)[-3:].tolist() == [1, 2, 0]
    assert time.process_time() - start < 1  # 0.04 s; character by character it would be some 2 s
