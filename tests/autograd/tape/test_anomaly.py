"""Anomaly mode names the op, the line and the layer, and writes a test that fails until mended."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anomalies import fails, found, leaf

import autograd as ag
from autograd import Tensor, grad, log, no_grad, primitive, sqrt, where
from autograd.tape.anomaly import AnomalyError, detect_anomaly
from autograd.tensor import STATE
from tinygrad_llm.functional import attention

# values


@pytest.mark.parametrize("f, op, kind, argument", [
    (lambda: log(leaf([[0.5, 2.0], [-1.0, 3.0]])), "log", "NaN", "np.array(-1.0)"),
    (lambda: leaf([1.0, 0.0]) / leaf([2.0, 0.0]), "divide", "NaN", "np.array(0.0)"),
    (lambda: leaf([1.0, 0.0]) - np.array(np.inf) + np.inf, "add", "NaN out of infinities",
     "np.array(-inf)"),
    (lambda: log(leaf([0.5, 0.0])), "log", "-inf", "np.array(0.0)"),
    (lambda: ag.exp(leaf([1.0, 800.0])), "exp", "inf", "np.array(800.0)"),
    (lambda: leaf([1e200, 1.0]).astype("float32"), "astype", "inf", "np.array(1e+200)"),
    (lambda: (leaf([1e308, 2.0, 1e308]) * 1.0).sum(), "sum", "inf", "np.array([1e+308, 1e+308])"),
    (lambda: leaf([[4.0, -9.0]]) ** np.array([0.5]), "power", "NaN", "np.array(0.5)"),
])
def test_a_value(f: Any, op: str, kind: str, argument: str, tmp_path: Path) -> None:
    error = found(f, tmp_path)
    assert error.op == op and f"{op} made {kind}" in str(error)
    assert error.location is not None and error.location.filename == __file__
    assert "leaf(" in error.location.text and error.location.text in str(error)
    assert error.module_path == ""
    source = fails(error)
    assert argument in source and ("np.isfinite" in source) != ("infinities" in kind)
    assert list(tmp_path.iterdir()) == [error.file]


def test_infinity_may_be_allowed_and_minus_infinity_may_be_a_mask(tmp_path: Path) -> None:
    visible = np.tril(np.ones((3, 3), dtype=bool))
    with detect_anomaly(tmp_path):
        scores = where(visible, leaf(np.ones((3, 3))), -np.inf)
        ag.exp(scores - scores.data.max(-1, keepdims=True)).sum().backward()
        attention(*[leaf(np.ones((1, 4, 2, 3))) for _ in "qkv"]).sum().backward()
        attention(*[leaf(np.ones((1, 4, 2, 3)))] * 3, window=2).sum().backward()
        (leaf([1.0]) + np.array([-np.inf])).max()
        (leaf([1.0, 2.0]) * np.array([1.0, np.inf])).sum().backward()  # an infinite slope, given
    with detect_anomaly(tmp_path, inf=False):
        log(leaf([0.0]))
        sqrt(leaf([0.0])).sum().backward()
    assert not list(tmp_path.iterdir())


def test_integers_comparisons_and_untouched_nans_are_left_alone(tmp_path: Path) -> None:
    with detect_anomaly(tmp_path):
        x = leaf([1.0, np.nan])
        assert list(x > 0) == [True, False]
        where(np.array([True, False]), x, 0.0).sum()
        Tensor(np.array([1, 2])) + 3
        log(np.array([0.0]))  # an array alone is not watched: nothing is recorded


def test_what_came_in_is_not_blamed_on_the_op(tmp_path: Path) -> None:
    error = found(lambda: ag.tanh(leaf([[0.0, 1.0], [np.nan, 1.0]])), tmp_path)
    assert "NaN came into tanh as argument 1: 1 of 4 elements, the first at [1, 0]" in str(error)
    assert error.file is None and not list(tmp_path.iterdir())
    error = found(lambda: leaf([1.0]) + np.array([np.nan]), tmp_path)
    assert "NaN came into add as argument 2" in str(error)
    error = found(lambda: leaf([np.inf]) * 2, tmp_path)  # a weight that diverged, not a mask
    assert "inf came into multiply as argument 1" in str(error)


# gradients


def trap() -> None:
    x = leaf([[0.0, 2.0], [3.0, 4.0]])
    where(x.data > 0, log(x), 0.0).sum().backward()


@pytest.mark.parametrize("f, op, kind, hint", [
    (lambda: sqrt(leaf([4.0, 0.0])).sum().backward(), "sqrt", "inf", "slope"),
    (lambda: ((leaf([0.0, 0.0]) ** 2).sum() ** 0.5).backward(), "power", "inf", "double where"),
    (lambda: grad(lambda x: sqrt(x * x))(0.0), "sqrt", "inf", "slope"),
    (trap, "log", "NaN", "double where"),
])
def test_a_gradient(f: Any, op: str, kind: str, hint: str, tmp_path: Path) -> None:
    error = found(f, tmp_path, inf=f is not trap)
    assert error.op == op
    assert f"the derivative of {op} made {kind} in the gradient of argument 1" in str(error)
    assert hint in str(error) and error.location is not None
    assert error.location.filename == __file__
    assert "np.array(0.0)" in fails(error)


def test_the_way_of_the_gradient_is_reported(tmp_path: Path) -> None:
    error = found(trap, tmp_path, inf=False)
    assert "the gradient came by where (test_anomaly.py:" in str(error)
    assert ") <- sum (test_anomaly.py:" in str(error)


def test_a_gradient_that_overflows_only_in_the_sum_over_its_uses(tmp_path: Path) -> None:
    def f() -> None:
        x, b = leaf(np.ones((3, 4)), "float32"), leaf(np.ones(4), "float32")
        (x + b).backward(np.full((3, 4), 3e38, dtype="float32"))

    error = found(f, tmp_path)
    assert error.op == "add" and "summing it over broadcast axes" in str(error)
    fails(error)
    error = found(lambda: (leaf([1.0]) * 2).backward(np.array([np.nan])), tmp_path)
    assert "the gradient that reached multiply holds NaN" in str(error) and error.file is None


def test_a_recorded_backward_pass_names_both_lines(tmp_path: Path) -> None:
    def f() -> None:
        y = sqrt(leaf([0.0, 1.0])).sum()
        y.backward(record=True)

    error = found(f, tmp_path)
    assert error.op == "divide" and "in the derivative of sqrt" in str(error)
    assert error.location is not None and error.location.text == "y.backward(record=True)"
    assert "y = sqrt(leaf([0.0, 1.0])).sum()" in str(error)
    fails(error)
    assert found(lambda: grad(grad(lambda x: x**1.5))(0.0), tmp_path).op == "power"


def test_what_was_computed_before_the_block_is_named_without_its_line(tmp_path: Path) -> None:
    y = sqrt(leaf([0.0]))
    error = found(lambda: y.sum().backward(), tmp_path)
    assert error.op == "sqrt" and error.location is None and error.file is None
    assert "computed before detect_anomaly began" in str(error)


# the block


def test_the_state_is_restored(tmp_path: Path) -> None:
    with detect_anomaly(tmp_path):
        outer = STATE.watch
        with pytest.raises(ZeroDivisionError), detect_anomaly(inf=False):
            assert STATE.watch is not outer
            raise ZeroDivisionError
        assert STATE.watch is outer
        with pytest.raises(AnomalyError):
            log(leaf([-1.0]))
        assert STATE.watch is outer and STATE.recording
        seen = []
        other = threading.Thread(target=lambda: seen.append(STATE.watch))
        other.start()
        other.join()
        assert seen == [None]
        with warnings.catch_warnings(), no_grad(), pytest.raises(AnomalyError, match="log made"):
            warnings.simplefilter("error")
            log(leaf([-2.0]))
    assert STATE.watch is None


def test_as_a_decorator(tmp_path: Path) -> None:
    @detect_anomaly(tmp_path / "new" / "folder")
    def loss(x: Tensor) -> Any:
        return log(x).sum()

    for _ in range(2):
        with pytest.raises(AnomalyError):
            loss(leaf([-1.0]))
    assert float(loss(leaf([1.0]))) == 0 and STATE.watch is None


def test_what_is_remembered_goes_with_the_graph(tmp_path: Path) -> None:
    with detect_anomaly(tmp_path):
        middle = leaf([1.0, 2.0]) * 3
        watched = weakref.ref(middle.data)
        loss = sqrt(middle).sum()
        del middle
        gc.disable()
        try:
            assert watched() is not None
            loss.backward()
            assert watched() is None
        finally:
            gc.enable()


def test_hooks_and_anomaly_mode_go_together(tmp_path: Path) -> None:
    with detect_anomaly(tmp_path):
        x = leaf([4.0])
        y = sqrt(x)
        y.register_hook(lambda g: g * 2)
        y.sum().backward(retain=True)
        y.sum().backward()
    assert x.grad.tolist() == [1.0]


def test_inside_a_checkpointed_call(tmp_path: Path) -> None:
    x = leaf([1.0, 0.0])
    error = found(lambda: ag.checkpoint(sqrt)(x).sum().backward(), tmp_path)
    assert error.op == "sqrt" and "the derivative of sqrt made inf" in str(error)


# an overflow that became 0


@primitive
def mean_of_many(x: Any, /) -> Any:
    return np.mean(x)


mean_of_many.vjp(lambda g, shape: np.broadcast_to(g / shape[0], shape))


@primitive
def bell(x: Any, /) -> Any:
    return 1 / (1 + x * x)


bell.vjp(lambda g, x, y: -2 * g * x * y * y)


@primitive
def angle(x: Any, /) -> Any:
    return np.arctan(x)


angle.vjp(lambda g, x: g / (1 + x * x))


def test_an_overflow_that_became_zero_in_a_rule(tmp_path: Path) -> None:
    error = found(lambda: angle(leaf([[1.0], [300.0]], "float16")).sum().backward(), tmp_path)
    assert "in the gradient of argument 1 the derivative of angle made 0 out of an o" in str(error)
    assert "np.array(300.0, dtype" in fails(error)


def test_an_overflow_of_a_count_in_a_rule(tmp_path: Path) -> None:
    x = leaf(np.ones(70_000), "float16")
    error = found(lambda: mean_of_many(x).backward(), tmp_path)
    assert "derivative of mean_of_many made 0 out of an overflow: 70000 of 70000" in str(error)
    assert error.op == "mean_of_many" and "astype('float32')" in str(error)


@pytest.mark.parametrize("dtype, size", [("float16", 300.0), ("float32", 2e19), pytest.param(
    "float64", 1e154 * 2, marks=pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 2000,
                                                   reason="the long double is no wider here"))])
def test_an_overflow_that_became_zero_in_a_value(dtype: str, size: float, tmp_path: Path) -> None:
    error = found(lambda: bell(leaf([1.0, size], dtype)), tmp_path)
    assert "bell made 0 out of an overflow: 1 of 2 elements, the first at [1]" in str(error)
    source = fails(error)
    assert "is_not_lost" in source and "astype(np." in source


def test_zeros_that_are_right_are_no_anomaly(tmp_path: Path) -> None:
    with detect_anomaly(tmp_path):
        bell(leaf([0.0, 1e30], "float32"))  # 1e-60 is 0 in float32
        where(np.array([True, False]), leaf([1.0, 0.0]), 0.0).sum().backward()
        np.exp(np.array([1000.0]))  # an overflow of someone else's
        (leaf([1.0, 2.0]) * 0.0).sum().backward()
        ag.sigmoid(leaf([-1000.0, 1000.0])).sum().backward()
    with detect_anomaly(tmp_path, inf=False):
        bell(leaf([300.0], "float16"))
    assert not list(tmp_path.iterdir())


def test_our_ops_lose_nothing_over_70_000_elements(tmp_path: Path) -> None:
    x = leaf(np.ones(70_000), "float16")
    with detect_anomaly(tmp_path):
        for f in (ag.max, ag.mean, ag.std, ag.logsumexp, ag.norm, ag.nanmean, ag.cross_entropy):
            y = f(x, 0) if f is ag.cross_entropy else f(x)
            y.backward()
            assert ag.cross_entropy is f or f is ag.std or np.count_nonzero(x.grad) == x.size
            x.grad = None
