"""Keys and values that are kept: a model's call with a cache is its call on everything so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strict_cupy
from hypothesis import given
from hypothesis import strategies as st

from autograd import Tensor, no_grad, to_host
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import Cache, LayerCache, parameters


def model(**sizes: Any) -> GPT:
    """Return a model in float64 at natural scale."""
    made, rng = GPT(GPTConfig(**sizes)), np.random.default_rng(0)
    for p in parameters(made).values():
        p.data = 0.5 * rng.standard_normal(p.shape)
    return made


@given(batch=st.integers(1, 3), cuts=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_any_cut_of_any_batch_gives_the_logits_of_the_whole(batch: int, cuts: list[int]) -> None:
    m = model(vocab_size=7, context=16, layers=2, heads=2, width=6)
    ids = np.random.default_rng(1).integers(0, 7, (batch, sum(cuts)))
    cache, start, parts = m.cache(), 0, []
    with no_grad():
        for count in cuts:
            parts.append(m(ids[:, start : start + count], cache=cache).data)
            start += count
            assert cache.length == start
        expected = m(ids).data
    np.testing.assert_allclose(np.concatenate(parts, axis=1), expected, rtol=1e-12, atol=1e-13)


def test_next_logits_take_a_cache() -> None:
    m = model(vocab_size=7, context=8, layers=1, heads=1, width=4)
    ids, cache = np.array([[1, 2, 3], [4, 5, 6]]), m.cache()
    with no_grad():
        m.next_logits(ids[:, :2], cache)
        got = m.next_logits(ids[:, 2:], cache)
    np.testing.assert_allclose(got.data, m(ids).data[:, -1], rtol=1e-12)


def test_a_device_keeps_its_own_arrays() -> None:
    m = model(vocab_size=7, context=8, layers=2, heads=2, width=4)
    ids, cache = np.array([[1, 2, 3]]), m.cache()
    expected = m(ids).data
    for p in parameters(m).values():
        p.data = strict_cupy.asarray(p.data)
    with no_grad(), strict_cupy.no_sync():
        m(strict_cupy.asarray(ids[:, :2]), cache=cache)
        got = m(strict_cupy.asarray(ids[:, 2:]), cache=cache)
    assert isinstance(cache.layers[1].values, strict_cupy.ndarray)
    np.testing.assert_allclose(to_host(got.data), expected[:, 2:], rtol=1e-12)


def test_the_context_counts_what_is_cached() -> None:
    m = model(vocab_size=7, context=4, layers=1, heads=1, width=4)
    cache = m.cache()
    with no_grad():
        m(np.array([[1, 2, 3]]), cache=cache)
        with pytest.raises(ValueError, match=r"context of 4, got \(1, 2\) after 3 that are cached"):
            m(np.array([[1, 2]]), cache=cache)
    assert cache.length == 3


def test_what_is_kept_comes_back_in_its_order() -> None:
    layer, k = LayerCache(5), np.arange(20.0).reshape(1, 5, 2, 2)
    layer.extend(k[:, :2], -k[:, :2])
    keys, values = layer.extend(k[:, 2:], -k[:, 2:])
    np.testing.assert_array_equal(keys, k)
    np.testing.assert_array_equal(values, -k)
    assert keys.base is not None and layer.length == 5  # a view: nothing is copied out


def test_what_does_not_fit_is_refused_and_leaves_the_cache_as_it_was() -> None:
    layer, k = LayerCache(3), np.zeros((2, 2, 1, 1))
    layer.extend(k, k)
    with pytest.raises(ValueError, match="2 positions of 2 sequences are kept, of at most 3; "
                                         "cannot add 2 of 2"):
        layer.extend(k, k)
    with pytest.raises(ValueError, match="cannot add 1 of 1"):
        layer.extend(k[:1, :1], k[:1, :1])
    assert layer.length == 2
    layer.extend(k[:, :1], k[:, :1])


def test_a_gradient_would_be_lost_and_is_refused() -> None:
    m = model(vocab_size=7, context=4, layers=1, heads=1, width=4)
    with pytest.raises(RuntimeError, match=r"no gradient flows into kept keys.*no_grad\(\)"):
        m(np.array([[1, 2]]), cache=m.cache())
    k = Tensor(np.zeros((1, 1, 1, 1)))
    LayerCache(1).extend(k, k)  # a constant has none


def test_a_cache_without_layers_is_empty() -> None:
    assert Cache(0, 4).length == 0 and len(Cache(3, 4).layers) == 3
