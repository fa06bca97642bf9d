"""Products of the affine map's twin: on several threads, and written where they belong."""

from __future__ import annotations

import tracemalloc
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from autograd import Tensor, vjp
from autograd.deferred import Deferred
from tinygrad_llm.functional import linear
from tinygrad_llm.functional.cpu.linear import backward, forward, wider_block
from tinygrad_llm.host import threads as threads_module
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


HALF = [np.float16, ml_dtypes.bfloat16]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("block", [1, 1 << 8, 1 << 19])
def test_a_matrix_of_half_precision_is_multiplied_as_if_it_were_float32(
        dtype: Any, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_llm.functional.cpu.linear.BLOCK_BYTES", block)
    x, w, b, g = (rng.normal(size=shape).astype("f") for shape in ((2, 7, 9), (13, 9), 13,
                                                                  (2, 7, 13)))
    w, b = w.astype(dtype), b.astype(dtype)
    y, pull = vjp(linear, x, w, b)
    right, pull_right = vjp(linear, x, w.astype("f"), b.astype("f"))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, right, rtol=1e-5, atol=1e-5)
    for got, e in zip(pull(g), pull_right(g), strict=True):
        np.testing.assert_allclose(got.astype("f"), e.astype(got.dtype).astype("f"), atol=1e-5,
                                   rtol=0.01)
    alone = linear(x.astype(dtype), w, b)  # all of half precision: rounded once, at the end
    e = linear(x.astype(dtype).astype("f"), w.astype("f"), b.astype("f")).astype(dtype)
    assert alone.dtype == dtype
    np.testing.assert_allclose(alone.astype("f"), e.astype("f"), rtol=2e-2, atol=1e-3)
    assert np.mean(alone == e) > 0.9


@pytest.mark.uncut
@pytest.mark.parametrize("dtype", HALF)
def test_a_matrix_of_half_precision_is_not_copied_whole(dtype: Any) -> None:
    w, x = np.zeros((4000, 1000), dtype), np.ones((3, 1000), "f")
    tracemalloc.start()
    try:
        with workers(1):
            linear(x, w)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * threads_module.BLOCK_BYTES < w.size / 2


def test_threads_change_no_bit_of_a_product_with_half_precision() -> None:
    x, w = rng.normal(size=(300, 256)).astype("f"), rng.normal(size=(3000, 256)).astype(HALF[1])
    found = []
    for threads in (1, 2, 3):
        with workers(threads):
            found.append(linear(x, w))
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_every_number_of_16_bits_is_widened_as_it_is(dtype: Any) -> None:
    """Infinities and NaNs in a matrix of their own, and subnormals and zeros of both signs."""
    numbers = np.arange(2**16, dtype=np.uint16).view(dtype).reshape(-1, 1)
    finite = np.isfinite(numbers[:, 0].astype(np.float32))
    for w in (numbers[finite], numbers[~finite], numbers[:0]):
        found, right = wider_block(w), w.astype(np.float32)
        assert found.dtype == np.float32 and found.tobytes() == right.tobytes()
