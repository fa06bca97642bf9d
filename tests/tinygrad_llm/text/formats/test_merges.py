import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.formats.merges import check_reproduces, merges_of

BYTES = {bytes([b]): b for b in range(256)}


def test_merges_in_another_order_than_ids_are_refused() -> None:
    with pytest.raises(UserError, match="its id is below that of a token that is made before it"):
        check_reproduces(BPE({**BYTES, b"an": 257, b"na": 256}, [(b"a", b"n"), (b"n", b"a")]))


def test_a_token_that_merges_do_not_reach_is_refused() -> None:
    # abc is made of ab and c by ranks, but the merges make bc first and leave a.
    vocab = {**BYTES, b"bc": 256, b"ab": 257, b"abc": 258}
    model = BPE(vocab, [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")], ignore_merges=False)
    assert model.encode_piece("abc") != BPE(vocab).encode_piece("abc")
    with pytest.raises(UserError, match=r"the token b'abc', id 258, .* not merged into it"):
        check_reproduces(model)


pairs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8)


@given(pairs, st.permutations(range(8)), st.lists(st.text("abc", max_size=12), max_size=8))
def test_what_is_not_refused_is_the_same(
    joins: list[tuple[int, int]], order: list[int], texts: list[str]
) -> None:
    tokens, merges = [b"a", b"b", b"c"], []
    for i, j in joins:
        left, right = tokens[i % len(tokens)], tokens[j % len(tokens)]
        if left + right not in tokens:
            tokens.append(left + right)
            merges.append((left, right))
    swapped = [tokens[3:][i] for i in order if i < len(tokens) - 3]
    for longer in (tokens[3:], swapped):
        model = BPE({**BYTES, **{token: 256 + i for i, token in enumerate(longer)}}, merges)
        ranks = BPE(model.tokens)
        try:
            check_reproduces(model)
        except UserError:
            continue
        for text in [*texts, "abc" * 20, "aabbcc" * 5, *(t.decode() for t in tokens)]:
            assert model.encode_piece(text) == ranks.encode_piece(text)
        back = BPE(model.tokens, merges_of(ranks))
        for text in texts:
            assert back.encode_piece(text) == ranks.encode_piece(text)


def test_a_token_of_ranks_is_made_of_what_lower_ranks_make() -> None:
    # abcd: ab has the lowest rank, then cd, so abcd joins these two, though abc is a token too.
    ranks = {**BYTES, b"ab": 256, b"cd": 257, b"abcd": 258, b"abc": 259}
    assert merges_of(BPE(ranks)) == [
        (b"a", b"b"), (b"c", b"d"), (b"ab", b"cd"), (b"ab", b"c")]


def test_a_token_that_lower_ranks_leave_in_parts_is_refused() -> None:
    with pytest.raises(UserError, match="no merges lead to the token b'abcd', rank 256: .*4 parts"):
        merges_of(BPE({**BYTES, b"abcd": 256}))


def test_a_token_that_ranks_find_whole_only_is_refused_where_merges_rule() -> None:
    vocab = {**BYTES, b"abcd": 256}  # no two tokens make it
    check_reproduces(BPE(vocab, [], ignore_merges=True))
    with pytest.raises(UserError, match="its own bytes are not merged into it"):
        check_reproduces(BPE(vocab, [], ignore_merges=False))


def test_merges_that_are_there_are_returned() -> None:
    merges = [(b"n", b"a"), (b"a", b"n")]
    assert merges_of(BPE({**BYTES, b"an": 256, b"na": 257}, merges)) == merges
    # With ignore_merges they count only if they reach every token.
    vocab = {**BYTES, b"an": 256, b"ban": 257}
    whole = BPE(vocab, [(b"a", b"n")], ignore_merges=True)
    assert whole.encode_piece("ban") == (257,)
    with pytest.raises(UserError, match=r"the token b'ban', id 257, .* not merged into it"):
        merges_of(whole)
    reached = BPE(vocab, [(b"a", b"n"), (b"b", b"an")], ignore_merges=True)
    assert merges_of(reached) == [(b"a", b"n"), (b"b", b"an")]
