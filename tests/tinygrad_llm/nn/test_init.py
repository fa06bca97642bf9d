"""Fresh parameters: float32 leaves, drawn from the generator that is given."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_llm.host.machine import keep_freed_memory, memory_of_process
from tinygrad_llm.nn.init import normal, ones, zeros


def test_they_are_leaves_in_float32() -> None:
    for p in (normal(np.random.default_rng(0), (3, 2), 0.5), zeros((3, 2)), ones((3, 2))):
        assert p.shape == (3, 2) and p.dtype == np.float32 and p.requires_grad
    assert (zeros((4,)).data == 0).all() and (ones((4,)).data == 1).all()


def test_normal_has_its_deviation_and_its_generator() -> None:
    p = normal(np.random.default_rng(0), (400, 100), 0.02)
    assert abs(p.data.std() / 0.02 - 1) < 0.02 and abs(p.data.mean()) < 1e-3
    same, other = (normal(np.random.default_rng(seed), (400, 100), 0.02) for seed in (0, 1))
    assert np.array_equal(p.data, same.data) and not np.array_equal(p.data, other.data)


def test_without_a_generator_nothing_is_drawn_and_no_memory_is_taken() -> None:
    keep_freed_memory()
    before = memory_of_process().now
    many = [normal(None, (1000, 1000), 0.02) for _ in range(100)]  # 400 MB
    assert memory_of_process().now - before < 20e6
    assert not many[0].data.any() and many[0].shape == (1000, 1000)
    many[0].data[3] = 1.0
    assert many[0].data.sum() == 1000 and not many[1].data.any()
    assert normal(None, (0, 3), 0.02).shape == (0, 3)


@pytest.mark.parametrize("rows", [2**47, 2**62])
def test_more_than_any_memory_is_a_memory_error(rows: int) -> None:
    with pytest.raises(MemoryError, match="no memory for"):
        normal(None, (rows, 3), 0.02)
