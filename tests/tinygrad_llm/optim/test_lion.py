"""Lion against its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimizing import give_gradients, random_parameters

from tinygrad_llm.optim import Arena, Lion


@pytest.mark.parametrize("layout", [dict, Arena])
def test_its_definition(layout: Any) -> None:
    ps = random_parameters()
    optimizer = Lion(layout(ps), beta1=0.7, beta2=0.9, weight_decay=0.3)
    expected = {name: p.data.copy() for name, p in ps.items()}
    m = {name: np.zeros(p.shape) for name, p in ps.items()}
    for t in range(1, 8):
        lr = 0.1 / t
        give_gradients(ps, t)
        gradients = {name: p.grad for name, p in ps.items()}
        optimizer.update(lr)
        for name, x in expected.items():
            g, decay = gradients[name], 0.3 * (x.ndim >= 2)
            expected[name] = x - lr * (np.sign(0.7 * m[name] + 0.3 * g) + decay * x)
            m[name] = 0.9 * m[name] + 0.1 * g
            np.testing.assert_allclose(ps[name].data, expected[name], rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(optimizer.m[name], m[name], rtol=1e-12, atol=1e-14)


def test_every_element_moves_by_the_rate_or_not_at_all() -> None:
    ps = random_parameters()
    optimizer, before = Lion(ps, weight_decay=0.0), ps["tall.weight"].data.copy()
    give_gradients(ps, 0, scale=1e6)
    still = ps["tall.weight"].grad == 0
    optimizer.update(0.25)
    moved = np.abs(ps["tall.weight"].data - before)
    np.testing.assert_allclose(moved, np.where(still, 0, 0.25), rtol=1e-12)
