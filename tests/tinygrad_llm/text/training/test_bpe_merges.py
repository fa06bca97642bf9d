from collections import Counter
from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.characters.alphabet import BYTE_ORDER
from tinygrad_llm.text.training import bpe_merges
from tinygrad_llm.text.training.bpe_merges import (
    Merge,
    learn_merges,
    learn_merges_plainly,
    replace_pair,
)

Train = Callable[..., list[Merge]]

few_letters = st.text("ab", min_size=1, max_size=14) | st.text("abcdé", min_size=1, max_size=10)
any_bytes = st.binary(max_size=8)
runs = st.builds(lambda c, n, d: c * n + d, st.sampled_from("ab"), st.integers(1, 12), few_letters)
word_counts = st.one_of(
    st.dictionaries(few_letters | runs, st.integers(1, 5), max_size=12),
    st.dictionaries(any_bytes, st.integers(1, 2**40), max_size=8),
)


def tokens_of(merges: list[Merge]) -> list[bytes]:
    return [bytes([byte]) for byte in BYTE_ORDER] + [a + b for a, b in merges]


@given(word_counts, st.integers(256, 300), st.integers(0, 4), st.none() | st.integers(1, 6),
       st.sampled_from([0, 1, 3, 64]))
def test_fast_is_plain(counts: dict[str, int] | dict[bytes, int], vocab_size: int, least: int,
                       longest: int | None, many: int) -> None:
    plain = learn_merges_plainly(counts, vocab_size, min_frequency=least, max_token_length=longest)
    with patch.object(bpe_merges, "_MANY", many):  # so that both ways of joining are met
        fast = learn_merges(counts, vocab_size, min_frequency=least, max_token_length=longest)
    assert fast == plain


@pytest.mark.parametrize("many", [0, 10, 10**9])
def test_fast_is_plain_on_text(many: int) -> None:
    source = BPE.__doc__ or ""
    words = Counter((" " + " aaaa ".join(source.split())).split(" "))
    with patch.object(bpe_merges, "_MANY", many):
        assert learn_merges(words, 456) == learn_merges_plainly(words, 456)


@given(word_counts, st.integers(256, 300))
def test_every_merge_makes_a_new_token(counts: dict[str, int], vocab_size: int) -> None:
    tokens = tokens_of(learn_merges(counts, vocab_size, min_frequency=1))
    assert len(set(tokens)) == len(tokens) <= vocab_size


@given(word_counts, st.integers(256, 290))
def test_encoding_the_words_repeats_what_training_did(counts: dict[str, int], vocab_size: int
                                                      ) -> None:
    merges = learn_merges(counts, vocab_size, min_frequency=1)
    tokens = tokens_of(merges)
    ids = {token: id for id, token in enumerate(tokens)}
    model = BPE(ids, merges)
    for word in counts:
        data = word if isinstance(word, bytes) else word.encode()
        trained = [ids[bytes([byte])] for byte in data]
        for new, (a, b) in enumerate(merges, start=256):
            trained = replace_pair(trained, (ids[a], ids[b]), new)
        assert b"".join(tokens[id] for id in trained) == data
        if isinstance(word, str):
            assert list(model.encode_piece(word)) == trained


@given(word_counts)
def test_with_tokens_enough_every_word_becomes_one(counts: dict[str, int]) -> None:
    tokens = tokens_of(learn_merges(counts, 2000, min_frequency=0))
    words = {word if isinstance(word, bytes) else word.encode() for word in counts}
    assert words - {b""} <= set(tokens)


