r"""SentencePiece's `.model` files: a protocol buffer, read and written here by hand.

**Wire format** (protobuf.dev, "Encoding"). A message is a row of fields, each a key and a value.
The key is a varint, field number * 8 + wire type; a varint has seven bits a byte, the lowest first,
and bit 7 says that more follow. The values' types are

    0  varint        1  8 bytes        2  length as a varint, and so many bytes        5  4 bytes

Strings, bytes and messages in messages are of type 2. Of a field that is named twice the last one
counts, repeated ones all, and fields with unknown numbers are skipped.

**ModelProto** (sentencepiece_model.proto):

    1 pieces, repeated      1 piece: string   2 score: float   3 type: see TYPES
    2 trainer_spec          3 model_type: 1 unigram, 2 BPE   24 treat_whitespace_as_suffix
                            35 byte_fallback   44 unk_surface
    3 normalizer_spec       2 precompiled_charsmap   3 add_dummy_prefix
                            4 remove_extra_whitespaces   5 escape_whitespaces
    5 denormalizer_spec     2 precompiled_charsmap

The files' rules for text are in `normalize/sentencepiece`, the models in `unigram`, `scored_bpe`.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...host.errors import UserError
from ...host.files import write_in_one_step
from ..algorithms.scored_bpe import ScoredBPE
from ..algorithms.unigram import UNKNOWN_PENALTY, Unigram
from ..normalize.sentencepiece import SentencePieceDecoder, SentencePieceNormalizer
from ..special import AddedToken, AddedTokens
from ..template import lays_out
from ..tokenizer import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = TYPES = range(1, 7)
UNIGRAM, BPE, WORD, CHAR = 1, 2, 3, 4
MODEL_TYPES = {UNIGRAM: "unigram", BPE: "bpe", WORD: "word", CHAR: "char"}
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
UNK_SURFACE = " ⁇ "
BYTE_PIECES = frozenset(f"<0x{byte:02X}>" for byte in range(256))

Value = int | bytes
Message = dict[int, Value]  # the fields of a message by their numbers
Piece = tuple[str, float, int]  # piece, score, type


@dataclass(frozen=True)
class SentencePieceModel:
    """The content of a `.model` file, as far as encoding and decoding need it."""

    pieces: list[Piece]
    model_type: int = UNIGRAM
    byte_fallback: bool = False
    treat_whitespace_as_suffix: bool = False
    unk_surface: str = UNK_SURFACE
    charsmap: bytes = field(default=b"", repr=False)
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True

    def of_type(self, *types: int) -> dict[str, int]:
        """Return the pieces of these types and their ids."""
        return {piece: id for id, (piece, _, type) in enumerate(self.pieces) if type in types}


def load(path: str | Path) -> Tokenizer:
    """Return the tokenizer in the `.model` file `path`.

    Raises UserError where the file cannot be read, is damaged, or asks for unknown parts.
    """
    try:
        return tokenizer_of(parse_model(Path(path).read_bytes()))
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    raise UserError(f"{path} cannot be read as a SentencePiece model: {reason}")


def save(tokenizer: Tokenizer, path: str | Path) -> None:
    """Write `tokenizer`, of the kind that `tokenizer_of` makes, to `path` in one step.

    Raises UserError where it has parts that a `.model` file cannot hold.
    """
    write_in_one_step(path, [model_bytes(model_of(tokenizer))])


def tokenizer_of(model: SentencePieceModel) -> Tokenizer:
    """Return the tokenizer of `model`, with control and unknown pieces as special tokens.

    Raises UserError where the model contradicts itself.
    """
    _check(model)
    unk_piece, unk_id = next(iter(model.of_type(UNKNOWN).items()))
    hidden = model.of_type(CONTROL)
    added = [AddedToken(piece, id) for piece, id in (model.of_type(UNKNOWN) | hidden).items()]
    normalizer = SentencePieceNormalizer(
        model.charsmap, model.add_dummy_prefix, model.remove_extra_whitespaces,
        model.escape_whitespaces, model.treat_whitespace_as_suffix,
        tuple(model.of_type(USER_DEFINED)),
    )  # fmt: skip
    decoder = SentencePieceDecoder(
        frozenset(hidden), model.byte_fallback, unk_piece, model.unk_surface,
        model.add_dummy_prefix, model.remove_extra_whitespaces,
    )  # fmt: skip
    return Tokenizer(_model_of_pieces(model, unk_id), normalizer=normalizer, decoder=decoder,
                     added=AddedTokens(added))


def _model_of_pieces(model: SentencePieceModel, unk_id: int) -> Unigram | ScoredBPE:
    scored = [(piece, score) for piece, score, _ in model.pieces]
    never = set(model.of_type(UNKNOWN, CONTROL, BYTE).values())
    always, unused = model.of_type(USER_DEFINED).values(), set(model.of_type(UNUSED).values())
    if model.model_type == BPE:
        return ScoredBPE(scored, unk_id, byte_fallback=model.byte_fallback, unmatched=never,
                         always=always, unused=unused)  # fmt: skip
    lowest = min((score for _, score, type in model.pieces if type == NORMAL), default=0.0)
    return Unigram(scored, unk_id, byte_fallback=model.byte_fallback, unmatched=never | unused,
                   always=always, unknown_score=_single(lowest - UNKNOWN_PENALTY),
                   single_precision=True)  # fmt: skip


def _single(value: float) -> float:
    """Return `value` rounded to float32."""
    return struct.unpack("<f", struct.pack("<f", value))[0]  # type: ignore[no-any-return]


def model_of(tokenizer: Tokenizer) -> SentencePieceModel:
    """Return the content of the `.model` file of `tokenizer`; UserError where there is none."""
    model, normalizer, decoder = tokenizer.model, tokenizer.normalizer, tokenizer.decoder
    if (
        not isinstance(model, Unigram | ScoredBPE)
        or not isinstance(normalizer, SentencePieceNormalizer)
        or not isinstance(decoder, SentencePieceDecoder)
        or tokenizer.pre_tokenizer is not None
    ):
        raise UserError(
            "only a tokenizer that was read from, or built as, a SentencePiece model can be "
            "written as one; save this one as tokenizer.json"
        )
    own = {AddedToken(piece, id) for id, (piece, _) in enumerate(model.pieces)
           if id == model.unk_id or piece in decoder.hidden}
    if lays_out(tokenizer.template) or tokenizer.unused or set(tokenizer.added.tokens) != own:
        raise UserError("a SentencePiece model has no template, and no special tokens but its "
                        "unknown and control pieces; save a tokenizer.json instead")
    return SentencePieceModel(
        [(piece, score, _type_of(id, piece, model, decoder))
         for id, (piece, score) in enumerate(model.pieces)],
        BPE if isinstance(model, ScoredBPE) else UNIGRAM, model.byte_fallback,
        normalizer.as_suffix, decoder.unk_surface, normalizer.charsmap, normalizer.add_dummy_prefix,
        normalizer.remove_extra_whitespaces, normalizer.escape_whitespaces)


def _type_of(
    id: int, piece: str, model: Unigram | ScoredBPE, decoder: SentencePieceDecoder
) -> int:
    """Return the type of one of the model's pieces."""
    if id == model.unk_id:
        return UNKNOWN
    if id in model.always:
        return USER_DEFINED
    if piece in decoder.hidden:
        return CONTROL
    if isinstance(model, ScoredBPE) and id in model.unused:
        return UNUSED
    if id in model.unmatched:
        return BYTE if decoder.byte_pieces and piece in BYTE_PIECES else UNUSED
    return NORMAL


