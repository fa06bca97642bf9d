"""The strategies draw what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import autograd as ag
from autograd.testing import (
    arrays,
    broadcastable_shapes,
    gradcheck,
    ill_scaled,
    shapes,
)
from autograd.testing.layouts import LAYOUTS


@pytest.mark.parametrize("layout, holds", [
    ("F", lambda x: x.flags.f_contiguous and not x.flags.c_contiguous),
    ("wide", lambda x: x.strides[-1] > x.itemsize), ("reversed", lambda x: min(x.strides) < 0),
    ("inner", lambda x: x.base is not None and not x.flags.contiguous),
    ("read-only", lambda x: not x.flags.writeable), ("C", lambda x: x.flags.c_contiguous)])
def test_layouts_are_drawn(layout: str, holds: Any) -> None:
    assert layout in (*LAYOUTS, "read-only")
    find(arrays((2, 3)), holds, settings=settings(max_examples=500, database=None))


@given(x=arrays(low=-3, high=1), shape=shapes(least=1, min_dims=1))
def test_arrays_stay_between_their_bounds(x: Any, shape: Any) -> None:
    assert x.dtype == np.float64 and (x >= -3).all() and (x <= 1).all()
    assert all(n >= 1 for n in shape) and len(shape) >= 1


@given(x=arrays((4,), 0, 5, st.sampled_from([np.int64, np.float32])))
def test_arrays_have_the_dtype(x: Any) -> None:
    assert x.dtype in (np.int64, np.float32) and x.shape == (4,)


@given(x=arrays((3, 3), away_from=[-1.0, 0.0, 1.0], gap=0.2),
       y=arrays((3, 3), away_from=lambda x: np.abs(np.sin(np.pi * x)), gap=0.1))
def test_kinks_are_kept_away(x: Any, y: Any) -> None:
    assert (np.abs(x[..., None] - [-1.0, 0.0, 1.0]) >= 0.2).all()
    assert (np.abs(np.sin(np.pi * y)) >= 0.1).all()


def test_no_room_is_reported() -> None:
    with pytest.raises(ValueError, match="there is no room"):
        find(arrays((2,), 0, 1, away_from=[0.5], gap=1.0), lambda _: True)


@given(found=broadcastable_shapes(3))
def test_shapes_broadcast(found: Any) -> None:
    assert len(found) == 3 and np.broadcast_shapes(*found) is not None


@given(x=ill_scaled((50,)))
def test_magnitudes_are_mixed(x: Any) -> None:
    size = np.abs(x)
    assert (size >= 1e-8).all() and (size <= 1e8).all() and size.max() > 1e6 * size.min()
    gradcheck(ag.tanh, x[:4])
