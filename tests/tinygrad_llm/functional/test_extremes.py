"""The hand-derived layers where the gradient suite does not go: extremes, invariants, masks."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from autograd import Tensor, grad, vjp
from tinygrad_llm.functional import (
    causal_attention,
    dropout,
    embedding,
    gelu,
    layer_norm,
    linear,
    linear_cross_entropy,
    softmax_cross_entropy,
)
from tinygrad_llm.functional.dropout import keep_mask

rng = np.random.default_rng(0)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_expectation(p: float) -> None:
    mask = keep_mask((400, 500), p, 3, np.zeros(0))
    kept = 1 - round(p * 2**16) / 2**16
    assert set(np.unique(mask)) == {0.0, 1 / kept}
    assert (mask == 0).mean() == pytest.approx(p, abs=0.005)
    assert mask.mean() == pytest.approx(1, abs=0.03)
    rows = (mask == 0).mean(axis=1)
    assert rows.std() == pytest.approx(math.sqrt(p * (1 - p) / 500), rel=0.2), "not independent"
    assert not np.array_equal(mask, keep_mask((400, 500), p, 4, mask))
    assert np.array_equal(mask, keep_mask((400, 500), p, 3, mask))


def test_dropout_of_nothing_and_of_everything() -> None:
    x = rng.normal(size=5)
    assert np.array_equal(dropout(x, p=0.0, key=1), x)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\), got 1"):
        dropout(x, p=1.0, key=1)


@pytest.mark.parametrize("approximate", ["tanh", "none"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_far_out_is_the_identity_or_nothing(approximate: str, dtype: type) -> None:
    x = np.array([-1e4, -40.0, -12.0, 0.0, 12.0, 40.0, 1e4], dtype=dtype)
    y, pull = vjp(lambda x: gelu(x, approximate=approximate), x)
    np.testing.assert_allclose(y, np.where(x > 0, x, 0), atol=1e-25)
    np.testing.assert_allclose(pull(np.ones_like(x))[0], [0, 0, 0, 0.5, 1, 1, 1], atol=1e-20)
    with pytest.raises(ValueError, match="'tanh' or 'none', got 'exact'"):
        gelu(x, approximate="exact")


@pytest.mark.parametrize("approximate", ["tanh", "none"])
def test_gelu_of_what_cannot_be_cubed(approximate: str) -> None:
    x = np.float32([-1e20, -1e13, 1e13, 1e20, 3e38])
    y, pull = vjp(lambda x: gelu(x, approximate=approximate), x)
    assert np.abs(y - np.where(x > 0, x, 0)).max() < 1e-10
    np.testing.assert_allclose(pull(np.ones_like(x))[0], [0, 0, 1, 1, 1], atol=1e-10)


def test_empty_batches_have_empty_gradients() -> None:
    for shape in ((0, 3, 6), (2, 0, 6)):
        y, pull = vjp(lambda x: causal_attention(x, heads=2), np.zeros(shape))
        assert pull(y)[0].shape == shape
    dx, dw, db = vjp(linear, np.ones((2, 0)), np.ones((3, 0)), np.ones(3))[1](np.ones((2, 3)))
    assert dx.shape == (2, 0) and dw.shape == (3, 0) and db.tolist() == [2, 2, 2]


def test_an_ignored_row_may_hold_anything() -> None:
    z = np.array([[-np.inf, -np.inf], [1.0, 2.0]])
    targets = np.array([-100, 0])
    loss, pull = vjp(lambda z: softmax_cross_entropy(z, targets), z)
    assert loss == pytest.approx(math.log(1 + math.e)) and (pull(1.0)[0][0] == 0).all()


def test_attention_with_large_scores_does_not_overflow() -> None:
    qkv = np.zeros((1, 3, 3), np.float32)
    qkv[0, :, 0], qkv[0, :, 1], qkv[0, :, 2] = 1e3, [1e3, 2e3, -5e3], [1.0, 2.0, 3.0]
    y, pull = vjp(lambda x: causal_attention(x, heads=1), qkv)
    np.testing.assert_allclose(y[0, :, 0], [1, 2, 2], rtol=1e-6)
    assert np.isfinite(pull(np.ones_like(y))[0]).all()


def test_a_large_hidden_score_does_not_drown_the_visible_ones() -> None:
    qkv = np.zeros((1, 2, 3))
    qkv[0, 1, 1], qkv[0, :, 0], qkv[0, :, 2] = 1e5, 1.0, [5.0, 7.0]
    assert causal_attention(qkv, heads=1)[0, 0, 0] == 5.0


def test_attention_of_equal_scores_is_the_mean_of_the_past() -> None:
    v = rng.normal(size=(2, 4, 6))
    qkv = np.concatenate([np.zeros((2, 4, 12)), v], axis=-1)
    expected = np.cumsum(v, axis=1) / np.arange(1, 5)[:, None]
    np.testing.assert_allclose(causal_attention(qkv, heads=3), expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_cross_entropy_of_large_logits(scale: float) -> None:
    z = np.array([[scale, 0.0, -scale], [scale, scale, -scale]], dtype=np.float32)
    targets = np.array([0, 1])
    assert softmax_cross_entropy(z, targets) == pytest.approx(math.log(2) / 2, rel=1e-6)
    np.testing.assert_allclose(grad(lambda z: softmax_cross_entropy(z, targets))(z),
                               [[0, 0, 0], [0.25, -0.25, 0]], atol=1e-7)


def test_cross_entropy_rows_sum_to_zero_and_ignored_ones_are_zero() -> None:
    z = rng.normal(size=(3, 4, 7))
    targets = rng.integers(0, 7, (3, 4))
    targets[1, :2] = -100
    dz = grad(lambda z: softmax_cross_entropy(z, targets))(z)
    np.testing.assert_allclose(dz.sum(-1), 0, atol=1e-16)
    assert (dz[1, :2] == 0).all() and (dz[0] != 0).all()
    other = grad(lambda z: softmax_cross_entropy(z, np.where(targets < 0, 99, targets),
                                                 ignore_index=99))(z)
    assert np.array_equal(dz, other)
    used = targets != -100
    assert softmax_cross_entropy(z, targets) == pytest.approx(
        float(softmax_cross_entropy(z[used], targets[used])), rel=1e-14)
    nothing = np.full((3, 4), -100)
    assert softmax_cross_entropy(z, nothing) == 0
    assert (grad(lambda z: softmax_cross_entropy(z, nothing))(z) == 0).all()


def test_cross_entropy_works_by_blocks_of_rows() -> None:
    z = rng.normal(size=(40, 5000)).astype(np.float32)  # 13 rows a block
    targets = rng.integers(0, 5000, 40)
    p = np.exp(z.astype(float))
    p /= p.sum(-1, keepdims=True)
    assert softmax_cross_entropy(z, targets) == pytest.approx(
        -np.log(p[np.arange(40), targets]).mean(), rel=1e-6)
    p[np.arange(40), targets] -= 1
    np.testing.assert_allclose(grad(lambda z: softmax_cross_entropy(z, targets))(z), p / 40,
                               atol=1e-8)


def head(n: int = 6, v: int = 9, c: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, w and targets, one of them ignored, for `linear_cross_entropy`."""
    targets = rng.integers(0, v, n)
    targets[1] = -100
    return rng.normal(size=(n, c)), rng.normal(size=(v, c)), targets


