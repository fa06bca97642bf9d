"""Layer norm's twin in blocks of their real size."""

from __future__ import annotations

import numpy as np

from autograd import plain_ops, vjp
from tinygrad_llm.functional import layer_norm
from tinygrad_llm.functional.cpu.layer_norm import forward
from tinygrad_llm.host import threads

rng = np.random.default_rng(0)


def test_several_blocks() -> None:
    x, w, b = rng.normal(2, 3, (7, 300, 100)), rng.normal(size=100), rng.normal(size=100)
    assert x.nbytes > 3 * threads.BLOCK_BYTES
    y, pull = vjp(layer_norm, x, w, b)
    with plain_ops():
        expected, pull_plain = vjp(layer_norm, x, w, b)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)
    g = rng.normal(size=y.shape)
    for got, wanted in zip(pull(g), pull_plain(g), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)


def test_two_numbers_are_kept_of_a_row_that_is_not_kept_anyway() -> None:
    x = rng.normal(size=(5, 8)) + 100
    kept, mu, r, *_ = forward(x, np.ones(8))[1]
    assert np.shares_memory(kept, x) and mu.shape == r.shape == (5, 1)
    np.testing.assert_allclose(mu[:, 0], x.mean(-1), rtol=1e-14)
    np.testing.assert_allclose(r[:, 0], (x.var(-1) + 1e-5) ** -0.5, rtol=1e-12)
