"""From logits to the token that is drawn: each filter against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.sample.logits import (
    draw,
    keep_top_k,
    keep_top_p,
    scale_by_temperature,
    softmax,
)

logits_of = st.lists(st.integers(-5, 5), min_size=1, max_size=8).map(
    lambda z: np.array(z, dtype=float))


@given(logits_of, st.integers(1, 9))
def test_top_k_keeps_the_k_largest(z: np.ndarray, k: int) -> None:
    kept = np.isfinite(keep_top_k(z, k))
    threshold = sorted(z)[-min(k, len(z))]
    assert np.array_equal(kept, z >= threshold)


@given(logits_of, st.floats(0.01, 1))
def test_top_p_keeps_the_smallest_nucleus(z: np.ndarray, p: float) -> None:
    kept = np.isfinite(keep_top_p(z, p))
    probability = softmax(z)
    assert kept.any() and probability[kept].sum() >= p - 1e-9
    assert probability[kept].min() >= probability[~kept].max(initial=0) - 1e-15
    if kept.sum() > 1:  # without its least member the nucleus is too small
        assert probability[kept].sum() - probability[kept].min() < p + 1e-9


def test_batches_of_logits_are_cut_row_by_row() -> None:
    z = np.array([[1.0, 2, 3], [3.0, 1, 2]])
    assert np.isfinite(keep_top_k(z, 1)).tolist() == [[False, False, True], [True, False, False]]
    assert np.isfinite(keep_top_p(z, 0.7)).tolist() == [[False, True, True], [True, False, True]]


def test_what_reaches_p_exactly_is_enough() -> None:
    assert np.isfinite(keep_top_p(np.zeros(4), 0.5)).sum() == 2


def test_draw_follows_the_distribution() -> None:
    rng = np.random.default_rng(0)
    z = np.log(np.array([0.1, 0.0001, 0.6, 0.2999]))
    counts = np.bincount([draw(z, rng) for _ in range(20_000)], minlength=4)
    np.testing.assert_allclose(counts / 20_000, np.exp(z), atol=0.012)
    z[2] = -np.inf
    assert 2 not in [draw(z, rng) for _ in range(200)]
    assert draw(np.array([-np.inf, 0.0]), rng) == 1


def test_impossible_arguments() -> None:
    for call in (lambda: scale_by_temperature(np.ones(2), 0), lambda: keep_top_k(np.ones(2), 0),
                 lambda: keep_top_p(np.ones(2), 0)):
        with pytest.raises(ValueError):
            call()
