"""Reductions where the gradient suite does not go."""

from __future__ import annotations

import numpy as np

import autograd as ag
from autograd import check_grads, grad

rng = np.random.default_rng(0)


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
