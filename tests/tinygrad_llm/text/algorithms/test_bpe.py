"""Byte-level BPE: the definition, its fast twins, and what cannot be."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.algorithms import bpe, neighbours
from tinygrad_llm.text.algorithms.bpe import BPE, merge_plainly, merge_with_heap
from tinygrad_llm.text.algorithms.piece_table import PieceTable
from tinygrad_llm.text.cut.patterns import GPT2, LLAMA3, O200K, splitter

BYTES = {bytes([b]): b for b in range(256)}


def model(joins: list[tuple[bytes, bytes]], explicit: bool = True) -> BPE:
    vocab = dict(BYTES)
    for left, right in joins:
        vocab.setdefault(left + right, len(vocab))
    return BPE(vocab, joins if explicit else None)


MERGES = [(b"a", b"b"), (b"ab", b"a"), (b" ", b"a"), (b"b", b"b"), (b" a", b"bb"), (b"aba", b"aba"),
          (b"\xc3", b"\xa9"), (b"\xe4\xb8", b"\xad"), (b"\n", b"\n"), (b"a", b"a"), (b"aa", b"aa")]
MERGES.insert(7, (b"\xe4", b"\xb8"))
TEXT = st.text(st.sampled_from("aaabbb é中\n1'sx"), max_size=60) | st.text(max_size=30)


def by_definition(m: BPE, piece: bytes) -> list[bytes]:
    """Merge by walking the ranks from the lowest, in bytes."""
    rank = {pair: r for r, pair in enumerate(m.merges or [])}
    tokens = [bytes([b]) for b in piece]
    while True:
        best = min(((rank[pair], i) for i, pair in enumerate(pairwise(tokens))
                    if pair in rank), default=None)
        if best is None:
            return tokens
        i = best[1]
        tokens[i:i + 2] = [tokens[i] + tokens[i + 1]]


@given(st.binary(max_size=40) | st.text("ab ", max_size=40).map(str.encode))
def test_merging_is_the_definition(piece: bytes) -> None:
    m = model(MERGES)
    assert [m.bytes_of[i] for i in m.encode_bytes(piece)] == by_definition(m, piece)


# Ranks drawn at random are no training's: a merge may make a pair of a lower rank.
RANKS = st.dictionaries(st.tuples(st.integers(0, 5), st.integers(0, 5)), st.integers(0, 30),
                        max_size=20)


@given(st.lists(st.integers(0, 3), max_size=80), RANKS)
def test_the_heap_merges_the_same(ids: list[int], drawn: dict[tuple[int, int], int]) -> None:
    ranks = {pair: rank for rank, pair in enumerate(sorted(drawn, key=lambda p: (drawn[p], p)))}
    made = [rank % 6 for rank in range(len(ranks))]
    assert merge_with_heap(list(ids), ranks, made) == merge_plainly(list(ids), ranks, made)


@given(TEXT, st.sampled_from([GPT2, LLAMA3, O200K, r"\w+|\W"]), st.booleans())
def test_whole_texts_are_their_pre_tokens(text: str, pattern: str, explicit: bool) -> None:
    m = model(MERGES, explicit)
    expected = [i for piece in splitter(pattern).split(text) for i in m.encode_piece(piece)]
    for _ in range(2):  # from nothing, and from memory
        ids = m.encode_text(text, pattern)
        assert ids.dtype == np.int32
        assert ids.tolist() == expected
    assert b"".join(map(m.bytes_of.__getitem__, expected)) == text.encode()


@given(TEXT, st.sampled_from([GPT2, LLAMA3, O200K]), st.booleans(), st.booleans())
@example("ab ab ababababab bbababbbb", GPT2, True, True)
@example("b bbb aaba", GPT2, True, False)
def test_pre_tokens_merged_together_are_the_same(text: str, pattern: str, explicit: bool,
                                                 whole: bool) -> None:
    m = model(MERGES, explicit)
    m.tokens[b" ab"] = 999  # which no merge makes
    m.ignore_merges = whole
    expected = [i for piece in splitter(pattern).split(text) for i in m.encode_piece(piece)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_MANY", 0), ("_PAYS", 0)):
            patch.setattr(bpe, name, value)
        patch.setattr(neighbours, "_TOO_FEW", 1)  # so that some are left
        assert m.encode_text(text, pattern).tolist() == expected
    assert m._neighbours or not text or whole


def test_no_array_has_a_place_for_every_large_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe, "_MANY", 0)
    monkeypatch.setattr(bpe, "_PAYS", 0)
    m = BPE(BYTES | {b"ab": 2**31 - 1})
    assert m.encode_text("abc", GPT2).tolist() == [2**31 - 1, ord("c")] and not m._neighbours
    m = BPE({b"abc": 0}, unknown=0)  # no token takes part
    assert m.encode_text("x yz abc" * 9, GPT2).tolist() == [
        i for piece in splitter(GPT2).split("x yz abc" * 9) for i in m.encode_piece(piece)]
    assert m._neighbours
    m = BPE({})
    assert m.encode_text("", GPT2).tolist() == []
    with pytest.raises(UserError, match="no token stands for the byte 0x61"):
        m.encode_text("abc", GPT2)


def test_long_texts_are_cut_into_blocks() -> None:
    m, text = model(MERGES), "abab é 中a's aabb\n\n x12345" * 20_000
    expected = [i for piece in splitter(LLAMA3).split(text) for i in m.encode_piece(piece)]
    assert m.encode_text(text, LLAMA3).tolist() == expected


def test_forgetting_changes_nothing() -> None:
    m = model(MERGES)
    m._table = PieceTable(limit=3)
    text = "aab bba abab baab é " * 50
    expected = m.encode_text(text, GPT2).tolist()
    for _ in range(3):
        assert m.encode_text(text, GPT2).tolist() == expected
    assert len(m._table.entries) < 20


@given(TEXT)
def test_spans_cover_the_characters(text: str) -> None:
    m = model(MERGES)
    spans = m.piece_spans(text)
    assert tuple(id for id, _, _ in spans) == m.encode_piece(text)
    at = 0
    for id, start, end in spans:
        first, after = at, at + len(m.bytes_of[id])
        sizes = [len(text[:i].encode()) for i in range(len(text) + 1)]
        assert sizes[start] <= first < sizes[start + 1]
        assert sizes[end - 1] < after <= sizes[end]
        at = after


def test_a_token_that_no_merge_reaches() -> None:
    vocab = BYTES | {b"xy": 256}
    assert BPE(vocab, []).encode_piece("xy") == (120, 121)
    assert BPE(vocab, [], ignore_merges=True).encode_piece("xy") == (256,)
    assert BPE(vocab).encode_piece("xy") == (256,)


def test_threads_share_the_memory() -> None:
    m, texts = model(MERGES), [f"abab {i} bba é{i} aabb " * 40 for i in range(60)]
    m._table = PieceTable(limit=50)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda text: m.encode_text(text, GPT2).tolist(), texts * 3))
    alone = model(MERGES)
    assert got == [alone.encode_text(text, GPT2).tolist() for text in texts] * 3


def test_copies_encode_the_same() -> None:
    m = model(MERGES)
    assert pickle.loads(pickle.dumps(m)).encode_text("abab abb", GPT2).tolist() == (
        m.encode_text("abab abb", GPT2).tolist())


def test_a_byte_without_a_token() -> None:
    vocab = {bytes([b]): b for b in range(97, 123)}
    assert BPE(vocab, []).encode_piece("ab") == (97, 98)
    with pytest.raises(UserError, match="no token stands for the byte 0x21"):
        BPE(vocab, []).encode_piece("ab!")
    assert BPE(vocab, [], unknown=97).encode_piece("b!") == (98, 97)


@pytest.mark.parametrize("vocab, merges, words", [
    (BYTES | {b"ab": 7}, [], "gives the id 7 to two tokens"),
    (BYTES | {b"ab": -1}, [], "has the id -1; ids are from 0 to 2147483647"),
    (BYTES | {b"ab": 2**31}, [], "has the id 2147483648"),
    (BYTES, [(b"a", b"b")], "'ab' is not in the vocabulary"),
    (BYTES | {b"abc": 256}, [(b"ab", b"c")], "'ab' is not in the vocabulary"),
])
def test_impossible_vocabularies(vocab: dict[bytes, int], merges: list[tuple[bytes, bytes]],
                                 words: str) -> None:
    with pytest.raises(UserError, match=words):
        BPE(vocab, merges)


@pytest.mark.parametrize("text", ["a" * 100_000, " " * 100_000, "😀" * 25_000, "ab" * 50_000])
def test_long_pre_tokens_are_not_quadratic(text: str) -> None:
    merges = [(b"a", b"a"), (b"aa", b"aa"), (b"a", b"b"), (b"ab", b"ab"), (b" ", b" "),
              (b"  ", b"  "), (b"\xf0", b"\x9f")]
    m = model(merges)
    start = time.process_time()
    assert len(m.encode_text(text, GPT2)) < len(text.encode())
    assert time.process_time() - start < 30  # the definition would take minutes
