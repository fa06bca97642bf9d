"""Both views show the text, safely, and the page's table of merges is the model's."""

from __future__ import annotations

import html
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.algorithms.char_bpe import CharBPE
from tinygrad_llm.text.cut.pretokenizers import ByteLevel
from tinygrad_llm.text.decoders import ByteLevel as ByteLevelText
from tinygrad_llm.text.decoders import Metaspace
from tinygrad_llm.text.show import coloured, spelling, tokens_page
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.tokenizer import Tokenizer

VOCAB = {bytes([b]): b for b in range(256)} | {b"ab": 256, b"</": 257, b"aba": 258}
MERGES = [(b"a", b"b"), (b"<", b"/"), (b"ab", b"a")]
TOKENIZER = Tokenizer(BPE(VOCAB, MERGES), pre_tokenizer=ByteLevel(add_prefix_space=False),
                      added=AddedTokens([AddedToken("</script>", 300)]))


@given(st.text(st.sampled_from("ab é中\n\t<>&\"'@DATA"), max_size=40))
def test_colours_change_nothing_else(text: str) -> None:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured(text, *TOKENIZER.encode_with_offsets(text)))
    assert plain.replace("⏎\n", "\n").replace("⇥\t", "\t") == text


def shown(text: str) -> str:
    return tokens_page(TOKENIZER, text, *TOKENIZER.encode_with_offsets(text, special="allow"))


@given(st.text(st.sampled_from("ab é中\n<>&\"'@DATAFCS"), max_size=40))
def test_the_page_shows_the_text(text: str) -> None:
    body = re.search("<pre>(.*)</pre>", shown(text), re.DOTALL)
    assert body
    tokens = re.sub("<sub>.*?</sub>|<span[^>]*>|</span>", "", body[1])
    assert html.unescape(tokens).replace("⏎\n", "\n") == text


def test_text_cannot_become_markup() -> None:
    text = "<script>alert(1)</script> \"@DATA@\" @TOKENS@"
    made = shown(text)
    assert made.count("<script") == 2 and made.count("</script>") == 2  # the page's own
    assert "@TOKENS@" in re.sub("</?span[^>]*>", "", made)


def test_the_page_holds_the_merges() -> None:
    found = re.search('<script type="application/json" id="data">(.*?)</script>', shown("abab"))
    assert found
    data = json.loads(found[1])
    assert data["merges"] == [[97, 98, 0, 256], [60, 47, 1, 257], [256, 97, 2, 258]]
    assert data["tokens"]["256"] == "ab" and data["tokens"]["32"] == "Ġ"
    assert data["whole"] is False


@pytest.mark.parametrize("id, shown", [
    (256, "ab"), (32, " "), (10, "⏎"), (9, "⇥"), (0, "␀"), (127, "␡"), (300, "</script>"),
    (0xC3, "Ã"), (0xA9, "©"), (999, "[999]"),
])
def test_how_a_token_is_spelled(id: int, shown: str) -> None:
    tokenizer = Tokenizer(BPE(VOCAB, MERGES), decoder=ByteLevelText(), added=TOKENIZER.added)
    assert spelling(tokenizer, id) == shown


def test_without_a_decoder_a_token_is_spelled_as_in_its_file() -> None:
    assert [spelling(TOKENIZER, id) for id in (256, 32, 300)] == ["ab", "Ġ", "</script>"]


def test_signs_that_turn_text_around_are_spelled_out() -> None:
    tokenizer = CharTokenizer.from_text("a\u202e\u00a0\u200b€")
    assert [spelling(tokenizer, id) for id in range(5)] == [
        "a", "\\u00a0", "\\u200b", "\\u202e", "€"]


def test_a_space_before_a_token_is_part_of_it() -> None:
    """A decoder of SentencePiece's takes it away where a text begins."""
    tokenizer = Tokenizer(CharBPE({"▁": 0, "a": 1, "▁a": 2}, [("▁", "a")]), decoder=Metaspace())
    assert [spelling(tokenizer, id) for id in (1, 2)] == ["a", " a"]
