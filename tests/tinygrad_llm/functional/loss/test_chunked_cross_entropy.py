"""The loss some rows of logits at a time: that of all rows, for a fraction of their memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autograd import Tensor, no_grad, vjp
from tinygrad_llm.functional import chunked_cross_entropy, linear_cross_entropy
from tinygrad_llm.functional.loss.chunked_cross_entropy import chunks_of

pytestmark = pytest.mark.usefixtures("pair")


def head(n: int, v: int, c: int, dtype: Any = float) -> tuple[Any, Any, Any]:
    """Return x, w and targets, a third of them ignored, in several axes."""
    rng = np.random.default_rng([n, v, c])
    targets = rng.integers(0, v, (2, n // 2))
    targets[:, ::3] = -100
    x = rng.normal(size=(2, n // 2, c))
    return x.astype(dtype), rng.normal(size=(v, c)).astype(dtype), targets


@pytest.mark.parametrize("rows", [1, 7, 50, 300, 1000])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-5)])
def test_it_is_that_of_all_rows(rows: int, dtype: Any, tolerance: float) -> None:
    x, w, targets = head(300, 700, 5, dtype)
    expected, pull_whole = vjp(lambda x, w: linear_cross_entropy(x, w, targets), x, w)
    loss, pull = vjp(lambda x, w: chunked_cross_entropy(x, w, targets, rows=rows), x, w)
    assert float(loss) == pytest.approx(float(expected), rel=tolerance) and loss.dtype == dtype
    for got, wanted in zip(pull(dtype(1.7)), pull_whole(dtype(1.7)), strict=True):
        assert got.shape == wanted.shape and got.dtype == dtype
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * 0.1)


def test_an_ignored_row_has_no_part_whatever_its_logits() -> None:
    x, w, targets = head(12, 9, 4)
    expected = linear_cross_entropy(x, w, targets)
    x[targets == -100] = 1e308  # logits overflow
    with np.errstate(over="ignore", invalid="ignore"):
        loss, pull = vjp(lambda x, w: chunked_cross_entropy(x, w, targets, rows=5), x, w)
        dx, dw = pull(1.0)
    assert loss == pytest.approx(float(expected), rel=1e-12)
    assert not dx[targets == -100].any() and np.isfinite(dw).all()


@pytest.mark.parametrize("n", [40, 0])
def test_where_no_target_is_used_loss_and_gradients_are_zero(n: int) -> None:
    x, w = np.ones((n, 4)), np.ones((7, 4))
    loss, pull = vjp(lambda x, w: chunked_cross_entropy(x, w, np.full(n, -100), rows=6), x, w)
    dx, dw = pull(1.0)
    assert loss == 0 and dx.shape == x.shape and dw.shape == w.shape
    assert not dx.any() and not dw.any()


def test_the_backward_pass_can_be_run_again() -> None:
    x, w, targets = head(20, 9, 4)
    tx, tw = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
    loss, found = chunked_cross_entropy(tx, tw, targets, rows=3), []
    for _ in range(2):
        tx.grad = tw.grad = None
        loss.backward(retain=True)
        found.append((tx.grad, tw.grad))
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_without_a_record_it_is_the_same() -> None:
    x, w, targets = head(20, 9, 4)
    recorded = chunked_cross_entropy(Tensor(x, requires_grad=True), w, targets, rows=3)
    with no_grad():
        assert float(chunked_cross_entropy(x, w, targets, rows=3)) == float(recorded)


def test_chunks_are_all_rows_in_order() -> None:
    assert [[*range(9)[c]] for c in chunks_of(9, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    assert chunks_of(0, 4) == []


@pytest.mark.parametrize(("rows", "targets", "error", "words"), [
    (0, np.array([0, 1]), ValueError, "chunked_cross_entropy: expected rows of at least 1, got 0"),
    (2, np.array([0, 9]), IndexError, r"targets must lie in \[0, 3\)"),
    (2, np.array([0]), ValueError, r"expected x \(\.\.\., C\)"),
])
def test_wrong_arguments(rows: int, targets: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        chunked_cross_entropy(np.ones((2, 4)), np.ones((3, 4)), targets, rows=rows)
