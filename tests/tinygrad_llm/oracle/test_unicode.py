"""All that goes by kinds of characters, over all of them, against the libraries that define it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tinygrad_llm.text.characters import unicode_16
from tinygrad_llm.text.characters.alphabet import printable
from tinygrad_llm.text.cut.patterns import CL100K, O200K, splitter
from tinygrad_llm.text.cut.pretokenizers import PreTokenizer
from tinygrad_llm.text.formats.huggingface_parts import read_part
from tinygrad_llm.text.special import AddedToken, AddedTokens

pytestmark = pytest.mark.oracle

CHARACTERS = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
BLOCKS = [CHARACTERS[i:i + 4096] for i in range(0, len(CHARACTERS), 4096)]
PARTS: list[dict[str, Any]] = [
    {"type": "Whitespace"}, {"type": "WhitespaceSplit"}, {"type": "BertPreTokenizer"},
    {"type": "Punctuation", "behavior": "Isolated"}, {"type": "Digits", "individual_digits": True},
    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]


def their_pre_tokenizer(part: dict[str, Any]) -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    file = {"version": "1.0", "added_tokens": [], "pre_tokenizer": part,
            "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}
    return tokenizers.Tokenizer.from_str(json.dumps(file)).pre_tokenizer


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part["type"])
def test_pre_tokenizers(part: dict[str, Any]) -> None:
    theirs, ours = their_pre_tokenizer(part), read_part(part, "pre_tokenizer")
    assert isinstance(ours, PreTokenizer)
    for block in BLOCKS:
        text = "".join(f"a{char}1{char}-" for char in block)
        pieces = ours(text)
        if part["type"] == "ByteLevel":
            pieces = [printable(piece.encode()) for piece in pieces]
        assert pieces == [piece for piece, _ in theirs.pre_tokenize_str(text)]


@pytest.mark.parametrize("pattern", [CL100K, O200K, r"\w+|[^\w\s]+|\s+"])
def test_patterns_of_tiktoken(pattern: str) -> None:
    """Single bytes that no pair may join, but those of a pre-token by a rank of its own."""
    tiktoken = pytest.importorskip("tiktoken")
    ranks = {bytes([byte]): byte for byte in range(256)}
    for block in BLOCKS:
        text = "".join(f"a{char}B {char}" for char in block)
        pieces = splitter(pattern).split(text)
        distinct = {piece.encode() for piece in pieces}
        known = {**ranks, **{piece: 256 + i for i, piece in enumerate(
            sorted(piece for piece in distinct if len(piece) > 1))}}
        theirs = tiktoken.Encoding("all", pat_str=pattern, mergeable_ranks=known, special_tokens={})
        found = theirs.encode_ordinary(text)
        assert [theirs.decode_single_token_bytes(id).decode() for id in found] == pieces


def test_added_tokens_that_are_words() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[text]": 0}, unk_token="[text]"))
    theirs.add_tokens([tokenizers.AddedToken("<x>", single_word=True, normalized=False)])
    ours = AddedTokens([AddedToken("<x>", 1, special=False, single_word=True)])
    later = [change.chars[::5] for change in unicode_16.changes()]
    for block in [*BLOCKS[:12], *BLOCKS[12::9], *later]:
        text = "".join(f"{char}<x> <x>{char} " for char in block)
        found = [(start, end) for piece, start, end in ours.split(text) if piece != text[start:end]]
        encoding = theirs.encode(text)
        assert found == [span for id, span in zip(encoding.ids, encoding.offsets, strict=True)
                         if id == 1]
