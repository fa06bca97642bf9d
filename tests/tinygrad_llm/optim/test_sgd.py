"""Gradient descent against its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimizing import give_gradients, random_parameters

from tinygrad_llm.optim import SGD, Arena


@pytest.mark.parametrize("layout", [dict, Arena])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_its_definition(layout: Any, nesterov: bool, decoupled: bool, momentum: float) -> None:
    ps = random_parameters()
    optimizer = SGD(layout(ps), momentum=momentum, nesterov=nesterov, decoupled=decoupled,
                    weight_decay=0.3)
    expected = {name: p.data.copy() for name, p in ps.items()}
    m = dict.fromkeys(ps, 0.0)
    for t in range(1, 6):
        lr = 0.1 / t
        give_gradients(ps, t)
        gradients = {name: p.grad for name, p in ps.items()}
        optimizer.update(lr)
        for name, x in expected.items():
            g, decay = gradients[name], 0.3 * (x.ndim >= 2)
            if not decoupled:
                g = g + decay * x
            m[name] = momentum * m[name] + g
            d = g + momentum * m[name] if nesterov else m[name]
            expected[name] = x - lr * decay * x * decoupled - lr * d
            np.testing.assert_allclose(ps[name].data, expected[name], rtol=1e-12)


def test_nesterovs_gradient_is_that_of_the_place_ahead() -> None:
    """The rule of the file, of places ahead, is his rule of places: the same walk."""
    def gradient(x: float) -> float:
        return 3 * x + np.sin(x)

    ps = {"x": random_parameters()["one"]}
    ps["x"].data[...] = place = 2.0
    optimizer, speed = SGD(ps, momentum=0.8, weight_decay=0.0), 0.0
    for _ in range(6):
        ps["x"].grad = np.asarray(gradient(float(ps["x"].data)))
        optimizer.update(0.05)
        speed = 0.8 * speed + gradient(place - 0.05 * 0.8 * speed)
        place -= 0.05 * speed
        assert float(ps["x"].data) == pytest.approx(place - 0.05 * 0.8 * speed, rel=1e-13)
