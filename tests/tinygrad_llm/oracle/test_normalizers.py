"""Normalisers and decoders against those of the packages tokenizers and sentencepiece."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text import decoders
from tinygrad_llm.text.characters.alphabet import BYTE_TO_CHAR
from tinygrad_llm.text.normalize import normalizers
from tinygrad_llm.text.normalize.precompiled import Precompiled

tokenizers = pytest.importorskip("tokenizers")
pytestmark = pytest.mark.oracle
theirs = tokenizers.normalizers
their_decoders = tokenizers.decoders
Regex = tokenizers.Regex

BERT = [
    {"clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": accents,
     "lowercase": lower}
    for clean in (True, False) for chinese in (True, False)
    for accents in (None, True, False) for lower in (True, False)
]  # fmt: skip
PAIRS: list[tuple[Any, Any]] = [
    *[(getattr(normalizers, name)(), getattr(theirs, name)())
      for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")],
    *[(normalizers.Strip(*sides), theirs.Strip(*sides))
      for sides in ((True, True), (True, False), (False, True), (False, False))],
    (normalizers.Prepend("▁"), theirs.Prepend("▁")),
    *[(normalizers.Replace(old, new), theirs.Replace(old, new))
      for old, new in ((" ", "▁"), ("``", '"'), ("aa", "a"), ("", "-"), ("\u0301", ""))],
    *[(normalizers.Replace(old, new, is_regex=True), theirs.Replace(Regex(old), new))
      for old, new in ((r"\s+", " "), (r" {2,}", "_"), ("a*", "-"), ("^|$", "|"),
                      (r"(.)\1", "$1"))],
    *[(normalizers.BertNormalizer(**settings), theirs.BertNormalizer(**settings))
      for settings in BERT],
    (normalizers.Sequence(
        (normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase())),
     theirs.Sequence([theirs.NFKD(), theirs.StripAccents(), theirs.Lowercase()])),
]  # fmt: skip
NAMES = [repr(ours)[:60] for ours, _ in PAIRS]

TEXTS = [
    "", " ", "  a  ", "\t\r\n", "a\x00b\x1cc\x7f\x85\xa0\u200b\u2028\ufeff\ufffd\u00ad",
    "Où était l'été? ÀÉÎÕÜ ßẞ Ĳ ﬃ ½ ² №",                                   # Latin
    "ΟΔΥΣΣΕΥΣ Ὀδυσσεὺς ΣΑΣ ἈΧΙΛΛΕΎΣ\u0345",                                    # Greek, final sigma
    "Ёжик Йод Ї Ґ \u0418\u0306 Ҩ",                                             # Cyrillic
    "שָׁלוֹם \ufb2c \u05e9\u05bc\u05c1",                                            # Hebrew
    "السَّلَامُ عَلَيْكُم \ufdfa \u0622 \u0627\u0653",                                    # Arabic
    "नमस्ते \u0958 क\u093c हिन्दी",                                                  # Devanagari
    "বাংলা \u09c7\u09be \u09cb", "தமிழ் \u0bc6\u0bbe", "ภาษาไทย น้ำ \u0e33",  # and Thai
    "中文维基\uf900\u3400\U00020000\U0002b820\U0002b920\U0002f800 \uff0c。",
    "日本語 ガ ｶﾞ か\u3099 ㍿ ㋿ ①", "한국어 각 \u1100\u1161\u11a8 \u3131 ￦",
    "İstanbul \u0131I iİ I\u0131",                                             # Turkish
    "e\u0301\u0316 é\u0316 a\u0344 \u1e69 s\u0323\u0307 q\u0307\u0323",
    "བོད \u0f73 \u0f71\u0f72 \u0f43", "👨\u200d👩\u200d👧 ❤\ufe0f 🇩🇪 👍🏽 \u200d\ufe0f \u00a9\u200d",
    "\u08d3\u08d4\u1734\u1885\u1cf2\u32ff\u1c89\U00011938\U00010d50\U0001e030e\u0301",
]  # fmt: skip

characters = st.one_of(
    st.characters(exclude_categories=("Cs",)),
    st.sampled_from(sorted(set("".join(TEXTS)))),
    st.integers(0x300, 0x36F).map(chr), st.integers(0x1100, 0x11FF).map(chr),
    st.integers(0xAC00, 0xD7A3).map(chr), st.integers(0, 0xFF).map(chr))
texts = st.text(characters, max_size=40)


@pytest.mark.parametrize(("ours", "other"), PAIRS, ids=NAMES)
def test_hand_picked_texts(ours: Any, other: Any) -> None:
    for text in [*TEXTS, " ".join(TEXTS), "".join(TEXTS[::-1])]:
        assert ours(text) == other.normalize_str(text)


@given(texts)
def test_any_text(text: str) -> None:
    for ours, other in PAIRS:
        assert ours(text) == other.normalize_str(text), ours


def all_characters() -> Iterator[list[str]]:
    """All characters but surrogates, in blocks."""
    for first in range(0, 0x110000, 0x800):
        if not 0xD800 <= first < 0xE000:
            yield [chr(point) for point in range(first, first + 0x800)]


@pytest.mark.parametrize("name", ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt",
                                  "BertNormalizer"])
def test_every_character(name: str) -> None:
    ours, other = getattr(normalizers, name)(), getattr(theirs, name)()
    for block in all_characters():
        text = "|" + "|".join(block) + "|"
        if ours(text) != other.normalize_str(text):
            assert [c for c in block if ours(c) != other.normalize_str(c)] == []


def test_strip_knows_white_space() -> None:
    for char in map(chr, [*range(0x3100), 0xFEFF]):
        text = f"{char}a{char}"
        assert normalizers.Strip()(text) == theirs.Strip().normalize_str(text)


def test_every_mark_is_ordered() -> None:
    """A mark of class 1 before and one of class 240 after show the class of each."""
    ours, other = normalizers.NFD(), theirs.NFD()
    for block in all_characters():
        text = "".join(f"a\u0345{char}\u0334|a{char}\u0334|" for char in block)
        assert ours(text) == other.normalize_str(text)


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a protobuf message that hold bytes."""
    file = io.BytesIO(message)

    def number() -> int:
        value = shift = 0
        while byte := file.read(1):
            value |= (byte[0] & 127) << shift
            shift += 7
            if byte[0] < 128:
                break
        return value

    while file.tell() < len(message):
        key = number()
        if key & 7 == 2:
            yield key >> 3, file.read(number())
        else:
            number() if key & 7 == 0 else file.read(4 if key & 7 == 5 else 8)


