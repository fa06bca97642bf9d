"""Attention's twin: the results do not show which numbers it keeps and which it computes again."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attention_cases
import numpy as np
import pytest
from draws import draws
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autograd import plain_ops, vjp
from tinygrad_llm.functional import attention
from tinygrad_llm.functional.cpu import attention as twin
from tinygrad_llm.functional.cpu import attention_blocks
from tinygrad_llm.host.threads import workers


@contextmanager
def cut(rows: int, scores: int, few: int = twin.FEW) -> Iterator[None]:
    """Blocks of so many queries, pieces of so many bytes of scores; few: up to `few` times D."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_blocks, "ROWS", rows)
        patch.setattr(attention_blocks, "SCORES", scores)
        patch.setattr(twin, "FEW", few)
        yield


def normal(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(dtype)


def run(q: Any, k: Any, v: Any, **options: Any) -> list[np.ndarray]:
    """Return the result and the gradients."""
    o, pull = vjp(lambda *args: attention(*args, **options), q, k, v)
    return [o, *pull(normal(*q.shape, dtype=q.dtype))]


@draws(50, dev=15)
@given(data=st.data(), time=st.integers(1, 13), more=st.integers(0, 5), groups=st.integers(1, 3),
       repeats=st.integers(1, 3), depth=st.integers(1, 5), rows=st.integers(1, 14),
       scores=st.sampled_from([1, 300, 2000, 10**6]))
def test_kept_or_computed_again_the_bits_are_the_same(
        data: st.DataObject, time: int, more: int, groups: int, repeats: int, depth: int,
        rows: int, scores: int) -> None:
    batch, keys = data.draw(st.integers(1, 3)), time + more
    q = normal(batch, time, groups * repeats, depth)
    k, v = normal(2, batch, keys, groups, depth)
    options = data.draw(st.fixed_dictionaries({}, optional={
        "offset": st.one_of(st.integers(0, more),
                            hnp.arrays(np.int64, batch, elements=st.integers(0, more))),
        "window": st.integers(1, keys),
        "documents": st.just(np.random.default_rng(7).integers(0, 3, (batch, keys))),
        "soft_cap": st.just(1.5), "dropout": st.just(0.4), "key": st.integers(0, 9)}))
    with cut(rows, scores, few=keys):
        kept = run(q, k, v, **options)
    with cut(rows, scores, few=0):
        again = run(q, k, v, **options)
    with plain_ops():
        expected = run(q, k, v, **options)
    for a, b, e in zip(kept, again, expected, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
        np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("keys", "few"), [(16, True), (17, False)])
def test_probabilities_are_kept_while_they_are_few(keys: int, few: bool) -> None:
    q, k, v = normal(1, 5, 2, 4), normal(1, keys, 2, 4), normal(1, keys, 2, 4)
    *_, kept = twin.forward(q, k, v)[1]
    assert [bool(found) for ((_, found), *_) in kept] == [few]


def peak(time: int, **options: Any) -> int:
    """Return the bytes that a forward and a backward pass take beyond their arguments."""
    q, k, v = normal(3, 1, time, 1, 16, dtype=np.float32)
    tracemalloc.start()
    try:
        run(q, k, v, dropout=0.1, key=1, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("options", [{}, {"window": 100, "soft_cap": 3.0}])
def test_memory_is_linear_in_the_number_of_keys(options: dict[str, Any]) -> None:
    short, long = peak(512, **options), peak(2048, **options)
    assert long < 4.5 * short, f"{short} bytes at 512 positions, {long} at 2048"
    with plain_ops():
        assert peak(2048, **options) > 4 * long


@pytest.mark.parametrize("shape", [(1, 150, 8, 4), (5, 40, 2, 4), (2, 70, 4, 32)])
@pytest.mark.parametrize("options", [{"dropout": 0.1, "key": 3}, {"window": 30, "soft_cap": 2.0}])
def test_the_number_of_workers_changes_no_bit(shape: tuple[int, ...],
                                              options: dict[str, Any]) -> None:
    q, k, v = normal(3, *shape)
    results = []
    for threads in (1, 2, 3):
        with workers(threads), cut(16, 1 << 14):
            results.append(run(q, k[:, :, ::2], v[:, :, ::2], **options))
    for result in results[1:]:
        for a, e in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(a, e)


@pytest.mark.parametrize("offset", [None, 0, 3, np.int64(9)])
@pytest.mark.parametrize("rows", [1, 4, 7])
@pytest.mark.parametrize("few", [0, 99])
def test_blocks_with_a_window_documents_and_an_offset(few: int, rows: int, offset: Any) -> None:
    """Blocks begin inside of windows and documents, and end before the last keys."""
    q, (k, v) = normal(2, 11, 4, 3), normal(2, 2, 20, 2, 3)
    documents = np.array([[0] * 6 + [1] * 9 + [2] * 5, [3] * 11 + [1] * 2 + [4] * 7])
    options = {"window": 5, "documents": documents, "offset": offset, "soft_cap": 2.0}
    expected = attention_cases.in_loops(q, k, v, **options)
    with plain_ops():
        gradients = run(q, k, v, **options)[1:]
    with cut(rows, 300, few):
        assert twin.forward(q, k, v, **options) is not NotImplemented
        got = run(q, k, v, **options)
    for a, e in zip(got, [expected, *gradients], strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("edge", attention_cases.EDGES)
def test_blocks_and_pieces_of_their_real_size(edge: Any) -> None:
    (q, k, v), options, g, expected = edge
    _, pull = vjp(lambda *args: attention(*args, **options), q, k, v)
    for a, e in zip(pull(g), expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-10, atol=1e-12)


def test_what_is_left_to_the_plain_pair() -> None:
    q, k = normal(2, 3, 2, 4), normal(2, 5, 2, 4)
    assert twin.forward(q[:, :0], k, k) is NotImplemented
    assert twin.forward(q.astype(np.float32), k, k) is NotImplemented
    assert twin.forward(q, k, k, offset=np.int64(1)) is not NotImplemented
