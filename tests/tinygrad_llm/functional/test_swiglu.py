"""SwiGLU far out, where exponentials overflow, and in narrow types."""

from __future__ import annotations

import math

import numpy as np
import pytest

import autograd
from autograd import vjp
from tinygrad_llm.functional import swiglu

pytestmark = pytest.mark.usefixtures("pair")


def test_the_first_half_is_the_gate_of_the_second() -> None:
    y = swiglu(np.array([[1.0, -2.0, 10.0, 100.0]]))
    np.testing.assert_allclose(y, [[10 / (1 + math.exp(-1)), -200 / (1 + math.exp(2))]])
    x = np.linspace(-3, 3, 24).reshape(2, 3, 4)
    np.testing.assert_allclose(swiglu(x), autograd.silu(x[..., :2]) * x[..., 2:], rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_far_out_the_gate_is_open_or_shut(dtype: type) -> None:
    gate, up = [-6e4, -1e4, -800.0, 0.0, 800.0, 1e4, 6e4], [3.0, -2.0, 5.0, 7.0, 2.0, 3.0, 1.0]
    y, pull = vjp(swiglu, np.array([*gate, *up], dtype))
    np.testing.assert_array_equal(np.abs(y), [0, 0, 0, 0, 1600, 3e4, np.array(6e4, dtype)])
    dx = pull(np.ones_like(y))[0]
    np.testing.assert_array_equal(np.abs(dx), np.array([
        0, 0, 0, 3.5, 2, 3, 1, 0, 0, 0, 0, 800, 1e4, 6e4], dtype))
    assert y.dtype == dx.dtype == dtype


@pytest.mark.parametrize(("dtype", "far"), [(np.float32, 1e38), (np.float64, 1e300)])
def test_the_largest_numbers(dtype: type, far: float) -> None:
    y, pull = vjp(swiglu, np.array([-far, far, far, 1], dtype))
    np.testing.assert_allclose(np.abs(y), [0, far], rtol=1e-6)
    np.testing.assert_allclose(np.abs(pull(np.ones_like(y))[0]), [0, 1, 0, far], rtol=1e-6)


def test_small_gates_keep_their_digits() -> None:
    gate = np.array([-80.0, -30.0, 1e-20, 30.0], np.float32)
    y, pull = vjp(swiglu, np.concatenate([gate, np.ones(4, np.float32)]))
    exact = gate.astype(float)
    s = 1 / (1 + np.exp(-exact))
    np.testing.assert_allclose(y, exact * s, rtol=1e-6)
    np.testing.assert_allclose(pull(np.ones_like(y))[0][:4], s * (1 + exact * (1 - s)), rtol=3e-6)


def test_nothing() -> None:
    assert swiglu(np.ones((0, 4))).shape == (0, 2) and swiglu(np.ones((3, 0))).shape == (3, 0)


@pytest.mark.parametrize("shape", [(2, 5), (1,), ()])
def test_rows_that_have_no_halves(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^swiglu: expected x \(\.\.\., 2F\), a gate"):
        swiglu(np.ones(shape))