def test_linear_cross_entropy_twice_over_the_same_record() -> None:
    x, w, targets = head()
    tx, tw = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
    loss = linear_cross_entropy(tx, tw, targets)
    for g in (1.0, 3.0, 1.0):
        tx.grad = tw.grad = None
        loss.backward(np.array(g), retain=True)
        expected = vjp(lambda x, w: linear_cross_entropy(x, w, targets), x, w)[1](np.array(g))
        assert np.array_equal(tx.grad, expected[0]) and np.array_equal(tw.grad, expected[1])
    assert (tx.grad[1] == 0).all() and (tx.grad[0] != 0).all()


def test_linear_cross_entropy_is_that_of_the_logits() -> None:
    x, w, targets = head(300, 700)  # several blocks of rows
    loss, pull = vjp(lambda x, w: linear_cross_entropy(x, w, targets), x, w)
    expected, pull_both = vjp(lambda x, w: softmax_cross_entropy(linear(x, w), targets), x, w)
    assert loss == pytest.approx(float(expected), rel=1e-14)
    for got, wanted in zip(pull(1.0), pull_both(1.0), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-16)
    nothing = np.full(300, -100)
    loss, pull = vjp(lambda x, w: linear_cross_entropy(x, w, nothing), x, w)
    assert loss == 0 and not any(d.any() for d in pull(1.0))


