import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.algorithms.wordpiece import WordPiece

pieces = st.text("abé", min_size=1, max_size=4)
vocabularies = st.sets(pieces | pieces.map(lambda piece: "##" + piece), max_size=12)


Spans = list[tuple[int, int, int]]


def by_definition(vocab: dict[str, int], word: str, prefix: str = "##") -> Spans:
    """Return the longest match first, tried from every end."""
    spans: Spans = []
    start = 0
    while start < len(word):
        before = prefix if start else ""
        ends = [e for e in range(start + 1, len(word) + 1) if before + word[start:e] in vocab]
        if not ends:
            return [(vocab["[UNK]"], 0, len(word))]
        spans.append((vocab[before + word[start:ends[-1]]], start, ends[-1]))
        start = ends[-1]
    return spans


@given(vocabularies, st.text("abé", max_size=12))
def test_longest_match_first(tokens: set[str], word: str) -> None:
    vocab = {token: id for id, token in enumerate(["[UNK]", *sorted(tokens)])}
    spans = WordPiece(vocab).piece_spans(word)
    assert spans == by_definition(vocab, word)
    assert WordPiece(vocab).encode_piece(word) == tuple(id for id, _, _ in spans)
    assert [s for _, s, _ in spans[1:]] == [e for _, _, e in spans[:-1]]
    assert not word or (spans[0][1], spans[-1][2]) == (0, len(word))


@given(st.sets(pieces, max_size=8), st.text("abé", max_size=12))
def test_without_a_prefix_all_tokens_go_on(tokens: set[str], word: str) -> None:
    vocab = {token: id for id, token in enumerate(["[UNK]", *sorted(tokens)])}
    assert WordPiece(vocab, continuing_subword_prefix="").piece_spans(word) == by_definition(
        vocab, word, prefix="")


def test_no_look_back_for_a_shorter_beginning() -> None:
    vocab = {"[UNK]": 0, "a": 1, "ab": 2, "##bc": 3}
    assert WordPiece(vocab).encode_piece("abc") == (0,)


def test_a_word_may_begin_with_what_the_prefix_spells() -> None:
    model = WordPiece({"[UNK]": 0, "##b": 1, "##": 2, "": 3, "###": 4})
    assert model.piece_spans("##b") == [(1, 0, 3)]
    assert model.encode_piece("##") == (2,)
    assert model.encode_piece("###") == (4,)
    assert model.piece_spans("##b#") == [(1, 0, 3), (4, 3, 4)]
    assert model.encode_piece("") == ()
    assert WordPiece({"[UNK]": 0, "a": 1, "##": 2}).encode_piece("ax") == (0,)


def test_the_bound_counts_characters() -> None:
    model = WordPiece({"[UNK]": 7, "é": 1, "##é": 2}, max_input_chars_per_word=3)
    assert model.encode_piece("ééé") == (1, 2, 2)
    assert model.piece_spans("éééé") == [(7, 0, 4)]


def test_a_missing_unknown_token_is_named_when_needed() -> None:
    model = WordPiece({"a": 0}, unk_token="<?>")
    assert model.encode_piece("a") == (0,)
    with pytest.raises(UserError, match=r"the word 'ab' is not made of tokens, .* '<\?>', is not"):
        model.encode_piece("ab")


def test_long_words_take_linear_time() -> None:
    tokens = ["[UNK]", "a", "##a", "##b", "##" + "b" * 3000, "##" + "a" * 40 + "c"]
    model = WordPiece(dict(zip(tokens, range(9), strict=False)), max_input_chars_per_word=10**6)
    for word in ("a" * 100_000, "a" + "b" * 100_000, "a" * 99_999 + "x"):
        began = time.process_time()
        model.encode_piece(word)
        assert time.process_time() - began < 1