@cache
def charsmap(rule: str) -> bytes:
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a small text to train on"] * 20), model_writer=model,
        vocab_size=20, hard_vocab_limit=False, normalization_rule_name=rule, minloglevel=2)
    spec = dict(fields(model.getvalue()))[3]
    return dict(fields(spec))[2]


@cache
def precompiled(rule: str, longest: bool) -> Precompiled:
    return Precompiled(charsmap(rule), longest)


@cache
def their_precompiled(rule: str, longest: bool) -> Any:
    if not longest:
        return theirs.Precompiled(charsmap(rule)).normalize_str
    sentencepiece = pytest.importorskip("sentencepiece")
    return sentencepiece.SentencePieceNormalizer(
        rule_name=rule, add_dummy_prefix=False, escape_whitespaces=False,
        remove_extra_whitespaces=False).normalize


@pytest.mark.parametrize("longest", [False, True])
@pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc_cf"])
@given(text=texts)
def test_precompiled_maps(rule: str, longest: bool, text: str) -> None:
    ours, other = precompiled(rule, longest), their_precompiled(rule, longest)
    assert ours(text) == other(text)


@pytest.mark.parametrize("longest", [False, True])
def test_precompiled_maps_on_hand_picked_texts(longest: bool) -> None:
    ours, other = precompiled("nmt_nfkc", longest), their_precompiled("nmt_nfkc", longest)
    for text in [*TEXTS, "½\u0301 ﬁ\u0316 A\u0300\u0301 ｶﾞ\r\n\u2460\u20e3"]:
        assert ours(text) == other(text)


