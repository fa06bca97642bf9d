"""Kinks, jumps and choices: ties, NaN and infinities, and what is not chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, check_grads, grad

nan, inf = np.nan, np.inf


def slope(f: Any, *xs: Any) -> Any:
    """Return the gradients of the sum of what f returns, as lists."""
    y, pull = ag.vjp(f, *[np.array(x, dtype=float) for x in xs])
    found = pull(np.ones(y.shape))
    return [g.tolist() for g in found] if len(xs) > 1 else found[0].tolist()


def test_the_gradient_at_kinks() -> None:
    assert slope(abs, [-2.0, 0.0, 3.0]) == [-1, 0, 1]
    assert slope(ag.sign, [-2.0, 0.0, 3.0]) == [0, 0, 0]
    a, b = np.array([1.0, 2.0, 5.0]), np.array([1.0, 3.0, 4.0])
    for op, da in ((ag.maximum, [0.5, 0, 1]), (ag.minimum, [0.5, 1, 0])):
        assert slope(op, a, b) == [da, [1 - v for v in da]]


@pytest.mark.parametrize("name, owner", [
    ("maximum", "the NaN"), ("minimum", "the NaN"), ("fmax", "the number"), ("fmin", "the number")])
def test_where_the_gradient_of_nan_goes(name: str, owner: str) -> None:
    op = ag.registry[name]
    da, db = slope(op, [nan, 1.0, nan], [1.0, nan, nan])
    assert da == ([1, 0, 0.5] if owner == "the NaN" else [0, 1, 0.5])
    assert db == ([0, 1, 0.5] if owner == "the NaN" else [1, 0, 0.5])
    with np.errstate(invalid="ignore"):
        assert np.array_equal(op(np.array([nan, 1.0]), np.array([1.0, nan])),
                              getattr(np, name)(np.array([nan, 1.0]), np.array([1.0, nan])),
                              equal_nan=True)


def test_second_derivatives_at_ties() -> None:
    """maximum(x, x) is x, and its square x^2, however the gradient was shared."""
    assert float(grad(grad(lambda x: ag.maximum(x, x) ** 2))(1.5)) == 2


def test_clip_takes_what_numpy_takes() -> None:
    x = np.array([-2.0, 0.25, 3.0])
    for args, options in (((0, 1), {}), ((0, None), {}), ((None, 1), {}), ((), {"max": 1}),
                          ((), {"min": 0, "max": 1}), ((), {}),
                          ((np.array([[0], [1]]), [2, 2, 2]), {})):
        assert np.array_equal(ag.clip(x, *args, **options), np.clip(x, *args, **options))
        assert np.array_equal(ag.clip(Tensor(x), *args, **options).data,
                              np.clip(x, *args, **options))
    assert ag.clip(np.float32([5]), 0, 1).dtype == np.float32
    with pytest.raises(TypeError, match="each bound once"):
        ag.clip(x, 0, min=0)


def test_clip_sends_gradients_to_its_bounds() -> None:
    check_grads(lambda x, low, high: ag.clip(x, low, high) ** 2, np.array([-2.0, 0.3, 2.0]), -1.0,
                np.array([1.0, 1.1, 1.2]))


def test_where_does_not_let_the_other_branch_in() -> None:
    x = np.array([0.0, 4.0])
    assert slope(lambda x: ag.where(x > 0, x * x, 3 * x), x) == [3, 8]


@pytest.mark.parametrize("op", [ag.floor, ag.ceil, ag.trunc, ag.rint, ag.round, ag.sign])
def test_flat_pieces_keep_the_record_but_send_zero(op: Any) -> None:
    x = Tensor(np.array([-1.5, 0.0, 0.5, 2.7]), requires_grad=True)
    (op(x) * x).sum().backward()
    assert np.array_equal(x.grad, op(x.data))


def test_nan_to_num_stops_the_gradient_where_it_replaces() -> None:
    x = np.array([nan, inf, -inf, 2.0])
    for options in ({}, {"nan": 7.0}, {"posinf": 1.0, "neginf": -1.0}):
        assert np.array_equal(ag.nan_to_num(x, **options), np.nan_to_num(x, **options))
        assert slope(lambda x, o=options: ag.nan_to_num(x, **o), x) == [0, 0, 0, 1]


def test_comparisons_of_tensors_are_plain() -> None:
    x = Tensor(np.array([0.0, nan, inf]), requires_grad=True)
    assert ag.isnan(x).tolist() == [False, True, False]
    assert ag.logical_or(x, [0, 0, 0]).tolist() == [False, True, True]
    assert bool(ag.allclose(x, x, equal_nan=True)) and not bool(ag.allclose(x, x))
    assert bool(ag.array_equal(x, x.data, equal_nan=True)) and not bool(ag.array_equal(x, [0, 1]))
