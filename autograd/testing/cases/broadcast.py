"""Cases of the ops in `autograd.broadcast`."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import anything, one, reals, shapes


@st.composite
def repeating(draw: Any) -> Inputs:
    small, big = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3)).input_shapes
    return (draw(reals(small)),), {"shape": np.broadcast_shapes(small, big)}


@st.composite
def unrepeating(draw: Any) -> Inputs:
    (x,), options = draw(repeating())
    big = draw(reals(options["shape"]))
    return (big,), {"shape": x.shape}


def numpy_sum_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The definition, by brute force: each element goes where broadcasting took it from."""
    y = np.zeros(shape)
    source = np.broadcast_to(np.arange(y.size).reshape(shape), x.shape)
    np.add.at(y.reshape(-1), source.reshape(-1), x.reshape(-1))
    return y


CASES: dict[str, OpCase] = {
    "identity": OpCase(anything, lambda x: x),
    "astype": OpCase(one(reals(shapes()), dtype=np.float64), lambda x, dtype: x.astype(dtype)),
    "broadcast_to": OpCase(repeating(), np.broadcast_to),
    "sum_to": OpCase(unrepeating(), numpy_sum_to),
}
