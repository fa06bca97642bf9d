"""Hooks, wherever a gradient comes by: in plain, recorded and partial passes, in checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autograd import Tensor, checkpoint, grad, pull_back, tanh


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


def test_a_hook_sees_the_complete_gradient_once() -> None:
    x, seen = leaf(1.0, 2.0), []
    y = x * x
    y.register_hook(lambda g: seen.append(g))
    (y * 3 + y).sum().backward()
    assert len(seen) == 1 and seen[0].tolist() == [4, 4]
    assert x.grad.tolist() == [8, 16]


def test_a_hook_may_replace_the_gradient() -> None:
    x = leaf(1.0, -2.0)
    h = x * 5
    h.register_hook(lambda g: np.clip(g, -0.5, 0.5))
    x.register_hook(lambda g: 2 * g)
    (h * np.array([1.0, 0.1])).sum().backward()
    assert x.grad.tolist() == [2 * 5 * 0.5, 2 * 5 * 0.1]


def test_hooks_run_in_order_and_can_be_removed() -> None:
    x, seen = leaf(1.0), []
    first = x.register_hook(lambda g: seen.append("first"))
    x.register_hook(lambda g: seen.append("second"))
    (x * x).sum().backward()
    first()
    first()
    (x * x).sum().backward()
    assert seen == ["first", "second", "second"]


def test_hooks_work_in_recorded_passes_and_partial_ones() -> None:
    x = leaf(0.5)
    y = x * x
    y.register_hook(lambda g: g * 3)
    (dx,) = pull_back([y], [np.ones(1)], [x], record=True)
    assert isinstance(dx, Tensor) and dx.data.tolist() == [3.0]
    (dx * 1.0).sum().backward()
    assert x.grad.tolist() == [6.0]
    seen: list[Any] = []

    def f(x: Tensor) -> Tensor:
        h = tanh(x)
        h.register_hook(seen.append)
        return h.sum()

    grad(f)(np.ones(2))
    assert seen[0].tolist() == [1, 1]


def test_hooks_inside_a_checkpoint() -> None:
    x, seen = leaf(0.5), []

    def f(x: Tensor) -> Tensor:
        h = x * x
        h.register_hook(seen.append)
        return h * 2

    checkpoint(f)(x).sum().backward()
    assert [g.tolist() for g in seen] == [[2.0]] and x.grad.tolist() == [2.0]


def test_wrong_hooks() -> None:
    with pytest.raises(RuntimeError, match="register_hook: this Tensor is a constant"):
        Tensor(1.0).register_hook(print)
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: g[:1])
    with pytest.raises(ValueError, match=r"of the shape \(2,\) or None, got \(1,\)"):
        (x * x).sum().backward()


def test_what_a_hook_returns_takes_the_kind_and_dtype_of_the_gradient() -> None:
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    remove = x.register_hook(lambda g: Tensor(np.array([1.0, 2.0])))
    (x * x).sum().backward()
    assert type(x.grad) is np.ndarray and x.grad.dtype == np.float32
    remove()
    x.register_hook(lambda g: np.array([1.0, 2.0]))
    (dx,) = pull_back([(x * x).sum()], [None], [x], record=True)
    assert isinstance(dx, Tensor) and dx.dtype == np.float32
    with pytest.raises(TypeError, match="expected a function of the gradient, got 3"):
        x.register_hook(3)  # type: ignore[arg-type]