def _check(model: SentencePieceModel) -> None:
    """Raise UserError where `model` contradicts itself or asks for unknown parts."""
    kind = MODEL_TYPES.get(model.model_type, f"number {model.model_type}")
    if model.model_type not in (UNIGRAM, BPE):
        raise UserError(f"it is a model of the type {kind}; only unigram and bpe can be read")
    if not model.pieces:
        raise UserError("it has no pieces; it is cut short, or no SentencePiece model")
    for id, (piece, score, type) in enumerate(model.pieces):
        if not piece:
            raise UserError(f"piece {id} is empty; the file is damaged")
        if not math.isfinite(score):
            raise UserError(f"piece {id}, {piece!r}, has the score {score}; the file is damaged")
        if type not in TYPES:
            raise UserError(f"piece {id}, {piece!r}, has the type {type}; known are 1 to 6")
    twice = [p for p, n in Counter(piece for piece, _, _ in model.pieces).items() if n > 1]
    if twice:
        raise UserError(f"the piece {twice[0]!r} is listed twice; the file is damaged")
    unknown, in_bytes = model.of_type(UNKNOWN), model.of_type(BYTE)
    if len(unknown) != 1:
        raise UserError(f"it has {len(unknown)} unknown pieces; exactly one is needed")
    if set(in_bytes) != (BYTE_PIECES if model.byte_fallback else set()):
        raise UserError(
            f"byte_fallback is {model.byte_fallback}, but there are {len(in_bytes)} byte pieces; "
            "it takes <0x00> to <0xFF>, all or none"
        )


# Reading


def parse_model(data: bytes) -> SentencePieceModel:
    """Return the content of the bytes of a `.model` file; UserError where they are none."""
    try:
        pieces, trainer, normalizer, denormalizer = _messages(data)
        if _bytes(denormalizer, 2):
            raise UserError("it has a denormalizer, which is not supported")
        return SentencePieceModel(
            pieces,
            _int(trainer, 3, UNIGRAM),
            bool(_int(trainer, 35, 0)),
            bool(_int(trainer, 24, 0)),
            _bytes(trainer, 44, UNK_SURFACE.encode()).decode(),
            _bytes(normalizer, 2),
            bool(_int(normalizer, 3, 1)),
            bool(_int(normalizer, 4, 1)),
            bool(_int(normalizer, 5, 1)),
        )
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{error}; it is cut short, damaged, or no SentencePiece model") from error


