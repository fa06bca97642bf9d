"""Blocks joined are the text, and encode as the text does; bytes become text as they come."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.cut.blocks import StreamDecoder, blocks, blocks_of, read_chunks
from tinygrad_llm.text.cut.patterns import PATTERNS, splitter

TEXT = st.text(st.sampled_from("abAé中'sS .,!?\n\r\t19_½/\u0301\u3002"), max_size=80) | st.text()


@given(TEXT, st.integers(1, 30), st.sampled_from(sorted(PATTERNS)))
def test_pre_tokens_never_cross_from_block_to_block(text: str, size: int, name: str) -> None:
    parts = list(blocks_of(text, size))
    assert "".join(parts) == text
    split = splitter(name).split
    assert [p for part in parts for p in split(part)] == split(text)
    assert all(len(part) >= size for part in parts[:-1])


@given(st.lists(TEXT, max_size=8), st.integers(1, 30), st.sampled_from(sorted(PATTERNS)))
def test_streamed_blocks(chunks: list[str], size: int, name: str) -> None:
    parts = list(blocks(iter(chunks), size))
    assert "".join(parts) == "".join(chunks)
    assert all(parts)
    split = splitter(name).split
    assert [p for part in parts for p in split(part)] == split("".join(chunks))


def test_a_long_text_is_cut() -> None:
    text = "some words, and more. " * 2000
    assert len(list(blocks_of(text, 1000))) > 30
    assert len(list(blocks((text[i:i + 100] for i in range(0, len(text), 100)), 1000))) > 30
    assert list(blocks_of("a" * 5000, 1000)) == ["a" * 5000]


@given(st.text(), st.integers(1, 5), st.lists(st.integers(0, 50), max_size=5))
def test_streamed_bytes_are_the_text(text: str, size: int, cuts: list[int]) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    decoder = StreamDecoder()
    out = [decoder.push(data[a:b]) for a, b in pairwise(places)]
    assert "".join(out) + decoder.finish() == text


@given(st.binary(max_size=40), st.integers(1, 7),
       st.sampled_from(["replace", "ignore", "backslashreplace"]))
def test_files_in_chunks(tmp_path_factory, data: bytes, size: int, errors: str) -> None:
    path = tmp_path_factory.mktemp("chunks") / "file"
    path.write_bytes(data)
    assert "".join(read_chunks(path, errors, size)) == data.decode("utf-8", errors)
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        with pytest.raises(UserError, match=f"at offset {error.start}"):
            list(read_chunks(path, "strict", size))
    else:
        assert "".join(read_chunks(path, "strict", size)) == whole


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        list(read_chunks(tmp_path / "none"))
    with pytest.raises(UserError, match="known are strict"):
        list(read_chunks(tmp_path / "none", "wrong"))
