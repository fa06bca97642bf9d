"""Layers: each calls its op with the parameters it holds."""

from __future__ import annotations

import numpy as np
import pytest

from autograd import Tensor, fold_in
from tinygrad_llm.functional import gelu, layer_norm
from tinygrad_llm.nn import MLP, Embedding, LayerNorm, Linear, drop, parameters, subkey

rng = np.random.default_rng(0)
X = rng.standard_normal((2, 3, 4)).astype(np.float32)


def test_linear_holds_a_row_for_each_output() -> None:
    made = Linear(4, 5, rng)
    assert made.weight.shape == (5, 4) and made.bias.shape == (5,)
    made.bias.data[:] = np.arange(5)
    np.testing.assert_allclose(made(X).data, X @ made.weight.data.T + np.arange(5), rtol=1e-5)
    assert Linear(4, 5, rng, bias=False).bias is None
    assert Linear(300, 300, rng, std=0.5).weight.data.std() == pytest.approx(0.5, rel=0.02)


def test_embedding_looks_rows_up() -> None:
    made = Embedding(7, 4, rng)
    ids = np.array([[0, 6], [6, 1]])
    np.testing.assert_array_equal(made(ids).data, made.weight.data[ids])


def test_layer_norm_scales_shifts_and_keeps_its_eps() -> None:
    made = LayerNorm(4, eps=0.5)
    made.weight.data[:], made.bias.data[:] = 2, 3
    np.testing.assert_allclose(
        made(X).data, layer_norm(X, np.full(4, 2, "f"), np.full(4, 3, "f"), eps=0.5))
    assert set(parameters(LayerNorm(4, bias=False))) == {"weight"}


def test_mlp_is_four_times_as_wide_inside() -> None:
    made = MLP(4, 16, rng)
    assert made.up.weight.shape == (16, 4) and made.down.weight.shape == (4, 16)
    inner = gelu(X @ made.up.weight.data.T)
    np.testing.assert_allclose(made(X).data, inner @ made.down.weight.data.T, rtol=1e-4, atol=1e-7)


def test_drop_needs_a_key_and_a_probability() -> None:
    x = Tensor(X)
    assert drop(x, 0.5, None) is x and drop(x, 0.0, 3) is x
    assert (drop(x, 0.5, 3).data == 0).any()


def test_subkeys_are_folded_in() -> None:
    assert subkey(None, 3) is None and subkey(5, 3) == fold_in(5, 3) != subkey(5, 4)
