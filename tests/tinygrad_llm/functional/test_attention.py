"""Both forms of attention against each other and the definition, with blocks shrunk for small T."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import strict_cupy
from hypothesis import example, given
from hypothesis import strategies as st
from tinygrad_llm.functional.attention.blocks import block_mask, blocks, pieces
from tinygrad_llm.functional.attention.causal import reference

from autograd import Tensor, random_bits, to_host, vjp
from tinygrad_llm.functional import causal_attention, flash_attention
from tinygrad_llm.functional.attention import (
    blocks as attention_blocks,
)
from tinygrad_llm.functional.dropout import keep_mask
from tinygrad_llm.host import threads as parallel
from tinygrad_llm.nn import attention as layer

BOTH = pytest.mark.parametrize("attention", [causal_attention, flash_attention],
                               ids=lambda op: op.name)


@contextmanager
def cut_small(rows: int = 3, scores: int = 400) -> Iterator[None]:
    """Blocks of so many queries, and pieces of so many bytes of scores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_blocks, "ROWS", rows)
        patch.setattr(attention_blocks, "SCORES", scores)
        yield


def normal(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(dtype)


def run(attention: Any, qkv: Any, g: Any, **options: Any) -> tuple[Any, Any]:
    """Return the result and the gradient."""
    y, pull = vjp(lambda x: attention(x, **options), qkv)
    return y, pull(g)[0]


@st.composite
def calls(draw: Any) -> dict[str, Any]:
    """Return shapes, a cut and options."""
    key = draw(st.one_of(st.none(), st.integers(0, 99)))
    return {"batch": draw(st.integers(0, 3)), "time": draw(st.integers(0, 13)),
            "heads": draw(st.integers(1, 4)), "depth": draw(st.integers(1, 5)),
            "rows": draw(st.integers(1, 14)),
            "scores": draw(st.sampled_from([1, 300, 2000, 10**6])),
            "options": {"dropout": draw(st.sampled_from([0.0, 0.4])), "key": key}}


@given(call=calls(), dtype=st.sampled_from([np.float32, np.float64]))
def test_flash_is_causal_is_the_definition(call: dict[str, Any], dtype: Any) -> None:
    batch, time, heads, depth = (call[n] for n in ("batch", "time", "heads", "depth"))
    qkv, g = (normal(batch, time, n * heads * depth, dtype=dtype) for n in (3, 1))
    options = call["options"] | {"heads": heads}
    before = qkv.copy(), g.copy()
    with cut_small(call["rows"], call["scores"]):
        causal, flash = (run(op, qkv, g, **options) for op in (causal_attention, flash_attention))
    for a, b, e in zip(flash, causal, run(reference, qkv, g, **options), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
        np.testing.assert_allclose(a, e, **({"rtol": 1e-10, "atol": 1e-12} if dtype == np.float64
                                            else {"rtol": 1e-3, "atol": 1e-5}), strict=True)
    assert np.array_equal(qkv, before[0]) and np.array_equal(g, before[1]), "written into"


@given(call=calls())
@example(call={"batch": 3, "time": 5, "heads": 2, "rows": 3, "scores": 300})  # by sequences
@example(call={"batch": 2, "time": 5, "heads": 5, "rows": 3, "scores": 300})  # by heads
def test_the_cut_leaves_nothing_out_and_does_nothing_twice(call: dict[str, Any]) -> None:
    batch, time, heads = (call[n] for n in ("batch", "time", "heads"))
    q = np.zeros((batch, heads, time, 2))
    options = {"dropout": 0.4, "key": 5}
    mask = keep_mask((batch, heads, time, time), 0.4, 5, q)
    with cut_small(call["rows"], call["scores"]):
        times = np.zeros((batch, heads))
        for piece in pieces(q):
            times[piece] += 1
            assert q[piece].shape[1] == heads or q[piece].shape[0] == 1
            assert q[piece].size or not time, "an empty piece"
            number = q[piece].shape[0] * q[piece].shape[1]
            rows = min(call["rows"], time)
            assert number == 1 or number * rows * time * 8 <= call["scores"], "a large piece"
            for i, j in blocks(time):
                drawn = block_mask(q, piece, (i, j), **options)
                np.testing.assert_array_equal(drawn, mask[piece][:, :, i:j, :j], strict=True)
        assert (times == 1).all()
        queries = [n for i, j in blocks(time) for n in range(i, j)]
    assert queries == list(range(time))


@given(count=st.integers(0, 70), start=st.integers(0, 200), key=st.integers(0, 2**64 - 1))
def test_random_bits_can_start_anywhere(count: int, start: int, key: int) -> None:
    everything = random_bits(300, key)
    assert (everything != random_bits(300, key ^ 1)).any(), "the key counts to its last bit"
    np.testing.assert_array_equal(random_bits(count, key, start), everything[start:][:count])


@BOTH
def test_blocks_and_pieces_of_their_real_size(attention: Any) -> None:
    qkv, g = normal(1, 300, 3 * 4 * 2), normal(1, 300, 4 * 2)
    assert len(blocks(300)) == 5 and len(pieces(np.zeros((1, 4, 300, 2)))) == 2
    for a, e in zip(run(attention, qkv, g, heads=4), run(reference, qkv, g, heads=4), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-12)


@BOTH
@pytest.mark.parametrize("seen", [0, 2, 3, 7])
def test_a_later_token_has_exactly_no_gradient(attention: Any, seen: int) -> None:
    qkv, g = normal(2, 9, 12), np.zeros((2, 9, 4))
    g[:, seen] = normal(2, 4)
    with cut_small():
        _, dqkv = run(attention, qkv, g, heads=2, dropout=0.2, key=1)
        assert (dqkv[:, seen + 1:] == 0).all() and (dqkv[:, :seen + 1] != 0).any()
        other = qkv.copy()
        other[:, seen + 1:] = 1e3 * normal(2, 8 - seen, 12)
        y, z = (attention(x, heads=2)[:, :seen + 1] for x in (qkv, other))
    np.testing.assert_array_equal(y, z)


@BOTH
def test_a_large_hidden_score_does_not_drown_the_visible_ones(attention: Any) -> None:
    for hidden in range(1, 7):
        qkv = np.zeros((1, 7, 3))
        qkv[0, :, 0], qkv[0, hidden, 1], qkv[0, :, 2] = 1, 1e5, np.arange(7)
        with cut_small():
            y = attention(qkv, heads=1)[0, :, 0]
        np.testing.assert_allclose(y[:hidden], np.arange(hidden) / 2)
        np.testing.assert_array_equal(y[hidden:], hidden)


@BOTH
def test_large_scores_neither_overflow_nor_lose_their_sums(attention: Any) -> None:
    """Scores of 1e7 exactly, twice: as float32, 1e7 + ln 2 is 1e7 + 1."""
    qkv = np.ones((1, 8, 3), np.float32)
    qkv[..., 0], qkv[..., 1], qkv[0, :, 2] = 1e4, 1e3, np.arange(8)
    g = np.ones((1, 8, 1), np.float32)
    with cut_small():
        y, dqkv = run(attention, qkv, g, heads=1)
    np.testing.assert_allclose(y[0, :, 0], np.arange(8) / 2, rtol=1e-6)
    share = [sum(1 / (i + 1) for i in range(j, 8)) for j in range(8)]
    np.testing.assert_allclose(dqkv[0, :, 2], share, rtol=1e-6)
    with np.errstate(over="raise"), cut_small():
        y, dqkv = run(attention, 1e4 * normal(1, 9, 12, dtype=np.float32), normal(1, 9, 4), heads=2)
    assert np.isfinite(y).all() and np.isfinite(dqkv).all()


@BOTH
def test_the_backward_pass_can_be_run_twice(attention: Any) -> None:
    qkv = Tensor(normal(2, 9, 12), requires_grad=True)
    g = normal(2, 9, 4)
    with cut_small():
        y = attention(qkv, heads=2, dropout=0.3, key=2)
        y.backward(g, retain=True)
        first = qkv.grad.copy()
        y.backward(g)
    np.testing.assert_array_equal(qkv.grad, first + first)


@BOTH
def test_arrays_that_are_not_contiguous(attention: Any) -> None:
    qkv, g = normal(12, 9, 2).T, np.broadcast_to(normal(4), (2, 9, 4))
    with cut_small():
        for a, e in zip(run(attention, qkv, g, heads=2),
                        run(attention, qkv.copy(), g.copy(), heads=2), strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-12, atol=1e-14)


@BOTH
def test_half_precision(attention: Any) -> None:
    qkv, g = normal(1, 9, 12), normal(1, 9, 4)
    with cut_small():
        got = run(attention, *(x.astype(np.float16) for x in (qkv, g)), heads=2)
    for a, e in zip(got, run(reference, qkv, g, heads=2), strict=True):
        assert a.dtype == np.float16
        np.testing.assert_allclose(a, e, atol=0.02)


@BOTH
@pytest.mark.parametrize("shape", [(1, 150, 3 * 8 * 4), (5, 40, 3 * 2 * 4)])
def test_the_number_of_workers_changes_no_bit(attention: Any, shape: tuple[int, ...]) -> None:
    qkv, g = normal(*shape), normal(*shape[:2], shape[2] // 3)
    options = {"heads": shape[2] // 12, "dropout": 0.1, "key": 3}
    results = []
    for threads in (1, 2, 3):
        with parallel.workers(threads), cut_small(16, 1 << 14):
            results.append(run(attention, qkv, g, **options))
    for result in results[1:]:
        for a, e in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(a, e)


@BOTH
@pytest.mark.parametrize("options", [{}, {"dropout": 0.3, "key": 4}])
def test_on_a_device_it_is_the_same_and_never_waits(attention: Any, options: Any) -> None:
    qkv, g = normal(2, 8, 12), normal(2, 8, 4)
    with cut_small():
        expected = run(attention, qkv, g, heads=2, **options)
        with strict_cupy.no_sync():
            got = run(attention, *map(strict_cupy.asarray, (qkv, g)), heads=2, **options)
    for a, e in zip(got, expected, strict=True):
        assert isinstance(a, strict_cupy.ndarray)
        np.testing.assert_allclose(to_host(a), e, rtol=1e-12, atol=1e-14)


def peak(attention: Any, time: int) -> int:
    """Return the bytes that a forward and a backward pass take beyond their arguments."""
    qkv, g = normal(1, time, 48, dtype=np.float32), normal(1, time, 16, dtype=np.float32)
    tracemalloc.start()
    try:
        run(attention, qkv, g, heads=1, dropout=0.1, key=1)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_of_flash_is_linear_in_time() -> None:
    short, long = peak(flash_attention, 512), peak(flash_attention, 2048)
    assert long < 4.5 * short, f"{short} bytes at 512 positions, {long} at 2048"
    assert peak(causal_attention, 2048) > 4 * long


@pytest.mark.parametrize(("time", "expected"), [(16, "causal_attention"), (17, "flash_attention")])
def test_the_layer_keeps_probabilities_while_they_are_few(
        time: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    for op in (causal_attention, flash_attention):
        def noting(qkv: Any, op: Any = op, **options: Any) -> Any:
            used.append(op.name)
            return op(qkv, **options)
        monkeypatch.setattr(layer, op.name, noting)
    layer.CausalSelfAttention(8, 2, np.random.default_rng(0))(normal(1, time, 8))
    assert used == [expected]
