r"""Softmax and cross-entropy in one: the mean negative log-likelihood of the right classes.

$$\ell = \frac1N \sum_n [t_n \ne \iota]\,\Bigl(\ln \sum_v e^{z_{nv}} - z_{n t_n}\Bigr)$$

for logits z and targets t; N counts the rows n whose target is not $\iota$, the `ignore_index`.
Kept: z, which the engine keeps in any case, and two numbers a row, its maximum $m_n$ and
$s_n = \sum_v e^{z_{nv} - m_n}$.

$d\ell = \frac1N \sum_n [t_n \ne \iota]\,\bigl(\sum_v p_{nv}\,dz_{nv} - dz_{n t_n}\bigr)$ with the
softmax $p_{nv} = e^{z_{nv} - m_n} / s_n$, so

$$\bar z_{nv} = k_n \bigl(p_{nv} - [v = t_n]\bigr), \qquad k_n = [t_n \ne \iota]\,\frac gN$$

Each row of $\bar z$ sums to zero: adding a constant to a row of logits changes nothing. Traps: the
row's maximum is subtracted first and never added back, $\ln s_n - (z_{n t_n} - m_n)$, or large
logits would swallow the loss; an ignored row may hold an infinity, so its logits are taken as 0
before anything is computed from them; where all rows are ignored the loss is 0 (an empty sum) and
so is its gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd
from autograd import fused, namespace
from autograd.backend import Array
from autograd.tensor import values


def reference(logits: Any, targets: Any, /, *, ignore_index: int = -100) -> Any:
    """The definition, in primitives."""
    xp = namespace(values(logits))
    targets = xp.reshape(values(targets), -1)
    z = autograd.reshape(logits, (-1, logits.shape[-1]))
    used = targets != ignore_index
    right = z[xp.arange(len(targets)), xp.where(used, targets, 0)]
    losses = autograd.where(used, autograd.logsumexp(z, -1) - right, 0.0)
    return autograd.sum(losses) / xp.maximum(used.sum(), 1).astype(losses.dtype)


@fused(reference)
def softmax_cross_entropy(logits: Array, targets: Array, /, *, ignore_index: int = -100) -> Any:
    """Return the mean of -ln softmax(logits)[target], in nats, as a scalar.

    logits of shape (..., V), targets (...) integers in [0, V) or `ignore_index`. Raises ValueError
    where the shapes differ, TypeError for targets that are not integers, IndexError for targets
    out of range (on the CPU; a GPU would have to wait for the answer).
    """
    xp = namespace(logits)
    t, used, count = read_targets(targets, ignore_index)
    z = xp.where(used, logits.reshape(len(t), logits.shape[-1]), 0)  # N, V
    m = z.max(-1, keepdims=True)
    s = xp.exp(z - m).sum(-1, keepdims=True)
    right = z[xp.arange(len(t)), t, None]
    losses = xp.where(used, xp.log(s) - (right - m), 0)
    return losses.sum() / count.astype(z.dtype), (logits, m, s, t, used, count)


@softmax_cross_entropy.vjp
def backward(g: Array, saved: Any) -> tuple[Any, None]:
    """Return the gradient of the logits."""
    logits, m, s, t, used, count = saved
    xp = namespace(logits)
    z = xp.where(used, logits.reshape(len(t), logits.shape[-1]), 0)  # N, V
    dz = xp.exp(z - m) / s  # p
    dz[xp.arange(len(t)), t] -= 1
    dz *= used * (g / count.astype(z.dtype))  # k
    return dz.reshape(logits.shape), None


@softmax_cross_entropy.check
def check(logits: Array, targets: Array, /, *, ignore_index: int = -100) -> None:
    """Raise unless the shapes fit, logits are floating and targets are classes or ignored."""
    name = "softmax_cross_entropy"
    if not logits.ndim or targets.shape != logits.shape[:-1]:
        raise ValueError(f"{name}: expected logits (..., V) and targets (...), got "
                         f"{logits.shape} and {targets.shape}")
    if logits.dtype.kind in "biuc":
        raise TypeError(f"{name}: expected floating logits, got {logits.dtype}")
    check_targets(name, targets, logits.shape[-1], ignore_index)


def read_targets(targets: Array, ignore_index: int) -> tuple[Array, Array, Array]:
    """Return a class for each row (N,), which rows are used (N, 1), and their number, or 1."""
    xp, targets = namespace(targets), targets.reshape(-1)
    used = targets != ignore_index
    return xp.where(used, targets, 0), used[:, None], xp.maximum(used.sum(), 1)


def check_targets(op: str, targets: Array, classes: int, ignore_index: int) -> None:
    """Raise TypeError unless targets are integers, and on the host IndexError for no class."""
    if targets.dtype.kind not in "iu":
        raise TypeError(f"{op}: expected integer targets, got {targets.dtype}")
    if namespace(targets) is np:
        wrong = (targets != ignore_index) & ((targets < 0) | (targets >= classes))
        if wrong.any():
            raise IndexError(f"{op}: targets must lie in [0, {classes}) or be "
                             f"ignore_index={ignore_index}, got {targets[wrong][0]}")
