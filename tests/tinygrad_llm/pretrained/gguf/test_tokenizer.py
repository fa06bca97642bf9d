"""The tokenizer in a GGUF file's metadata, of small vocabularies made here."""

from typing import Any

import numpy as np
import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.pretrained.gguf.tokenizer import (
    PRE,
    read_chat_template,
    read_generation,
    read_tokenizer,
)
from tinygrad_llm.text.characters.alphabet import BYTE_TO_CHAR
from tinygrad_llm.text.formats import huggingface, huggingface_write
from tinygrad_llm.text.tokenizer import Tokenizer

TEXTS = ["", "an ban", "  two\n\n", "1234 an56", "\u00e9\U0001f642", "it's <s> an<pad>", "a\tb "]


def metadata(**changes: Any) -> dict[str, Any]:
    """Return a byte-level tokenizer's metadata; None takes an entry out."""
    alphabet = [BYTE_TO_CHAR[byte] for byte in range(256)]
    entries = {
        "model": "gpt2", "pre": "gpt-2", "merges": ["a n", "\u0120 an", "1 2", "12 3"],
        "tokens": ["<s>", "</s>", *alphabet, "an", "\u0120an", "12", "123", "<pad>", "b an"],
        "token_type": np.array([3, 3] + [1] * 260 + [5, 4], "<i4"),
        "bos_token_id": 0, "eos_token_id": 1} | changes
    return {f"tokenizer.ggml.{key}": v for key, v in entries.items() if v is not None}


