"""Blocks joined are the text, and encode as the text does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.text.cut.blocks import blocks_of_chunks, blocks_of_text
from tinygrad_llm.text.cut.patterns import PATTERNS, splitter

TEXT = st.text(st.sampled_from("abAé中'sS .,!?\n\r\t19_½/\u0301\u3002"), max_size=80) | st.text()


@given(TEXT, st.integers(1, 30), st.sampled_from(sorted(PATTERNS)))
def test_pre_tokens_never_cross_from_block_to_block(text: str, size: int, name: str) -> None:
    parts = list(blocks_of_text(text, size))
    assert "".join(parts) == text
    split = splitter(name).split
    assert [p for part in parts for p in split(part)] == split(text)
    assert all(len(part) >= size for part in parts[:-1])


@given(st.lists(TEXT, max_size=8), st.integers(1, 30), st.sampled_from(sorted(PATTERNS)))
def test_streamed_blocks(chunks: list[str], size: int, name: str) -> None:
    parts = list(blocks_of_chunks(iter(chunks), size))
    assert "".join(parts) == "".join(chunks)
    assert all(parts)
    split = splitter(name).split
    assert [p for part in parts for p in split(part)] == split("".join(chunks))


def test_a_long_text_is_cut() -> None:
    text = "some words, and more. " * 2000
    assert len(list(blocks_of_text(text, 1000))) > 30
    chunks = (text[i:i + 100] for i in range(0, len(text), 100))
    assert len(list(blocks_of_chunks(chunks, 1000))) > 30
    assert list(blocks_of_text("a" * 5000, 1000)) == ["a" * 5000]
