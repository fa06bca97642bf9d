"""Text that comes token by token, or in bytes, is the text of all of them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_llm.text import decoders
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.algorithms.char_bpe import CharBPE
from tinygrad_llm.text.normalize.sentencepiece import SentencePieceDecoder
from tinygrad_llm.text.stream import LONGEST_CHARACTER, ByteStream, TokenStream
from tinygrad_llm.text.tokenizer import Tokenizer

MERGES = [(b"a", b"b"), (b" ", b"a"), (b"ab", b"ab"), (b"\xc3", b"\xa9")]
VOCAB = {bytes([b]): b for b in range(256)}
VOCAB.update((left + right, 256 + rank) for rank, (left, right) in enumerate(MERGES))
BYTES = Tokenizer(BPE(VOCAB, MERGES), decoder=decoders.ByteLevel())


@given(st.text(), st.integers(1, 5), st.lists(st.integers(0, 50), max_size=5))
def test_streamed_bytes_are_the_text(text: str, size: int, cuts: list[int]) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    decoder = ByteStream()
    out = [decoder.push(data[a:b]) for a, b in pairwise(places)]
    assert "".join(out) + decoder.finish() == text


def test_an_unfinished_character_is_replaced_or_refused() -> None:
    stream = ByteStream()
    assert [stream.push(b"a\xe4"), stream.push(b"\xb8"), stream.finish()] == ["a", "", "\ufffd"]
    strict = ByteStream("strict")
    strict.push(b"\xe4")
    with pytest.raises(UnicodeDecodeError):
        strict.finish()


@given(st.text(st.sampled_from("ab é中😀\n")), st.lists(st.integers(0, 259)))
def test_streamed_ids_are_the_text(text: str, other: list[int]) -> None:
    for ids in (BYTES.encode(text), other):
        stream = BYTES.stream_decoder()
        whole = BYTES.decode(ids)
        assert "".join(stream.push(id) for id in ids) + stream.finish() == whole


WHOLE = st.lists(st.sampled_from([[0], [1], [2], [3, 4, 5], [6], [7], [8], [9]]), max_size=20)


@given(WHOLE.map(lambda parts: [id for part in parts for id in part]))
def test_streamed_ids_of_other_decoders(ids: list[int]) -> None:
    vocab = {token: id for id, token in enumerate(
        ["a", "▁b", "▁", "<0xE4>", "<0xB8>", "<0xAD>", "é", "▁c", "<0x41>", "d"])}
    t = Tokenizer(CharBPE(vocab, []), decoder=decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
        decoders.Strip(" ", 1, 0)]))
    stream = t.stream_decoder()
    assert "".join(stream.push(id) for id in ids) + stream.finish() == t.decode(ids)


PIECES = ["<s>", "▁", "▁a", "b", "<0xC3>", "<0xA9>", "##c", "d</w>", "é"]


STRIPS_2 = decoders.Sequence(
    (decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 2, 0)))
STRIPS_1 = SentencePieceDecoder(frozenset(["<s>"]), True, "b", " ⁇ ", True, False)


@given(st.lists(st.sampled_from(range(len(PIECES))), max_size=9)
       | st.lists(st.sampled_from([0, 1, 2]), max_size=9), st.sampled_from([
    STRIPS_2,
    decoders.Metaspace(), decoders.WordPiece(), decoders.BPEDecoder(), decoders.Fuse(), None,
    decoders.Sequence((decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0))),
    *[SentencePieceDecoder(frozenset(["<s>"]), True, "b", " ⁇ ", first, every)
      for first in (False, True) for every in (False, True)],
]))
@example([1, 1, 1, 2], STRIPS_2)
@example([1, 0, 2], STRIPS_1)
@example([1] * 200 + [2], STRIPS_1)
@example([2] + [0] * 200 + [2], STRIPS_1)
def test_a_stream_gives_what_decoding_all_gives(
    ids: list[int], decoder: decoders.Decoder | None
) -> None:
    tokenizer = Tokenizer(CharBPE(dict(zip(PIECES, range(99), strict=False)), []), decoder=decoder)
    stream = tokenizer.stream_decoder()
    given = "".join(map(stream.push, ids)) + stream.finish()
    if "\ufffd" not in given:
        assert given == tokenizer.decode(ids)


def test_a_character_comes_with_its_last_byte() -> None:
    stream = BYTES.stream_decoder()
    assert [stream.push(id) for id in "é!".encode()] == ["", "é", "!"]
    vocab = {"<0xE4>": 0, "<0xB8>": 1, "<0xAD>": 2, "a": 3}
    stream = Tokenizer(CharBPE(vocab, []), decoder=decoders.Sequence(
        [decoders.ByteFallback(), decoders.Fuse()])).stream_decoder()
    assert [stream.push(id) for id in (0, 1, 2, 3)] == ["", "", "中", "a"]


def test_bytes_that_make_no_character_are_not_waited_for() -> None:
    vocab = {"<0xE4>": 0, "a": 1}
    tokenizer = Tokenizer(CharBPE(vocab, []), decoder=decoders.Sequence(
        [decoders.ByteFallback(), decoders.Fuse()]))
    stream = tokenizer.stream_decoder()
    given = [stream.push(0) for _ in range(LONGEST_CHARACTER)]
    assert given == ["", "", "", "\ufffd" * LONGEST_CHARACTER] and stream.finish() == ""


def test_an_id_of_no_token_is_refused() -> None:
    for stream in (BYTES.stream_decoder(), TokenStream(BYTES.decode, None)):
        with pytest.raises(ValueError, match="9999"):
            stream.push(9999)