def test_every_character_in_a_cluster() -> None:
    """Whether a mark joins the letter before it shows in whether it is lost with it."""
    ours, other = precompiled("nfkc_cf", False), their_precompiled("nfkc_cf", False)
    for block in all_characters():
        text = "".join(f"A{char}|" for char in block)
        if ours(text) != other(text):
            assert [c for c in block if ours("A" + c) != other("A" + c)] == []


DECODERS: list[tuple[Any, Any]] = [
    *[(getattr(decoders, name)(), getattr(their_decoders, name)())
      for name in ("ByteLevel", "ByteFallback", "Fuse", "BPEDecoder", "WordPiece", "Metaspace")],
    (decoders.BPEDecoder("▁"), their_decoders.BPEDecoder("▁")),
    (decoders.WordPiece("", True), their_decoders.WordPiece("", True)),
    (decoders.WordPiece("##", False), their_decoders.WordPiece("##", False)),
    *[(decoders.Metaspace("▁", scheme), their_decoders.Metaspace("▁", scheme, True))
      for scheme in ("always", "never", "first")],
    (decoders.Replace("▁", " "), their_decoders.Replace("▁", " ")),
    *[(decoders.Replace(old, new, is_regex=True), their_decoders.Replace(Regex(old), new))
      for old, new in ((r"\s+", "-"), ("a*", "$0"))],
    (decoders.Strip(" ", 1, 0), their_decoders.Strip(" ", 1, 0)),
    (decoders.Strip(" ", 2, 0), their_decoders.Strip(" ", 2, 0)),
    (decoders.Sequence((decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                        decoders.Strip(" ", 1, 0))),
     their_decoders.Sequence([their_decoders.Replace("▁", " "), their_decoders.ByteFallback(),
                              their_decoders.Fuse(), their_decoders.Strip(" ", 1, 0)])),
]  # fmt: skip

parts = st.sampled_from([
    "▁", "##", "</w>", "<0xE4>", "<0xB8>", "<0xAD>", "<0x61>", "<0xff>", "<0x+F>", "<0xZZ>",
    "<0x0>", " ", "a", "Ġ", "Ã", "©", "Ċ", "ä", "\xb8", "Ń", "中", ".", " ?", "n't", " 's", " ' ",
    " do not", "<s>", "ł", "ð", "\n"])  # fmt: skip
tokens = st.lists(st.lists(parts, max_size=3).map("".join) | parts, max_size=8)


@given(tokens)
def test_decoders(those: list[str]) -> None:
    for ours, other in DECODERS:
        assert decoders.decode(ours, those) == other.decode(those), ours


@given(st.lists(st.integers(0, 255), max_size=12), st.booleans())
def test_broken_utf8_is_replaced_alike(data: list[int], in_one_run: bool) -> None:
    ours: Any
    spelled = [BYTE_TO_CHAR[byte] for byte in data]
    ours, other = decoders.ByteLevel(), their_decoders.ByteLevel()
    assert decoders.decode(ours, spelled) == other.decode(spelled)
    run = [f"<0x{byte:02X}>" for byte in data]
    run = run if in_one_run else [part for token in run for part in (token, "|")]
    ours, other = decoders.ByteFallback(), their_decoders.ByteFallback()
    assert decoders.decode(ours, run) == other.decode(run)


@pytest.mark.parametrize("strip", [(0, 1), (0, 2)])
def test_strip_at_the_end(strip: tuple[int, int]) -> None:  # theirs panics where all is stripped
    those = ["a  ", "a ", "a", " a b   "]
    assert decoders.decode(decoders.Strip(" ", *strip), those) == (
        their_decoders.Strip(" ", *strip).decode(those))
