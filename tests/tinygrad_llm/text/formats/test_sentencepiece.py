import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.algorithms.bpe import BPE as ByteBPE
from tinygrad_llm.text.formats import sentencepiece
from tinygrad_llm.text.formats.sentencepiece import (
    BPE,
    BYTE,
    CHAR,
    CONTROL,
    NORMAL,
    UNIGRAM,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    WORD,
    SentencePieceModel,
    model_bytes,
    model_of,
    parse_model,
    tokenizer_of,
)
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.template import BertProcessing
from tinygrad_llm.text.tokenizer import Tokenizer

PIECES = [
    ("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("▁", -2.0, NORMAL),
    ("a", -2.5, NORMAL), ("b", -3.0, NORMAL), ("ab", -1.5, NORMAL), ("▁ab", -1.0, NORMAL),
    ("<x>", 0.0, USER_DEFINED), ("ba", -1.0, UNUSED),
]  # fmt: skip
BYTES = [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]


def saved(tmp_path: Path, data: bytes) -> Path:
    with open(tmp_path / "m.model", "wb") as file:
        file.write(data)
    return tmp_path / "m.model"


@pytest.mark.parametrize("model_type", [UNIGRAM, BPE])
def test_a_tokenizer(model_type: int, tmp_path: Path) -> None:
    model = SentencePieceModel(PIECES, model_type)
    tokenizer = sentencepiece.load(saved(tmp_path, model_bytes(model)))
    assert tokenizer.encode("ab  ab<x>ba zz") == [7, 7, 8, 5, 4, 3, 0]
    assert tokenizer.decode([7, 7, 8, 5, 4, 3, 0]) == "ab ab<x>ba  ⁇ "
    ids, offsets = tokenizer.encode_with_offsets("ab  ab!")
    assert ids == [7, 7, 0] and offsets.tolist() == [[0, 2], [2, 6], [6, 7]]
    assert tokenizer.special_tokens == {"<unk>": 0, "<s>": 1, "</s>": 2}
    with pytest.raises(UserError, match="<s>"):
        tokenizer.encode("a<s>")
    assert tokenizer.encode("<s>", special="allow") == [1]
    assert tokenizer.vocab_size == len(PIECES)


def test_byte_fallback() -> None:
    tokenizer = tokenizer_of(SentencePieceModel([*PIECES, *BYTES], byte_fallback=True))
    ids = tokenizer.encode("aé")
    assert ids == [3, 4, 10 + 0xC3, 10 + 0xA9] and tokenizer.decode(ids) == "aé"


models = st.builds(
    SentencePieceModel,
    st.lists(
        st.tuples(st.text(min_size=1, max_size=5), st.floats(width=32, allow_nan=False,
                  allow_infinity=False), st.sampled_from([NORMAL, CONTROL, USER_DEFINED, UNUSED])),
        min_size=1, max_size=20, unique_by=lambda piece: piece[0],
    ).map(lambda pieces: [("\0unk", 0.0, UNKNOWN), *pieces]),
    st.sampled_from([UNIGRAM, BPE]), st.just(False), st.booleans(), st.text(max_size=4),
    st.just(b""), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip


@given(models)
def test_reading_undoes_writing(model: SentencePieceModel) -> None:
    assert parse_model(model_bytes(model)) == model
    assert model_of(tokenizer_of(model)) == model


def test_saving_undoes_loading(tmp_path: Path) -> None:
    for model in (
        SentencePieceModel([*PIECES, *BYTES], byte_fallback=True, add_dummy_prefix=False),
        SentencePieceModel(PIECES, BPE, treat_whitespace_as_suffix=True),
    ):
        sentencepiece.save(tokenizer_of(model), tmp_path / "again.model")
        assert model_of(sentencepiece.load(tmp_path / "again.model")) == model


def test_defaults_are_the_formats() -> None:
    """A field that is not there has the value that the format says, not zero."""
    model = parse_model(b"\x0a\x05\x0a\x01a\x18\x02")
    assert model == SentencePieceModel([("a", 0.0, UNKNOWN)], UNIGRAM)
    assert model.add_dummy_prefix and model.remove_extra_whitespaces and model.escape_whitespaces
    assert model.unk_surface == " ⁇ "


def test_unknown_fields_are_skipped_and_the_last_value_counts() -> None:
    extra = b"\xa2\x06\x03abc" + b"\xa9\x06" + b"8bytes!!" + b"\xad\x064byt" + b"\xa0\x06\x96\x01"
    piece = b"\x0a\x01x\x0a\x01a\x18\x01\x18\x02" + extra
    message = b"\x0a" + bytes([len(piece)]) + piece + extra
    assert parse_model(message).pieces == [("a", 0.0, UNKNOWN)]


def hostile() -> dict[str, tuple[bytes, str]]:
    def of(pieces: list[tuple[str, float, int]], **settings: object) -> bytes:
        return model_bytes(SentencePieceModel(pieces, **settings))  # type: ignore[arg-type]

    whole = of(PIECES)
    return {
        "empty": (b"", "no pieces"),
        "text": (b"{}", r"no SentencePiece model"),
        "cut": (whole[:-3], "are left; it is cut short"),
        "huge length": (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "are left"),
        "endless number": (b"\x0a" + b"\xff" * 20, "does not end"),
        "field 0": (b"\x00\x00", "field 0"),
        "group": (b"\x0b\x0c", "wire type 3"),
        "number for a message": (b"\x08\x01", "a number stands where a message"),
        "number for a piece": (b"\x0a\x02\x08\x01", "number where bytes are expected"),
        "score as text": (b"\x0a\x05\x0a\x01a\x12\x00", "0 bytes, not 4"),
        "type as text": (b"\x0a\x06\x0a\x01a\x1a\x01b", "field 3 is no number"),
        "no UTF-8": (b"\x0a\x03\x0a\x01\xff", "no SentencePiece model"),
        "word model": (of(PIECES, model_type=WORD), "the type word; only unigram and bpe"),
        "char model": (of(PIECES, model_type=CHAR), "the type char; only unigram and bpe"),
        "other model": (of(PIECES, model_type=9), "the type number 9"),
        "twice": (of([*PIECES, PIECES[4]]), "'a' is listed twice"),
        "empty piece": (of([*PIECES, ("", 0.0, NORMAL)]), "piece 10 is empty"),
        "no number": (of([*PIECES, ("c", float("nan"), NORMAL)]), "has the score nan"),
        "other type": (of([*PIECES, ("c", 0.0, 7)]), "has the type 7"),
        "two unknown": (of([*PIECES, ("c", 0.0, UNKNOWN)]), "has 2 unknown pieces"),
        "no unknown": (whole.replace(b"\x18\x02", b"\x18\x03", 1), "has 0 unknown pieces"),
        "few bytes": (of([*PIECES, *BYTES[:9]], byte_fallback=True), "there are 9 byte pieces"),
        "stray bytes": (of([*PIECES, *BYTES]), "byte_fallback is False, but there are 256"),
        "map": (of(PIECES, charsmap=b"\x01\x02"), "precompiled map"),
        "denormalizer": (whole + b"\x2a\x03\x12\x01x", "denormalizer"),
    }


@pytest.mark.parametrize("name", hostile())
def test_hostile_files_are_refused(name: str, tmp_path: Path) -> None:
    data, message = hostile()[name]
    with pytest.raises(UserError, match=f"m.model cannot be read .*{message}"):
        sentencepiece.load(saved(tmp_path, data))


@given(st.binary(max_size=40), st.data())
def test_damage_is_refused_or_read(noise: bytes, data: st.DataObject) -> None:
    """No bytes lead to another exception than UserError."""
    whole = model_bytes(SentencePieceModel(PIECES))
    at = data.draw(st.integers(0, len(whole)))
    for damaged in (noise, whole[:at] + noise + whole[at:], whole[:at] + whole[at + 1 :]):
        try:
            ids = tokenizer_of(parse_model(damaged)).encode("ab ba", special="text")
        except UserError:
            continue
        assert all(type(id) is int and id >= 0 for id in ids)


def test_other_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.model cannot be read .* No such file"):
        sentencepiece.load(tmp_path / "absent.model")
    bytewise = Tokenizer(ByteBPE({bytes([byte]): byte for byte in range(256)}, []))
    with pytest.raises(UserError, match="only a tokenizer that was read from"):
        sentencepiece.save(bytewise, tmp_path / "m.model")
    assert not (tmp_path / "m.model").exists()


@pytest.mark.parametrize("parts", [
    {"added": AddedTokens([AddedToken("<unk>", 0), AddedToken("<new>", 10)])},
    {"added": AddedTokens()}, {"unused": {"<new>": 10}},
    {"template": BertProcessing(sep=("</s>", 2), cls=("<s>", 1))},
])
def test_what_a_model_cannot_say_is_refused(parts: dict[str, Any]) -> None:
    known = tokenizer_of(SentencePieceModel(PIECES))
    usual = {"model": known.model, "normalizer": known.normalizer, "decoder": known.decoder,
             "added": known.added}
    assert model_of(Tokenizer(**usual)).pieces == PIECES  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no template, and no special tokens but its unknown"):
        model_of(Tokenizer(**{**usual, **parts}))  # type: ignore[arg-type]


def test_scores_are_float32() -> None:
    model = parse_model(model_bytes(SentencePieceModel([("a", -0.1, UNKNOWN)])))
    assert model.pieces[0][1] == struct.unpack("<f", struct.pack("<f", -0.1))[0]
