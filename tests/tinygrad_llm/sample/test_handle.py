"""The text of a handle: whole characters, stop strings, ids that have no text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.sample import Batcher, Handle, Sampling, StopStrings
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.decoders import ByteLevel
from tinygrad_llm.text.tokenizer import Tokenizer

BYTES = Tokenizer(BPE({bytes([b]): b for b in range(256)}, []), decoder=ByteLevel())


class Spelling:
    """A processor that writes the bytes of a text, one after another."""

    def __init__(self, text: str, prompt: int = 1) -> None:
        self.bytes, self.prompt = text.encode(), prompt

    def __call__(self, logits: Any, ids: Sequence[int]) -> Any:
        return np.where(np.arange(len(logits)) == self.bytes[len(ids) - self.prompt], 0, -np.inf)


def spelled(text: str, **options: Any) -> tuple[list[str], Handle]:
    """Return the pieces in which a model shows a text, and the handle."""
    batcher = Batcher(GPT(GPTConfig(256, 64, layers=1, heads=1, width=4)), BYTES)
    sampling = Sampling(temperature=0, processors=(Spelling(text),),
                        **{"max_tokens": len(text.encode())} | options)
    handle = batcher.add([0], sampling)
    return list(batcher.stream(handle)), handle


@draws(100, 8)
@given(st.text("aé\N{GRINNING FACE}b", min_size=1, max_size=12),
       st.lists(st.text("aéb", min_size=1, max_size=3), max_size=2))
def test_a_text_comes_in_whole_characters_and_ends_before_a_stop_string(
        text: str, stop: list[str]) -> None:
    pieces, handle = spelled(text, stop=stop)
    reference = StopStrings(stop)
    shown = "".join(map(reference.push, text)) + reference.finish()
    assert "".join(pieces) == handle.text == shown
    assert handle.reason == ("stop" if reference.found else "length")
    assert not any(word in handle.text for word in stop)
    if not stop:
        assert pieces == list(text)


def test_a_text_that_ends_within_a_character_says_so() -> None:
    pieces, handle = spelled("aé", max_tokens=2)
    assert pieces == ["a", "\ufffd"] and handle.reason == "length"
    pieces, handle = spelled("aé", ends=("é".encode()[1],))
    assert pieces == ["a", "\ufffd"] and handle.reason == "end"


def test_what_never_became_a_stop_string_is_shown_at_the_end() -> None:
    pieces, handle = spelled("abab", stop=["abc"])
    assert handle.text == "abab" and pieces == ["ab", "ab"] and handle.reason == "length"


def test_ids_without_text_have_none() -> None:
    batcher = Batcher(GPT(GPTConfig(9, 8, layers=1, heads=1, width=4)), CharTokenizer("abc"))
    handle = batcher.add([1], Sampling(seed=1, max_tokens=30))
    batcher.run()
    assert handle.text == "".join("abc"[id] for id in handle.ids if id < 3) and set(handle.text)
