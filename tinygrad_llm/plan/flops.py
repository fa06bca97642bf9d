r"""The arithmetic of an op in training, from its shapes.

Products of a fused op count here what the maths asks for, $2mnk$ for each product of matrices, and
attention the pairs of a query and a key that it sees, so with a causal mask about half of $T^2$. A
backward pass has two products for each of the forward pass; computing something again counts
nothing. Every other op counts what `autograd.tape.flops` counts: of a fused op its reference.

>>> pairs(4, 4), pairs(4, 6, window=2)
(10, 8)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from autograd.backend import Shape
from autograd.fused import Fused
from autograd.graph import Node
from autograd.tape import flops as by_reference
from autograd.tape.walk import shapes


def pairs(queries: int, keys: int, window: int | None = None) -> int:
    """Return how many pairs of a query and a key that it sees there are."""
    return sum(min(window or keys, keys - queries + i + 1) for i in range(queries))


def _linear(xs: Sequence[Shape], _: Any) -> float:
    return 2.0 * prod(xs[0]) * xs[1][0]  # x (..., I) and w (O, I)


def _attention(xs: Sequence[Shape], options: Any) -> float:
    (batch, time, heads, depth), (_, keys, _, _) = xs[:2]
    return 4.0 * batch * heads * depth * pairs(time, keys, options.get("window"))


def _experts(xs: Sequence[Shape], _: Any) -> float:
    _, p, gate_up, down = xs
    return 2.0 * prod(p) * (prod(gate_up[1:]) + prod(down[1:]))


PRODUCTS: dict[str, Callable[[Sequence[Shape], Any], float]] = {
    "linear": _linear, "linear_cross_entropy": _linear,
    "chunked_cross_entropy": _linear, "attention": _attention,
    "experts": _experts}


def flops(node: Node, known: dict[Any, tuple[float, float]]) -> tuple[float, float]:
    """Return the operations of one node, forward and backward; `known` as in `tape.flops`."""
    if isinstance(node.op, Fused) and node.op.name in PRODUCTS:
        forward = PRODUCTS[node.op.name](shapes(node), node.kept[2])
        return forward, 2 * forward
    return by_reference.flops(node, known)
