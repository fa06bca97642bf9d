"""Rotary's twin in blocks of their real size: one array beside the arguments, the same bits."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from autograd import plain_ops, vjp
from tinygrad_llm.functional import rotary
from tinygrad_llm.host.threads import BLOCK_BYTES, workers

SHAPES = [(3, 700, 5, 36), (40, 33, 8, 36), (1, 5000, 2, 36)]  # several blocks each


def arguments(shape: tuple[int, ...], each: bool, dtype: Any = np.float32) -> Any:
    """Return heads that are views of packed rows, and angles for 32 numbers of each."""
    batch, time, heads, depth = shape
    rng = np.random.default_rng(shape)
    packed = rng.normal(size=(batch, time, 3 * heads * depth)).astype(dtype)
    angles = rng.normal(size=(batch, time, 16) if each else (time, 16))
    x = packed[..., heads * depth : 2 * heads * depth].reshape(shape)
    assert np.shares_memory(x, packed) and x.nbytes > 1.5 * BLOCK_BYTES
    return x, {"cos": np.cos(angles).astype(dtype), "sin": np.sin(angles).astype(dtype)}


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_of_their_real_size(shape: tuple[int, ...], each: bool, interleaved: bool) -> None:
    x, angles = arguments(shape, each)

    def run() -> list[np.ndarray]:
        y, pull = vjp(lambda x: rotary(x, **angles, interleaved=interleaved), x)
        return [y, *pull(x[::-1])]

    results = []
    for threads in (1, 2, 3):
        with workers(threads):
            results.append(run())
    with plain_ops():
        expected = run()
    for one, two, three, e in zip(*results, expected, strict=True):
        np.testing.assert_array_equal(one, two, strict=True)
        np.testing.assert_array_equal(one, three, strict=True)
        np.testing.assert_allclose(one, e, rtol=0, atol=2e-6)


@pytest.mark.parametrize("interleaved", [False, True])
def test_no_second_array_of_its_size_is_made(interleaved: bool) -> None:
    x, angles = arguments((8, 2000, 4, 36), each=False)
    y, pull = vjp(lambda x: rotary(x, **angles, interleaved=interleaved), x)
    for call in (lambda: rotary(x, **angles, interleaved=interleaved), lambda: pull(y)):
        tracemalloc.start()
        try:
            call()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert y.nbytes < peak < y.nbytes + 6 * BLOCK_BYTES < 1.5 * y.nbytes


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_what_is_not_finite_stays_in_its_pair(value: float, interleaved: bool) -> None:
    x, angles = arguments(SHAPES[0], each=False)
    expected = rotary(x, **angles, interleaved=interleaved)
    x[1, 7, 2, 4] = value
    with np.errstate(all="ignore"):
        changed = rotary(x, **angles, interleaved=interleaved) != expected
    assert sorted(zip(*np.nonzero(changed), strict=True)) == [
        (1, 7, 2, d) for d in ((4, 5) if interleaved else (4, 20))]
