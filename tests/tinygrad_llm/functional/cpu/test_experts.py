"""The twin of `experts`: threads, and gradients that are written where they belong."""

from __future__ import annotations

import tracemalloc
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from autograd import Tensor, vjp
from autograd.deferred import Deferred
from tinygrad_llm.functional import experts
from tinygrad_llm.functional.cpu.experts import backward, forward
from tinygrad_llm.host.threads import workers

rng = np.random.default_rng(0)


def drawn(n: int, k: int, e: int, f: int, c: int) -> list[np.ndarray]:
    """Return x, p, gate_up and down in float32."""
    shapes = ((n, c), (n, k), (e, 2 * f, c), (e, c, f))
    return [rng.normal(size=shape).astype("f") / np.sqrt(shape[-1], dtype="f") for shape in shapes]


def test_the_number_of_threads_changes_no_bit() -> None:
    args, chosen = drawn(300, 2, 5, 70, 90), rng.integers(0, 5, (300, 2))
    found = []
    for threads in (1, 3):
        with workers(threads):
            y, pull = vjp(lambda *args: experts(*args, chosen=chosen), *args)
            found.append([y, *pull(np.cos(y))])
    assert all(map(np.array_equal, *found))


def test_the_gradients_of_the_weights_are_deferred_and_leave_unchosen_experts_alone() -> None:
    args = drawn(6, 2, 4, 3, 5)
    y, saved = forward(*args, chosen=np.array([[0, 3]] * 6))
    dx, dp, *weights = backward(np.ones_like(y), saved)
    assert dx.shape == (6, 5) and dp.shape == (6, 2)
    for weight, like in zip(weights, args[2:], strict=True):
        assert isinstance(weight, Deferred) and not weight.sparse
        fresh, total = weight.array(), np.full_like(like, -0.0)
        assert fresh[[0, 3]].all() and not fresh[1:3].any()
        weight.write(total, True)
        np.testing.assert_array_equal(total, fresh)
        assert np.signbit(total[1:3]).all()  # -0 + 0 is 0: nothing was added


def test_no_second_array_of_the_weights_size_is_made() -> None:
    x, p, gate_up, down = drawn(4, 1, 50, 200, 100)
    leaves = [Tensor(w, requires_grad=True) for w in (gate_up, down)]
    chosen = np.array([[1], [9], [9], [30]])
    y = sum(experts(x, p, *leaves, chosen=chosen).sum() for _ in range(2))
    tracemalloc.start()
    try:
        y.backward()
        assert tracemalloc.get_traced_memory()[1] < 1.2 * (gate_up.nbytes + down.nbytes)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_matrices_of_half_precision_are_widened_one_at_a_time(dtype: Any) -> None:
    x, p, *matrices = drawn(4, 1, 50, 200, 100)
    small = [w.astype(dtype) for w in matrices]
    chosen = np.array([[1], [9], [9], [30]])
    tracemalloc.start()
    try:
        y = experts(x, p, *small, chosen=chosen)
        assert tracemalloc.get_traced_memory()[1] < 0.2 * small[0].nbytes
    finally:
        tracemalloc.stop()
    right = experts(x, p, *(w.astype(np.float32) for w in small), chosen=chosen)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, right, rtol=1e-6, atol=1e-6)
