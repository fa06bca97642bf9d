"""The twin holds a chunk of logits; its gradient of w has the same bits wherever it is added."""

from __future__ import annotations

import tracemalloc
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from autograd import no_grad, vjp
from tinygrad_llm.functional import chunked_cross_entropy
from tinygrad_llm.functional.cpu.chunked_cross_entropy import backward, forward
from tinygrad_llm.host.threads import workers

rng = np.random.default_rng(0)
X, W = (rng.normal(size=(n, 4)).astype("f") for n in (200, 5000))
TARGETS = rng.integers(0, 5000, 200)


HALF = [np.float16, ml_dtypes.bfloat16]


@pytest.mark.uncut
@pytest.mark.parametrize("dtype", HALF)
def test_a_matrix_of_half_precision_is_not_widened_whole(dtype: Any) -> None:
    """With float32 rows all is computed as of the matrix widened, up to the order of sums."""
    x, w = rng.normal(size=(200, 200)).astype("f"), rng.normal(size=(5000, 200)).astype(dtype)
    right, pull_right = vjp(lambda x, w: chunked_cross_entropy(x, w, TARGETS, rows=10), x,
                            w.astype("f"))
    tracemalloc.start()
    try:
        with workers(1):
            loss, pull = vjp(lambda x, w: chunked_cross_entropy(x, w, TARGETS, rows=10), x, w)
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    chunk = 10 * 5000 * 4
    assert chunk < peak < 6 * chunk < 0.5 * (4 * w.size)
    assert loss.dtype == np.float32 and float(loss) == pytest.approx(float(right), rel=1e-6)
    for got, e in zip(pull(1.0), pull_right(1.0), strict=True):
        np.testing.assert_allclose(got.astype("f"), e, rtol=0.01, atol=1e-6)
    both = chunked_cross_entropy(x.astype(dtype), w, TARGETS, rows=10)
    assert both.dtype == dtype and float(both) == pytest.approx(float(right), rel=0.01)


@pytest.mark.uncut
def test_a_chunk_of_logits_is_held() -> None:
    tracemalloc.start()
    try:
        with workers(1):
            _, pull = vjp(lambda x, w: chunked_cross_entropy(x, w, TARGETS, rows=20), X, W)
            pull(np.float32(1))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    chunk, others = 20 * 5000 * 4, 3 * W.nbytes + 12 * TARGETS.nbytes  # the gradient of w, twice
    assert chunk < peak < chunk + others < 2.1 * chunk


@pytest.mark.parametrize("dtype", ["f", *HALF])
def test_the_gradient_of_w_is_added_with_the_bits_it_has_alone(dtype: Any) -> None:
    _, saved = forward(X, W.astype(dtype), TARGETS, rows=20)
    _, dw, _ = backward(np.float32(0.7), saved)
    total = rng.normal(size=W.shape).astype("f")
    expected = total + dw.array()
    dw.write(total, True)
    assert np.array_equal(total, expected)


@pytest.mark.parametrize("dtype", ["f", *HALF])
def test_the_bits_do_not_depend_on_the_threads(dtype: Any) -> None:
    x, w = (rng.normal(size=(n, 64)).astype("f") for n in (512, 3000))
    w, targets, found = w.astype(dtype), rng.integers(0, 3000, 512), []
    for n in (1, 2, 4):
        with workers(n):
            loss, pull = vjp(lambda x, w: chunked_cross_entropy(x, w, targets, rows=128), x, w)
            found.append([a.tobytes() for a in (loss, *pull(np.float32(1)))])
    assert found[0] == found[1] == found[2]


def test_without_a_record_the_gradient_of_x_is_not_made() -> None:
    with no_grad():
        _, saved = forward(X, W, TARGETS, rows=20)
    assert saved[-3] is None
