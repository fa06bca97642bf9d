"""Arithmetic from shapes, against counting."""

from __future__ import annotations

import numpy as np
import pytest

from autograd import Tensor
from tinygrad_llm.functional import attention, gelu, linear, linear_cross_entropy
from tinygrad_llm.functional.attention import visible
from tinygrad_llm.plan.flops import flops, pairs


def leaf(*shape: int) -> Tensor:
    return Tensor(np.ones(shape, np.float32), requires_grad=True)


@pytest.mark.parametrize("window", [None, 1, 2, 3, 9])
@pytest.mark.parametrize(("queries", "keys"), [(4, 4), (1, 7), (3, 5), (0, 3)])
def test_pairs_are_those_that_attention_sees(queries: int, keys: int, window: int | None) -> None:
    seen = visible(np.zeros((1, 1, queries, keys)), keys, keys - queries, window, None)
    assert pairs(queries, keys, window) == np.broadcast_to(seen, (1, 1, queries, keys)).sum()


def test_products() -> None:
    y = linear(leaf(2, 3, 5), leaf(7, 5), leaf(7))
    assert flops(y.node, {}) == (2 * 6 * 5 * 7, 4 * 6 * 5 * 7)
    y = linear_cross_entropy(leaf(6, 5), leaf(7, 5), np.zeros(6, int))
    assert flops(y.node, {}) == (2 * 6 * 5 * 7, 4 * 6 * 5 * 7)
    q, k, v = leaf(2, 4, 6, 3), leaf(2, 4, 2, 3), leaf(2, 4, 2, 3)
    assert flops(attention(q, k, v).node, {})[0] == 2 * 2 * 2 * 6 * 3 * 10
    assert flops(attention(q, k, v, window=2).node, {})[0] == 2 * 2 * 2 * 6 * 3 * 7


def test_what_is_not_known_counts_its_reference() -> None:
    forward, backward = flops(gelu(leaf(4, 5)).node, {})
    assert forward > 20 and backward > 0
