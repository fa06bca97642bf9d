"""Beginnings of texts that are kept: a reused one is a fresh one, within a budget of bytes."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strict_cupy
from draws import draws
from hypothesis import given
from hypothesis import strategies as st

from autograd import no_grad, to_host
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.sample.prefixes import Prefixes

SIZES: dict[str, Any] = {"vocab_size": 3, "context": 12, "layers": 2, "heads": 2, "width": 8}


def made(kind: Any, config: Any) -> Any:
    """Return a model in float64 at natural scale."""
    model, rng = kind(config), np.random.default_rng(0)
    for p in parameters(model).values():
        p.data = 0.5 * rng.standard_normal(p.shape)
    return model


MODELS = {"gpt": made(GPT, GPTConfig(**SIZES)),
          "grouped": made(Llama, LlamaConfig(**SIZES, key_heads=1)),
          "window": made(Llama, LlamaConfig(**SIZES, window=4, layer_pattern="LG"))}
EACH = 8 + 2 * 2 * 2 * 4 * 8
"""The bytes of a position of the models without grouped heads: its id; keys and values."""

texts = st.lists(st.integers(0, 2), min_size=1, max_size=12)


def prefilled(model: Any, cache: Any, row: int, ids: list[int], prefixes: Prefixes,
              chunk: int = 3) -> tuple[int, np.ndarray]:
    """Return how many ids were known, and the logits behind all of them."""
    known = prefixes.fill(cache, row, ids)
    place = known
    while place < len(ids):
        some = ids[place : place + chunk]
        with no_grad():
            logits = model.next_logits(np.array([some]), cache.part(row, row + 1)).data[0]
        place += len(some)
        prefixes.keep(cache, row, ids)
    return known, logits


def common(a: list[int], b: list[int]) -> int:
    return next((n for n, (i, j) in enumerate(zip(a, b, strict=False)) if i != j),
                min(len(a), len(b)))


def held(prefixes: Prefixes) -> int:
    """Return the bytes of the memory that the nodes' arrays really lie in."""
    total = 0
    for node in prefixes.nodes:
        for array in (node.ids, *(a for two in node.kept for a in two)):
            while array.base is not None:
                array = array.base
            total += array.nbytes
    return total


@draws(50, dev=6)
@pytest.mark.parametrize("name", MODELS)
@given(asked=st.lists(texts, max_size=8), bits=st.sampled_from([None, 8]),
       budget=st.sampled_from([0, EACH, 7 * EACH, 20 * EACH + 1, 10**6]))
def test_a_beginning_that_is_known_gives_what_a_fresh_one_gives(
        name: str, asked: list[list[int]], bits: int | None, budget: int) -> None:
    model, prefixes = MODELS[name], Prefixes(budget)
    cache = model.cache(rows=2, bits=bits)
    for n, ids in enumerate(asked):
        row = n % 2
        cache.clear(row)
        known, logits = prefilled(model, cache, row, ids, prefixes)
        best = max((common(ids[:-1], other) for other in asked[:n]), default=0)
        assert known == best if budget == 10**6 else known <= best
        fresh = model.cache(bits=bits)
        with no_grad():
            expected = model.next_logits(np.array([ids]), fresh).data[0]
        np.testing.assert_allclose(logits, expected, 1e-9, 1e-10)
        assert held(prefixes) == prefixes.nbytes <= budget
    prefixes.clear()
    assert prefixes.nbytes == 0 and not prefixes.nodes and not prefixes.root.children


def test_what_was_used_least_recently_goes_first() -> None:
    model, prefixes = MODELS["gpt"], Prefixes(8 * EACH)
    cache = model.cache()

    def known(ids: list[int]) -> int:
        cache.clear(0)
        return prefilled(model, cache, 0, ids, prefixes, chunk=12)[0]

    assert [known(ids) for ids in ([0, 0, 0], [0, 0, 1, 1], [1, 1, 1])] == [0, 2, 0]
    assert prefixes.nbytes == (2 + 1 + 2 + 3) * EACH  # 00, 0 and 11 behind it; 111
    assert known([0, 0, 0, 2]) == 3  # and for its 2, what was used least goes: 11 behind 00
    assert prefixes.nbytes == (2 + 1 + 1 + 3) * EACH
    assert known([0, 0, 1, 1]) == 2
    assert known([1, 1, 1, 0]) == 0  # it had made room


def test_reading_a_beginning_counts_as_using_it() -> None:
    model, prefixes = MODELS["gpt"], Prefixes(6 * EACH)
    cache = model.cache()
    for ids in ([0, 0, 0], [1, 1, 1]):
        cache.clear(0)
        prefilled(model, cache, 0, ids, prefixes, chunk=12)
    cache.clear(0)
    assert prefixes.fill(cache, 0, [0, 0, 0, 2]) == 3
    cache.clear(0)
    prefilled(model, cache, 0, [2], prefixes)
    for ids, known in (([1, 1, 1, 2], 0), ([0, 0, 0, 2], 3)):
        cache.clear(0)
        assert prefixes.fill(cache, 0, ids) == known


def test_a_cache_with_less_room_gets_what_it_has_room_for() -> None:
    model, prefixes, ids = MODELS["gpt"], Prefixes(10**6), [0, 1, 2, 2, 1]
    prefilled(model, model.cache(), 0, ids, prefixes)
    small = model.cache(capacity=2)
    assert prefixes.fill(small, 0, ids) == 2 and small.lengths.tolist() == [2]


