"""Sorting where the gradient suite does not go: ties, NaN, infinities, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, check_grads, grad

nan, inf = np.nan, np.inf


def slopes(f: Callable[[Any], Any], x: list[float]) -> list[float]:
    """Return the gradient of the sum of f(x) times 1, 10, 100..."""
    y, pull = ag.vjp(f, np.array(x, dtype=float))
    return pull(10.0 ** np.arange(y.size).reshape(y.shape))[0].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("f, x, expected", [
    (ag.sort, [2, 1, 2, 1], [100, 1, 1000, 10]),
    (lambda x: ag.sort(x, descending=True), [2, 1, 2, 1], [1, 100, 10, 1000]),
    (ag.sort, [nan, 1, 0], [100, 10, 1]),
    (lambda x: ag.sort(x, descending=True), [nan, 1, 0], [100, 1, 10]),
    (lambda x: ag.topk(x, 2)[0], [5, 7, 7, 7], [0, 1, 10, 0]),
    (lambda x: ag.topk(x, 2, largest=False)[0], [5, 7, 7, 7], [1, 10, 0, 0]),
    (ag.median, [3, 1, 3, 3], [0.5, 0, 0.5, 0]), (ag.median, [2, 2, 2], [0, 1, 0]),
    (lambda x: ag.quantile(x, 0.5), [4, 4], [0.5, 0.5]),
    (lambda x: ag.quantile(x, [0.0, 1.0]), [4, 4], [1, 10]),
    (lambda x: ag.partition(x, 1), [3, 3, 1], [10, 100, 1]),
])
def test_equal_elements_keep_their_order(f: Any, x: list[float], expected: list[float]) -> None:
    assert slopes(f, x) == expected


def test_a_partition_too_long_to_be_sorted_by_the_way() -> None:
    for axis in (-1, None):
        x = np.random.default_rng(0).permutation(2000).reshape(2, 1000) / 8
        y, pull = ag.vjp(lambda x, a=axis: ag.partition(x, 400, a), x)
        assert not np.array_equal(y, np.sort(x, axis))
        assert np.array_equal(pull(3 * y)[0], 3 * x)


def test_integers_sort_downwards_to_their_least() -> None:
    for x in (np.array([-128, 127, 0], np.int8), np.array([0, 255, 3], np.uint8),
              np.array([True, False])):
        for got in (ag.sort(x, descending=True), x[ag.argsort(x, descending=True)],
                    ag.topk(x, x.size)[0]):
            assert got.dtype == x.dtype and got.tolist() == sorted(x.tolist(), reverse=True)


def test_order_statistics_of_integers_nan_and_infinities() -> None:
    x = np.array([[3, 1, 2, 9], [4, 4, 0, 1]])
    for op in ("median", "quantile", "percentile"):
        q = () if op == "median" else (0.4,)
        got, expected = getattr(ag, op)(x, *q, axis=1), getattr(np, op)(x, *q, axis=1)
        assert got.dtype == expected.dtype and np.allclose(got, expected, rtol=1e-14)
    for x in ([1.0, nan, 2.0], [nan, nan], [nan]):
        assert np.isnan(ag.median(x)) and np.isnan(ag.quantile(x, 0.0))
    assert float(ag.quantile(np.array([0.0, inf, inf]), 0.0)) == 0
    assert float(ag.quantile(np.array([0.0, inf, inf]), 0.5)) == inf
    assert ag.median(np.float32([1, 2])).dtype == np.float32
    check_grads(lambda x: ag.quantile(x, [[0.2], [0.9]], axis=(0, 1)),
                np.random.default_rng(0).normal(size=(2, 3)))


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_order_statistics_of_what_is_not_nan(axis: Any) -> None:
    x = np.random.default_rng(0).normal(size=(4, 3))
    x[[0, 1, 3, 3], [0, 2, 0, 1]] = nan
    for name, q in (("nanmedian", ()), ("nanquantile", ([[0], [0.3]],)), ("nanpercentile", (80,))):
        got, expected = getattr(ag, name)(x, *q, axis=axis), getattr(np, name)(x, *q, axis=axis)
        np.testing.assert_allclose(got, expected, rtol=1e-13)
    known = ~np.isnan(x)
    check_grads(lambda v: ag.nanquantile(ag.scatter_set(x, known, v), [0.3, 0.9], axis=axis),
                x[known])
    assert np.isnan(ag.nanmedian([nan, nan])) and ag.nanmedian([nan, 1.0, inf, inf]) == inf
    dx = grad(lambda x: ag.nanmedian(x))(np.array([nan, 1.0, 3.0]))
    assert dx.tolist() == [0, 0.5, 0.5]


@pytest.mark.parametrize("method", ["lower", "higher", "nearest", "midpoint"])
def test_quantiles_that_round_their_place(method: Any) -> None:
    x, q = [1, 2, 4, 8, 16], [0.125, 0.375, 0.5, 0.9]
    for dtype in (int, float):
        for name in ("quantile", "nanquantile"):
            got, expected = (getattr(m, name)(np.array(x, dtype), q, method=method)
                             for m in (ag, np))
            assert got.dtype == expected.dtype and got.tolist() == expected.tolist()


def test_quantiles_are_differentiated_by_their_place_too() -> None:
    x = np.array([1.0, 4.0, 2.0])
    assert float(grad(lambda q: ag.quantile([1, 2, 4], q))(0.3)) == 2
    assert float(grad(lambda q: ag.percentile(x, q))(80.0)) == pytest.approx(0.04)
    assert float(grad(lambda q: ag.nanquantile([*x, nan], q))(0.3)) == 2
    assert float(grad(lambda q: ag.nanpercentile([*x, nan], [q, 2 * q]).sum())(20.0)) == (
        pytest.approx(0.02 + 2 * 0.02))
    for q, slope in ((0.0, 2), (0.5, 4), (1.0, 4)):  # at a point, the piece to its right
        assert float(grad(lambda q: ag.quantile(x, q))(q)) == slope
    assert float(grad(lambda q: ag.quantile(x, q, method="lower"))(0.3)) == 0
    assert float(grad(lambda q: ag.quantile([7.0], q))(0.3)) == 0
    check_grads(lambda x, q: ag.quantile(x, q, axis=1),
                np.random.default_rng(0).normal(size=(2, 5)), np.array([0.1, 0.6]), order=2)


def test_order_statistics_of_nothing() -> None:
    for shape, axis in (((0,), None), ((2, 0), 1), ((0, 3), 0)):
        got = ag.nanmedian(Tensor(np.zeros(shape), requires_grad=True), axis)
        assert np.isnan(got.data).all() and got.shape == np.zeros(shape).sum(axis).shape
    assert np.isnan(ag.nanquantile(np.zeros((2, 0), int), [0, 1], axis=1)).all()


def test_the_largest_and_their_places() -> None:
    x = Tensor(np.array([[1.0, 5.0, 3.0], [9.0, 2.0, 4.0]]), requires_grad=True)
    top, places = ag.topk(x, 2)
    assert top.data.tolist() == [[5, 3], [9, 4]] and places.data.tolist() == [[1, 2], [0, 2]]
    assert ag.take_along_axis(x, places, 1).data.tolist() == top.data.tolist()
    top.backward(np.array([[1.0, 2], [3, 4]]))
    assert x.grad.tolist() == [[0, 1, 2], [3, 0, 4]]
    assert ag.topk(x, 0)[0].shape == (2, 0)


def test_interpolation_at_the_points_and_beyond() -> None:
    at, f = np.array([0.0, 1.0, 3.0]), np.array([5.0, 7.0, 6.0])
    dx = grad(lambda x: ag.interp(x, at, f).sum())(np.array([-1.0, 0.0, 1.0, 3.0, 4.0]))
    assert dx.tolist() == [0, 2, -0.5, -0.5, 0]
    df = grad(lambda f: ag.interp(np.array([-inf, 2.0, inf]), at, f).sum())(f)
    assert df.tolist() == [1, 0.5, 1.5]
    assert ag.interp([0.5, nan], at, f)[0] == 6 and np.isnan(ag.interp(nan, at, f))


@pytest.mark.parametrize("call, message", [
    (lambda x: ag.sort(x, 2), "out of bounds"), (lambda x: ag.argsort(x, -3), "out of bounds"),
    (lambda x: ag.partition(x, 3), "kth"), (lambda x: ag.topk(x, 4), "between 0 and 3"),
    (lambda x: ag.topk(x, 1, 2), "out of bounds"), (lambda x: ag.quantile(x, 1.5), "0 and 1"),
    (lambda x: ag.quantile(x, 0.5, method="mean"), "one of 'linear', 'lower'"),
    (lambda x: ag.median(x, 2), "out of bounds"), (lambda x: ag.median(x, (0, 0)), "repeated"),
    (lambda x: ag.percentile(x, -1), "0 and 1"), (lambda x: ag.interp(x, x, x), "two vectors"),
])
def test_what_is_refused(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError, IndexError), match=message):
        call(Tensor(np.ones((2, 3)), requires_grad=True))


def test_points_that_repeat_after_a_period() -> None:
    at, f, x = [350.0, 10.0, 180.0], [1.0, 3.0, 2.0], np.array([0.0, 365.0, -360.0, 95.0, 725.0])
    y = ag.interp(x, at, f, left=9.0, right=9.0, period=360)
    np.testing.assert_allclose(y, np.interp(x, at, f, period=360), rtol=1e-14)
    dx = grad(lambda x: ag.interp(x, at, f, period=-360.0).sum())(x)
    np.testing.assert_allclose(dx, [0.1, 0.1, 0.1, -1 / 170, 0.1])
    check_grads(lambda f, p: ag.interp(x, at, f, period=p), np.array(f), np.array(360.0))
    with pytest.raises(ValueError, match="interp: the period must not be 0"):
        ag.interp(x, at, f, period=0)


def test_what_is_different() -> None:
    x = Tensor(np.array([[2.0, 1.0], [nan, 2.0], [nan, 1.0]]), requires_grad=True)
    y, index, inverse, counts = ag.unique(x, True, True, True)
    assert np.array_equal(y.data, [1, 2, nan], equal_nan=True)
    assert index.data.tolist() == [1, 0, 2] and counts.data.tolist() == [2, 2, 2]
    assert np.array_equal(y.data[inverse.data].reshape(3, 2), x.data, equal_nan=True)
    y.backward(np.array([1.0, 10, 100]))
    assert x.grad.tolist() == [[10, 1], [100, 0], [0, 0]]
    assert ag.unique([3, 1, 3]).tolist() == [1, 3]
    rows = np.array([[1.0, 2], [0, 3], [1, 2]])
    assert ag.unique(rows, axis=0).tolist() == [[0, 3], [1, 2]]
    assert grad(lambda x: ag.unique(x, axis=0)[1].sum())(rows).tolist() == [[1, 1], [0, 0], [0, 0]]
    assert ag.sort([3, 1, 2], -1, "stable").tolist() == [1, 2, 3]