def pieces(**changes: Any) -> dict[str, Any]:
    """Return a SentencePiece tokenizer's metadata."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)),
              "\u2581", "a", "n", "b", "an", "ban", "\u2581an", "<|x|>", "bn"]
    scores = [0.0] * 259 + [-9, -8, -7, -6, -1, -3, -2, 0, 0]
    types = [2, 3, 3] + [6] * 256 + [1] * 7 + [4, 5]
    entries = {"model": "llama", "tokens": tokens, "scores": np.array(scores, "<f4"),
               "token_type": np.array(types, "<i4"), "unknown_token_id": 0,
               "bos_token_id": 1} | changes
    return {f"tokenizer.ggml.{key}": v for key, v in entries.items() if v is not None}


def made(metadata: dict[str, Any]) -> Tokenizer:
    tokenizer = read_tokenizer(metadata)
    assert tokenizer is not None
    return tokenizer


def spelled(tokenizer: Tokenizer, text: str) -> list[str | None]:
    return [tokenizer.token(id) for id in tokenizer.encode(text, special="text")]


def test_byte_level_bpe() -> None:
    tokenizer = made(metadata())
    assert tokenizer.encode("an an") == [258, 259]
    assert tokenizer.encode("</s>", special="allow") == [1]
    assert tokenizer.encode("b an") == [263], "a user-defined token is found first"
    assert 262 not in tokenizer.encode("<pad>") and tokenizer.decode([262]) == "<pad>"
    assert tokenizer.special_tokens == {"<s>": 0, "</s>": 1} and tokenizer.vocab_size == 264
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text, special="text")) == text


@pytest.mark.parametrize(("name", "cuts"), [
    ("gpt-2", ["1234"]), ("smollm", ["1", "2", "3", "4"]), ("qwen2", ["1", "2", "3", "4"]),
    ("llama-bpe", ["123", "4"]), ("default", ["123", "4"]), ("tekken", ["1", "2", "3", "4"])])
def test_where_digits_are_cut(name: str, cuts: list[str]) -> None:
    pre_tokenizer = made(metadata(pre=name)).pre_tokenizer
    assert pre_tokenizer is not None
    assert pre_tokenizer(" x1234") == [" x", *cuts]


def test_a_file_that_names_no_cuts_has_the_default_ones() -> None:
    pre_tokenizer = made(metadata(pre=None)).pre_tokenizer
    assert pre_tokenizer == made(metadata(pre="default")).pre_tokenizer
    assert pre_tokenizer is not None
    assert pre_tokenizer("a--b c\n") == ["a", "--", "b", " c", "\n"]


def test_merges_are_ignored_for_whole_tokens_of_llama_3() -> None:
    merges = ["a n"]
    assert len(made(metadata(merges=merges)).encode("123")) == 3
    assert made(metadata(merges=merges, pre="llama-bpe")).encode("123") == [261]


@pytest.mark.parametrize("name", sorted(PRE))
def test_each_known_name_survives_a_tokenizer_json(name: str) -> None:
    tokenizer = made(metadata(pre=name))
    again = huggingface.from_json(huggingface_write.to_json(tokenizer))
    for text in TEXTS:
        ids = tokenizer.encode(text, special="text")
        assert again.encode(text, special="text") == ids and again.decode(ids) == text


def test_what_is_set_around_a_text() -> None:
    a = 2 + ord("a")
    for entries, expected in [
            (metadata(), [a]), (metadata(add_bos_token=True), [0, a]),
            (metadata(add_eos_token=True, add_sep_token=False), [a, 1]),
            (metadata(pre="llama-bpe"), [0, a]),
            (metadata(pre="llama-bpe", add_bos_token=False), [a]),
            (metadata(pre="llama-bpe", bos_token_id=None), [a]),
            (pieces(add_space_prefix=False), [1, 260]),
            (pieces(add_space_prefix=False, bos_token_id=None), [1, 260]),
            (pieces(add_space_prefix=False, add_bos_token=False, add_eos_token=True), [260, 2])]:
        assert made(entries).encode("a", template=True) == expected
    pair = made(metadata(add_bos_token=True, add_eos_token=True)).encode_pair("a", "b")
    assert pair == [0, a, 1, 0, a + 1, 1]


def test_sentencepiece() -> None:
    tokenizer = made(pieces())
    assert spelled(tokenizer, "an ban") == ["\u2581an", "\u2581", "ban"]
    assert spelled(tokenizer, " an") == ["\u2581", "\u2581an"]
    assert spelled(tokenizer, "\u00e9") == ["\u2581", "<0xC3>", "<0xA9>"]
    assert spelled(tokenizer, "an<|x|>an") == ["\u2581an", "<|x|>", "\u2581an"]
    assert spelled(tokenizer, "bn") == ["\u2581", "b", "n"], "an unused token comes from no text"
    assert 1 not in tokenizer.encode("<s>", special="text")
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text, special="text")) == text


def test_sentencepiece_without_a_space_in_front() -> None:
    tokenizer = made(pieces(add_space_prefix=False))
    assert spelled(tokenizer, "an an") == ["an", "\u2581an"]
    assert tokenizer.decode(tokenizer.encode(" an")) == " an"


def test_sentencepiece_survives_a_tokenizer_json() -> None:
    tokenizer = made(pieces(add_bos_token=True))
    again = huggingface.from_json(huggingface_write.to_json(tokenizer))
    for text in TEXTS:
        ids = tokenizer.encode(text, special="text", template=True)
        assert again.encode(text, special="text", template=True) == ids
        assert again.decode(ids, skip_special=True) == text


def test_no_tokenizer() -> None:
    assert read_tokenizer({}) is None
    assert read_tokenizer({"tokenizer.ggml.model": "no_vocab"}) is None


def test_generation_and_chat_template() -> None:
    assert read_generation(metadata()) == {"bos_token_id": 0, "eos_token_id": 1}
    entries = metadata(eot_token_id=5, eom_token_id=1, padding_token_id=3) | {
        "general.sampling.temp": 0.6000000238418579, "general.sampling.top_k": 20,
        "general.sampling.penalty_repeat": 1.5, "tokenizer.chat_template": "{{ messages }}"}
    assert read_generation(entries) == {
        "bos_token_id": 0, "eos_token_id": [1, 5], "pad_token_id": 3, "temperature": 0.6,
        "top_k": 20, "repetition_penalty": 1.5}
    assert read_chat_template(entries) == "{{ messages }}" and read_chat_template({}) is None


TYPES = metadata()["tokenizer.ggml.token_type"]
TOKENS = metadata()["tokenizer.ggml.tokens"]
NAN = np.full(268, np.nan, "<f4")
FAULTS: list[tuple[dict[str, Any], str]] = [
    (metadata(model="bert"), "of the kind 'bert'.*read are gpt2 and llama"),
    (metadata(model=3), "'tokenizer.ggml.model' must be a string, got 3"),
    (metadata(pre="llama-bpf"), "'llama-bpf' .* did you mean 'llama-bpe'"),
    (metadata(pre="deepseek-llm"), "'deepseek-llm' .tokenizer.ggml.pre. is not known here"),
    (metadata(tokens=None), "lack 'tokenizer.ggml.tokens'"),
    (metadata(tokens=TYPES), "must be an array of strings"),
    (metadata(token_type=TYPES[:-1]), "264 tokens, but 263 types"),
    (metadata(token_type=TYPES * 9), "token 0, '<s>', is of the type 27"),
    (metadata(tokens=[*TOKENS[:-1], "<s>"]), "token 263, '<s>', is also token 0"),
    (metadata(tokens=[*TOKENS[:-1], ""]), "token 263, '', is empty"),
    (metadata(merges=None), "lack 'tokenizer.ggml.merges'"),
    (metadata(merges=["a n", "a q q"]), "merge 1 must be two tokens"),
    (metadata(merges=["an s"]), "'ans' is not in the vocabulary"),
    (metadata(bos_token_id=-1), "must be a whole number"),
    (metadata(bos_token_id=2.0), "must be a whole number"),
    (metadata(add_bos_token=1), "must be a truth value"),
    (metadata(add_bos_token=True, bos_token_id=264), "whose id is 264; the tokenizer has 264"),
    (metadata(add_bos_token=True, bos_token_id=None), "whose id is None"),
    (metadata(add_space_prefix=True), "add_space_prefix is true"),
    (metadata(add_sep_token=True), "add_sep_token is true"),
    (metadata(precompiled_charsmap=TYPES), "'tokenizer.ggml.precompiled_charsmap', which is not"),
    (pieces(scores=None), "lack 'tokenizer.ggml.scores'"),
    (pieces(scores=np.zeros(5, "<f4")), "268 tokens and 5 scores"),
    (pieces(scores=NAN), "all of them finite"),
    (pieces(unknown_token_id=268), "the unknown one is 268"),
    (pieces(token_type=np.array([2, 3, 3, 1] + [6] * 255 + [1] * 9)), "255 of them bytes"),
    (pieces(remove_extra_whitespaces=True), "remove_extra_whitespaces is true"),
]


@pytest.mark.parametrize("place", range(len(FAULTS)))
def test_each_fault_is_named(place: int) -> None:
    entries, message = FAULTS[place]
    with pytest.raises(UserError, match=message):
        read_tokenizer(entries)
