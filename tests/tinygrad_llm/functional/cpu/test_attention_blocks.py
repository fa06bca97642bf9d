"""How attention's twin cuts its work: nothing is left out, nothing is done twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_llm.functional.attention import visible
from tinygrad_llm.functional.cpu import attention_blocks
from tinygrad_llm.functional.cpu.attention_blocks import (
    Options,
    add_product,
    block_mask,
    blocks,
    exponentials,
    hide,
    pieces,
    product,
    row_maxima,
    scratch,
)
from tinygrad_llm.functional.dropout import keep_mask


def options(**given: Any) -> Options:
    """Return options of which only some are given."""
    return Options(**{"offset": 0, "window": None, "documents": None, "alpha": 1.0,
                      "soft_cap": None, "dropout": 0.0, "key": None, **given})


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape)


@st.composite
def cuts(draw: Any) -> dict[str, int]:
    """Draw the sizes of a call and of its blocks and pieces."""
    sizes = {"batch": (0, 3), "groups": (1, 4), "repeats": (1, 2), "time": (1, 13), "more": (0, 5),
             "rows": (1, 14)}
    drawn = {name: draw(st.integers(*ends)) for name, ends in sizes.items()}
    return drawn | {"scores": draw(st.sampled_from([1, 300, 2000, 10**6]))}


@given(cut=cuts())
@example(cut={"batch": 3, "groups": 2, "repeats": 1, "time": 5, "more": 0, "rows": 3,
              "scores": 300})  # by sequences
@example(cut={"batch": 2, "groups": 5, "repeats": 1, "time": 5, "more": 0, "rows": 3,
              "scores": 300})  # by heads
def test_pieces_and_blocks_are_a_whole_with_its_mask(cut: dict[str, int]) -> None:
    batch, groups, repeats, time = (cut[n] for n in ("batch", "groups", "repeats", "time"))
    keys, how = time + cut["more"], options(offset=cut["more"], dropout=0.4, key=5)
    q = np.zeros((batch, groups, repeats, time, 2))
    mask = keep_mask((*q.shape[:-1], keys), 0.4, 5, q)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_blocks, "ROWS", cut["rows"])
        patch.setattr(attention_blocks, "SCORES", cut["scores"])
        times = np.zeros((batch, groups))
        for piece in pieces(q, keys):
            times[piece] += 1
            some = q[piece]
            assert some.size and (some.shape[1] == groups or some.shape[0] == 1)
            of_a_block = repeats * min(cut["rows"], time) * keys * 8
            number = some.shape[0] * some.shape[1]
            assert number == 1 or number * of_a_block <= cut["scores"], "a large piece"
            for block in blocks(time, how):
                i, j, low, high = block
                drawn = block_mask((*q.shape[:-1], keys), piece, block, how, q)
                np.testing.assert_array_equal(drawn, mask[piece][..., i:j, low:high], strict=True)
        assert (times == 1).all()
        queries = [n for i, j, *_ in blocks(time, how) for n in range(i, j)]
    assert queries == list(range(time))


@given(time=st.integers(1, 13), more=st.integers(0, 5), window=st.none() | st.integers(1, 20),
       rows=st.integers(1, 14), data=st.data())
def test_a_block_has_the_keys_from_the_first_to_the_last_that_it_sees(
        time: int, more: int, window: int | None, rows: int, data: st.DataObject) -> None:
    offsets, keys = np.array([data.draw(st.integers(0, more)) for _ in range(3)]), time + more
    seen = visible(np.zeros((3, time, 1)), keys, offsets, window)[:, 0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_blocks, "ROWS", rows)
        for some, offset in ((slice(1, 3), offsets), (slice(0, 1), int(offsets[0]))):
            for i, j, low, high in blocks(time, options(offset=offset, window=window), some):
                found = np.flatnonzero(seen[some, i:j].any(axis=(0, 1)))
                assert (low, high) == (found[0], found[-1] + 1)


def test_the_real_sizes() -> None:
    assert [(b.i, b.j) for b in blocks(130, options())] == [(0, 64), (64, 128), (128, 130)]
    q = np.zeros((1, 4, 1, 300, 2))
    assert pieces(q, 300) == [(slice(0, 1), slice(0, 2)), (slice(0, 1), slice(2, 4))]
    assert pieces(q.astype(np.float32), 300) == [(slice(0, 1), slice(0, 4))]


@pytest.mark.parametrize("given", [
    {}, {"window": 2}, {"documents": np.array([[0, 0, 0, 1, 1, 1, 2], [5, 5, 5, 5, 5, 3, 3]])},
    {"window": 3, "documents": np.array([[0, 0, 0, 1, 1, 1, 2], [5, 5, 5, 5, 5, 3, 3]])}])
@pytest.mark.parametrize("fill", [1.0, np.nan, np.inf])
def test_hidden_scores_are_minus_infinity_whatever_they_were(given: dict[str, Any],
                                                             fill: float) -> None:
    how = options(offset=2, **given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_blocks, "ROWS", 2)
        for block in blocks(5, how):
            s = np.full((1, 3, 2, block.j - block.i, block.high - block.low), fill)
            hide(s, block, how, slice(1, 2))
            seen = visible(np.zeros((2, 5, 1)), 7, 2, how.window, how.documents)
            seen = np.broadcast_to(seen, (2, 1, 5, 7))[1:, 0, block.i : block.j]
            expected = np.where(seen[:, None, None, :, block.low : block.high], fill, -np.inf)
            np.testing.assert_array_equal(s, np.broadcast_to(expected, s.shape))


@pytest.mark.parametrize("soft_cap", [None, 0.7])
def test_exponentials_are_the_same_bits_with_known_maxima_and_given_memory(
        soft_cap: float | None) -> None:
    q, k, how = normal(2, 2, 1, 5, 3), normal(2, 2, 1, 7, 3), options(offset=2, soft_cap=soft_cap)
    block, piece = blocks(5, how)[0], (slice(0, 2), slice(0, 2))
    e, top, slope = exponentials(q, k, block, how, piece, None)
    memory = scratch(q, 7)[0]
    again, same, _ = exponentials(q, k, block, how, piece, memory, top)
    assert np.shares_memory(again, memory) and same is top
    np.testing.assert_array_equal(again, e)
    assert (e.max(axis=-1) == 1).all() and (e[..., 0, 3:] == 0).all()
    s = q @ k.swapaxes(-1, -2)
    if soft_cap is None:
        assert slope is None
    else:
        np.testing.assert_allclose(slope, 1 / np.cosh(s / soft_cap) ** 2, rtol=1e-9)
        s = soft_cap * np.tanh(s / soft_cap)
    seen = np.tril(np.ones((5, 7)), 2)
    np.testing.assert_allclose(e, np.exp(s - top) * seen, rtol=1e-13)


def test_row_maxima() -> None:
    s = normal(2, 3, 4, 5)
    s[..., 2] = -np.inf
    np.testing.assert_array_equal(row_maxima(s), s.max(axis=-1, keepdims=True))


def test_a_product_is_put_at_the_beginning_of_a_memory() -> None:
    a, b, memory = normal(2, 3, 4), normal(2, 4, 5), np.zeros(40)
    y = product(a, b, memory)
    np.testing.assert_array_equal(y, a @ b)
    np.testing.assert_array_equal(memory[:30], y.reshape(-1))
    assert not memory[30:].any()
    np.testing.assert_array_equal(product(a, b), y)


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_product_is_summed_over_heads_and_queries_and_added_or_set(repeats: int) -> None:
    a, b = normal(2, 2, repeats, 5, 4), normal(2, 2, repeats, 5, 3)
    expected = np.einsum("bgrij,bgrid->bgjd", a, b)[:, :, None]
    total = np.full((2, 2, 1, 4, 3), 7.0)
    add_product(a, b, total, fresh=True)
    np.testing.assert_allclose(total, expected, rtol=1e-12, atol=1e-14)
    add_product(a, b, total, fresh=False)
    np.testing.assert_allclose(total, 2 * expected, rtol=1e-12, atol=1e-14)


def test_without_dropout_or_its_key_there_is_no_mask() -> None:
    block, piece, like = blocks(3, options())[0], (slice(0, 1), slice(0, 1)), np.zeros(0)
    for how in (options(), options(dropout=0.3), options(key=3)):
        assert block_mask((1, 1, 1, 3, 3), piece, block, how, like) is None
