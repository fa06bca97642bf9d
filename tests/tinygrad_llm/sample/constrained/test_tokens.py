"""The bytes of each token against decoding, and the trie against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.draws import draws
from tests.languages import tokenizers
from tests.vocabularies import vocabulary as real_vocabulary
from tinygrad_llm.sample.constrained.tokens import (
    Trie,
    Vocabulary,
    added_bytes,
    spread,
    vocabulary,
)
from tinygrad_llm.text import load_tokenizer
from tinygrad_llm.text.tokenizer import Tokenizer

KINDS = tokenizers()
REAL = ["gpt2", "llama2/tokenizer.json", "bert/vocab.txt", "mistral/tokenizer.model.v1"]


def check_continued(tokenizer: Tokenizer, rng: np.random.Generator, count: int) -> None:
    """Compare the bytes of answers with what decoding adds to a prompt."""
    pieces = added_bytes(tokenizer)
    usable = [id for id, piece in enumerate(pieces) if piece]
    for _ in range(count):
        prompt, answer = (rng.choice(usable, size).tolist() for size in rng.integers(1, 6, 2))
        before, whole = tokenizer.decode_bytes(prompt), tokenizer.decode_bytes(prompt + answer)
        assert whole == before + b"".join(pieces[id] for id in answer), answer


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_adds_the_bytes_of_its_tokens_to_the_prompt(kind: str) -> None:
    check_continued(KINDS[kind], np.random.default_rng(0), 300)


@pytest.mark.parametrize("name", REAL)
def test_answers_of_real_vocabularies(name: str) -> None:
    tokenizer = load_tokenizer(real_vocabulary(name))
    check_continued(tokenizer, np.random.default_rng(0), 200)
    pieces = added_bytes(tokenizer)
    assert not any(pieces[id] for id in tokenizer.special_tokens.values())
    assert sum(map(bool, pieces)) > 0.99 * len(pieces)


def test_tokens_without_a_text_of_their_own_add_none() -> None:
    assert [k for k, piece in enumerate(added_bytes(KINDS["byte fallback"])) if not piece] == [0, 1]
    assert added_bytes(KINDS["byte-level"])[-1] == b""
    assert added_bytes(KINDS["byte-level"])[0xE4] == b"\xe4"
    assert added_bytes(KINDS["byte fallback"])[2 + 0xE4] == b"\xe4"
    suffix = KINDS["suffix"]
    found = added_bytes(suffix)
    assert found[suffix.id("a")] == b"a" and found[suffix.id("a</w>")] == b""
    pieces = KINDS["wordpiece"]
    found = added_bytes(pieces)
    assert found[pieces.id("##ab")] == b"ab" and found[pieces.id("ab")] == b" ab"
    assert found[pieces.id(",")] == b","


def test_a_vocabulary_is_made_once_for_a_tokenizer_and_a_size() -> None:
    tokenizer = KINDS["characters"]
    assert vocabulary(tokenizer, 5) is vocabulary(tokenizer, 5)
    assert len(vocabulary(tokenizer, 5).pieces) == 5
    assert vocabulary(tokenizer, 99).pieces[50:] == [b""] * 49


pieces_of = st.lists(st.binary(max_size=4) | st.text("ab中é", max_size=3).map(str.encode),
                     max_size=12)


@given(pieces_of)
@draws(200, dev=80)
def test_a_trie_has_the_beginnings_of_the_pieces(pieces: list[bytes]) -> None:
    trie = Trie(pieces, range(len(pieces)))
    names = [b""]
    for parent, byte in zip(trie.parent[1:], trie.bytes[1:], strict=True):
        names.append(names[parent] + bytes([byte]))
    assert names == sorted({piece[:k] for piece in pieces for k in range(len(piece) + 1)} | {b""},
                           key=lambda name: (len(name), name))
    assert {(int(id), names[node]) for id, node in zip(trie.ids, trie.node, strict=True)} == {
        (id, piece) for id, piece in enumerate(pieces) if piece}
    for node, name in enumerate(names):
        below = range(trie.first[node], trie.first[node + 1])
        assert [names[k] for k in below] == [n for n in names if n and n[:-1] == name]
        start, stop = trie.levels[len(name)]
        assert start <= node < stop and trie.is_end[node] == bool(name and name in pieces)
    assert np.array_equal(trie.keys, 256 * trie.parent[1:].astype(int) + trie.bytes[1:])


@given(pieces_of)
@draws(200, dev=80)
def test_the_sample_spells_all_that_the_pieces_spell(pieces: list[bytes]) -> None:
    words = Vocabulary([*pieces, *[bytes([byte % 256, 7]) for byte in range(600)]], 600)
    small = {words.pieces[id] for id in words.sample.ids}
    for piece in filter(None, words.pieces):
        reached = [True]
        for end in range(1, len(piece) + 1):
            reached.append(any(reached[k] and piece[k:end] in small for k in range(end)))
        assert reached[-1], piece


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=5))
def test_spread_is_the_ranges_in_a_row(ranges: list[tuple[int, int]]) -> None:
    first = np.array([a for a, _ in ranges], int)
    stop = first + np.array([n for _, n in ranges], int)
    numbers, owners = spread(first, stop)
    assert numbers.tolist() == [k for a, n in ranges for k in range(a, a + n)]
    assert owners.tolist() == [i for i, (_, n) in enumerate(ranges) for _ in range(n)]
