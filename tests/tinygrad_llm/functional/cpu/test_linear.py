"""Products of the affine map's twin: on several threads, and written where they belong."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np

from autograd import Tensor, vjp
from autograd.deferred import Deferred
from tinygrad_llm.functional import linear
from tinygrad_llm.functional.cpu.linear import backward, forward
from tinygrad_llm.host.threads import workers

rng = np.random.default_rng(0)


def test_threads_that_share_out_a_product_change_no_bit() -> None:
    x, w, b = (rng.normal(size=shape).astype("f") for shape in ((300, 256), (256, 256), (256,)))
    g = rng.normal(size=(300, 256)).astype("f")
    found: list[list[Any]] = []
    for threads in (1, 2, 3):
        with workers(threads):
            y, pull = vjp(linear, x, w, b)
            found.append([y, *pull(g)])
    for others in found[1:]:
        assert all(map(np.array_equal, others, found[0]))
    wide = [a.astype(float) for a in (x, w, b, g)]
    for got, e in zip(found[0], [wide[0] @ wide[1].T + wide[2], wide[3] @ wide[1],
                                 wide[3].T @ wide[0], wide[3].sum(0)], strict=True):
        np.testing.assert_allclose(got, e, rtol=1e-4, atol=1e-3)


def test_the_gradient_of_the_weight_is_deferred() -> None:
    x, w = rng.normal(size=(2, 3, 5)), rng.normal(size=(4, 5))
    y, saved = forward(x, w)
    dx, dw, db = backward(np.ones_like(y), saved)
    assert isinstance(dw, Deferred) and not dw.sparse and db is None and dx.shape == x.shape
    np.testing.assert_allclose(dw.array(), np.tile(x.sum((0, 1)), (4, 1)))


def test_no_second_array_of_the_weights_size_is_made() -> None:
    w = Tensor(np.zeros((3000, 500)), requires_grad=True)
    y = linear(np.ones((2, 500)), w).sum() + linear(np.ones((2, 500)), w).sum()
    tracemalloc.start()
    try:
        y.backward()
        assert tracemalloc.get_traced_memory()[1] < 1.5 * w.data.nbytes  # 4 MiB of rows at a time
    finally:
        tracemalloc.stop()
    assert (w.grad == 4).all()
