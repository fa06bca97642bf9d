"""Twin of `experts`: an expert a thread, weights' gradients written where they belong.

The gradients of all experts' weights are E / K times as large as those that a dense network of
the same cost has: an array of that size for each call would take longer to fill than to compute.
And an expert that nothing chose adds nothing to a gradient, which then is not touched.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from autograd.backend import Array, narrowed, wide, wider
from autograd.deferred import Deferred

from ...host.threads import each, matmul, write_product
from ..experts import ACTIVATIONS, by_expert, experts, in_places


def forward(x: Array, p: Array, gate_up: Array, down: Array, /, *, chosen: Array,
            activation: str = "silu") -> Any:
    """Return what `experts` does."""
    given, x, p = (x, p, gate_up, down), wider(x), wider(p)
    act, act_backward, options = ACTIVATIONS[activation]
    act_forward, act_backward = act.twins.get("numpy", (act.forward, act_backward))
    order, parts = by_expert(chosen, len(gate_up))
    rows = order // chosen.shape[1]
    h, s = act_forward(_products(x[rows], gate_up.swapaxes(1, 2), parts), **options)
    o = in_places(order, _products(h, down.swapaxes(1, 2), parts), chosen.shape)  # N, K, C
    y = narrowed(np.einsum("nk,nkc->nc", p, o), *given)
    return y, (x, p, gate_up, down, order, rows, parts, h, s, act_backward)


def backward(g: Array, saved: Any) -> tuple[Any, ...]:
    """Return the gradients of x, p, gate_up and down."""
    x, p, gate_up, down, order, rows, parts, h, s, act_backward = saved
    gs, weights = g[rows], p.reshape(-1)[order, None]
    q = _products(gs, down, parts)
    dp = in_places(order, np.einsum("nf,nf->n", q, h), p.shape)
    q *= weights
    gs *= weights
    dz = act_backward(q, s)
    dx = in_places(order, _products(dz, gate_up, parts), p.shape).sum(1)
    du = Deferred(gate_up, partial(_write, dz, x[rows], parts))
    return dx, dp, du, Deferred(down, partial(_write, gs, h, parts))


def _products(a: Array, matrices: Array, parts: dict[int, slice]) -> Array:
    """Return the rows of a, each times the matrix of its expert."""
    kind = np.result_type(a, wide(matrices.dtype))
    y, used = np.empty((len(a), matrices.shape[2]), kind), list(parts)

    def multiply(i: int) -> None:
        part = parts[used[i]]
        matmul(a[part], wider(matrices[used[i]]), out=y[part])

    each(len(used), multiply)
    return y


def _write(a: Array, b: Array, parts: dict[int, slice], total: Array, add: bool) -> None:
    """Set each expert's part of `total` to the product of its rows, a.T @ b, or add it there."""
    used = list(parts)
    if not add:
        total[list({*range(len(total))} - parts.keys())] = 0

    def multiply(i: int) -> None:
        part = parts[used[i]]
        write_product(a[part].T, b[part], total[used[i]], add)

    each(len(used), multiply)


experts.twin("numpy", forward, backward, half=True)
