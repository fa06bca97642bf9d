"""Dropout: how often, how much, and that the mask is a function of its key."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograd import vjp
from tinygrad_llm.functional import dropout
from tinygrad_llm.functional.dropout import keep_mask


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_expectation_is_kept(p: float) -> None:
    mask = keep_mask((400, 500), p, 3, np.zeros(0))
    kept = 1 - round(p * 2**16) / 2**16
    assert set(np.unique(mask)) == {0.0, 1 / kept}
    assert (mask == 0).mean() == pytest.approx(p, abs=0.005)
    assert mask.mean() == pytest.approx(1, abs=0.03)
    rows = (mask == 0).mean(axis=1)
    assert rows.std() == pytest.approx(math.sqrt(p * (1 - p) / 500), rel=0.2), "not independent"


def test_the_mask_is_a_function_of_its_key() -> None:
    mask = keep_mask((40, 50), 0.3, 3, np.zeros(0))
    assert np.array_equal(mask, keep_mask((40, 50), 0.3, 3, mask))
    assert not np.array_equal(mask, keep_mask((40, 50), 0.3, 4, mask))
    assert keep_mask((2,), 0.3, 3, np.zeros(0, np.float32)).dtype == np.float32


@given(start=st.integers(0, 99), length=st.integers(0, 40), p=st.sampled_from([0.0, 0.3, 0.9]))
def test_a_mask_can_be_drawn_piece_by_piece(start: int, length: int, p: float) -> None:
    whole = keep_mask((140,), p, 7, np.zeros(0))
    piece = keep_mask((length,), p, 7, np.zeros(0), start)
    np.testing.assert_array_equal(piece, whole[start : start + length])


def test_the_gradient_is_masked_as_the_value_was() -> None:
    x = np.linspace(1, 2, 50).reshape(5, 10)
    y, pull = vjp(lambda x: dropout(x, p=0.4, key=3), x)
    m = keep_mask(x.shape, 0.4, 3, x)
    np.testing.assert_array_equal(y, x * m)
    np.testing.assert_array_equal(pull(3 * x)[0], 3 * x * m)


def test_of_nothing_and_of_everything() -> None:
    x = np.linspace(-1, 1, 5)
    assert np.array_equal(dropout(x, p=0.0, key=1), x)
    for p in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=rf"^dropout: the probability .*\[0, 1\), got {p}"):
            dropout(x, p=p, key=1)
    assert (dropout(np.ones(99), p=1 - 1e-9, key=1) == 0).all(), "the share is rounded, not up to 1"


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_small_dtypes_stay_small(dtype: type) -> None:
    y, pull = vjp(lambda x: dropout(x, p=0.5, key=1), np.ones((3, 4), dtype))
    assert y.dtype == pull(y)[0].dtype == dtype
