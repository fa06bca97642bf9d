"""Reductions: ties, zeros, NaN, empty axes, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, check_grads, grad

nan, inf = np.nan, np.inf
rng = np.random.default_rng(0)
REDUCTIONS = ["sum", "mean", "prod", "max", "min", "ptp", "var", "std", "nansum", "nanprod",
              "nanmean", "nanvar", "nanstd", "nanmax", "nanmin", "all", "any", "count_nonzero"]


def slope(f: Any, *xs: Any) -> Any:
    """Return the gradients of the sum of what f returns, as lists."""
    y, pull = ag.vjp(f, *[np.array(x, dtype=float) for x in xs])
    found = pull(np.ones(y.shape))
    return [g.tolist() for g in found] if len(xs) > 1 else found[0].tolist()


@pytest.mark.parametrize("name", [*REDUCTIONS, "logsumexp"])
def test_axes_that_do_not_exist_or_repeat_are_refused(name: str) -> None:
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    for axis in (2, -3, (0, 2), (0, 0), (1, -1)):
        with pytest.raises((ValueError, IndexError), match=name.removeprefix("nan")[:3]):
            ag.registry[name](x, axis)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_numbers_and_lists_reduce_as_numpy_says(name: str) -> None:
    zero = 0 if name in ("sum", "prod", "max", "min", "all", "any") else None
    for x, axis in ((2.0, None), (2.0, zero), ([[1.0, 2.5], [3.0, 7.0]], 1), ([1, 0, 3], None)):
        y, expected = ag.registry[name](x, axis), getattr(np, name)(np.array(x), axis)
        assert y == pytest.approx(expected) and np.asarray(y).dtype == np.asarray(expected).dtype


def test_of_nothing() -> None:
    for op in (ag.max, ag.min, ag.argmax):
        with pytest.raises(ValueError, match="empty|zero-size"):
            op(Tensor(np.zeros((0, 2))), 0)
        assert op(np.zeros((0, 2)), 1).shape == (0,)
    assert ag.sum(np.zeros((0, 2))) == 0 and ag.prod(np.zeros(0)) == 1
    assert ag.logsumexp(np.zeros((2, 0)), 1).tolist() == [-inf, -inf]
    for op in (ag.sum, ag.prod, ag.cumsum, ag.cumprod, ag.nansum):
        assert slope(op, np.zeros((2, 0))) == [[], []]


def test_ties_share_the_gradient() -> None:
    for op, dx in ((ag.max, [0, 0.5, 0.5]), (ag.min, [1, 0, 0])):
        assert slope(op, [1.0, 4.0, 4.0]) == dx
    rows = np.array([[1.0, 1.0], [0.0, 2.0]])
    assert slope(lambda x: ag.max(x, 1), rows) == [[0.5, 0.5], [0, 1]]


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_products_with_zeros_to_the_second_order(zeros: int) -> None:
    """The derivative by x_i and x_j is the product of the others, whatever is 0."""
    x = np.array([2.0, -1.5, 0.5, 3.0])
    x[[0, 2, 3][:zeros]] = 0.0
    first = [np.prod(np.delete(x, i)) for i in range(4)]
    assert np.allclose(slope(ag.prod, x), first, rtol=1e-15)
    for i, j in itertools.product(range(4), repeat=2):
        mixed = grad(lambda x, i=i: grad(ag.prod)(x)[i])(x)[j]
        assert np.isclose(mixed, 0 if i == j else np.prod(np.delete(x, [i, j])), rtol=1e-15)


@pytest.mark.parametrize("zeros", [[], [0], [2], [1, 3], [0, 1, 2, 3, 4]])
def test_running_products_with_zeros(zeros: list[int]) -> None:
    x = rng.uniform(0.5, 2, 5)
    x[zeros] = 0.0
    g = rng.normal(size=5)
    expected = [sum(g[k] * np.prod(np.delete(x[: k + 1], i)) for k in range(i, 5))
                for i in range(5)]
    assert np.allclose(ag.vjp(ag.cumprod, x)[1](g)[0], expected, rtol=1e-14)


def test_long_running_products_neither_loop_nor_divide() -> None:
    x = rng.uniform(-1, 1, 1000)
    x[[3, 500]] = 0.0
    g = rng.normal(size=1000)
    late, expected = 0.0, np.zeros(1000)
    before = np.concatenate([[1.0], np.cumprod(x)[:-1]])
    for k in reversed(range(1000)):
        late = g[k] + (x[k + 1] * late if k < 999 else 0.0)
        expected[k] = late * before[k]
    assert np.allclose(ag.vjp(ag.cumprod, x)[1](g)[0], expected, rtol=1e-12)


def test_spread_is_flat_where_all_is_equal() -> None:
    assert slope(ag.std, [3.0, 3.0, 3.0]) == slope(ag.nanstd, [3.0, nan, 3.0]) == [0, 0, 0]
    x = rng.normal(size=(3, 4))
    for options in ({"ddof": 1}, {"correction": 1}, {"ddof": 0.5}):
        for name in ("var", "std", "nanvar", "nanstd"):
            y = ag.registry[name](x, 1, **options)
            assert np.allclose(y, getattr(np, name)(x, 1, **options), rtol=1e-15)
            check_grads(lambda x, n=name, o=options: ag.registry[n](x, 1, **o), x)
    with pytest.raises(ValueError, match="ddof and correction"):
        ag.var(x, ddof=1, correction=1)


def test_too_few_numbers_for_the_variance() -> None:
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
        for ddof in (2, 3):
            assert np.isnan(slope(lambda x, d=ddof: ag.var(x, ddof=d), [1.0, 2.0])).all()
    assert np.isnan(ag.nanvar(np.array([1.0, nan]), ddof=1))


@pytest.mark.parametrize("name", [n for n in REDUCTIONS if n.startswith("nan")])
def test_nan_is_as_if_it_were_not_there(name: str) -> None:
    op, plain = ag.registry[name], ag.registry[name.removeprefix("nan")]
    for mask in itertools.product([False, True], repeat=4):
        x, known = np.array([1.0, -2.0, 0.0, 5.0]), ~np.array(mask)
        if not known.any():
            continue
        expected = np.zeros(4)
        y, pull = ag.vjp(plain, x[known])
        expected[known] = pull(1.0)[0]
        x[~known] = nan
        got, pull = ag.vjp(op, x)
        assert np.isclose(got, y) and np.isclose(got, getattr(np, name)(x))
        assert np.allclose(pull(1.0)[0], expected, rtol=1e-14)


def test_of_nan_alone() -> None:
    x = np.array([[nan, nan], [1.0, nan]])
    assert np.array_equal(ag.nanmax(x, 1), [nan, 1], equal_nan=True)
    assert slope(lambda x: ag.nanmax(x, 1), x) == [[0, 0], [1, 0]]
    assert ag.nansum(x, 1).tolist() == [0, 1] and ag.nanprod(x, 1).tolist() == [1, 1]
    with np.errstate(invalid="ignore"):
        assert np.array_equal(ag.nanmean(x, 1), [nan, 1], equal_nan=True)


def test_a_nan_receives_the_gradient_of_the_nan_it_makes() -> None:
    for op in (ag.max, ag.min):
        assert slope(op, [1.0, nan, 3.0]) == [0, 1, 0]


def test_logsumexp_with_infinities() -> None:
    assert slope(ag.logsumexp, [inf, 1.0, inf]) == [0.5, 0, 0.5]
    assert slope(ag.logsumexp, [-inf, 1.0]) == [0, 1]
    assert ag.logsumexp(np.full(2, -inf)) == -inf and slope(ag.logsumexp, [-inf, -inf]) == [0, 0]
    assert ag.logsumexp(np.array([inf, 1e300])) == inf
    assert np.isnan(ag.logsumexp(np.array([nan, 1.0])))
    assert slope(ag.logsumexp, [1e8, 1e8]) == [0.5, 0.5]
    assert ag.logsumexp([1, 2]) == pytest.approx(np.logaddexp(1, 2))


def test_average_weighs_as_numpy_does() -> None:
    x, w = rng.normal(size=(2, 3, 4)), rng.uniform(0.5, 2, (3, 2))
    for axis, weights in ((1, w[:, 0]), ((1, 0), w), ((-2, -3), w), (None, np.abs(x)), (2, None),
                          ([0, 1], None)):
        assert np.allclose(ag.average(x, axis, weights), np.average(x, axis, weights), rtol=1e-14)
    check_grads(lambda x, w: ag.average(x, (1, 0), w), x, w)
    for axis, weights in ((None, w), (0, w[:, 0]), ((0, 1), w)):
        with pytest.raises(ValueError, match="expected weights"):
            ag.average(x, axis, weights)


def test_running_sums_flatten_and_begin_as_numpy_says() -> None:
    x = rng.normal(size=(2, 3))
    for name in ("cumsum", "cumprod", "nancumsum", "nancumprod"):
        for axis in (None, 0, -1):
            assert np.array_equal(ag.registry[name](x, axis), getattr(np, name)(x, axis))
        assert ag.registry[name](2.0).shape == (1,)
        assert float(grad(lambda x, n=name: ag.sum(ag.registry[n](x, 0)))(2.0)) == 1
        with pytest.raises((ValueError, IndexError), match=name[-4:]):
            ag.registry[name](Tensor(x), 2)
    for name in ("cumulative_sum", "cumulative_prod"):
        got = ag.registry[name](Tensor(x), axis=1, include_initial=True)
        assert np.array_equal(got.data, getattr(np, name)(x, axis=1, include_initial=True))
        assert ag.registry[name](2.0, include_initial=True).shape == (2,)
        with pytest.raises(ValueError, match="expected an axis"):
            ag.registry[name](x)


def test_a_dtype_to_compute_in() -> None:
    x = Tensor(np.float32([[1, 2], [3, 4]]), requires_grad=True)
    for name in ("sum", "mean", "prod", "cumsum", "cumprod"):
        got = ag.registry[name](x, 0, dtype=np.float64)
        expected = getattr(np, name)(x.data, 0, dtype=np.float64)
        assert got.dtype == expected.dtype and got.data.tolist() == expected.tolist()
        assert ag.vjp(lambda x, n=name: ag.registry[n](x, 0, dtype=np.float64), x.data)[1](
            np.ones_like(got.data))[0].dtype == np.float32
    assert ag.sum(np.array([200, 100], np.uint8), dtype=np.uint8) == 44
    assert not ag.sum(x, dtype=int).requires_grad


def test_of_nothing_the_gradient_is_nothing() -> None:
    for op in (ag.mean, ag.var, ag.std):
        x = Tensor(np.zeros((0, 3)), requires_grad=True)
        with pytest.warns(RuntimeWarning):
            y = op(x, 0)
        y.backward(np.ones(3))
        assert x.grad.shape == (0, 3)


def test_places_of_extremes() -> None:
    x = Tensor(np.array([[1.0, 5.0, 5.0], [nan, 2.0, 0.0]]))
    assert int(ag.argmax(x[0])) == 1 and ag.nanargmin(x, 1).tolist() == [0, 2]
    assert ag.argmax(x, 0, keepdims=True).shape == (1, 3)
    with pytest.raises(ValueError, match="All-NaN"):
        ag.nanargmax(Tensor(np.array([nan])))


def test_logsumexp_of_extremes() -> None:
    for x in ([1000.0, 1000.0], [-1000.0, -1001.0], [5.0, -np.inf]):
        x = np.array(x)
        assert np.isclose(ag.logsumexp(x), np.logaddexp(*x), rtol=1e-14)
        slopes = grad(ag.logsumexp)(x)
        assert np.allclose(slopes, np.exp(x - np.logaddexp(*x)), rtol=1e-12)
    nothing = np.full(2, -np.inf)
    with np.errstate(divide="ignore"):
        assert ag.logsumexp(nothing) == -np.inf
        assert grad(ag.logsumexp)(nothing).tolist() == [0, 0]


def test_logsumexp_keeps_its_slopes_for_large_arguments() -> None:
    assert grad(ag.logsumexp)(np.float32([1e8, 1e8])).tolist() == [0.5, 0.5]


def test_variance_with_other_denominators() -> None:
    x = rng.normal(size=(3, 4))
    for ddof in (1, 2):
        assert np.allclose(ag.var(x, 0, ddof=ddof), x.var(0, ddof=ddof), rtol=1e-15)
        check_grads(lambda x, d=ddof: ag.var(x, 1, ddof=d), x)


def test_a_number_is_reduced_as_numpy_does() -> None:
    for op in (ag.sum, ag.max):
        assert float(grad(lambda x, op=op: op(x, axis=0))(2.0)) == 1


@pytest.mark.parametrize("x, of_prod, of_sum", [
    ([0, 1e200, 5, 1e200, 1e200], [inf, 0, 0, 0, 0], [inf, 0, 0, 0, 0]),
    ([1e-200, 1e200, 1e200, 1e-200], [1e200, 1e-200, 1e-200, 1e200], [inf, 1, 1, 1e200]),
    ([1e200, 1e200, 1e-200, 1e-200], [1e-200, 1e-200, 1e200, 1e200], [1e200, 1e200, inf, 1e200]),
    ([1e-200, 1e-200, 1e200, 1e200], [1e200, 1e200, 1e-200, 1e-200],
     [1e200, 1e200, 1e-200, 1e-200]),
    ([2, 0, 1e200, 1e200], [0, inf, 0, 0], [1, inf, 0, 0]),
    ([0, 3, 1e-200, 0], [0, 0, 0, 0], [4 + 3e-200, 0, 0, 0]),
    ([0, 3, 0, 5], [0, 0, 0, 0], [4, 0, 0, 0]),
])
def test_partial_products_may_overflow_or_vanish(x: Any, of_prod: Any, of_sum: Any) -> None:
    x = np.array(x, dtype=float)
    with np.errstate(over="ignore", under="ignore"):
        for f in (ag.prod, lambda x: ag.cumprod(x)[-1], lambda x: ag.nanprod(x)):
            np.testing.assert_allclose(grad(f)(x), of_prod, rtol=1e-14)
        np.testing.assert_allclose(grad(lambda x: ag.cumprod(x).sum())(x), of_sum, rtol=1e-14)


def test_products_of_many() -> None:
    x = np.exp(rng.normal(size=(2, 5000)) * 3)
    x /= np.exp(np.log(x).mean(1, keepdims=True))
    for f in (ag.prod, lambda x, axis: ag.cumprod(x, axis)[:, -1]):
        np.testing.assert_allclose(slope(lambda x, f=f: f(x, 1), x), 1 / x, rtol=1e-9)
