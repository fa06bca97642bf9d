r"""Softmax and cross-entropy in one: the mean negative log-likelihood of the right classes.

$$\ell = \frac1N \sum_n \Bigl(\ln \sum_v e^{z_{nv}} - z_{n t_n}\Bigr)$$

over the N rows whose target $t_n$ is not `ignore_index`. Kept: z and two numbers a row, its maximum
$m_n$ and $s_n = \sum_v e^{z_{nv} - m_n}$; no array of z's size is made before the backward pass,
which needs one for its result anyway.

$d\ell = \frac1N \sum_n \bigl(\sum_v p_{nv}\,dz_{nv} - dz_{n t_n}\bigr)$ with
$p_{nv} = e^{z_{nv} - m_n} / s_n$, so

$$\bar z_{nv} = \frac gN \bigl(p_{nv} - [v = t_n]\bigr), \qquad \bar z_{nv} = 0
\text{ for ignored rows.}$$

Each row of $\bar z$ sums to zero: adding a constant to a row of logits changes nothing. Traps: the
row's maximum is subtracted first and never added back, $\ln s_n - (z_{n t_n} - m_n)$, or large
logits would swallow the loss; N counts the rows that are not ignored, and where that is none the
loss is 0 (an empty sum) and so is its gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array
from autograd.tensor import values

_BLOCK = 1 << 16  # elements exponentiated at a time: they stay in cache


def reference(logits: Any, targets: Any, /, *, ignore_index: int = -100) -> Any:
    """The definition, in primitives."""
    xp = namespace(values(logits))
    targets = xp.reshape(values(targets), -1)
    z = autograd.reshape(logits, (-1, logits.shape[-1]))
    used = targets != ignore_index
    right = z[xp.arange(len(targets)), xp.where(used, targets, 0)]
    losses = autograd.where(used, autograd.logsumexp(z, -1) - right, 0.0)
    return autograd.sum(losses) / xp.maximum(used.sum(), 1).astype(z.dtype)


@fused(reference)
def softmax_cross_entropy(logits: Array, targets: Array, /, *, ignore_index: int = -100) -> Any:
    """Return the mean of -ln softmax(logits)[target], in nats, as a scalar.

    logits of shape (..., V), targets (...) integers in [0, V) or `ignore_index`. Raises ValueError
    where the shapes differ, TypeError for targets that are not integers, IndexError for targets
    out of range (on the CPU; a GPU would have to wait for the answer).
    """
    xp = namespace(logits)
    if not logits.ndim or targets.shape != logits.shape[:-1]:
        raise ValueError(f"softmax_cross_entropy: expected logits (..., V) and targets (...), got "
                         f"{logits.shape} and {targets.shape}")
    if logits.dtype.kind in "biuc":
        raise TypeError(f"softmax_cross_entropy: expected floating logits, got {logits.dtype}")
    if targets.dtype.kind not in "iu":
        raise TypeError(f"softmax_cross_entropy: expected integer targets, got {targets.dtype}")
    z, targets = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
    used = targets != ignore_index
    _check_targets(targets, used, z.shape[1], ignore_index)
    right = xp.where(used, targets, 0)
    count = xp.maximum(used.sum(), 1).astype(z.dtype)
    top = z.max(axis=-1) if z.size else xp.zeros(len(z), dtype=z.dtype)
    top = xp.where(xp.isfinite(top), top, 0).astype(z.dtype)
    total = xp.empty_like(top)
    for rows in _row_blocks(z):
        total[rows] = xp.exp(z[rows] - top[rows, None]).sum(axis=-1)
    total = xp.where(used, total, 1).astype(z.dtype)
    losses = xp.log(total) - (z[xp.arange(len(z)), right] - top)
    loss = xp.where(used, losses, 0).sum() / count
    return loss, (z, top, total, right, used, count, logits.shape)


@softmax_cross_entropy.vjp
def _(g: Array, saved: Any) -> tuple[Any, None]:
    z, top, total, right, used, count, shape = saved
    xp = namespace(z)
    weight = xp.where(used, g / count, 0).astype(z.dtype)
    dz = xp.empty_like(z)
    for rows in _row_blocks(z):
        block = z[rows] - top[rows, None]
        block = xp.exp(block, out=block)
        block *= (weight[rows] / total[rows])[:, None]
        dz[rows] = block
    dz[xp.arange(len(z)), right] -= weight
    return dz.reshape(shape), None


def _row_blocks(z: Array) -> Iterator[slice]:
    step = max(1, _BLOCK // max(1, z.shape[1]))
    return (slice(start, start + step) for start in range(0, len(z), step))


def _check_targets(targets: Array, used: Array, classes: int, ignore_index: int) -> None:
    if namespace(targets).__name__ != "numpy":
        return
    wrong = used & ((targets < 0) | (targets >= classes))
    if wrong.any():
        raise IndexError(f"softmax_cross_entropy: targets must lie in [0, {classes}) or be "
                         f"ignore_index={ignore_index}, got {targets[wrong][0]}")
