"""The merges that tokenizers' trainer makes, on real text."""

from __future__ import annotations

import json
import pydoc_data.topics
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_llm.text.characters.alphabet import printable
from tinygrad_llm.text.cut.patterns import GPT2, splitter
from tinygrad_llm.text.training.bpe_merges import learn_merges

pytestmark = pytest.mark.oracle
tokenizers = pytest.importorskip("tokenizers")

TEXT = "\n".join(pydoc_data.topics.topics.values())  # the Python reference, half a megabyte


def theirs(texts: list[str], vocab_size: int, **options: Any) -> list[list[str]]:
    """Return the merges of a tokenizer that is trained on the texts, in printable characters."""
    byte_level = tokenizers.pre_tokenizers.ByteLevel
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = byte_level(add_prefix_space=False, use_regex=True)
    tokenizer.train_from_iterator(texts, tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=byte_level.alphabet(), show_progress=False,
        **options))
    merges: list[list[str]] = json.loads(tokenizer.to_str())["model"]["merges"]
    return merges


def ours(texts: list[str], vocab_size: int, **options: Any) -> list[list[str]]:
    counts = Counter(piece for text in texts for piece in splitter(GPT2).split(text))
    return [[printable(a), printable(b)] for a, b in learn_merges(counts, vocab_size, **options)]


@pytest.mark.parametrize("least", [0, 2, 50])
def test_thousands_of_merges_of_real_text(least: int) -> None:
    merges = ours([TEXT], 256 + 4000, min_frequency=least)
    assert merges == theirs([TEXT], 256 + 4000, min_frequency=least)
    assert len(merges) == 4000 or least == 50


def test_until_no_pair_is_left() -> None:
    text = TEXT[:30_000] + "naïve — 東京 " * 3
    assert ours([text], 100_000, min_frequency=1) == theirs([text], 100_000, min_frequency=1)


def test_special_tokens_come_first_there_and_shift_all_ids() -> None:
    assert ours([TEXT], 1256) == theirs([TEXT], 1258, min_frequency=2,
                                        special_tokens=["<|endoftext|>", "<|pad|>"])


def test_their_longest_token_is_one_byte_shorter_than_they_are_told() -> None:
    text = TEXT[:200_000]
    assert (ours([text], 2256, max_token_length=5)
            == theirs([text], 2256, min_frequency=2, max_token_length=6))


def test_a_special_token_that_text_spells_can_be_their_merges_result() -> None:
    merges = theirs(["abab"], 260, special_tokens=["ab"])
    assert merges == ours(["abab"], 258, min_frequency=1)  # 256 bytes, "ab", "abab"


@settings(max_examples=200)
@given(st.lists(st.text("aabc ", max_size=30) | st.text("aé \n", max_size=12), max_size=6),
       st.integers(256, 290), st.integers(0, 3))
def test_small_texts_full_of_ties_and_overlaps(texts: list[str], vocab_size: int, least: int
                                               ) -> None:
    assert (ours(texts, vocab_size, min_frequency=least)
            == theirs(texts, vocab_size, min_frequency=least))
