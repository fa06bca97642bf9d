import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.sample.prompt import prompt_ids, stream_text
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.decoders import ByteLevel
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.tokenizer import Tokenizer

BYTES = {bytes([b]): b for b in range(256)}
PAIRS = Tokenizer(BPE(BYTES | {b"th": 256}, [(b"t", b"h")]), decoder=ByteLevel())
ENDED = Tokenizer(BPE(BYTES, []), decoder=ByteLevel(),
                  added=AddedTokens([AddedToken("<|endoftext|>", 300, special=True)]))


@given(st.lists(st.integers(0, 256), max_size=40))
def test_a_stream_of_any_ids_is_their_text(ids: list[int]) -> None:
    assert "".join(stream_text(PAIRS, ids)) == PAIRS.decode(ids)


@given(st.text())
def test_no_character_comes_in_halves(text: str) -> None:
    pieces = list(stream_text(PAIRS, PAIRS.encode(text)))
    assert "".join(pieces) == text
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)


def test_text_comes_as_soon_as_it_is_whole() -> None:
    pieces = stream_text(PAIRS, iter([*"é!".encode(), 256]))
    assert list(pieces) == ["", "é", "!", "th", ""]


def test_ids_that_no_token_has_are_passed_over() -> None:
    assert "".join(stream_text(ENDED, [104, 260, 299, 105, 300])) == "hi<|endoftext|>"


def test_characters_stream_one_by_one() -> None:
    tokenizer = CharTokenizer.from_text("ab\ud83d\ude00")
    assert list(stream_text(tokenizer, [1, 0, 2, 3])) == ["b", "a", "\ud83d", "\ude00", ""]


def test_what_a_text_goes_on_from() -> None:
    characters = CharTokenizer.from_text("ab\n")
    assert prompt_ids(characters) == [0] and prompt_ids(characters, "ba") == [2, 1]
    assert prompt_ids(CharTokenizer.from_text("ba")) == [0]
    assert prompt_ids(PAIRS) == [10] and prompt_ids(PAIRS, "the") == [256, 101]
    assert prompt_ids(ENDED) == [300]


def test_a_prompt_without_tokens_is_refused() -> None:
    with pytest.raises(UserError, match="has no tokens"):
        prompt_ids(PAIRS, "")
