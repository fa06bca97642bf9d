"""Adafactor against its definition, and its rank-one moments against the claim about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimizing import give_gradients, random_parameters

from tinygrad_llm.optim import Adafactor, Arena


def rms(x: Any) -> float:
    return float(np.sqrt((x**2).mean()))


@pytest.mark.parametrize("layout", [dict, Arena])
@pytest.mark.parametrize("relative", [False, True])
def test_its_definition(layout: Any, relative: bool) -> None:
    ps = random_parameters()
    ps["tall.weight"].data *= 1e-5  # smaller than what a relative step is relative to
    optimizer = Adafactor(layout(ps), relative_step=relative, weight_decay=0.3, decay_power=0.7,
                          clip_update=0.9)
    expected = {name: p.data.copy() for name, p in ps.items()}
    squares = {name: np.zeros(p.shape) for name, p in ps.items()}
    clipped = set()
    for t in range(1, 9):
        lr = 0.1 if t % 2 else 0.4
        give_gradients(ps, t, scale=10.0 ** (t % 4))
        gradients = {name: p.grad for name, p in ps.items()}
        optimizer.update(lr)
        for name, x in expected.items():
            g, beta, decay = gradients[name], 1 - t**-0.7, 0.3 * (x.ndim >= 2)
            s = squares[name] = beta * squares[name] + (1 - beta) * (g**2 + 1e-30)
            v = s if x.ndim < 2 else (s.mean(-1, keepdims=True) * s.mean(-2, keepdims=True)
                                      / s.mean((-1, -2), keepdims=True))
            u = g / np.sqrt(v)
            clipped.add(rms(u) > 0.9)
            step = max(1e-3, rms(x)) * min(lr, t**-0.5) if relative else lr
            expected[name] = x - lr * decay * x - step * u / max(1.0, rms(u) / 0.9)
            np.testing.assert_allclose(ps[name].data, expected[name], rtol=1e-11, atol=1e-14)
    assert clipped == {False, True}


def test_of_rank_one_it_is_exact_and_the_first_step_is_of_the_size_of_the_rate() -> None:
    ps = {"p": random_parameters()["tall.weight"]}
    before, rng = ps["p"].data.copy(), np.random.default_rng(0)
    ps["p"].grad = np.outer(rng.normal(size=9), rng.normal(size=4))
    sign = np.sign(ps["p"].grad)
    Adafactor(ps, weight_decay=0.0).update(0.01)
    np.testing.assert_allclose(before - ps["p"].data, 0.01 * sign, rtol=1e-10)


def test_no_matrix_of_rank_one_is_nearer() -> None:
    rng = np.random.default_rng(0)
    s = rng.normal(size=(6, 4)) ** 2

    def divergence(a: Any, b: Any) -> float:
        v = np.outer(a, b)
        return float((s * np.log(s / v) - s + v).sum())

    a, b = s.mean(1) / s.mean(), s.mean(0)
    least = divergence(a, b)
    for _ in range(200):
        change = 1e-3 * rng.normal(size=10)
        assert divergence(a * np.exp(change[:6]), b * np.exp(change[6:])) >= least


def test_gradients_of_zero_leave_everything() -> None:
    ps = random_parameters(dtype=np.float32)
    before, optimizer = {n: p.data.copy() for n, p in ps.items()}, Adafactor(ps, weight_decay=0.0)
    for _ in range(3):
        for p in ps.values():
            p.grad = np.zeros_like(p.data)
        optimizer.update(0.1)
    for name, p in ps.items():
        assert (p.data == before[name]).all()