@pytest.mark.parametrize("room, kept", [(3, 3), (4, 4), (5, 5), (6, 6)])
def test_of_a_text_that_is_partly_known_as_much_is_added_as_there_is_room_for(room: int, kept: int
                                                                             ) -> None:
    """And nothing of its known beginning is lost for it."""
    model, prefixes, ids = MODELS["gpt"], Prefixes(room * EACH + 1), [0, 1, 2, 2, 1, 0, 0]
    cache = model.cache()
    prefilled(model, cache, 0, ids[:3], prefixes)
    cache.clear(0)
    assert prefilled(model, cache, 0, ids, prefixes, chunk=12)[0] == min(3, room)
    assert prefixes.nbytes == kept * EACH == held(prefixes)
    cache.clear(0)
    assert prefixes.fill(cache, 0, ids) == kept


def test_a_cache_of_another_kind_is_refused() -> None:
    model, prefixes = MODELS["gpt"], Prefixes(10**6)
    prefilled(model, model.cache(), 0, [0, 1, 2], prefixes)
    for call in (prefixes.fill, prefixes.keep):
        with pytest.raises(ValueError, match="caches with other numbers"):
            call(model.cache(bits=8), 0, [0, 1, 2])
    assert prefixes.fill(model.cache(capacity=5), 0, [0, 1, 2]) == 2


@pytest.mark.parametrize("count", [15, pytest.param(2000, marks=pytest.mark.long)])
def test_an_interrupt_at_any_line_leaves_no_wrong_beginnings(count: int) -> None:
    """A node that is half split would give the keys of other positions."""
    model = MODELS["gpt"]
    asked = [[1] * 6, [1, 1, 0], [1, 1, 1, 1, 2], [0, 1], [1, 0, 0, 0], [1] * 5]

    def run(line: int) -> int:
        prefixes, come = Prefixes(9 * EACH), 0

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal come
            if Path(frame.f_code.co_filename).name != "prefixes.py":
                return None
            come += event == "line"
            if event == "line" and come == line:
                raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            for ids in asked:
                try:
                    prefilled(model, model.cache(), 0, ids, prefixes, chunk=12)
                except KeyboardInterrupt:
                    sys.settrace(trace)
        finally:
            sys.settrace(before)
        for ids in asked:
            _, logits = prefilled(model, model.cache(), 0, ids, prefixes, chunk=12)
            np.testing.assert_allclose(logits, model(np.array([ids])).data[0, -1], 1e-9, 1e-10)
            assert held(prefixes) == prefixes.nbytes <= prefixes.budget
        return come

    for line in np.unique(np.linspace(1, run(0), count).astype(int)).tolist():
        run(line)


def test_more_than_the_budget_is_kept_up_to_where_it_is_full() -> None:
    model, prefixes = MODELS["gpt"], Prefixes(4 * EACH + 1)
    cache, ids = model.cache(), [0, 1, 2, 2, 1, 0]
    prefilled(model, cache, 0, ids, prefixes, chunk=12)
    assert prefixes.nbytes == 4 * EACH == held(prefixes)
    cache.clear(0)
    assert prefixes.fill(cache, 0, ids) == 4
    with pytest.raises(ValueError, match="row 0 has 4 positions; clear it"):
        prefixes.fill(cache, 0, ids)


def test_what_goes_is_freed_at_once() -> None:
    model, prefixes = MODELS["gpt"], Prefixes(5 * EACH)
    cache = model.cache()
    prefilled(model, cache, 0, [0, 1, 2, 2], prefixes)
    gone = weakref.ref(next(iter(prefixes.nodes)))
    gc.disable()
    try:
        cache.clear(0)
        prefilled(model, cache, 0, [1, 1, 1, 1, 1], prefixes)
        assert gone() is None
    finally:
        gc.enable()


def test_what_a_window_has_lost_is_not_kept() -> None:
    model, prefixes = MODELS["window"], Prefixes(10**6)
    cache, ids = model.cache(), [0, 1, 2, 2, 1, 0, 1]
    with no_grad():
        model.next_logits(np.array([ids]), cache)  # a window of 4
    prefixes.keep(cache, 0, ids)
    assert prefixes.nbytes == 0
    cache.clear(0)
    prefilled(model, cache, 0, ids, prefixes, chunk=4)
    cache.clear(0)
    assert prefixes.fill(cache, 0, ids) == 6


def test_a_device_keeps_its_own_arrays_and_never_waits() -> None:
    model = made(GPT, GPTConfig(**SIZES))
    ids = [0, 1, 2, 2]
    with no_grad():
        expected = model(np.array([ids])).data[:, -1]
        for p in parameters(model).values():
            p.data = strict_cupy.asarray(p.data)
        one, last = strict_cupy.asarray([ids]), strict_cupy.asarray([ids[3:]])
        with strict_cupy.no_sync():
            cache, prefixes = model.cache(), Prefixes(10**6)
            model.next_logits(one, cache)
            prefixes.keep(cache, 0, ids)
            cache.clear(0)
            assert prefixes.fill(cache, 0, ids) == 3
            got = model.next_logits(last, cache).data
    np.testing.assert_allclose(to_host(got), expected, rtol=1e-10)


def test_a_budget_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="a budget of at least 0 bytes, got -1"):
        Prefixes(-1)
    prefixes, cache = Prefixes(10), MODELS["gpt"].cache()
    assert prefixes.fill(cache, 0, []) == prefixes.fill(cache, 0, [1]) == 0
    prefixes.keep(cache, 0, [1, 2])  # an empty row holds nothing of them
