"""GeGLU is GELU times the other half, far out and in narrow types too."""

from __future__ import annotations

import numpy as np
import pytest

from autograd import vjp
from tinygrad_llm.functional import geglu, gelu

pytestmark = pytest.mark.usefixtures("pair")
both_forms = pytest.mark.parametrize("approximate", ["tanh", "none"])


@both_forms
def test_the_first_half_is_the_gate_of_the_second(approximate: str) -> None:
    x = np.linspace(-3, 3, 24).reshape(2, 3, 4)
    y, pull = vjp(lambda x: geglu(x, approximate=approximate), x)
    a, pull_gelu = vjp(lambda z: gelu(z, approximate=approximate), x[..., :2])
    g = np.cos(a)
    np.testing.assert_allclose(y, a * x[..., 2:], rtol=1e-13)
    np.testing.assert_allclose(pull(g)[0], np.concatenate(
        [pull_gelu(g * x[..., 2:])[0], g * a], -1), rtol=1e-12)


def test_the_tanh_is_the_default() -> None:
    x = np.array([2.0, 1.0])
    assert geglu(x)[0] == pytest.approx(1.9545976940877752, rel=1e-14)


@both_forms
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_far_out_the_gate_is_open_or_shut(approximate: str, dtype: type) -> None:
    gate, up = [-6e4, -1e4, -40.0, 0.0, 40.0, 1e4, 6e4], [3.0, -2.0, 5.0, 7.0, 2.0, 3.0, 1.0]
    y, pull = vjp(lambda x: geglu(x, approximate=approximate), np.array([*gate, *up], dtype))
    dx = pull(np.ones_like(y))[0]
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_allclose(y, np.array([0, 0, 0, 0, 80, 3e4, 6e4], dtype), atol=1e-25)
    np.testing.assert_allclose(dx, np.array([
        0, 0, 0, 3.5, 2, 3, 1, 0, 0, 0, 0, 40, 1e4, 6e4], dtype), atol=1e-25)


@both_forms
def test_nothing(approximate: str) -> None:
    for shape in [(0, 4), (3, 0)]:
        y = geglu(np.ones(shape), approximate=approximate)
        assert y.shape == (*shape[:-1], shape[-1] // 2)


@pytest.mark.parametrize("shape", [(2, 5), (1,), ()])
def test_rows_that_have_no_halves(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^geglu: expected x \(\.\.\., 2F\), a gate"):
        geglu(np.ones(shape))


def test_an_approximation_that_is_not_known() -> None:
    with pytest.raises(ValueError, match="^geglu: approximate must be 'tanh' or 'none', got 'exa"):
        geglu(np.ones(2), approximate="exact")
