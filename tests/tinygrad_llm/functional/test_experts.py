"""The mixture of experts: values, experts that nothing chose, ties to dense networks, bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict_cupy

from autograd import Tensor, plain_ops, pull_back, vjp
from tinygrad_llm.functional import experts, geglu, linear, swiglu
from tinygrad_llm.functional.experts import by_expert

pytestmark = pytest.mark.usefixtures("pair")

rng = np.random.default_rng(0)
N, K, E, F, C = 7, 2, 4, 5, 3
X, P, UP, DOWN = (rng.normal(size=shape) for shape in ((N, C), (N, K), (E, 2 * F, C), (E, C, F)))
CHOSEN = rng.integers(0, 3, (N, K))  # never the last expert


@pytest.mark.parametrize("activation, gated", [
    ("silu", swiglu), ("gelu_tanh", geglu), ("gelu", lambda z: geglu(z, approximate="none"))])
def test_each_choice_adds_what_its_expert_makes_of_the_row(
        activation: str, gated: Callable[..., Any]) -> None:
    y = experts(X, P, UP, DOWN, chosen=CHOSEN, activation=activation)
    for n in range(N):
        each = [P[n, k] * DOWN[e] @ gated(UP[e] @ X[n]) for k, e in enumerate(CHOSEN[n])]
        np.testing.assert_allclose(y[n], sum(each), rtol=1e-12, atol=1e-12)


def test_an_expert_that_no_row_chose_has_a_gradient_of_exactly_0() -> None:
    down = DOWN.copy()
    down[3] = np.inf  # nor is it computed with
    y, pull = vjp(lambda *args: experts(*args, chosen=CHOSEN), X, P, UP, down)
    dx, dp, du, dw = pull(np.ones_like(y))
    assert np.isfinite(y).all() and np.isfinite(dx).all() and np.isfinite(dp).all()
    assert not du[3].any() and not dw[3].any() and du[:3].any() and dw[:3].any()


def test_one_expert_for_all_rows_is_a_dense_network() -> None:
    g, chosen = rng.normal(size=X.shape), np.full((N, 1), 2)
    y, pull = vjp(lambda x, p, u, w: experts(x, p, u, w, chosen=chosen), X, P[:, :1], UP, DOWN)
    expected, dense = vjp(lambda x, p, u, w: linear(swiglu(linear(x, u)), w) * p,
                          X, P[:, :1], UP[2], DOWN[2])
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    (dx, dp, du, dw), found = dense(g), pull(g)
    for got, e in zip(found, [dx, dp, *(np.eye(E)[2][:, None, None] * d for d in (du, dw))],
                      strict=True):
        np.testing.assert_allclose(got, e, rtol=1e-11, atol=1e-12)


def test_the_same_expert_twice_counts_twice() -> None:
    twice = experts(X, P, UP, DOWN, chosen=np.ones((N, 2), int))
    once = experts(X, P.sum(1, keepdims=True), UP, DOWN, chosen=np.ones((N, 1), int))
    np.testing.assert_allclose(twice, once, rtol=1e-12)
    more = experts(X, np.ones((N, 9)), UP[:1], DOWN[:1], chosen=np.zeros((N, 9), int))
    np.testing.assert_allclose(more, 9 * experts(
        X, np.ones((N, 1)), UP[:1], DOWN[:1], chosen=np.zeros((N, 1), int)), rtol=1e-12)


def test_no_row_is_dropped_however_many_choose_one_expert() -> None:
    x, chosen = rng.normal(size=(1000, C)), np.tile([0, 1], (1000, 1))
    y = experts(x, np.ones((1000, 2)), UP, DOWN, chosen=chosen)
    np.testing.assert_allclose(y[[999]], experts(x[999:], np.ones((1, 2)), UP, DOWN,
                                                 chosen=chosen[999:]), rtol=1e-11)


def test_permuting_rows_permutes_their_results_and_gradients() -> None:
    order, g = rng.permutation(N), rng.normal(size=X.shape)
    y, pull = vjp(lambda x, p: experts(x, p, UP, DOWN, chosen=CHOSEN), X, P)
    z, other = vjp(lambda x, p: experts(x, p, UP, DOWN, chosen=CHOSEN[order]), X[order], P[order])
    np.testing.assert_allclose(z, y[order], rtol=1e-12)
    for a, b in zip(pull(g), other(g[order]), strict=True):
        np.testing.assert_allclose(b, a[order], rtol=1e-12)


@pytest.mark.parametrize("rows, choices", [(0, 2), (3, 0)])
def test_no_rows_and_no_choices(rows: int, choices: int) -> None:
    y, pull = vjp(lambda x, p, u, w: experts(x, p, u, w, chosen=np.zeros((rows, choices), int)),
                  np.ones((rows, C)), np.ones((rows, choices)), UP, DOWN)
    dx, dp, du, dw = pull(np.ones((rows, C)))
    assert y.shape == dx.shape == (rows, C) and not y.any() and not dx.any()
    assert dp.shape == (rows, choices) and du.shape == UP.shape and dw.shape == DOWN.shape
    assert not du.any() and not dw.any()


def test_an_expert_without_inner_width_gives_0() -> None:
    y, pull = vjp(lambda x, p, u, w: experts(x, p, u, w, chosen=CHOSEN),
                  X, P, UP[:, :0], DOWN[..., :0])
    assert not y.any() and [d.shape for d in pull(y)] == [(N, C), (N, K), (E, 0, C), (E, C, 0)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_small_dtypes_stay_small(dtype: type) -> None:
    args = [a.astype(dtype) for a in (X, P, UP, DOWN)]
    y, pull = vjp(lambda *args: experts(*args, chosen=CHOSEN), *args)
    assert {z.dtype for z in (y, *pull(np.ones_like(y)))} == {np.dtype(dtype)}
    exact = experts(X, P, UP, DOWN, chosen=CHOSEN)
    np.testing.assert_allclose(y, exact, atol=np.finfo(dtype).eps * 4 * abs(exact).max())


def test_any_integers_and_any_layout() -> None:
    y = experts(X, P, UP, DOWN, chosen=CHOSEN)
    strided = np.repeat(CHOSEN, 2, 1)[:, ::2].astype(np.uint8)
    wide = np.repeat(X, 2, 1)[:, ::2]
    got = experts(wide, P.T.copy().T, UP.transpose(2, 0, 1).copy().transpose(1, 2, 0),
                  DOWN[:, :, ::-1].copy()[:, :, ::-1], chosen=strided)
    np.testing.assert_allclose(got, y, rtol=1e-12)


def test_a_weight_used_twice_receives_both_gradients() -> None:
    leaves = [Tensor(a, requires_grad=True) for a in (X, P, UP, DOWN)]
    choices, g = (CHOSEN, 3 - CHOSEN), rng.normal(size=X.shape)
    apart = [pull_back([experts(*leaves, chosen=chosen)], [g], leaves) for chosen in choices]
    (experts(*leaves, chosen=choices[0]) + experts(*leaves, chosen=choices[1])).backward(g)
    for leaf, a, b in zip(leaves, *apart, strict=True):
        np.testing.assert_allclose(leaf.grad, a + b, rtol=1e-12, atol=1e-12)


def test_each_expert_has_its_places_in_rising_order() -> None:
    chosen = np.array([[2, 0], [0, 2], [2, 2]])
    order, parts = by_expert(chosen, 4)
    assert {e: order[part].tolist() for e, part in parts.items()} == {0: [1, 2], 2: [0, 3, 4, 5]}


def test_a_device_is_waited_for_once() -> None:
    on_device = [strict_cupy.asarray(a) for a in (X, P, UP, DOWN)]
    with plain_ops(), strict_cupy.sync_log() as waits:
        y, pull = vjp(lambda *args: experts(*args, chosen=strict_cupy.asarray(CHOSEN)), *on_device)
        pull(y)
    assert waits == ["get() in to_host"]


def test_an_expert_that_is_not_there_is_noticed_on_a_device_too() -> None:
    on_device = [strict_cupy.asarray(a) for a in (X, P, UP, DOWN)]
    for wrong in (CHOSEN - 1, CHOSEN + 2):
        with pytest.raises(IndexError, match=r"experts: chosen experts must lie in \[0, 4\)"):
            experts(*on_device, chosen=strict_cupy.asarray(wrong))


GOOD: dict[str, Any] = {"x": X, "p": P, "gate_up": UP, "down": DOWN, "chosen": CHOSEN}


@pytest.mark.parametrize("change, error, words", [
    ({"x": X[:, :2]}, ValueError, r"expected x \(N, C\), p.*got x \(7, 2\), p \(7, 2\), gate_up"),
    ({"x": X[0]}, ValueError, r"got x \(3,\)"), ({"x": X[1:]}, ValueError, r"got x \(6, 3\)"),
    ({"p": P[:, :1]}, ValueError, r"p \(7, 1\)"), ({"p": P[0]}, ValueError, r"p \(2,\)"),
    ({"p": P[0], "chosen": CHOSEN[0]}, ValueError, r"p \(2,\)"),
    ({"chosen": CHOSEN[:, :1]}, ValueError, r"chosen \(7, 1\)"),
    ({"gate_up": UP[:, :9]}, ValueError, r"gate_up \(4, 9, 3\)"),
    ({"gate_up": UP[:3]}, ValueError, r"gate_up \(3, 10, 3\)"),
    ({"gate_up": UP[0]}, ValueError, r"gate_up \(10, 3\)"),
    ({"down": DOWN[:, :2]}, ValueError, r"down \(4, 2, 5\)"),
    ({"down": DOWN[0]}, ValueError, r"down \(3, 5\)"),
    ({"down": DOWN[:0], "gate_up": UP[:0]}, ValueError, r"down \(0, 3, 5\)"),
    ({"chosen": CHOSEN + 2}, IndexError, r"must lie in \[0, 4\), got 2 to 4"),
    ({"chosen": CHOSEN - 1}, IndexError, r"must lie in \[0, 4\), got -1 to 1"),
    ({"chosen": P}, TypeError, r"expected integer choices, got float64\[7, 2\]"),
    ({"chosen": P > 0}, TypeError, "expected integer choices, got bool"),
    ({"activation": "relu"}, ValueError, "must be one of 'silu', 'gelu_tanh', 'gelu', got 'relu'"),
])
def test_wrong_arguments(change: dict[str, Any], error: type[Exception], words: str) -> None:
    options = {**GOOD, **change}
    args = [options.pop(name) for name in ("x", "p", "gate_up", "down")]
    with pytest.raises(error, match=f"^experts: .*{words}"):
        experts(*args, **options)
