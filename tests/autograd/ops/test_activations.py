"""Activations where the gradient suite does not go: tails, kinks, errors."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, isnan
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, grad
from autograd.ops import activations as act


def at(f: Callable[..., Any], x: float, dtype: Any = float) -> tuple[float, float]:
    """Return f and its derivative at a number."""
    x = np.array([x], dtype)
    return float(f(x)[0]), float(grad(lambda x: ag.sum(f(x)))(x)[0])


@pytest.mark.parametrize("f, x, value, slope", [
    (act.sigmoid, 800, 1, 0), (act.sigmoid, -800, 0, 0), (act.sigmoid, -40, exp(-40), exp(-40)),
    (act.sigmoid, inf, 1, 0), (act.sigmoid, -inf, 0, 0),
    (act.softplus, 800, 800, 1), (act.softplus, -800, 0, 0),
    (act.softplus, -40, exp(-40), exp(-40)), (act.softplus, inf, inf, 1),
    (act.softplus, -inf, 0, 0), (act.log_sigmoid, 800, 0, 0), (act.log_sigmoid, -800, -800, 1),
    (act.log_sigmoid, 40, -exp(-40), exp(-40)), (act.log_sigmoid, -1e300, -1e300, 1),
    (act.silu, 800, 800, 1), (act.silu, -800, 0, 0),
    (act.silu, -40, -40 * exp(-40), -39 * exp(-40)),
    (act.gelu, 1e200, 1e200, 1), (act.gelu, -1e200, 0, 0), (act.gelu, 0, 0, 0.5),
    (lambda x: act.gelu(x, approximate="tanh"), 1e200, 1e200, 1),
    (lambda x: act.gelu(x, approximate="tanh"), -1e200, 0, 0),
    (act.mish, 800, 800, 1), (act.mish, -800, 0, 0),
    (act.elu, -800, -1, 0), (act.elu, 800, 800, 1), (act.selu, 800, 800 * 1.0507009873554805,
                                                     1.0507009873554805),
    (act.softsign, 1e300, 1, 0), (act.hard_tanh, 800, 1, 0), (act.leaky_relu, -800, -8, 0.01),
])
def test_tails(f: Callable[..., Any], x: float, value: float, slope: float) -> None:
    got = at(f, x)
    assert got == pytest.approx((value, slope), rel=1e-12, abs=0)


@pytest.mark.parametrize("f, slope", [
    (act.relu, 0), (act.leaky_relu, 0.01), (act.elu, 1), (act.selu, 1.0507009873554805
                                                         * 1.6732632423543772),
    (act.softsign, 1), (lambda x: act.hard_tanh(x, 0.0, 1.0), 0.5),
    (lambda x: act.elu(x, 0.5), 0.5),
])
def test_the_derivative_at_the_kink(f: Callable[..., Any], slope: float) -> None:
    assert at(f, 0.0) == (0, pytest.approx(slope))


def test_nan_stays_nan() -> None:
    for name in ("relu", "elu", "hard_tanh", "sigmoid", "softplus", "gelu", "leaky_relu", "silu"):
        assert isnan(at(getattr(act, name), float("nan"))[0]), name


@pytest.mark.parametrize("shift", [1e8, -1e8, 1e300])
def test_softmax_does_not_see_a_shift(shift: float) -> None:
    x = np.array([1.0, 3.0, 2.0])
    z = x * 8 + shift
    spread = z - z[0]
    for f in (act.softmax, act.log_softmax):
        np.testing.assert_allclose(f(z), f(spread), rtol=1e-14)
        np.testing.assert_allclose(grad(lambda z, f=f: f(z)[1])(z),
                                   grad(lambda z, f=f: f(z)[1])(spread), rtol=1e-14)


def test_softmax_of_masked_elements() -> None:
    z = np.array([0.0, -inf, 0.0])
    assert act.softmax(z).tolist() == [0.5, 0, 0.5]
    assert grad(lambda z: act.softmax(z)[0])(z).tolist() == [0.25, 0, -0.25]
    assert grad(lambda z: act.log_softmax(z)[0])(z).tolist() == [0.5, 0, -0.5]
    assert act.log_softmax(z)[1] == -inf
    for f in (act.softmax, act.log_softmax):
        assert f(Tensor(np.zeros((2, 0)), requires_grad=True)).shape == (2, 0)
        assert f(np.array([1, 2])).dtype == np.float64
        assert f(np.float32([1, 2])).dtype == np.float32


def test_half_precision_is_kept() -> None:
    x = np.array([-30.0, 0.0, 30.0], np.float16)
    for name in ("sigmoid", "softplus", "relu", "softmax", "silu", "elu", "leaky_relu"):
        assert getattr(act, name)(x).dtype == np.float16, name


def test_a_norm_of_one_column_has_no_slope() -> None:
    x = np.array([[3.0], [-1.0]])
    assert (grad(lambda x: ag.sum(act.layer_norm(x)))(x) == 0).all()
    rows = act.layer_norm(np.random.default_rng(0).normal(size=(4, 64)))
    assert np.allclose(rows.mean(-1), 0) and np.allclose(rows.var(-1), 1, atol=1e-4)


def test_fused_ops_of_these_names_agree() -> None:
    layers = pytest.importorskip("tinygrad_llm.functional")
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(3, 5)), rng.normal(size=5), rng.normal(size=5)
    np.testing.assert_allclose(act.layer_norm(x, w, b), layers.layer_norm(x, w, b), rtol=1e-12)
    for kind in ("none", "tanh"):
        np.testing.assert_allclose(act.gelu(x, approximate=kind), layers.gelu(x, approximate=kind),
                                   rtol=1e-12)


@pytest.mark.parametrize("call, message", [
    (lambda x: act.softmax(x, 2), "axis 2.*float64"), (lambda x: act.log_softmax(x, -3), "axis -3"),
    (lambda x: act.gelu(x, approximate="erf"), "'none' or 'tanh'"),
    (lambda x: act.layer_norm(x, np.ones(2)), "the length of the last axis"),
    (lambda x: act.layer_norm(x, None, np.ones((3, 3))), "the length of the last axis"),
    (lambda x: act.rms_norm(x, np.ones(1)), "the length of the last axis"),
    (lambda x: act.glu(x), "does not split"), (lambda x: act.hard_tanh(x, 2, 1), "min_val"),
])
def test_what_is_refused(call: Callable[[Any], Any], message: str) -> None:
    x = np.ones((2, 3))
    for value in (x, Tensor(x, requires_grad=True)):
        with pytest.raises((ValueError, TypeError, IndexError), match=message):
            call(value)
