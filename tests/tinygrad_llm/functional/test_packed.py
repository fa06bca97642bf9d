"""Attention by its names of version 0.1: `attention` of the three thirds of packed rows."""

from __future__ import annotations

import numpy as np
import pytest

from autograd import Tensor, vjp
from tinygrad_llm.functional import attention, causal_attention, flash_attention

QKV = np.random.default_rng(0).standard_normal((2, 5, 3 * 2 * 3))


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3, "key": 4}])
def test_it_is_attention_of_the_thirds(options: dict[str, float]) -> None:
    thirds = QKV.reshape(2, 5, 3, 2, 3)
    y, pull = vjp(lambda x: causal_attention(x, heads=2, **options), QKV)
    z, pull_thirds = vjp(lambda *x: attention(*x, **options), *(thirds[:, :, n] for n in range(3)))
    np.testing.assert_array_equal(y, z.reshape(2, 5, 6))
    g = np.cos(np.arange(60.0)).reshape(2, 5, 6)
    expected = np.stack(pull_thirds(g.reshape(z.shape)), axis=2)
    np.testing.assert_array_equal(pull(g)[0], expected.reshape(QKV.shape))


def test_the_other_name_is_the_same() -> None:
    assert flash_attention is causal_attention
    assert isinstance(flash_attention(Tensor(QKV), heads=2), Tensor)


def test_a_width_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected qkv \(B, T, 3 \* heads \* D\).*heads=2"):
        causal_attention(np.ones((1, 2, 7)), heads=2)
