"""A tokenizer that is written and read again gives the same ids, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import decoders
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.algorithms.char_bpe import CharBPE
from tinygrad_llm.text.algorithms.scored_bpe import ScoredBPE
from tinygrad_llm.text.algorithms.spelled import Spelled
from tinygrad_llm.text.algorithms.unigram import Unigram
from tinygrad_llm.text.algorithms.wordpiece import WordPiece
from tinygrad_llm.text.char_tokenizer import CharTokenizer
from tinygrad_llm.text.cut import pretokenizers
from tinygrad_llm.text.formats.huggingface import from_json
from tinygrad_llm.text.formats.huggingface_write import save, to_json
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.tokenizer import Tokenizer

BYTES = {bytes([b]): b for b in range(256)}
BYTE_LEVEL = pretokenizers.ByteLevel(add_prefix_space=False)
TEXTS = ["", "abab ab", "a b  c", "é ab!", "bababa"]


def same_ids(tokenizer: Tokenizer, texts: list[str] = TEXTS) -> Tokenizer:
    """Return the tokenizer read again from its JSON, which gives the same ids."""
    again = from_json(json.loads(json.dumps(to_json(tokenizer))))
    for text in texts:
        assert again.encode(text, special="allow") == tokenizer.encode(text, special="allow")
    return again


def test_a_model_of_every_kind() -> None:
    chars = {"<unk>": 0, "a": 1, "b": 2, "ab": 3, "abab": 4}
    merges = [("ab", "ab"), ("a", "b")]
    by_rank = CharBPE(chars, merges, ranks=[1, 0], unk_token="<unk>", fuse_unk=True)
    assert to_json(Tokenizer(by_rank))["model"]["merges"] == [["a", "b"], ["ab", "ab"]]
    same_ids(Tokenizer(by_rank))
    affixed = CharBPE({"a": 0, "##b": 1, "b</w>": 2, "##b</w>": 3, "<u>": 4}, [], unk_token="<u>",
                      continuing_subword_prefix="##", end_of_word_suffix="</w>")
    model = to_json(Tokenizer(affixed))["model"]
    assert (model["continuing_subword_prefix"], model["end_of_word_suffix"]) == ("##", "</w>")
    same_ids(Tokenizer(affixed))
    words = {"[UNK]": 0, "a": 1, "##b": 2, "ab": 3, "##a": 4}
    same_ids(Tokenizer(WordPiece(words), pre_tokenizer=pretokenizers.WhitespaceSplit()))
    pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -2.0), ("ab", -2.5), ("▁", -3.0)]
    same_ids(Tokenizer(Unigram(pieces, 0)))


def test_bytes_without_a_token_become_the_unknown_one() -> None:
    tokenizer = Tokenizer(BPE({b"a": 0, b"b": 1, b"ab": 2, b"?": 3}, [(b"a", b"b")], unknown=3),
                          pre_tokenizer=BYTE_LEVEL, decoder=decoders.ByteLevel())
    assert to_json(tokenizer)["model"]["unk_token"] == "?"
    same_ids(tokenizer)


def test_a_model_over_bytes_gets_its_byte_level_pre_tokenizer() -> None:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": False}
    for model in (BPE(BYTES, []), Spelled(CharBPE({"a": 0, "Ã": 1}, []))):
        written = to_json(Tokenizer(model, pre_tokenizer=pretokenizers.Digits()))
        assert written["pre_tokenizer"] == {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": False}, byte_level]}
        assert to_json(Tokenizer(model, pre_tokenizer=BYTE_LEVEL))["pre_tokenizer"] == (
            byte_level | {"use_regex": True})


def test_ranks_without_merges_become_merges() -> None:
    vocab = BYTES | {b"ab": 256, b"abab": 257, b"ba": 258}
    tokenizer = Tokenizer(BPE(vocab), pre_tokenizer=BYTE_LEVEL, decoder=decoders.ByteLevel())
    written = to_json(tokenizer)
    assert written["model"]["merges"] == [["a", "b"], ["ab", "ab"], ["b", "a"]]
    same_ids(tokenizer, ["ababab", "baab", "abba ba", "aabb"])


def test_ranks_that_no_merges_lead_to_become_all_merges_that_make_a_token() -> None:
    # No lower ranks put abcd together, and so it is only ever found whole.
    vocab = BYTES | {b"ab": 256, b"abcd": 257, b"abc": 258}
    written = to_json(Tokenizer(BPE(vocab), pre_tokenizer=BYTE_LEVEL))
    assert written["model"]["merges"] == [["a", "b"], ["abc", "d"], ["ab", "c"]]
    assert written["model"]["ignore_merges"] is True


def test_added_tokens_behind_a_hole_keep_their_ids() -> None:
    """The library would renumber them, did the model's vocab not hold them."""
    added = AddedTokens([AddedToken("<far>", 1000), AddedToken("<near>", 256)])
    tokenizer = Tokenizer(BPE(BYTES, []), pre_tokenizer=BYTE_LEVEL, decoder=decoders.ByteLevel(),
                          added=added)
    vocab = to_json(tokenizer)["model"]["vocab"]
    assert vocab["<far>"] == 1000 and vocab["<near>"] == 256
    again = same_ids(tokenizer, ["a<far><near>"])
    assert "<far>" not in [again.token(id) for id in again.encode("<far>", special="text")]
    with pytest.raises(ValueError, match="id 999 at position 0 is not used"):
        again.decode([999])
    near = Tokenizer(BPE(BYTES, []), added=AddedTokens([AddedToken("<near>", 256)]))
    assert "<near>" not in to_json(near)["model"]["vocab"]  # the library gives it that id itself


