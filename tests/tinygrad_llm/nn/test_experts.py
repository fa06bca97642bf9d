"""The mixture of experts: routing, ties, the shared expert, what it leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strict_cupy

from autograd import Tensor, check_grads, grad, no_grad, plain_ops, to_host
from tinygrad_llm.functional import experts, load_balance
from tinygrad_llm.nn import MixtureOfExperts, parameters, with_parameters

X = np.random.default_rng(1).standard_normal((2, 3, 4)).astype("f")


def made(count: int = 5, per_token: int = 2, **options: Any) -> MixtureOfExperts:
    """Return a layer whose weights are at natural scale."""
    layer = MixtureOfExperts(4, 3, count, per_token, np.random.default_rng(0), **options)
    for p in parameters(layer).values():
        p.data *= 25
    return layer


def test_each_position_goes_to_the_most_likely_experts() -> None:
    layer, rows = made(), X.reshape(6, 4)
    weights, chosen, p = layer.route(rows)
    z = np.exp(rows @ layer.router.weight.data.T)
    np.testing.assert_allclose(p.data, z / z.sum(-1, keepdims=True), rtol=1e-5)
    assert chosen.tolist() == np.argsort(p.data)[:, :2:-1].tolist()
    np.testing.assert_allclose(weights.data.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(weights.data[:, 0] / weights.data[:, 1],
                               p.data[range(6), chosen[:, 0]] / p.data[range(6), chosen[:, 1]],
                               rtol=1e-5)
    y = experts(rows, weights.data, layer.gate_up.data, layer.down.data, chosen=chosen)
    np.testing.assert_allclose(layer(X).data, y.reshape(X.shape), rtol=1e-5, atol=1e-6)


def test_weights_are_the_probabilities_unless_they_are_normalised() -> None:
    weights, chosen, p = made(normalize=False).route(X.reshape(6, 4))
    np.testing.assert_array_equal(weights.data, np.take_along_axis(p.data, chosen, -1))


def test_of_equal_probabilities_the_first_experts_are_chosen() -> None:
    layer = made(300, 7)
    layer.router.weight.data[:] = 0
    assert (layer.route(X.reshape(6, 4))[1] == np.arange(7)).all()
    layer.router.weight.data[:] = (np.arange(300) % 3)[:, None]
    assert (layer.route(np.ones((1, 4), "f"))[1] == 2 + 3 * np.arange(7)).all()


def test_the_shared_expert_takes_every_position_through_its_gate() -> None:
    layer, routed = made(shared_inner=6), made()
    for name, p in parameters(routed).items():
        p.data = parameters(layer)[name].data
    assert layer.shared is not None and layer.shared_gate is not None
    gate = 1 / (1 + np.exp(-X @ layer.shared_gate.weight.data.T))
    np.testing.assert_allclose(layer(X).data, routed(X).data + gate * layer.shared(X).data,
                               rtol=1e-4, atol=1e-5)
    assert list(parameters(layer)) == ["router.weight", "gate_up", "down", "shared.gate_up.weight",
                                       "shared.down.weight", "shared_gate.weight"]


def test_weights_are_drawn_or_left_0() -> None:
    drawn = MixtureOfExperts(40, 30, 9, 2, np.random.default_rng(0), residual_std=0.001)
    assert drawn.gate_up.data.std() == pytest.approx(0.02, rel=0.05)
    assert drawn.down.data.std() == pytest.approx(0.001, rel=0.05)
    empty = MixtureOfExperts(4, 3, 5, 2, None, shared_inner=2)
    assert not any(p.data.any() for p in parameters(empty).values())


def test_routes_are_for_the_balance_of_all_layers_and_nothing_is_left_on_the_layer() -> None:
    layer = made()
    before = dict(vars(layer))
    (y, route), (_, other) = layer(X, routed=True), layer(X[:1], routed=True)
    assert np.array_equal(y.data, layer(X).data)
    routes = [route, other]
    assert vars(layer) == before
    assert [(p.shape, chosen.shape) for p, chosen in routes] == [((6, 5), (6, 2)), ((3, 5), (3, 2))]
    load_balance(routes[0][0], chosen=routes[0][1]).backward()
    assert layer.router.weight.grad.any() and layer.down.grad is None


def test_every_parameter_receives_a_gradient() -> None:
    layer = made(shared_inner=6)
    (layer(X) ** 2).sum().backward()
    assert all(p.grad.any() for p in parameters(layer).values())


@pytest.mark.parametrize("normalize", [True, False])
def test_derivatives_of_first_and_second_order_go_through_the_router(normalize: bool) -> None:
    layer, rng = made(shared_inner=2, normalize=normalize), np.random.default_rng(2)
    own = parameters(layer)
    arrays = [rng.normal(size=(3, 4)), *(rng.normal(size=p.shape) for p in own.values())]

    def loss(x: Any, *weights: Any) -> Any:
        y, (p, chosen) = with_parameters(layer, dict(zip(own, weights, strict=True)))(x, True)
        return (y * y).sum() + load_balance(p, chosen=chosen)

    check_grads(loss, *arrays)
    slopes = grad(loss, tuple(range(len(arrays))))
    check_grads(lambda *xs: sum((g * g).sum() for g in slopes(*xs)), *arrays)


def test_a_position_that_is_nan_stays_alone() -> None:
    x = X.reshape(6, 4).copy()
    x[1] = np.nan
    y = made(shared_inner=6)(x).data
    assert np.isnan(y).all(1).tolist() == [False, True, False, False, False, False]
    assert np.isfinite(y[[0, 2, 3, 4, 5]]).all()


def test_no_positions_and_one_expert() -> None:
    assert made()(X[:0]).shape == (0, 3, 4)
    weights, chosen, _ = made(1, 1).route(X.reshape(6, 4))
    assert (weights.data == 1).all() and not chosen.any()


def test_half_precision_is_routed_in_float32() -> None:
    layer = made(count=9)
    for p in parameters(layer).values():
        p.data = p.data.astype(np.float16)
    x = Tensor(X.reshape(6, 4).astype(np.float16))
    weights, _, p = layer.route(x)
    assert weights.dtype == np.float16 and p.dtype == np.float32
    with no_grad():
        assert layer(x).dtype == np.float16


def test_it_is_the_same_on_a_device() -> None:
    layer = made(shared_inner=6)
    with plain_ops():
        expected = layer(X).data
        for p in parameters(layer).values():
            p.data = strict_cupy.asarray(p.data)
        with strict_cupy.sync_log() as waits:
            y = layer(strict_cupy.asarray(X))
            y.backward(y.data)
    np.testing.assert_array_equal(to_host(y.data), expected)
    assert waits == ["get() in to_host"]


@pytest.mark.parametrize("per_token", [0, 6])
def test_a_position_goes_to_as_many_experts_as_there_are_at_most(per_token: int) -> None:
    with pytest.raises(ValueError, match=rf"1 to 5 of 5 experts, got per_token {per_token}"):
        made(per_token=per_token)
