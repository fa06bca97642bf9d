"""Reductions with `where=`, `initial=`, `dtype=`, `mean=` and `b=`, where the suite does not go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, check_grads, grad, std, var

nan, inf = np.nan, np.inf
x = np.array([[1.0, nan, 4.0], [inf, 2.0, 3.0]])
mask = np.array([[True, False, True], [False, True, True]])


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "var", "std", "nansum", "nanmean"])
def test_what_is_left_out_may_be_anything(name: str) -> None:
    for axis in (None, 0, 1):
        got, expected = (getattr(m, name)(x, axis=axis, where=mask) for m in (ag, np))
        np.testing.assert_allclose(got, expected, rtol=1e-14)
    dx = grad(lambda x: getattr(ag, name)(x, where=mask))(x)
    assert np.isfinite(dx).all() and (dx[~mask] == 0).all()


def test_a_first_value_is_one_more_element_and_differentiated() -> None:
    a = np.array([3.0, 5.0])
    assert grad(lambda v: ag.sum(a, initial=v))(2.0) == 1
    assert grad(lambda v: ag.prod(a, initial=v))(2.0) == 15
    for v, slope in ((2.0, 0), (7.0, 1), (5.0, 0.5)):
        assert grad(lambda v: ag.max(a, initial=v))(v) == slope
    assert grad(lambda a: ag.min(a, initial=3.0).sum())(a).tolist() == [0.5, 0]
    assert ag.max(np.zeros((0, 2)), axis=0, initial=4.0).tolist() == [4, 4]
    assert grad(lambda v: ag.max(np.zeros((0, 2)), axis=0, initial=v).sum())(4.0) == 2
    assert ag.sum([1, 2], initial=0.5) == np.sum([1, 2], initial=0.5) == 3  # in the dtype of x
    assert ag.nanmax([nan, 1.0], initial=0.0) == 1 and ag.nanmin([nan], initial=2.0) == 2
    assert ag.max([3, 9], initial=4, where=[True, False]) == 4


@pytest.mark.parametrize("call", [
    lambda m: m.sum(x, where=True), lambda m: m.any([0, 1, 0], where=[True, False, True]),
    lambda m: m.all([0, 1, 0], where=[False, True, False]), lambda m: m.mean([1, 2], where=[1, 0]),
    lambda m: m.sum(np.ones((2, 3)), 0, where=[True, False, True], keepdims=True),
    lambda m: m.std([1.0, 2.0, 4.0], mean=2.0), lambda m: m.var([1, 2, 4], dtype=np.float32),
    lambda m: m.std(np.float32([1, 2, 4]), dtype=float, ddof=1),
    lambda m: m.nanstd(np.float32([1, nan, 4]), dtype=float),
    lambda m: m.nancumsum(np.array([1, 2], np.int8), dtype=float),
    lambda m: m.nanprod([1, 2, 3], where=[True, False, True], initial=2),
])
def test_options_are_numpys(call: Any) -> None:
    got, expected = call(ag), call(np)
    assert np.asarray(got).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_known_mean_is_differentiated() -> None:
    a = np.array([1.0, 2.0, 4.0])
    check_grads(lambda a, m: ag.var(a, mean=m, ddof=1), a, np.array(2.5))
    check_grads(lambda a, m: ag.std(a, mean=m, where=[True, False, True]), a, np.array(2.5))


def test_weights_of_exponentials() -> None:
    b = np.array([1.0, 0.0, -0.5])
    check_grads(lambda x, b: ag.logsumexp(x, b=b), np.array([0.2, -1.0, 0.1]), b, order=2)
    assert ag.logsumexp([5, 1000], b=[1, 0]) == 5
    assert ag.logsumexp([1.0, 2.0], b=[0.0, 0.0]) == -inf
    assert ag.logsumexp(np.array([7.0, 1.0]), where=[True, False]) == 7
    with np.errstate(invalid="ignore"):
        assert np.isnan(ag.logsumexp([1.0, 1.0], b=[1.0, -2.0]))
    assert grad(lambda x: ag.logsumexp(x, b=2.0))(np.array([3.0])) == 1


@pytest.mark.parametrize("call, words", [
    (lambda t: ag.sum(t, where=[0.5, 1.0]), "sum: where= holds or does not.*expected booleans"),
    (lambda t: ag.sum(t, where=t), "sum: where= holds or does not"),
    (lambda t: t.max(where=[True, False]), "max: where= needs initial="),
    (lambda t: t.sum(initial=[1.0, 2.0]), "sum: initial= is one number"),
    (lambda t: t.sum(where=np.ones((3, 2), bool)), "sum: "),
])
def test_what_is_refused(call: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        call(Tensor([1.0, 2.0], requires_grad=True))


def test_half_precision_counts_and_squares() -> None:
    many, some = np.ones(70000, np.float16), np.arange(70000) % 2 == 0
    assert ag.mean(3 * many, where=some) == 3
    assert grad(lambda x: ag.mean(x, where=some))(many)[0] == np.float16(1 / 35000)
    row = np.float16([0, 300, 600, 900])
    assert ag.var(row, where=[True, True, True, False]) == 60000
    zeros = np.zeros(70000, np.float16)
    assert ag.logsumexp(zeros, b=1.0) == np.float16(np.log(70000))
    assert grad(lambda x: ag.logsumexp(x, b=1.0))(zeros)[0] == np.float16(1 / 70000)


@pytest.mark.parametrize("f", [var, std])
def test_ddof_and_correction_exclude_each_other_in_every_form(f: Any) -> None:
    for where in (None, np.array([True, True, False])):
        with pytest.raises(ValueError, match="two names of one number"):
            f(np.array([1.0, 2.0, 4.0]), ddof=1, correction=0, where=where)
