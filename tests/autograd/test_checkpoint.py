"""Checkpointed calls: the same gradients for less memory, to any order."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, check_grads, checkpoint, exp, grad, hessian, no_grad, tanh

rng = np.random.default_rng(0)
W, X = rng.uniform(-1, 1, (3, 3)), rng.uniform(-1, 1, (2, 3))


def layer(x: Any, w: Any) -> Any:
    return tanh(x @ w) * x


def test_the_same_value_and_bit_equal_gradients() -> None:
    expected = grad(lambda x, w: layer(layer(x, w), w).sum(), (0, 1))(X, W)
    once = checkpoint(layer)
    got = grad(lambda x, w: once(once(x, w), w).sum(), (0, 1))(X, W)
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


def test_tensors_seen_by_closure_receive_their_gradients() -> None:
    w = Tensor(W, requires_grad=True)
    hidden = exp(w)  # computed before the call, reached by closure
    (checkpoint(lambda x: tanh(x @ w) @ hidden)(Tensor(X))).sum().backward()
    expected = grad(lambda w: (tanh(X @ w) @ exp(w)).sum())(W)
    assert np.allclose(w.grad, expected, rtol=1e-14)


def test_every_order_and_nesting() -> None:
    once = checkpoint(layer)
    check_grads(once, X, W, order=3)
    inner = checkpoint(lambda x, w: once(once(x, w), w))
    check_grads(inner, X, W)
    plain = hessian(lambda x: layer(layer(x, W), W).sum())(X)
    assert np.allclose(hessian(lambda x: inner(x, W).sum())(X), plain, rtol=1e-12)


def test_containers_of_several_results_and_unused_ones() -> None:
    @checkpoint
    def two(p: dict[str, Any], *, scale: float) -> dict[str, Any]:
        h = tanh(p["x"] @ p["w"])
        return {"h": h * scale, "rest": (h @ p["w"], 5.0)}

    def loss(x: Any, w: Any, both: bool = True) -> Any:
        y = two({"x": x, "w": w}, scale=2.0)
        return (y["h"] ** 2).sum() + ((y["rest"][0] * y["rest"][1]).sum() if both else 0.0)

    check_grads(loss, X, W)
    check_grads(lambda x, w: loss(x, w, both=False), X, W)


def test_calls_are_counted_once_forward_and_once_backward() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(1)
        return tanh(x)

    x = Tensor(X, requires_grad=True)
    y = checkpoint(f)(x)
    assert len(calls) == 1
    y.sum().backward()
    assert len(calls) == 2
    with no_grad():
        assert not checkpoint(f)(x).requires_grad
    assert not checkpoint(f)(Tensor(X)).requires_grad and len(calls) == 4


def test_a_used_graph_is_refused() -> None:
    x = Tensor(X, requires_grad=True)
    loss = checkpoint(tanh)(x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="already used this graph"):
        loss.backward()


def peak(layers: int, group: int) -> int:
    w = Tensor(np.eye(64) * 0.9, requires_grad=True)

    def run(x: Any, n: int) -> Any:
        for _ in range(n):
            x = tanh(x @ w)
        return x

    x = Tensor(np.ones((500, 64)), requires_grad=True)
    gc.collect()
    tracemalloc.start()
    y = x
    for _ in range(layers // group):
        y = checkpoint(run)(y, group) if group > 1 else run(y, 1)
    y.sum().backward()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_peak_memory_falls_to_about_two_square_roots() -> None:
    assert peak(36, 6) < 0.5 * peak(36, 1)


def test_an_argument_that_is_also_seen_by_closure_counts_once() -> None:
    f = grad(lambda x: checkpoint(lambda t: t * t * x)(x))
    assert float(f(2.0)) == 12 and float(grad(f)(2.0)) == 12
    w = Tensor(2.0, requires_grad=True)
    checkpoint(lambda t: t * w)(w).backward(record=True)
    assert float(w.grad) == 4


def test_transforms_inside_are_as_deep_when_computed_again() -> None:
    def f(x: Any) -> Any:
        return x * grad(lambda y: x * y)(2.0)

    assert float(grad(checkpoint(f))(3.0)) == float(grad(f)(3.0)) == 6


def test_hooks_of_what_is_seen_by_closure_run_once_with_the_whole_gradient() -> None:
    w, seen = Tensor(2.0, requires_grad=True), []
    w.register_hook(lambda g: seen.append(float(g)))
    x = Tensor(3.0, requires_grad=True)
    (checkpoint(lambda x: x * w)(x) + w).backward()
    assert seen == [4.0] and float(w.grad) == 4


def test_a_closure_tensor_returned_twice() -> None:
    w, x = Tensor(1.0, requires_grad=True), Tensor(1.0, requires_grad=True)
    a, b, c = checkpoint(lambda x: (w, w, x))(x)
    (a + 2 * b + c).backward()
    assert float(w.grad) == 3 and float(x.grad) == 1


def test_a_function_that_computes_something_else_again_is_refused() -> None:
    results = [2, 1]
    x = Tensor(1.0, requires_grad=True)
    y = checkpoint(lambda x: [x * 2] * results.pop(0))(x)
    with pytest.raises(RuntimeError, match="returned 2 .* at first and 1 when called again"):
        y[0].backward()
