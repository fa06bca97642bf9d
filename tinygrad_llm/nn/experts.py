"""A feed-forward layer of many experts, of which a router chooses a few for each position."""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd
from autograd import namespace
from autograd.backend import Array, wider
from autograd.tensor import values

from ..functional import experts
from .init import normal
from .layers import GatedMLP, Linear


class MixtureOfExperts:
    """The weighted sum of the `per_token` gated feed-forward networks that a router chooses.

    The router's probabilities $p = \\operatorname{softmax}(x R^\\top)$ are over all experts; those
    of the most likely are the weights, divided by their sum if `normalize`. With `shared_inner`
    every position also goes through one more network, times $\\sigma(x \\cdot s)$.

    Sources: Jiang et al., "Mixtral of Experts", arXiv:2401.04088, section 2.1 (normalised); Qwen
    Team, "Qwen2 Technical Report", arXiv:2407.10671, section 2.2.2 (the shared expert).
    """

    def __init__(self, width: int, inner: int, experts: int, per_token: int,
                 rng: np.random.Generator | None, *, activation: str = "silu",
                 normalize: bool = True, shared_inner: int = 0,
                 residual_std: float = 0.02) -> None:
        if not 1 <= per_token <= experts:
            raise ValueError(f"MixtureOfExperts: a position goes to 1 to {experts} of "
                             f"{experts} experts, got per_token {per_token}")
        self.per_token, self.activation, self.normalize = per_token, activation, normalize
        self.router = Linear(width, experts, rng, bias=False)
        self.gate_up = normal(rng, (experts, 2 * inner, width), 0.02)
        self.down = normal(rng, (experts, width, inner), residual_std)
        self.shared = self.shared_gate = None
        if shared_inner:
            self.shared = GatedMLP(width, shared_inner, rng, activation=activation,
                                   residual_std=residual_std)
            self.shared_gate = Linear(width, 1, rng, bias=False)

    def route(self, x: Any) -> tuple[Any, Array, Any]:
        """Return weights (N, K), choices (N, K) and probabilities (N, E) of positions x (N, C).

        Choices are in falling order of probability; of equal ones the first expert is chosen.
        Probabilities of half precision are made in float32, as are the weights before they are
        rounded.
        """
        p = autograd.softmax(wider(self.router(x)), -1)
        xp = namespace(values(p))
        chosen = xp.argsort(-values(p), axis=-1, kind="stable")[:, :self.per_token]
        weights = autograd.take_along_axis(p, chosen, -1)
        if self.normalize:
            weights = weights / autograd.sum(weights, -1, keepdims=True)
        return weights.astype(x.dtype), chosen, p

    def __call__(self, x: Any, routed: bool = False) -> Any:
        """Map each position by itself: (..., width) to (..., width).

        If `routed`, return also (probabilities (N, E), choices (N, K)) of all N positions, for the
        loss that balances the load.
        """
        rows = autograd.reshape(x, (-1, x.shape[-1]))
        weights, chosen, p = self.route(rows)
        y = experts(rows, weights, self.gate_up, self.down, chosen=chosen,
                    activation=self.activation)
        if self.shared is not None and self.shared_gate is not None:
            y = y + autograd.sigmoid(self.shared_gate(rows)) * self.shared(rows)
        y = autograd.reshape(y, x.shape)
        return (y, (p, chosen)) if routed else y
