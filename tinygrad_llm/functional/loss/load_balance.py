r"""A loss that spreads the rows evenly over the experts of a mixture.

$$\ell = E \sum_e f_e\,P_e, \qquad f_e = \frac1N \sum_{n,k} [i_{nk} = e], \qquad
P_e = \frac1N \sum_n p_{ne}$$

for the router's probabilities $p_{ne}$ of E experts and the choices $i_{nk}$ of N rows, k = 1..K:
f is the share of rows that chose an expert, P the mean of the probabilities that it was given.
Where both are even the loss is K.

The counts f are constants, as the choice is discrete: only P has a differential. $d\ell =
\frac EN \sum_{n,e} f_e\,dp_{ne}$, so

$$\bar p_{ne} = \frac{g E}{N} f_e$$

and descent takes probability from an expert in proportion to how often it was chosen. Kept: this
slope without g, one number for each expert, as the loss is linear in p. Trap: f counts all K
choices, so it sums to K, not to 1: that is how the models of Mixtral and Qwen count. Without rows
the loss is 0 (an empty sum).

Source: Fedus, Zoph, Shazeer, "Switch Transformers", arXiv:2101.03961, equations 4 to 6.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd
from autograd import fused, namespace
from autograd.backend import Array
from autograd.tensor import values

from ..experts import check_integers, check_range


def reference(p: Any, /, *, chosen: Any) -> Any:
    """The definition, in primitives."""
    return autograd.sum(slopes(values(chosen), values(p)) * p)


@fused(reference)
def load_balance(p: Array, /, *, chosen: Array) -> Any:
    """Return $E \\sum_e f_e P_e$ as a scalar: p (N, E) probabilities, chosen (N, K) experts.

    Raises ValueError where the shapes do not fit, TypeError for choices that are not integers or
    probabilities that are, IndexError for experts that are not there (on the CPU; a GPU would have
    to wait for the answer).
    """
    slope = slopes(chosen, p)
    return (slope * p.sum(0)).sum(), (slope, len(p))


@load_balance.vjp
def backward(g: Array, saved: Any) -> Any:
    """Return the gradient of p."""
    slope, rows = saved
    return namespace(slope).tile(g * slope, (rows, 1))


@load_balance.check
def check(p: Array, /, *, chosen: Array) -> None:
    """Raise unless the shapes fit, p is floating and, on the host, each choice is an expert."""
    if p.ndim != 2 or chosen.ndim != 2 or len(chosen) != len(p):
        raise ValueError(f"load_balance: expected p (N, E) and chosen (N, K), got {p.shape} and "
                         f"{chosen.shape}")
    if p.dtype.kind in "biuc":
        raise TypeError(f"load_balance: expected floating probabilities, got {p.dtype}")
    check_integers("load_balance", chosen)
    if namespace(chosen) is np and chosen.size:
        check_range("load_balance", chosen, p.shape[1])


def slopes(chosen: Array, p: Array) -> Array:
    """Return $\\frac EN f_e$ for each expert e, in the dtype of p."""
    xp, (rows, count) = namespace(p), p.shape
    counts = (chosen[..., None] == xp.arange(count)).sum((0, 1))
    return (count * counts / max(rows, 1) ** 2).astype(p.dtype)