@pytest.mark.parametrize("train", [learn_merges_plainly, learn_merges])
class TestRules:
    def test_sennrichs_example(self, train: Train) -> None:
        words = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
        assert train(words, 259) == [(b"e", b"s"), (b"es", b"t"), (b"l", b"o")]

    def test_words_count_as_often_as_they_come(self, train: Train) -> None:
        assert train({"xy": 3, "ab": 2, "abc": 2}, 257) == [(b"a", b"b")]
        assert train({"xy": 5, "ab": 2, "abc": 2}, 257) == [(b"x", b"y")]

    def test_ties_go_to_the_smallest_ids_in_gpt_2s_order(self, train: Train) -> None:
        assert train({" a": 1, "~z": 1}, 257, min_frequency=1) == [(b"~", b"z")]  # 93 before 220
        assert train({"ba": 1, "ab": 1}, 257, min_frequency=1) == [(b"a", b"b")]
        assert train({"ab": 1, "aa": 1}, 257, min_frequency=1) == [(b"a", b"a")]
        assert train({"xyz": 2, "zxy": 2}, 258) == [(b"x", b"y"), (b"z", b"xy")]  # z before xy
        assert train({"xyzz": 2, "zxy": 2}, 258) == [(b"x", b"y"), (b"z", b"z")]

    def test_overlapping_pairs_count_but_join_from_the_left(self, train: Train) -> None:
        assert train({"aaa": 1, "bc": 1}, 257) == [(b"a", b"a")]  # twice in aaa
        assert train({"aaaaa": 1}, 260, min_frequency=1) == [
            (b"a", b"a"), (b"aa", b"a"), (b"aa", b"aaa")]

    def test_words_are_apart(self, train: Train) -> None:
        assert train({"a": 9, "b": 9, "": 4}, 300) == []
        assert train({}, 300) == []

    def test_it_stops_where_pairs_are_rarer_than_asked(self, train: Train) -> None:
        words = {"abc": 3, "ab": 1}
        assert train(words, 300, min_frequency=4) == [(b"a", b"b")]
        assert train(words, 300, min_frequency=3) == [(b"a", b"b"), (b"ab", b"c")]
        assert train({"abc": 1}, 300) == []

    def test_the_longest_token_has_the_length_asked_for(self, train: Train) -> None:
        words = {"abc": 9, "abcd": 2}
        made = [[], [b"ab", b"cd"], [b"ab", b"abc"], [b"ab", b"abc", b"abcd"]]
        for longest, tokens in enumerate(made, start=1):
            merges = train(words, 300, max_token_length=longest)
            assert tokens_of(merges)[256:] == tokens
        for many in (0, 64):
            with patch.object(bpe_merges, "_MANY", many):
                merges = train({"bc": 9, "abc": 2, "zabc": 2}, 300, max_token_length=3)
            assert tokens_of(merges)[256:] == [b"bc", b"abc"]
        assert tokens_of(train({"a" * 64: 2}, 300, max_token_length=13))[-1] == b"a" * 8

    @pytest.mark.parametrize(("wrong", "message"), [
        ({"vocab_size": 255}, r"vocab_size must be in \[256, 1048576\], got 255"),
        ({"vocab_size": 2**20 + 1}, "got 1048577"),
        ({"min_frequency": -1}, "min_frequency must not be negative, got -1"),
        ({"max_token_length": 0}, "max_token_length must be at least 1 byte, got 0"),
    ])
    def test_numbers_without_sense_are_refused(self, train: Train,
                                               wrong: dict[str, int], message: str) -> None:
        with pytest.raises(UserError, match=message):
            train({"ab": 2}, **{"vocab_size": 300, **wrong})

    def test_words_without_sense_are_refused(self, train: Train) -> None:
        with pytest.raises(ValueError, match="count of 'ab' must be at least 1, got 0"):
            train({"ab": 0}, 300)
        with pytest.raises(ValueError, match="2\\*\\*62"):
            train({"ab": 2**61}, 300)
        with pytest.raises(UserError, match="lone surrogate at position 1"):
            train({"a\ud800": 2}, 300)


def test_a_word_of_a_hundred_thousand_letters_is_no_trouble() -> None:
    merges = learn_merges({"a" * 100_000: 1, "ab" * 50_000: 1}, 300)
    assert merges[:2] == [(b"a", b"a"), (b"a", b"b")]
    assert max(map(len, tokens_of(merges))) > 60_000
