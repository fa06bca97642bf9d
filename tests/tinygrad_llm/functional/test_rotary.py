"""Rotary positions where the gradient suite does not go: what turns, what stays, what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, vjp
from tinygrad_llm.functional import rotary, split_heads

pytestmark = pytest.mark.usefixtures("pair")

both_layouts = pytest.mark.parametrize("interleaved", [False, True])


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape)


def turns(positions: Any, half: int) -> dict[str, np.ndarray]:
    """Return cos and sin of some angles at positions (..., T)."""
    angles = np.asarray(positions)[..., None] * np.linspace(1, 0.1, half)
    return {"cos": np.cos(angles), "sin": np.sin(angles)}


def test_the_pairs_of_each_layout() -> None:
    x = np.arange(1.0, 6.0).reshape(1, 1, 1, 5)
    quarter = {"cos": np.array([[0.0, 1.0]]), "sin": np.array([[1.0, 0.0]])}
    assert rotary(x, **quarter).ravel().tolist() == [-3, 2, 1, 4, 5]
    assert rotary(x, **quarter, interleaved=True).ravel().tolist() == [-2, 1, 3, 4, 5]


@both_layouts
def test_the_layouts_are_one_turn_of_other_places(interleaved: bool) -> None:
    x, angles = normal(2, 5, 3, 8), turns(range(5), 4)
    order = np.arange(8).reshape(2, 4).T.ravel() if interleaved else np.arange(8).reshape(4, 2).T
    y = rotary(x[..., order.ravel()], **angles, interleaved=interleaved)
    np.testing.assert_allclose(y, rotary(x, **angles, interleaved=not interleaved)[
        ..., order.ravel()], rtol=1e-13)


@both_layouts
def test_lengths_stay_and_products_depend_on_the_distance_alone(interleaved: bool) -> None:
    q, k = normal(1, 1, 2, 6), normal(1, 1, 2, 6)[..., ::-1]

    def product(i: int, j: int) -> Any:
        a, b = (rotary(x, **turns([place], 3), interleaved=interleaved)
                for x, place in ((q, i), (k, j)))
        return (a * b).sum(-1)

    np.testing.assert_allclose(product(7, 3), product(104, 100), rtol=1e-12)
    np.testing.assert_allclose(product(5, 5), (q * k).sum(-1), rtol=1e-12)
    assert not np.allclose(product(7, 3), product(7, 4))


@both_layouts
def test_the_opposite_turn_undoes_it_and_is_its_gradient(interleaved: bool) -> None:
    x, g, angles = normal(2, 4, 3, 7), normal(2, 4, 3, 7) ** 2, turns(range(4), 3)
    back = {"cos": angles["cos"], "sin": -angles["sin"], "interleaved": interleaved}
    y, pull = vjp(lambda x: rotary(x, **angles, interleaved=interleaved), x)
    np.testing.assert_allclose(rotary(y, **back), x, rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(pull(g)[0], rotary(g, **back))
    assert np.array_equal(y[..., 6], x[..., 6]) and np.array_equal(pull(g)[0][..., 6], g[..., 6])


@both_layouts
def test_scaled_turns_have_scaled_gradients(interleaved: bool) -> None:
    """As YaRN's: the adjoint is multiplied by the factor too, not divided."""
    x, angles = normal(1, 4, 2, 6), turns(range(4), 3)
    _, pull = vjp(lambda x: rotary(x, **angles, interleaved=interleaved), x)
    scaled = {name: 1.5 * a for name, a in angles.items()}
    _, pull_scaled = vjp(lambda x: rotary(x, **scaled, interleaved=interleaved), x)
    np.testing.assert_allclose(pull_scaled(x)[0], 1.5 * pull(x)[0], rtol=1e-13)


@both_layouts
def test_a_position_for_each_sequence(interleaved: bool) -> None:
    x, positions = normal(3, 4, 2, 6), np.array([[0, 1, 2, 3], [5, 6, 7, 8], [0, 1, 0, 1]])
    y = rotary(x, **turns(positions, 3), interleaved=interleaved)
    for b in range(3):
        np.testing.assert_array_equal(
            y[b], rotary(x[b : b + 1], **turns(positions[b], 3), interleaved=interleaved)[0])


