"""Memory across the engine: only what a rule names is kept; what is used up is freed at once."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, exp, grad, hvp, no_grad, tanh


@pytest.fixture(autouse=True)
def no_cycle_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(n: int = 3) -> Tensor:
    return Tensor(np.linspace(0.5, 1.5, n), requires_grad=True)


def test_what_no_rule_names_is_not_kept() -> None:
    x = leaf()
    total = x + 1.0
    data = weakref.ref(total.data)
    loss = (total - 2.0).sum()
    del total
    assert data() is None  # add, subtract and sum need no values
    product = exp(x)
    data = weakref.ref(product.data)
    loss = (product * x).sum()
    del product
    assert data() is not None  # but a product needs its factors
    loss.backward()
    assert data() is None


@pytest.mark.parametrize("record", [False, True])
def test_a_graph_is_freed_with_its_last_name(record: bool) -> None:
    x = leaf()
    loss = (tanh(x * x) * x).sum()
    node, data = weakref.ref(loss), weakref.ref(x.data)
    loss.backward(record=record)
    del loss, x
    assert node() is None and data() is None  # the gradient does not hold the leaf in a circle


def test_an_unused_graph_is_freed_too_however_long() -> None:
    x = leaf()
    y = x
    for _ in range(100_000):
        y = y * 1.0
    data = weakref.ref(x.data)
    del x, y
    assert data() is None


def test_memory_falls_while_the_sweep_proceeds() -> None:
    alive: list[int] = []
    x = Tensor(np.ones(1000), requires_grad=True)
    y, held = x, []
    for _ in range(10):
        y = exp(y * 0.1)
        held.append(weakref.ref(y.data))
        y.register_hook(lambda g: alive.append(sum(ref() is not None for ref in held)))
    loss = y.sum()
    del y
    loss.backward()
    assert alive == sorted(alive, reverse=True) and alive[-1] == 1


def step(w: Tensor, x: Any) -> None:
    w.grad = None
    loss = (tanh(x * w) ** 2).sum()
    loss.backward()
    w.data -= 0.01 * w.grad


@pytest.mark.long
def test_ten_thousand_steps_do_not_grow() -> None:
    w, x = leaf(), np.array([1.0, -1.0, 2.0])

    def run(n: int) -> int:
        for i in range(n):
            step(w, x)
            if i % 10 == 0:
                grad(lambda v: (tanh(x * v) ** 2).sum())(x)
                hvp(lambda v: (tanh(x * v) ** 2).sum(), x, x)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = run(4000)  # until CPython's own free lists are full
    grown = run(6000) - before
    tracemalloc.stop()
    assert grown < 2000


def test_nothing_is_kept_without_recording() -> None:
    x = leaf()
    with no_grad():
        y = exp(x)
    assert y.node is None


def test_a_hundred_thousand_ops() -> None:
    x = Tensor(np.ones(2), requires_grad=True)
    y = x
    for _ in range(25_000):
        y = tanh((y * 1.0001 + 0.0001) * 0.999)
    y.sum().backward()
    assert np.isfinite(x.grad).all() and (x.grad > 0).all()


def test_a_used_graph_is_freed_with_its_names() -> None:
    y = tanh(leaf() * 2)
    tensor = weakref.ref(y)
    loss = y.sum()
    loss.backward()
    del y, loss
    assert tensor() is None


def test_a_rule_keeps_only_what_it_names() -> None:
    x = leaf()
    a = x + 1
    dropped = weakref.ref(a)
    y = tanh(a)  # its rule names y, not x
    del a
    assert dropped() is None
    y.sum().backward()
    assert np.allclose(x.grad, 1 - np.tanh(x.data + 1) ** 2)
