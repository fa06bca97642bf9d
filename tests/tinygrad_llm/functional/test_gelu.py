"""GELU far out, where powers and exponentials overflow, and in narrow types."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, vjp
from tinygrad_llm.functional import gelu

pytestmark = pytest.mark.usefixtures("pair")
both_forms = pytest.mark.parametrize("approximate", ["tanh", "none"])


def test_values() -> None:
    x = np.array([-1.0, 0.0, 2.0])
    exact = [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x]
    np.testing.assert_allclose(gelu(x, approximate="none"), exact, rtol=1e-14)
    np.testing.assert_allclose(gelu(x), exact, atol=4e-4)
    assert gelu(x)[2] == pytest.approx(1.9545976940877752, rel=1e-14), "0.5 x (1 + tanh u)"


@both_forms
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out_it_is_the_identity_or_nothing(approximate: str, dtype: type) -> None:
    x = np.array([-1e4, -40.0, -12.0, 0.0, 12.0, 40.0, 1e4], dtype=dtype)
    y, pull = vjp(lambda x: gelu(x, approximate=approximate), x)
    np.testing.assert_allclose(y, np.where(x > 0, x, 0), atol=1e-25)
    np.testing.assert_allclose(pull(np.ones_like(x))[0], [0, 0, 0, 0.5, 1, 1, 1], atol=1e-20)


@both_forms
def test_what_cannot_be_cubed(approximate: str) -> None:
    x = np.array([-1e20, -1e13, 1e13, 1e20, 3e38], np.float32)
    y, pull = vjp(lambda x: gelu(x, approximate=approximate), x)
    assert np.abs(y - np.where(x > 0, x, 0)).max() < 1e-10
    np.testing.assert_allclose(pull(np.ones_like(x))[0], [0, 0, 1, 1, 1], atol=1e-10)


@pytest.mark.parametrize(("dtype", "far"), [(np.float32, 1e38), (np.float64, 1e300)])
def test_the_largest_numbers(dtype: type, far: float) -> None:
    x = Tensor(np.array([-far, far], dtype), requires_grad=True)
    y = gelu(x)
    y.backward(np.ones(2, dtype))
    np.testing.assert_allclose(y.data, [0, far], atol=1e-30, rtol=1e-6)
    np.testing.assert_allclose(x.grad, [0, 1], atol=1e-30)


@both_forms
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_small_dtypes_stay_small(approximate: str, dtype: type) -> None:
    y, pull = vjp(lambda x: gelu(x, approximate=approximate), np.ones((2, 3), dtype))
    assert y.dtype == pull(y)[0].dtype == dtype


@both_forms
def test_a_number_and_nothing(approximate: str) -> None:
    one: Any = gelu(np.array(1.0), approximate=approximate)
    assert np.shape(one) == () and float(one) == pytest.approx(0.841, abs=1e-3)
    assert gelu(np.ones((0, 3)), approximate=approximate).shape == (0, 3)


def test_an_approximation_that_is_not_known() -> None:
    with pytest.raises(ValueError, match="^gelu: approximate must be 'tanh' or 'none', got 'exa"):
        gelu(np.ones(2), approximate="exact")
