import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.draws import draws
from tests.languages import tokenizers
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.sample import Batcher, Sampling
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
KINDS = tokenizers()


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


@pytest.mark.parametrize("kind", KINDS)
@draws(200, 20)
@given(data=st.data())
def test_prompt_and_answer_joined_are_the_whole_text(kind: str, data: st.DataObject) -> None:
    tokenizer = KINDS[kind]
    whole = [id for token, id in tokenizer.vocab.items() if not token.startswith(("<0x", "<unk"))
             and "\ufffd" not in tokenizer.decode([id])]  # parts of characters: see TokenStream
    ids = st.lists(st.sampled_from(whole), min_size=1, max_size=6)
    prompt, answer = data.draw(ids, "prompt"), data.draw(ids, "answer")
    said = "".join(stream_text(tokenizer, answer, prompt))
    assert tokenizer.decode(prompt) + said == tokenizer.decode(prompt + answer)
    assert "".join(stream_text(tokenizer, answer)) == tokenizer.decode(answer)


@pytest.mark.parametrize("kind", ["byte fallback", "unigram"])
def test_an_answer_keeps_its_first_space_unless_it_begins_a_text(kind: str) -> None:
    tokenizer = KINDS[kind]
    token = tokenizer.id("▁")
    batcher = Batcher(GPT(GPTConfig(len(tokenizer.vocab), 8, 1, 1, 4)), tokenizer)
    sampling = Sampling(temperature=0, logit_bias={token: 1e9}, max_tokens=2)
    goes_on, begins = (batcher.add([token], sampling, begins=begins) for begins in (False, True))
    batcher.run()
    assert (goes_on.text, begins.text) == ("  ", " ")