def test_what_unigram_pieces_cannot_be_is_refused() -> None:
    pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -2.0)]
    for model in (Unigram(pieces, 0, always=[1]), Unigram(pieces, 0, unmatched=[1])):
        with pytest.raises(UserError, match="win over all others, or are never found"):
            to_json(Tokenizer(model))
    special = AddedTokens([AddedToken("a", 1)])
    to_json(Tokenizer(Unigram(pieces, 0, unmatched=[1]), added=special))
    far = AddedTokens([AddedToken("<far>", 9)])
    with pytest.raises(UserError, match="behind a Unigram model's pieces have no holes"):
        to_json(Tokenizer(Unigram(pieces, 0), added=far))


def test_what_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    pattern = pretokenizers.Pattern(r"\p{N}{1,3}+|\w")
    with pytest.raises(UserError, match=r"has a possessive \{..\}\+"):
        save(Tokenizer(BPE(BYTES, []), pre_tokenizer=pattern), tmp_path / "a.json")

    class Words:
        """A model of one's own."""

        vocab: ClassVar = {"ab": 0}

        def encode_piece(self, piece: str) -> tuple[int, ...]:
            return (0,)

        def piece_spans(self, piece: str) -> list[tuple[int, int, int]]:
            return [(0, 0, len(piece))]

    with pytest.raises(UserError, match="no name for the model Words"):
        save(Tokenizer(Words(), decoder=decoders.Fuse()), tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def test_characters_are_written_as_pieces_that_never_merge() -> None:
    characters = CharTokenizer("\n ab\u00e9\U0001f600")
    again = same_ids(characters, ["", "abab ab", "a \u00e9b\n\n\U0001f600aab"])
    assert again.decode(again.encode("a\n \u00e9")) == "a\n \u00e9"
    assert to_json(characters)["model"]["merges"] == []


def test_scored_pieces_are_written_as_their_merges() -> None:
    pieces = [("?", 0), ("a", -3), ("b", -4), ("ab", -1), ("ba", -2)]
    tokenizer = Tokenizer(ScoredBPE(pieces, unk_id=0, unmatched=[0]))
    assert to_json(tokenizer)["model"]["merges"] == [["a", "b"], ["b", "a"]]
    same_ids(tokenizer, ["bab", "abab", "baab"])
