from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.characters.alphabet import printable
from tinygrad_llm.text.decoders import (
    BLOCK,
    FEW,
    BPEDecoder,
    ByteFallback,
    ByteLevel,
    ByteTable,
    Decoder,
    Fuse,
    Metaspace,
    Replace,
    Sequence,
    Strip,
    WordPiece,
    decode,
    decode_bytes,
)

LLAMA = Sequence((Replace("▁", " "), ByteFallback(), Fuse(), Strip(" ", 1, 0)))
texts = st.text(st.characters(exclude_categories=("Cs",)))


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[i:j] for i, j in pairwise(bounds)]


@given(st.binary(max_size=20), st.lists(st.integers(0, 20)))
def test_byte_level_returns_the_bytes(data: bytes, cuts: list[int]) -> None:
    tokens = [printable(piece) for piece in in_pieces(data, cuts)]
    assert decode_bytes(ByteLevel(), tokens) == data
    for errors in ("replace", "ignore", "backslashreplace", "surrogateescape"):
        assert decode(ByteLevel(), tokens, errors) == data.decode("utf-8", errors)


@given(st.binary(max_size=20))
def test_byte_fallback_returns_the_bytes(data: bytes) -> None:
    tokens = [f"<0x{byte:02X}>" for byte in data]
    for decoder, expected in ((ByteFallback(), data), (LLAMA, data.removeprefix(b" "))):
        assert decode_bytes(decoder, tokens) == expected
        for errors in ("ignore", "backslashreplace"):
            assert decode(decoder, tokens, errors) == expected.decode("utf-8", errors)


@pytest.mark.parametrize("decoder", [ByteLevel(), LLAMA])
def test_strict_raises(decoder: Decoder) -> None:
    tokens = ["Ã"] if decoder is not LLAMA else ["<0xC3>"]
    with pytest.raises(UnicodeDecodeError):
        decode(decoder, tokens, "strict")


def test_byte_level_takes_other_tokens_as_they_are() -> None:
    assert decode(ByteLevel(), ["ĠÃ", "©", "<s>"]) == " é<s>"
    assert decode(ByteLevel(), ["Ġ", "中 Ġ", "Ġ"]) == " 中 Ġ "
    assert ByteLevel()([]) == [""]


def test_byte_fallback_replaces_each_byte_of_a_broken_run() -> None:
    assert ByteFallback()(["a", "<0xE4>", "<0xB8>", "<0xAD>", "b"]) == ["a", "中", "b"]
    assert ByteFallback()(["<0x61>", "<0xE4>", "b", "<0xff>"]) == ["�", "�", "b", "�"]
    assert decode(ByteFallback(), ["<0x61>", "<0xE4>", "b"], "ignore") == "ab"
    others = ["<0xZZ>", "<0x1>", "<0x111>", "<0x 1>", "0x11", "<0x-1>", "<0x1_>"]
    assert ByteFallback()(others) == others


def test_the_chain_of_llama_2() -> None:
    assert decode(LLAMA, ["▁Hello", "▁", "<0xE4>", "<0xB8>", "<0xAD>", "▁x"]) == "Hello 中 x"
    assert decode(LLAMA, ["▁▁a"]) == " a"
    assert decode_bytes(LLAMA, ["▁a", "<0xE4>"]) == b"a\xe4"


def test_word_piece() -> None:
    tokens = ["##a", "b", "##c", ".", "don", "'", "t", "do not", "##"]
    assert "".join(WordPiece()(tokens)) == "##a bc. don ' t don't"
    assert "".join(WordPiece(cleanup=False)(tokens)) == "##a bc . don ' t do not"
    assert WordPiece("")(["a", "b"]) == ["a", "b"]
    assert WordPiece()(["a", "n't", "'s", "'m", "'ve", "'re", "?", "!", ","]) == [
        "a", "n't", "'s", "'m", "'ve", "'re", "?", "!", ","]


def test_metaspace() -> None:
    tokens = ["▁▁Hey", "▁friend", "▁"]
    assert Metaspace()(tokens) == Metaspace(prepend_scheme="first")(tokens)
    assert Metaspace()(tokens) == ["Hey", " friend", " "]
    assert Metaspace(prepend_scheme="never")(tokens) == ["  Hey", " friend", " "]
    assert Metaspace("_")(["_a_", "b_"]) == ["a", "b "]