@both_layouts
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_heads_of_packed_rows(dtype: type, interleaved: bool) -> None:
    """They are views; the dtype of cos and sin does not show."""
    packed, angles = normal(2, 40, 90).astype(dtype), turns(range(40), 4)
    options = {**angles, "interleaved": interleaved}
    angles = {name: a.astype(dtype) for name, a in angles.items()}
    whole = Tensor(packed, requires_grad=True)
    q = rotary(split_heads(whole, first=1, count=3, depth=10), **options)
    expected = rotary(packed[..., 10:40].reshape(2, 40, 3, 10).copy(), **angles,
                      interleaved=interleaved)
    assert q.dtype == dtype
    np.testing.assert_array_equal(q.data, expected)
    q.backward(np.ones(q.shape, q.dtype))
    assert whole.grad.dtype == dtype and not whole.grad[..., 40:].any()


def test_half_precision() -> None:
    x, angles = normal(2, 40, 3, 10).astype(np.float16), turns(range(40), 4)
    half = {name: a.astype(np.float16) for name, a in angles.items()}
    assert rotary(x, **half).dtype == np.float16
    np.testing.assert_allclose(rotary(x, **half), rotary(x.astype(float), **angles), atol=5e-3)


def test_nothing_that_is_given_is_changed() -> None:
    x, angles = normal(2, 4, 3, 6), turns(range(4), 3)
    copies = [a.copy() for a in (x, *angles.values())]
    y, pull = vjp(lambda x: rotary(x, **angles), x)
    g = np.ones_like(y)
    pull(g)
    for a, copy in zip((x, *angles.values()), copies, strict=True):
        np.testing.assert_array_equal(a, copy)
    assert (g == 1).all() and not np.shares_memory(x, y)


@pytest.mark.parametrize("shape", [(0, 3, 2, 4), (2, 0, 2, 4), (2, 3, 0, 4), (2, 3, 2, 0)])
@both_layouts
def test_nothing_to_turn(shape: tuple[int, ...], interleaved: bool) -> None:
    x = normal(*shape)
    y, pull = vjp(lambda x: rotary(x, **turns(range(shape[1]), shape[3] // 2),
                                   interleaved=interleaved), x)
    assert y.shape == pull(y)[0].shape == shape


def test_integers_become_floating() -> None:
    y = rotary(np.array([[[[3, 4]]]]), cos=np.array([[0.5]]), sin=np.array([[0.0]]))
    assert y.ravel().tolist() == [1.5, 2.0]


X, A = np.ones((2, 3, 1, 4)), np.ones((3, 2))


@pytest.mark.parametrize("x, cos, sin", [
    (X[0], A, A), (X, A[:2], A[:2]), (X, A, A[:, :1]), (X, np.ones((3, 3)), np.ones((3, 3))),
    (X[..., :3], A, A), (X, np.ones((1, 3, 2)), np.ones((1, 3, 2))), (X, A[0], A[0]),
    (X, 1.0, 1.0), (X, A, None), (X, np.ones(()), np.ones(())),
])
def test_shapes_that_do_not_fit(x: np.ndarray, cos: Any, sin: Any) -> None:
    with pytest.raises(ValueError, match=r"^rotary: expected x \(B, T, H, D\), cos and sin \(T, "):
        rotary(x, cos=cos, sin=sin)


def test_angles_are_constants() -> None:
    cos = Tensor(A, requires_grad=True)
    call: Callable[[], Any] = lambda: rotary(Tensor(X), cos=cos, sin=A)  # noqa: E731
    with pytest.raises(TypeError, match="^rotary: the option cos is a constant"):
        call()
    y = rotary(X, cos=Tensor(A), sin=Tensor(A))
    np.testing.assert_array_equal(y, rotary(X, cos=A, sin=A))
