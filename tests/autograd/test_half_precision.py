"""In half precision no count, sum or square is lost on the way to a result that fits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from cases import CASES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ml_dtypes import bfloat16

import autograd as ag
from autograd import Tensor, checkpoint, grad, vjp
from autograd.backend import accumulated, wide, widened, wider
from autograd.backward import pull_back
from autograd.testing.opcase import floating
from tinygrad_llm.functional import linear

F16, MANY = np.float16, 70_000  # which float16 does not have


def test_half_precision_is_made_wider_and_nothing_else() -> None:
    like_ml_dtypes = SimpleNamespace(itemsize=2, kind="V", name="bfloat16")
    assert wide(np.dtype(F16)) == wide(like_ml_dtypes) == np.float32
    for name in ("float32", "float64", "int16", "bool", "V2"):
        dtype = np.dtype(name)
        assert wide(dtype) is dtype
    x = np.ones(2, np.float32)
    assert wider(x) is x and wider(3.0) == 3.0 and wider(F16) is F16
    assert wider(x.astype(F16)).dtype == wider(Tensor(x.astype(F16))).dtype == np.float32


def test_a_widened_function_rounds_its_result_once() -> None:
    square = widened(lambda x, other=1.0: (x * x / 1000, [x], x > 0))
    y, (seen,), positive = square(np.array([300.0], F16))
    assert y.dtype == F16 and y == 90 and seen.dtype == np.float32 and positive.dtype == bool
    assert square(np.array([300.0], F16), other=np.ones(1, np.float32))[0].dtype == np.float32
    assert square(np.array([300.0]))[0].dtype == float
    total = accumulated(np.sum, np.ones((5000, 2), F16), None, axis=0)
    assert total.dtype == F16 and total.tolist() == [5000, 5000]
    assert accumulated(np.sum, np.ones((5000, 2)), F16, axis=0).tolist() == [5000, 5000]
    assert accumulated(np.sum, [1, 2], None) == 3


@pytest.mark.parametrize("f, dx", [
    (ag.max, 1 / MANY), (ag.min, 1 / MANY), (ag.nanmax, 1 / MANY), (ag.nanmin, 1 / MANY),
    (lambda x: ag.norm(x, np.inf), 1 / MANY), (ag.mean, 1 / MANY), (ag.nanmean, 1 / MANY),
    (ag.average, 1 / MANY), (lambda x: ag.average(x, weights=np.ones(MANY, F16)), 1 / MANY),
    (lambda x: ag.scatter_max(np.zeros(1, F16), np.zeros(MANY, int), x).sum(), 1 / MANY),
    (lambda x: ag.mse_loss(x, 0 * x), 2 / MANY), (lambda x: ag.l1_loss(x, 0 * x), 1 / MANY),
    (ag.logsumexp, 1 / MANY), (ag.norm, MANY**-0.5), (ag.prod, 1), (ag.std, 0),
    (lambda x: ag.log_softmax(x)[0], -1 / MANY),
    (lambda x: ag.cross_entropy(x, 0), -1 / MANY),
])
def test_of_many_ones(f: Any, dx: float) -> None:
    slope = grad(f)(np.ones(MANY, F16))
    assert slope.dtype == F16
    np.testing.assert_allclose(np.abs(slope[1:].astype(float)), abs(dx), rtol=3e-3, atol=3e-8)


def test_values_over_many_numbers() -> None:
    np.testing.assert_allclose(ag.softmax(np.ones(MANY, F16)).astype(float), 1 / MANY, rtol=3e-3)
    x = (np.arange(MANY) % 5 * 100.0).astype(F16)
    for f in (ag.std, ag.nanstd, ag.mean, ag.nanmean, ag.average, ag.norm, ag.logsumexp, ag.median,
              lambda x: ag.vector_norm(x, ord=3), lambda x: ag.huber_loss(x, 0 * x),
              lambda x: ag.std(ag.reshape(x, (MANY // 2, 2)), 0).sum(),
              lambda x: ag.cross_entropy(x, 3), lambda x: ag.mse_loss(0.1 * x, 0.5 * x)):
        (y, dx), (right, slope) = (ag.value_and_grad(f)(x.astype(t)) for t in (F16, float))
        np.testing.assert_allclose(y, right, rtol=1e-3)
        np.testing.assert_allclose(dx, slope, atol=3e-3 * np.abs(slope).max() + 6e-8)


def test_sums_along_the_first_axis_do_not_stop_at_2048() -> None:
    x = np.ones((5000, 2), F16)
    bias = np.zeros(2, F16)
    for got in (ag.sum(x, 0), grad(lambda b: (x + b).sum())(bias), ag.cumsum(x, 0)[-1],
                ag.nansum(x, 0), ag.sum_to(x, (2,)), ag.einsum("ij->j", x),
                grad(lambda b: ag.broadcast_to(b, (5000, 2)).sum())(bias),
                grad(lambda b: b[np.zeros(5000, int)].sum())(bias[:1]) * np.ones(2, F16),
                grad(lambda b: ag.repeat(b, 5000).sum())(bias),
                ag.scatter_add(bias, np.zeros(5000, int), x[:, 0])[:1] * np.ones(2, F16),
                ag.fold(np.ones((5000, 1), F16), (1,), (1,), (0,)) * np.ones(2, F16),
                ag.sum(np.ones((5000, 2)), 0, dtype=F16)):
        assert got.dtype == F16 and got.tolist() == [5000, 5000]


@pytest.mark.parametrize("dtype", [F16, bfloat16])
@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_a_number_of_pythons_leaves_the_type_as_it_is(dtype: Any, shape: tuple[int, ...]) -> None:
    x = Tensor(np.ones(shape).astype(dtype), requires_grad=True)
    for f in (lambda x: x * 2.0, lambda x: 2.0 * x, lambda x: x / 3.0, lambda x: 1.0 / x,
              lambda x: x**2.0, lambda x: x * 2, lambda x: 1.0 - x):
        assert f(x).dtype == grad(lambda x, f=f: f(x).sum())(x.data).dtype == dtype


def test_squares_of_what_a_root_brings_back() -> None:
    x = np.array([0, 300, 600, 900], F16)
    n = [-1.3416, -0.4472, 0.4472, 1.3416]
    for op in (ag.layer_norm, ag.standardize):
        np.testing.assert_allclose(op(x), n, rtol=1e-3)
    np.testing.assert_allclose(ag.rms_norm(x), [0, 0.5345, 1.069, 1.6036], rtol=1e-3)
    np.testing.assert_allclose(ag.std(x), 335.4, rtol=1e-3)
    np.testing.assert_allclose(grad(ag.std)(x), np.array(n) / 4, rtol=1e-3)
    assert ag.norm(np.array([300, 400], F16)) == 500
    assert grad(ag.norm)(np.array([300, 400], F16)).tolist() == [F16(0.6), F16(0.8)]
    assert ag.cosine_similarity(np.array([300, 400], F16), np.array([400, 300], F16)) == F16(0.96)
    np.testing.assert_allclose(ag.corrcoef(x, x[::-1] * F16(0.5)), [[1, -1], [-1, 1]], rtol=1e-3)
    assert ag.mse_loss(np.array([300, 0, 0, 0], F16), np.zeros(4, F16)) == 22500
    assert ag.prod(np.array([300, 300, 0.01], F16)) == pytest.approx(900, rel=1e-3)


@pytest.mark.parametrize("scale", [1e19, 1e30, 1e-30])
def test_squares_that_float32_does_not_have(scale: float) -> None:
    x = np.array([0, 1, 2, 3], np.float32)
    huge = x * np.float32(scale)
    np.testing.assert_allclose(ag.std(huge), 1.118034 * scale, rtol=1e-6)
    np.testing.assert_allclose(ag.nanstd(huge), 1.118034 * scale, rtol=1e-6)
    np.testing.assert_allclose(ag.norm(huge), 3.741657 * scale, rtol=1e-6)
    np.testing.assert_allclose(ag.vector_norm(huge, ord=3), 36 ** (1 / 3) * scale, rtol=1e-6)
    np.testing.assert_allclose(ag.corrcoef(huge, x[::-1]), [[1, -1], [-1, 1]], rtol=1e-6)
    for f in (ag.std, ag.nanstd, ag.norm, lambda x: ag.vector_norm(x, ord=3)):
        np.testing.assert_allclose(grad(f)(huge), grad(f)(x), rtol=1e-5, atol=1e-7)
    for f in (ag.standardize, ag.layer_norm, ag.rms_norm):
        y, pull = vjp(lambda x, f=f: f(x, eps=0.0), huge)
        right, pull_right = vjp(lambda x, f=f: f(x, eps=0.0), x)
        np.testing.assert_allclose(y, right, rtol=1e-5)
        g = np.array([1, 2, -1, 3], np.float32)
        np.testing.assert_allclose(pull(g)[0] * np.float32(scale), pull_right(g)[0], atol=1e-5)
        if scale > 1:
            np.testing.assert_allclose(f(huge), right, rtol=1e-5)


def test_std_of_equal_elements_whose_mean_is_rounded_is_zero() -> None:
    for n in (3, 7, 1000, MANY):
        for dtype in (np.float32, float):
            x = np.full(n, 0.1, dtype)
            assert ag.std(x) == 0 == ag.nanstd(x)
            assert not grad(ag.std)(x).any() and not grad(ag.nanstd)(x).any()


@pytest.mark.parametrize("dtype", [F16, bfloat16])
def test_what_a_leafs_uses_give_is_summed_in_float32_and_rounded_once(dtype: Any) -> None:
    """1 and two halves of its last place: neither is lost beside it, nor are both together."""
    small = float(ml_dtypes.finfo(dtype).eps) / 2
    w = Tensor(np.ones((1, 1), dtype), requires_grad=True)
    uses = [np.full((1, 1), x, np.float32) for x in (small, small, 1.0)]

    def loss() -> Tensor:
        return sum((linear(x, w).sum() for x in uses), Tensor(np.float32(0)))

    loss().backward()
    assert w.grad.dtype == dtype and w.grad.item() == 1 + 2 * small
    one_by_one = dtype(dtype(1) + dtype(small)) + dtype(small)
    assert float(one_by_one) == 1  # in half precision each of them is lost
    parts: list[Any] = []
    pull_back([loss()], [None], [w], deliver=lambda i, part: parts.append(part))
    assert [part.dtype for part in parts] == [np.float32] * 3
    inside = checkpoint(lambda: loss())
    found: list[Any] = []
    pull_back([inside()], [None], [w], deliver=lambda i, part: found.append(part))
    assert [part.item() for part in found] == [1 + 2 * small] and found[0].dtype == np.float32
    assert grad(lambda w: sum(linear(x, w).sum() for x in uses))(w.data).dtype == dtype


def test_a_hook_sees_a_leafs_gradient_in_its_own_type() -> None:
    w, seen = Tensor(np.ones((1, 1), bfloat16), requires_grad=True), []
    w.register_hook(lambda g: seen.append(g.dtype))
    linear(np.ones((1, 1), np.float32), w).sum().backward()
    assert seen == [bfloat16]


# every op

WITHOUT = {
    "partition": "the order within the parts is any",
    "_sinc_derivative": "the phase of large arguments is rounded",
}


@pytest.mark.parametrize("name", sorted(CASES.keys() - WITHOUT))
def test_every_op_in_half_precision(name: str) -> None:
    """Values and gradients that float16 has are finite, not 0, and near those of float64."""
    op = ag.registry[name]

    @settings(max_examples=2, database=None, derandomize=True, deadline=None,
              suppress_health_check=list(HealthCheck))
    @given(CASES[name].inputs, st.sampled_from([1.0, 100.0, 0.02]))
    def compare(inputs: Any, scale: float) -> None:
        args, options = inputs
        places = floating(args)
        low = [(x * scale).astype(F16) if i in places else x for i, x in enumerate(args)]
        try:
            with np.errstate(all="ignore"):
                right = _value_and_slopes(op, low, options, places, float)
                got = _value_and_slopes(op, low, options, places, F16)
        except (TypeError, ValueError, np.linalg.LinAlgError):
            return  # LAPACK has no float16; an argument may be out of range
        for a, b in zip(got, right, strict=True):
            _is_near(a, b)

    compare()


def _value_and_slopes(op: Any, args: list[Any], options: dict[str, Any], places: list[int],
                      dtype: Any) -> list[Any]:
    xs = [Tensor(args[i].astype(dtype), requires_grad=True) for i in places]
    given_xs = iter(xs)
    y = op(*[next(given_xs) if i in places else x for i, x in enumerate(args)], **options)
    ys = [part for part in (y if isinstance(y, (tuple, list)) else [y]) if isinstance(part, Tensor)]
    live = [part for part in ys if part.requires_grad]
    rng = np.random.default_rng(0)
    gs = [rng.uniform(0.5, 2, part.shape).astype(F16).astype(dtype) for part in live]
    slopes = pull_back(live, gs, xs) if live else []
    return [part.data for part in ys] + slopes


def _is_near(got: Any, right: Any) -> None:
    if got is None or got.dtype.kind != "f":
        return
    got, fits = np.asarray(got, float), np.abs(right) <= float(np.finfo(F16).max)
    largest = np.max(np.abs(right), initial=1e-3, where=fits)
    assert np.isfinite(got[fits]).all()
    assert (np.abs(got - right)[fits] <= 0.05 * largest).all(), (got, right)
    assert (got[fits & (np.abs(right) > 1e-5 + 0.01 * largest)] != 0).all()
