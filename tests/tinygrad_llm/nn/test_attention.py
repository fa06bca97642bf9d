"""The attention layer: one projection, split in heads, attended to, projected back."""

from __future__ import annotations

import numpy as np

from autograd import no_grad
from tinygrad_llm.functional import attention
from tinygrad_llm.nn import Cache, CausalSelfAttention, parameters


def layer(**options: float) -> CausalSelfAttention:
    made = CausalSelfAttention(6, 2, np.random.default_rng(0), **options)  # type: ignore[arg-type]
    for p in parameters(made).values():
        p.data = np.random.default_rng(p.size).standard_normal(p.shape)
    return made


X = np.random.default_rng(1).standard_normal((2, 5, 6))


def test_queries_keys_and_values_stand_side_by_side_in_one_projection() -> None:
    made = layer()
    rows = (X @ made.qkv.weight.data.T + made.qkv.bias.data).reshape(2, 5, 3, 2, 3)
    mixed = attention(*(rows[:, :, i] for i in range(3)))
    expected = mixed.reshape(2, 5, 6) @ made.out.weight.data.T + made.out.bias.data
    np.testing.assert_allclose(made(X).data, expected, rtol=1e-12)


def test_a_cache_gives_the_positions_before() -> None:
    made, cache, parts = layer(), Cache([None], 2, 5, heads=2, depth=3, dtype=np.float64), []
    with no_grad():
        for a, b in ((0, 2), (2, 3), (3, 5)):
            parts.append(made(X[:, a:b], None, cache.layers[0]).data)
            cache.advance(b - a)
    np.testing.assert_allclose(np.concatenate(parts, 1), made(X).data, rtol=1e-12)


def test_dropout_acts_with_a_key_only() -> None:
    made = layer(dropout=0.5)
    assert np.array_equal(made(X).data, layer()(X).data)
    assert not np.array_equal(made(X, 1).data, made(X).data)
    assert np.array_equal(made(X, 1).data, made(X, 1).data)


def test_without_biases() -> None:
    assert set(parameters(CausalSelfAttention(4, 1, np.random.default_rng(0), bias=False))) == {
        "qkv.weight", "out.weight"}