def test_bpe_decoder() -> None:
    assert BPEDecoder()(["a", "b</w>", "c</w>d</w>"]) == ["a", "b ", "cd"]
    assert BPEDecoder("#")(["a#"]) == ["a"] and BPEDecoder()([]) == []


@pytest.mark.parametrize(("token", "start", "stop", "stripped"), [
    ("HHaHH", 1, 0, "HaHH"), ("HHaHH", 3, 1, "aH"), ("HHaHH", 0, 9, "HHa"), ("HHH", 1, 1, "H"),
    ("HH", 2, 2, ""), ("aH", 1, 0, "aH"), ("", 1, 1, ""),
])  # fmt: skip
def test_strip(token: str, start: int, stop: int, stripped: str) -> None:
    assert Strip("H", start, stop)([token, "b"]) == [stripped, "b"]


def test_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match="one character"):
        Strip("ab", 1, 0)
    with pytest.raises(UserError, match="pattern"):
        Replace("[", "", is_regex=True)


def test_replace_and_fuse() -> None:
    assert Replace("▁", " ")(["▁a", "b▁▁"]) == [" a", "b  "]
    assert Replace(r"\s+", "_", is_regex=True)(["a  b", "\n"]) == ["a_b", "_"]
    assert Fuse()(["a", "b"]) == ["ab"] and Fuse()([]) == [""]


@given(st.lists(st.text(st.sampled_from("▁ab </w>#é")), max_size=5))
def test_a_sequence_is_one_after_the_other(tokens: list[str]) -> None:
    assert Sequence((Fuse(), BPEDecoder()))(tokens) == BPEDecoder()(Fuse()(tokens))
    assert Sequence(())(tokens) == tokens


@given(st.dictionaries(st.integers(0, 300) | st.integers(0, 2**31 - 1),
                       st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
                       | st.binary(max_size=5).map(printable), min_size=1),
       st.data())
def test_a_table_gathers_what_tokens_stand_for(tokens: dict[int, str], data: st.DataObject) -> None:
    literal = data.draw(st.sets(st.sampled_from(sorted(tokens.values()))))
    table = ByteTable(tokens, literal)
    ids = data.draw(st.lists(st.sampled_from(sorted(tokens)), max_size=20)) * data.draw(
        st.sampled_from([1, FEW, BLOCK]))
    wanted = b"".join(
        tokens[id].encode() if tokens[id] in literal else decode_bytes(ByteLevel(), [tokens[id]])
        for id in ids)
    assert table.join(np.array(ids, np.int64)) == wanted
    wrong = data.draw(st.integers(-300, 2**31 + 9).filter(lambda id: id not in tokens))
    for many in ([*ids, wrong], [*ids, wrong, *sorted(tokens)] * FEW):
        with pytest.raises(KeyError) as caught:
            table.join(np.array(many, np.int64))
        assert caught.value.args == (wrong,)


def test_bytes_go_through_one_decoder_after_the_other() -> None:
    decoder = Sequence((ByteFallback(), ByteLevel()))
    assert decode_bytes(decoder, ["<0xE9>", "Ã", "中"]) == b"\xe9\xc3" + "中".encode()


@given(st.lists(st.sampled_from(["a", "##a", "<0x41>", "▁a", ".", " .", "n't", "a</w>", "aa"])))
def test_equal_tokens_become_equal_strings(tokens: list[str]) -> None:
    """Each is worked out once, so the order and the first and the last are what may go wrong."""
    assert Replace("a", "b")(tokens) == [token.replace("a", "b") for token in tokens]
    assert Metaspace()(tokens) == [t.replace("▁", " " if i else "") for i, t in enumerate(tokens)]
    words = WordPiece(cleanup=False)(tokens)
    assert words == [t if i == 0 else t[2:] if t[:2] == "##" else " " + t
                     for i, t in enumerate(tokens)]
    assert WordPiece()(tokens) == [WordPiece()([w])[0] for w in words]
    assert "".join(ByteFallback()(tokens)) == "".join(tokens).replace("<0x41>", "A")