def test_linear_cross_entropy_holds_the_logits_once() -> None:
    x, w, targets = (a.astype("f" if a.dtype == float else int) for a in head(200, 5000))
    tracemalloc.start()
    try:
        _, pull = vjp(lambda x, w: linear_cross_entropy(x, w, targets), x, w)
        pull(1.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.2 * (200 * 5000 * 4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_small_dtypes_stay_small(dtype: type) -> None:
    x, w, targets = head(3)
    x, w = x.astype(dtype), w.astype(dtype)
    ops = {"layer_norm": (lambda x: layer_norm(x, x[0], None)), "gelu": gelu,
           "exact": lambda x: gelu(x, approximate="none"), "linear": lambda x: linear(x, w),
           "dropout": lambda x: dropout(x, p=0.5, key=1),
           "entropy": lambda x: softmax_cross_entropy(x, np.array([0, 1, 2])),
           "head": lambda x: linear_cross_entropy(x, w, targets)}
    for name, op in ops.items():
        y, pull = vjp(op, x)
        assert y.dtype == dtype and pull(np.ones_like(y))[0].dtype == dtype, name


def test_ops_take_what_does_not_lie_in_one_piece() -> None:
    x = rng.normal(size=(5, 8, 6)).transpose(2, 0, 1)[:, ::2]
    w, b, ids = rng.normal(size=8), rng.normal(size=8), rng.integers(0, 8, x.shape[:-1])
    for op in (lambda x: layer_norm(x, w, b), gelu, lambda x: dropout(x, p=0.3, key=2),
               lambda x: linear(x, w[None], b[:1]), lambda x: softmax_cross_entropy(x, ids),
               lambda x: linear_cross_entropy(x, w[:, None] * b, ids)):
        (y, pull), (z, pull_copy) = vjp(op, x), vjp(op, x.copy())
        g = rng.normal(size=(2, *y.shape))[0]
        np.testing.assert_allclose(y, z, rtol=1e-13)
        np.testing.assert_allclose(pull(g)[0], pull_copy(g)[0], rtol=1e-12, atol=1e-15)


def test_layer_norm_invariants() -> None:
    x, w, b = rng.normal(size=(4, 6)), rng.normal(size=6), rng.normal(size=6)
    y, pull = vjp(layer_norm, x, w, b)
    dx, _, db = pull(rng.normal(size=(4, 6)))
    np.testing.assert_allclose(dx.sum(-1), 0, atol=1e-14)
    np.testing.assert_allclose(layer_norm(x + 1e4, w, b), y, atol=1e-9)
    assert np.allclose(layer_norm(np.full((1, 6), 3.0), w, b), b)
    assert db.shape == (6,)
    one, pull = vjp(lambda x: layer_norm(x, np.ones(1), np.zeros(1)), rng.normal(size=(3, 1)))
    assert (one == 0).all() and (pull(np.ones((3, 1)))[0] == 0).all()


@pytest.mark.parametrize("call, error, words", [
    (lambda: linear(np.ones((2, 5)), np.ones((3, 4)), None), ValueError,
     r"linear: expected x \(\.\.\., I\).*got x \(2, 5\), w \(3, 4\)"),
    (lambda: linear(np.ones(4), np.ones((3, 4)), np.ones(4)), ValueError, "linear: expected"),
    (lambda: layer_norm(np.ones((2, 5)), np.ones(4), None), ValueError, "layer_norm: expected x"),
    (lambda: embedding(np.array([-1]), np.ones((3, 2))), IndexError, r"in \[0, 3\), got -1 to -1"),
    (lambda: embedding(np.array([0]), np.ones(3)), ValueError, "expected a table"),
    (lambda: causal_attention(np.ones((1, 2, 7)), heads=2), ValueError, "3 \\* heads \\* D"),
    (lambda: softmax_cross_entropy(np.ones((2, 3)), np.array([0, 3])), IndexError,
     r"lie in \[0, 3\) or be ignore_index=-100, got 3"),
    (lambda: softmax_cross_entropy(np.ones((2, 3)), np.array([0.0, 1.0])), TypeError, "integer"),
    (lambda: softmax_cross_entropy(np.ones((2, 3), int), np.array([0, 1])), TypeError, "floating"),
    (lambda: causal_attention(np.ones((1, 2, 0)), heads=2), ValueError, "expected qkv"),
    (lambda: linear_cross_entropy(np.ones((2, 5)), np.ones((3, 4)), np.array([0, 1])), ValueError,
     r"linear_cross_entropy: expected x \(\.\.\., C\).*x \(2, 5\), w \(3, 4\), targets \(2,\)"),
    (lambda: linear_cross_entropy(np.ones((2, 4)), np.ones((3, 4)), np.array([0, 3])), IndexError,
     r"^linear_cross_entropy: targets must lie in \[0, 3\) or be ignore_index=-100, got 3"),
    (lambda: linear_cross_entropy(np.ones((2, 4)), np.ones((3, 4)), np.array([0])), ValueError,
     r"targets \(1,\)"),
    (lambda: linear_cross_entropy(np.ones((1, 4)), np.ones((3, 4)), np.array([0.5])), TypeError,
     "linear_cross_entropy: expected integer targets, got float64"),
    (lambda: linear_cross_entropy(np.ones((1, 4), int), np.ones((3, 4), int), np.array([1])),
     TypeError, "linear_cross_entropy: expected floating x and w, got int64 and int64"),
    (lambda: linear("text", np.ones((1, 1))), TypeError, "linear: expected arrays or numbers"),
    (lambda: softmax_cross_entropy(np.ones((2, 3)), np.array([0])), ValueError, r"\(2, 3\) and"),
    (lambda: linear(Tensor(np.ones(3))), TypeError, "linear: expected the arguments x, w, b"),
])
def test_wrong_arguments(call: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()  # type: ignore[operator]
