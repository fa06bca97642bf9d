"""Attention of written-out steps beside its definition in loops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from attention_cases import in_loops
from hypothesis import given
from hypothesis import strategies as st
from written_steps import made, same

from autograd import no_grad
from tinygrad_llm.models import Llama, LlamaConfig
from tinygrad_llm.sample.step import attending, stepper
from tinygrad_llm.sample.step.attending import Attend, View, attend_texts, keep_texts

G, R, D = 2, 3, 4
CAPS = st.none() | st.just(0.8)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def of_heads(x: np.ndarray) -> np.ndarray:
    """Return (T, G, R, D) as the heads of one sequence, (1, T, G R, D)."""
    return x.reshape(1, len(x), G * R, D)


def slots_of(x: np.ndarray) -> np.ndarray:
    """Return a row's keys (G, S, D) as (1, S, G, D)."""
    return x.swapaxes(0, 1)[None]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=3),
       st.none() | st.integers(1, 4), CAPS, st.sampled_from([1, 2, 64]))
def test_each_text_attends_by_itself(places: list[tuple[int, int]], window: int | None,
                                     cap: float | None, queries: int) -> None:
    stops = np.cumsum([count for _, count in places]).tolist()
    texts = [(row, at, stop - count, stop)
             for row, ((at, count), stop) in enumerate(zip(places, stops, strict=True))]
    layer = SimpleNamespace(arrays=tuple(normal(seed, len(places), G, 12, D) for seed in (1, 2)))
    q, new = normal(3, G, R, D, stops[-1]), [normal(seed, stops[-1], G, D) for seed in (4, 5)]
    before, mixed = [a.copy() for a in layer.arrays], np.empty_like(q)
    keep_texts(texts, *new, layer)
    with patch.object(attending, "QUERIES", queries):
        attend_texts(texts, np.empty(G * R * 12 * queries), q / (cap or 1), layer, window, cap,
                     mixed)
    for row, at, first, stop in texts:
        end = at + stop - first
        for was, a, x in zip(before, layer.arrays, new, strict=True):
            np.testing.assert_array_equal(a[row, :, at:end], x[first:stop].swapaxes(0, 1))
            a[row, :, at:end] = was[row, :, at:end]  # nothing else was written
        keys, values = (np.concatenate([slots_of(a[row, :, :at]), x[None, first:stop]], 1)
                        for a, x in zip(layer.arrays, new, strict=True))
        expected = in_loops(of_heads(q[..., first:stop].transpose(3, 0, 1, 2)), keys, values,
                            offset=at, window=window, scale=1.0, soft_cap=cap)
        same(of_heads(mixed[..., first:stop].transpose(3, 0, 1, 2)), expected, np.float64)
    for was, a in zip(before, layer.arrays, strict=True):
        np.testing.assert_array_equal(a, was)


@given(st.lists(st.integers(0, 8), min_size=1, max_size=3), st.none() | st.integers(1, 3), CAPS,
       st.booleans())
def test_each_row_s_next_query_sees_what_the_row_kept(lengths: list[int], window: int | None,
                                                      cap: float | None, rotate: bool) -> None:
    """Where slots rotate, as many as the window, the key of place t lies in slot t mod these."""
    n, last, slots = len(lengths), max(lengths), window if window and rotate else 9
    keys, values = normal(1, n, 9, G, D), normal(2, n, 9, G, D)
    arrays = tuple(np.zeros((n, G, slots, D)) for _ in range(2))
    for row, length in enumerate(lengths):
        for place in range(length):
            for a, x in zip(arrays, (keys, values), strict=True):
                a[row, :, place % slots] = x[row, place]
    new = [np.stack([x[row, length] for row, length in enumerate(lengths)])
           for x in (keys, values)]
    q: Any = normal(3, n, G, R, D)
    inside = slice(None) if n > 1 else 0  # a single row has no axis of its own
    view = View(np.empty(n * G * R * 9), n, slots, None if rotate else window, q[inside].shape)
    view.begin(np.array(lengths), last)
    mixed = np.empty_like(q)
    Attend(view, q[inside] / (cap or 1), *(x[inside] for x in new),
           SimpleNamespace(arrays=arrays), cap, mixed[inside])()
    for row, length in enumerate(lengths):
        expected = in_loops(of_heads(q[row][None]), keys[row : row + 1, : length + 1],
                            values[row : row + 1, : length + 1], offset=length,
                            window=window, scale=1.0, soft_cap=cap)
        same(of_heads(mixed[row][None]), expected, np.float64)


@pytest.mark.parametrize("window", [1, 2, 3, 8, 0])
@pytest.mark.parametrize("queries", [2, 64])
def test_a_window_is_read_to_its_edge(window: int, queries: int) -> None:
    model = made(Llama(LlamaConfig(7, 9, 2, 2, 4, window=window)))
    ids, caches = np.arange(9) % 7, [model.cache(rotate=False) for _ in range(2)]
    step = stepper(model, caches[1])
    assert step is not None
    with no_grad():
        model.hidden(ids[None], cache=caches[0])
    with patch.object(attending, "QUERIES", queries):
        step.read({0: ids.tolist()})
    same(caches[1].layers[1].arrays[0], caches[0].layers[1].arrays[0], np.float64)
