"""ReLU squared at its ends and in narrow types."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autograd import vjp
from tinygrad_llm.functional import relu_squared

pytestmark = pytest.mark.usefixtures("pair")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_values_and_slopes(dtype: type) -> None:
    y, pull = vjp(relu_squared, np.array([[-6e4, -1.0, 0.0], [0.5, 3.0, 200.0]], dtype))
    dx = pull(np.full_like(y, 0.5))[0]
    assert y.tolist() == [[0, 0, 0], [0.25, 9, np.array(40000, dtype)]]
    assert dx.tolist() == [[0, 0, 0], [0.5, 3, 200]] and y.dtype == dx.dtype == dtype


def test_infinities_and_what_is_no_number() -> None:
    y, pull = vjp(relu_squared, np.array([-math.inf, math.inf, math.nan]))
    assert y[0] == 0 and y[1] == math.inf and math.isnan(y[2])
    dx = pull(np.ones(3))[0]
    assert dx[0] == 0 and dx[1] == math.inf and math.isnan(dx[2])


def test_a_number_and_nothing() -> None:
    assert float(relu_squared(np.array(3.0))) == 9 and relu_squared(np.ones((0, 3))).shape == (0, 3)
