"""The norm of all gradients together, and clipping by it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograd import Tensor
from tinygrad_llm.host import threads
from tinygrad_llm.host.threads import workers
from tinygrad_llm.optim import clip_by_global_norm, clip_scale, global_norm


def leaf(gradient: object) -> Tensor:
    x = Tensor(np.zeros(np.shape(gradient)), requires_grad=True)  # type: ignore[arg-type]
    x.grad = None if gradient is None else np.array(gradient, dtype=float)
    return x


def test_the_norm_is_that_of_all_gradients_in_a_row() -> None:
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=shape) for shape in ((3, 4), (5,), (2, 1, 3), ())]
    expected = np.linalg.norm(np.concatenate([g.ravel() for g in gradients]))
    assert global_norm([leaf(g) for g in gradients]) == pytest.approx(expected, rel=1e-14)


def test_parameters_without_a_gradient_have_no_part_in_the_norm() -> None:
    assert global_norm([leaf([3.0, 4.0]), leaf(None)]) == 5.0
    assert global_norm([leaf(None)]) == global_norm([]) == 0.0


def test_the_bits_of_the_norm_do_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch
                                                           ) -> None:
    for name, value in (("BLOCK_BYTES", 256), ("_WORTH_HANDING_OUT", 512)):
        monkeypatch.setattr(threads, name, value)
    p = leaf(np.random.default_rng(0).normal(size=(100, 7)))

    def norm(count: int) -> float:
        with workers(count):
            return global_norm([p])

    assert norm(1) == norm(2) == norm(4)


@given(st.floats(0, 1e30), st.floats(1e-30, 1e30))
def test_the_scale_brings_the_norm_to_the_limit(norm: float, limit: float) -> None:
    scale = clip_scale(norm, limit)
    assert 0 < scale <= 1 and scale * norm <= limit * (1 + 1e-12)
    assert scale == 1 or norm > limit


@pytest.mark.parametrize("norm, limit", [(5.0, 0.0), (math.inf, 1.0), (math.nan, 1.0), (1.0, 1.0)])
def test_where_nothing_is_scaled(norm: float, limit: float) -> None:
    assert clip_scale(norm, limit) == 1.0


def test_clipping_scales_all_gradients_together() -> None:
    a, b, c = leaf([3.0, 0.0]), leaf([4.0]), leaf(None)
    assert clip_by_global_norm([a, b, c], 10.0) == 5.0 and a.grad.tolist() == [3, 0]
    assert clip_by_global_norm([a, b, c], 1.0) == 5.0
    np.testing.assert_allclose([*a.grad, *b.grad], [0.6, 0, 0.8], rtol=1e-15)
    assert c.grad is None
    b.grad = np.array([math.nan])
    assert math.isnan(clip_by_global_norm([a, b], 1.0)) and a.grad[0] == pytest.approx(0.6)
    a.grad, b.grad = np.array([30.0, 40]), None
    assert clip_by_global_norm([a, b], 0.0) == 50.0 and a.grad.tolist() == [30, 40]


def test_parameters_may_come_from_an_iterator() -> None:
    a = leaf([3.0, 4.0])
    assert clip_by_global_norm(iter([a]), 1.0) == 5.0
    np.testing.assert_allclose(a.grad, [0.6, 0.8], rtol=1e-15)


@pytest.mark.parametrize("dtype, size", [(np.float32, 1e20), (np.float32, 1e38), (float, 1e300),
                                         (np.float16, 30000), (np.float32, 1e-30), (float, 1e-200)])
def test_squares_that_the_dtype_does_not_have(dtype: type, size: float) -> None:
    def gradients() -> list[Tensor]:
        leaves = [leaf(np.array([3.0, 0.0]) / 5), leaf(None), leaf(np.array([[4.0]]) / 5)]
        for x in leaves[::2]:
            x.grad = (x.grad * size).astype(dtype)
        return leaves

    assert global_norm(gradients()) == pytest.approx(size, rel=1e-3)
    clipped = gradients()
    assert clip_by_global_norm(clipped, size / 4) == pytest.approx(size, rel=1e-3)
    np.testing.assert_allclose(clipped[0].grad, [0.15 * size, 0], rtol=2e-3)
    np.testing.assert_allclose(clipped[2].grad, [[0.2 * size]], rtol=2e-3)


def test_many_gradients_of_half_precision() -> None:
    x = leaf(np.zeros(1_000_000))
    x.grad = np.full(1_000_000, 60000, np.float16)
    assert clip_by_global_norm([x], 1.0) == pytest.approx(6e7, rel=1e-3)
    np.testing.assert_allclose(x.grad[:3].astype(float), 1e-3, rtol=1e-3)


def test_gradients_that_are_infinite_or_zero() -> None:
    for size in (0.0, math.inf, -math.inf):
        x = leaf([size, 0.0])
        assert clip_by_global_norm([x], 1.0) == abs(size) and x.grad.tolist() == [size, 0.0]


@pytest.mark.parametrize("limit", [-1.0, -math.inf, math.nan])
def test_a_limit_that_is_none_is_refused(limit: float) -> None:
    x = leaf([3.0, 4.0])
    with pytest.raises(ValueError, match=r"expected a limit above 0, or 0 for no limit, got"):
        clip_by_global_norm([x], limit)
    with pytest.raises(ValueError, match="no limit"):
        clip_scale(1.0, limit)
    assert x.grad.tolist() == [3, 4]
