"""Losses where the gradient suite does not go: kinks, tails, certain predictions, errors."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log
from typing import Any

import numpy as np
import pytest

import autograd as ag
from autograd import Tensor, check_grads, grad
from autograd.ops import losses

rng = np.random.default_rng(0)


def test_at_the_kinks() -> None:
    zero = np.zeros(1)
    assert grad(losses.l1_loss)(zero, zero) == 0
    assert grad(losses.hinge_loss)(np.ones(1), np.ones(1)) == 0
    assert grad(losses.huber_loss)(np.array([-1.0, 1.0, 3.0]), np.zeros(3)).tolist() == [
        pytest.approx(v / 3) for v in (-1, 1, 1)]
    a = np.zeros((2, 3))
    assert (grad(losses.mse_loss)(a, a) == 0).all()
    assert np.isfinite(grad(lambda a, b: ag.sum(losses.cosine_similarity(a, b)))(a, a + 1)).all()


def test_a_large_difference_is_not_squared() -> None:
    x = np.float32([1e30, -1e30])
    assert float(losses.huber_loss(x, 0 * x, delta=2.0)) == pytest.approx(2e30)
    assert grad(losses.huber_loss)(x, 0 * x).tolist() == [0.5, -0.5]


def test_logits_of_any_size() -> None:
    bce = losses.binary_cross_entropy_with_logits
    z = np.array([-800.0, 800.0, 40.0, -1e300])
    t = np.array([0.0, 1.0, 1.0, 1.0])
    assert bce(z, t, reduction="none").tolist() == pytest.approx([0, 0, np.exp(-40), 1e300],
                                                                 rel=1e-12, abs=0)
    slopes = grad(lambda z: bce(z, t, reduction="sum"))(z)
    assert slopes.tolist() == pytest.approx([0, 0, -np.exp(-40), -1], rel=1e-12, abs=0)
    big = np.array([[1e8, 0.0, -1e8]])
    assert float(losses.cross_entropy(big, np.array([2]))) == 2e8
    assert float(losses.cross_entropy(big, np.array([0]))) == 0
    assert grad(losses.cross_entropy)(big, np.array([1])).tolist() == [[1, -1, 0]]


def test_certain_predictions() -> None:
    p, t = np.array([0.0, 1.0, 0.25]), np.array([0.0, 1.0, 0.0])
    bce = losses.binary_cross_entropy
    assert bce(p, t, reduction="none").tolist() == pytest.approx([0, 0, -log(0.75)])
    assert grad(lambda p: bce(p, t, reduction="sum"))(p).tolist() == pytest.approx([1, -1, 4 / 3])
    with np.errstate(divide="ignore"):
        assert float(bce(np.zeros(1), np.ones(1))) == inf
    kl = losses.kl_div(np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]]), reduction="batchmean")
    assert float(kl) == pytest.approx(log(2))


def test_left_out_rows() -> None:
    z, t = rng.normal(size=(4, 3)), np.array([0, -100, 2, -100])
    for options in ({}, {"label_smoothing": 0.2}):
        some = losses.cross_entropy(z, t, **options)
        assert float(some) == pytest.approx(float(losses.cross_entropy(z[::2], t[::2], **options)))
        slopes = grad(lambda z, o=options: losses.cross_entropy(z, t, **o))(z)
        assert (slopes[1::2] == 0).all() and np.allclose(slopes.sum(-1), 0)
    assert float(losses.cross_entropy(z, np.full(4, -100))) == 0
    assert (grad(losses.cross_entropy)(z, np.full(4, -100)) == 0).all()
    assert losses.cross_entropy(z, t, reduction="none")[1::2].tolist() == [0, 0]


def test_classes_are_probabilities_of_one_hot_rows() -> None:
    z, t = rng.normal(size=(2, 3, 4)), rng.integers(0, 3, (2, 4))
    hot = np.moveaxis(np.eye(3)[t], -1, 1)
    for options in ({}, {"label_smoothing": 0.3}):
        for reduction in ("mean", "sum", "none"):
            options |= {"reduction": reduction, "axis": 1}
            np.testing.assert_allclose(losses.cross_entropy(z, t, **options),
                                       losses.cross_entropy(z, hot, **options), rtol=1e-12)
    log_p = ag.log_softmax(z, 1)
    assert float(losses.nll_loss(log_p, t, axis=1)) == pytest.approx(
        float(losses.cross_entropy(z, t, axis=1)))


def test_labels_do_not_widen_the_loss() -> None:
    x = np.ones(2, np.float32)
    for f in (losses.mse_loss, losses.hinge_loss, losses.binary_cross_entropy_with_logits):
        for t in (np.array([1, 0]), np.array([True, False]), [1, 0]):
            assert f(x, t).dtype == np.float32
    assert losses.cross_entropy(x[None], np.array([1])).dtype == np.float32


@pytest.mark.parametrize("f", [
    losses.mse_loss, losses.l1_loss, losses.huber_loss, losses.smooth_l1_loss, losses.hinge_loss,
    losses.kl_div, losses.binary_cross_entropy, losses.binary_cross_entropy_with_logits,
])
def test_one_shape_and_a_known_reduction_are_expected(f: Callable[..., Any]) -> None:
    x = Tensor(np.full((3, 1), 0.5), requires_grad=True)
    with pytest.raises(ValueError, match=r"one shape, got \(3, 1\) and \(3,\)"):
        f(x, np.ones(3))
    with pytest.raises(ValueError, match="'mean', 'sum' or 'none', got 'average'"):
        f(x, x, reduction="average")


@pytest.mark.parametrize("call, error, message", [
    (lambda z: losses.cross_entropy(z, np.array([0, 3])), IndexError, r"lie in \[0, 3\).*got 3"),
    (lambda z: losses.cross_entropy(z, np.array([0, -1])), IndexError, "got -1"),
    (lambda z: losses.cross_entropy(z, np.array([0])), ValueError, r"without axis 1, got \(1,\)"),
    (lambda z: losses.cross_entropy(z, np.ones(2)), ValueError, "one shape"),
    (lambda z: losses.cross_entropy(z, [0, 1], label_smoothing=2), ValueError, "between 0 and 1"),
    (lambda z: losses.cross_entropy(z, [0, 1], axis=2), ValueError, "axis 2"),
    (lambda z: losses.nll_loss(z, np.array([0.0, 1.0])), TypeError, "integers, got float64"),
    (lambda z: losses.nll_loss(z, [0, 1], axis=2), ValueError, "axis 2"),
    (lambda z: losses.nll_loss(z, [0, 1], reduction="max"), ValueError, "'mean', 'sum'"),
    (lambda z: losses.huber_loss(z, z, delta=0.0), ValueError, "delta > 0"),
    (lambda z: losses.binary_cross_entropy(z - 2, z), ValueError, "expected probabilities"),
    (lambda z: losses.cosine_similarity(z, z, 2), ValueError, "axis 2"),
])
def test_what_is_refused(call: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    for z in (np.ones((2, 3)), Tensor(np.ones((2, 3)), requires_grad=True)):
        with pytest.raises(error, match=message):
            call(z)


def test_cosine_similarity_broadcasts_along_its_axis_too() -> None:
    np.testing.assert_allclose(ag.cosine_similarity([[3.0, 4.0]], [[1.0]]), [7 / 50**0.5])
    np.testing.assert_allclose(ag.cosine_similarity([3.0, 4.0], [[1.0, 2.0], [3.0, 4.0]], 0),
                               [12 / 180**0.5, 24 / 640**0.5])
    check_grads(lambda a, b: ag.cosine_similarity(a, b), np.array([[3.0, 4.0], [1.0, -2.0]]),
                np.array([[1.5]]))
    check_grads(lambda a, b: ag.cosine_similarity(a, b, 0), np.array([3.0, 4.0]),
                np.array([[1.0, 2.0], [3.0, 4.0]]))
    huge = np.array([3e30, 4e30], np.float32)
    assert ag.cosine_similarity(huge, huge[::-1]) == pytest.approx(0.96)
    with pytest.raises(ValueError, match="axis 1 is out of bounds"):
        ag.cosine_similarity([1.0], [2.0], 1)


def test_classes_are_weighed() -> None:
    z, t, w = np.array([[0.0, 0], [0, 0], [0, 0]]), np.array([1, 0, -100]), np.array([1.0, 3.0])
    ln2 = np.log(2)
    for reduction, expected in (("mean", ln2), ("sum", 4 * ln2), ("none", [3 * ln2, ln2, 0])):
        got = ag.cross_entropy(z, t, weight=w, reduction=reduction)
        np.testing.assert_allclose(got, expected)
    dz = ag.grad(lambda z: ag.cross_entropy(z, t, weight=w))(z)
    np.testing.assert_allclose(dz, [[0.375, -0.375], [-0.125, 0.125], [0, 0]])
    dw = ag.grad(lambda w: ag.nll_loss(-np.array([[1.0, 5], [2, 6]]), [1, 0], weight=w))(w)
    np.testing.assert_allclose(dw, [(2 * 4 - 17) / 16, (5 * 4 - 17) / 16])
    assert ag.cross_entropy(z, np.full(3, -100), weight=w) == 0
    p = np.array([[0.5, 0.5]])
    np.testing.assert_allclose(ag.cross_entropy(z[:1], p, weight=w), 2 * ln2)
    for wrong in ([1.0], 2.0, np.ones((2, 1))):
        with pytest.raises(ValueError, match="a weight for each of the 2 classes"):
            ag.cross_entropy(z, t, weight=wrong)
