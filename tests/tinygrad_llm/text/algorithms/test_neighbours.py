"""Pre-tokens encoded together have the ids that merging each gives, for any ranks."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_llm.text.algorithms import neighbours
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.algorithms.neighbours import Neighbours
from tinygrad_llm.text.training.bpe_merges import learn_merges_plainly

LETTERS = b"ab\xc3\xa9"
PIECES = st.lists(st.lists(st.sampled_from(LETTERS), min_size=1, max_size=30).map(bytes),
                  min_size=1, max_size=8)
# Tokens of tiktoken's kind, any order of ids: a rank may be below those of its parts.
VOCABULARIES = st.lists(st.lists(st.sampled_from(LETTERS), min_size=2, max_size=6).map(bytes),
                        max_size=25, unique=True)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_TOO_FEW", 0)


def of(model: BPE) -> Neighbours:
    return Neighbours(model.tokens, model.ranks, model.made)


def check(model: BPE, pieces: list[bytes]) -> int:
    """Assert that what is found is right; return how many pre-tokens must be merged."""
    ids, counts = of(model).encode(pieces)
    ends = np.cumsum(counts)
    for piece, end, count in zip(pieces, ends.tolist(), counts.tolist(), strict=True):
        assert count == 0 or tuple(ids[end - count:end].tolist()) == model.encode_bytes(piece)
    assert len(ids) == sum(counts)
    return int((counts == 0).sum())


@given(VOCABULARIES, PIECES)
@example([b"ab", b"aab", b"aa"], [b"aaab", b"aab", b"aaaab"])
@example([b"aba", b"ab"], [b"abab"])  # of two equal merges the left one is the first
def test_any_ranks(tokens: list[bytes], pieces: list[bytes]) -> None:
    vocab = {bytes([b]): i for i, b in enumerate(LETTERS)}
    vocab |= {token: len(vocab) + i for i, token in enumerate(tokens)}
    check(BPE(vocab, ignore_merges=False), pieces)


@given(st.data(), PIECES)
def test_any_merges(data: st.DataObject, pieces: list[bytes]) -> None:
    """Of tokens that were made before, so that none must be left to merging."""
    vocab = {bytes([b]): i for i, b in enumerate(LETTERS)}
    merges: list[tuple[bytes, bytes]] = []
    for _ in range(data.draw(st.integers(0, 25))):
        pair = data.draw(st.tuples(*[st.sampled_from(sorted(vocab))] * 2))
        if pair not in merges and sum(map(len, pair)) <= 12:
            merges.append(pair)
            vocab.setdefault(b"".join(pair), len(vocab))
    model = BPE(vocab, merges)
    made_once = len({b"".join(pair) for pair in merges}) == len(merges)
    left = check(model, pieces)
    if made_once and all(model.encode_bytes(token) == (id,) for token, id in vocab.items()):
        assert left == 0


@given(PIECES)
def test_a_trained_model_leaves_nothing_to_merging(pieces: list[bytes]) -> None:
    counts = {"abaabéébab": 5, "aaaaaab": 4, "éabbbbéa": 3, "babbéaé": 2}
    merges = learn_merges_plainly(counts, 286)
    vocab = {bytes([b]): b for b in range(256)}
    for pair in merges:
        vocab.setdefault(b"".join(pair), len(vocab))
    assert check(BPE(vocab, merges), [*pieces, b"x", "zébabé".encode()]) == 0


@given(VOCABULARIES)
def test_what_fits_is_what_merging_leaves_apart(tokens: list[bytes]) -> None:
    vocab = {bytes([b]): i for i, b in enumerate(LETTERS)}
    vocab |= {token: len(vocab) + i for i, token in enumerate(sorted(tokens, key=len))}
    model = BPE(vocab, ignore_merges=False)
    own = [id for token, id in vocab.items() if model.encode_bytes(token) == (id,)]
    left, right = (side.ravel().astype(np.int32) for side in np.meshgrid(own, own))
    fits = of(model).fit(left, right).tolist()
    for a, b, fit in zip(left.tolist(), right.tolist(), fits, strict=True):
        assert fit == (model.encode_bytes(model.bytes_of[a] + model.bytes_of[b]) == (a, b))


def test_bytes_without_a_token_and_the_last_few_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    model = BPE({b"a": 0, b"b": 1, b"ab": 2}, [(b"a", b"b")])
    ids, counts = of(model).encode([b"ab", b"aXb", b"ba"])
    assert ids.tolist() == [2, 1, 0] and counts.tolist() == [1, 0, 2]
    monkeypatch.setattr(neighbours, "_TOO_FEW", 1)
    ids, counts = of(model).encode([b"ab", b"bbbb"])  # the second alone is not worth the arrays
    assert ids.tolist() == [2] and counts.tolist() == [1, 0]


def test_tokens_too_long_for_any_pre_token_take_no_part() -> None:
    """Each of these would go down the spine of all before it: minutes in all."""
    size = 3000
    merges = [(b"b", b"b" * k + b"a") for k in range(size)]
    merges += [(b"b" * k + b"a", b"c") for k in range(size)]
    vocab = {letter: i for i, letter in enumerate((b"a", b"b", b"c"))}
    for pair in merges:
        vocab.setdefault(b"".join(pair), len(vocab))
    model = BPE(vocab, merges)
    start = time.process_time()
    found = of(model)
    assert time.process_time() - start < 20
    pieces = [b"bba", b"b" * 150 + b"ac", b"bac"]
    ids, counts = found.encode(pieces)
    assert ids.tolist() == [i for piece in pieces for i in model.encode_bytes(piece)]
    assert counts.min() > 0