def _messages(data: bytes) -> tuple[list[Piece], Message, Message, Message]:
    """Return the pieces and the three specs; a spec that comes twice has the fields of both."""
    pieces: list[Piece] = []
    specs: dict[int, Message] = {2: {}, 3: {}, 5: {}}
    for number, value in _fields(data):
        if number == 1:
            pieces.append(_piece(_message(value)))
        elif number in specs:
            specs[number].update(_message(value))
    return pieces, specs[2], specs[3], specs[5]


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Yield the numbers and values of a message's fields; ValueError where it is none."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ValueError(f"field 0 at byte {at}")
        value: Value
        if wire_type == VARINT:
            value, at = _varint(data, at)
        else:
            if wire_type == LENGTH:
                size, at = _varint(data, at)
            elif wire_type in (EIGHT_BYTES, FOUR_BYTES):
                size = 8 if wire_type == EIGHT_BYTES else 4
            else:
                raise ValueError(f"field {number} has the wire type {wire_type} at byte {at}")
            if size > len(data) - at:
                raise ValueError(f"field {number} has {size} bytes, {len(data) - at} are left")
            value, at = data[at : at + size], at + size
        yield number, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the varint at byte `at` and where it ends."""
    value = 0
    for k, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * k
        if byte < 0x80:
            return value, at + k + 1
    raise ValueError(f"a number at byte {at} does not end")


def _message(value: Value) -> Message:
    if not isinstance(value, bytes):
        raise ValueError("a number stands where a message is expected")
    return dict(_fields(value))


def _piece(message: Message) -> Piece:
    score = _bytes(message, 2, b"\0\0\0\0")
    if len(score) != 4:
        raise ValueError(f"a score has {len(score)} bytes, not 4")
    return _bytes(message, 1).decode(), struct.unpack("<f", score)[0], _int(message, 3, NORMAL)


def _int(message: Message, number: int, default: int) -> int:
    value = message.get(number, default)
    if not isinstance(value, int):
        raise ValueError(f"field {number} is no number")
    return value


def _bytes(message: Message, number: int, default: bytes = b"") -> bytes:
    value = message.get(number, default)
    if not isinstance(value, bytes):
        raise ValueError(f"field {number} is a number where bytes are expected")
    return value


# Writing


def model_bytes(model: SentencePieceModel) -> bytes:
    """Return the bytes of a `.model` file; `parse_model` undoes it."""
    parts = []
    for piece, score, type in model.pieces:
        message = _field(1, piece.encode()) + _key(2, FOUR_BYTES) + struct.pack("<f", score)
        parts.append(_field(1, message + (_field(3, type) if type != NORMAL else b"")))
    names = {number: piece.encode() for number, piece in _named(model).items()}
    trainer: Message = {
        3: model.model_type, 4: len(model.pieces), 24: int(model.treat_whitespace_as_suffix),
        35: int(model.byte_fallback), **_ids(model), 44: model.unk_surface.encode(), **names,
    }  # fmt: skip
    normalizer: Message = {
        1: b"user_defined" if model.charsmap else b"identity", 2: model.charsmap,
        3: int(model.add_dummy_prefix), 4: int(model.remove_extra_whitespaces),
        5: int(model.escape_whitespaces),
    }  # fmt: skip
    for number, spec in ((2, trainer), (3, normalizer)):
        parts.append(_field(number, b"".join(_field(n, value) for n, value in spec.items())))
    return b"".join(parts)


def _named(model: SentencePieceModel) -> dict[int, str]:
    """Return the trainer_spec's fields for the names of the unknown, begin, end and pad pieces."""
    control = model.of_type(CONTROL)
    unknown = next(iter(model.of_type(UNKNOWN)))
    usual = {46: "<s>", 47: "</s>", 48: "<pad>"}
    return {45: unknown} | {n: piece for n, piece in usual.items() if piece in control}


def _ids(model: SentencePieceModel) -> dict[int, int]:
    """Return the trainer_spec's fields for these pieces' ids; absent ones are -1."""
    usual = {41: "<s>", 42: "</s>", 43: "<pad>"}
    control = model.of_type(CONTROL)
    unknown = next(iter(model.of_type(UNKNOWN).values()))
    return {40: unknown} | {n: control.get(piece, -1) for n, piece in usual.items()}


def _field(number: int, value: Value) -> bytes:
    if isinstance(value, int):
        return _key(number, VARINT) + _as_varint(value)
    return _key(number, LENGTH) + _as_varint(len(value)) + value


def _key(number: int, wire_type: int) -> bytes:
    return _as_varint(number << 3 | wire_type)


def _as_varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written as in two's complement
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
