"""Small computations whose tapes the tests read."""

from __future__ import annotations

import numpy as np

from autograd import Tensor, tanh


def leaf(*shape: int) -> Tensor:
    return Tensor(np.linspace(-1, 1, int(np.prod(shape))).reshape(shape), requires_grad=True)


def toy() -> tuple[Tensor, dict[str, Tensor]]:
    w, b = leaf(3, 4), leaf(4)
    return (tanh(np.ones((5, 3)) @ w + b) ** 2).mean() + 0.1 * (w * w).sum(), {"w": w, "b": b}
