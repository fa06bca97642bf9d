r"""Softmax and cross-entropy in one: the mean negative log-likelihood of the right classes.

$$\ell = \frac1N \sum_n \Bigl(\ln \sum_v e^{z_{nv}} - z_{n t_n}\Bigr)$$

over the N rows whose target $t_n$ is not `ignore_index`. Kept: z and two numbers a row, its maximum
$m_n$ and $s_n = \sum_v e^{z_{nv} - m_n}$; no array of z's size is made before the backward pass,
which needs one for its result anyway.

$d\ell = \frac1N \sum_n \bigl(\sum_v p_{nv}\,dz_{nv} - dz_{n t_n}\bigr)$ with
$p_{nv} = e^{z_{nv} - m_n} / s_n$, so

$$\bar z_{nv} = \frac gN \bigl(p_{nv} - [v = t_n]\bigr), \qquad \bar z_{nv} = 0
\text{ for ignored rows.}$$

With $e_{nv} = e^{z_{nv} - m_n}$ that is $\frac{g}{N s_n}\,(e_{nv} - s_n [v = t_n])$: nothing but e
and one factor a row.

Each row of $\bar z$ sums to zero: adding a constant to a row of logits changes nothing. Traps: the
row's maximum is subtracted first and never added back, $\ln s_n - (z_{n t_n} - m_n)$, or large
logits would swallow the loss; N counts the rows that are not ignored, and where that is none the
loss is 0 (an empty sum) and so is its gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import autograd
from autograd import fused, namespace
from autograd.backend import Array
from autograd.tensor import values

from ...host.threads import over_rows


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
    z = logits.reshape(-1, logits.shape[-1])
    right, used, count = read_targets("softmax_cross_entropy", targets, z.shape[1], ignore_index)
    top, total, score = xp.empty((3, len(z)), z.dtype)

    def add_up(rows: slice) -> None:
        top[rows], total[rows], score[rows] = exponentials(
            z[rows], right[rows], used[rows], out=xp.empty_like(z[rows]))

    over_rows(add_up, z)
    return mean_loss(total, score, used, count), (z, top, total, right, used, count, logits.shape)


@softmax_cross_entropy.vjp
def _(g: Array, saved: Any) -> tuple[Any, None]:
    z, top, total, right, used, count, shape = saved
    xp = namespace(z)
    dz = xp.empty_like(z)
    scale, unused = row_scale(g, total, used, count), ~used[:, None]

    def pull(rows: slice) -> None:
        e = xp.subtract(z[rows], top[rows, None], out=dz[rows])
        xp.exp(e, out=e)
        subtract_one_hot(e, right[rows], total[rows])
        xp.copyto(e, 0, where=unused[rows])  # such a row may hold an inf
        e *= scale[rows]

    over_rows(pull, z)
    return dz.reshape(shape), None


def read_targets(op: str, targets: Array, classes: int, ignore_index: int) -> tuple[Any, Any, Any]:
    """Return a class for each row, whether the row is used, and the number of used rows, or 1.

    Raises TypeError for targets that are not integers, and on the host IndexError for a used one
    out of range.
    """
    xp = namespace(targets)
    if targets.dtype.kind not in "iu":
        raise TypeError(f"{op}: expected integer targets, got {targets.dtype}")
    targets = targets.reshape(-1)
    used = targets != ignore_index
    if xp is np:
        wrong = used & ((targets < 0) | (targets >= classes))
        if wrong.any():
            raise IndexError(f"{op}: targets must lie in [0, {classes}) or be "
                             f"ignore_index={ignore_index}, got {targets[wrong][0]}")
    return xp.where(used, targets, 0), used, xp.maximum(used.sum(), 1)


def exponentials(z: Array, right: Array, used: Array, out: Array) -> tuple[Any, Any, Any]:
    """Write e^{z - m} over `out`, m the row's maximum; return m, the sums s, and z_t - m.

    An unused row, which may hold anything, gets the sum 1.
    """
    xp = namespace(z)
    top = z.max(axis=-1)
    top = xp.where(xp.isfinite(top), top, 0)
    e = xp.subtract(z, top[:, None], out=out)
    score = e[xp.arange(len(e)), right]
    xp.exp(e, out=e)
    return top, xp.where(used, xp.einsum("nv->n", e), 1), score


def mean_loss(total: Array, score: Array, used: Array, count: Array) -> Array:
    """Return the mean of ln s - (z_t - m) over the used rows."""
    xp = namespace(total)
    return xp.where(used, xp.log(total) - score, 0).sum() / count.astype(total.dtype)


def subtract_one_hot(e: Array, right: Array, total: Array) -> None:
    """Turn e into s (p - one_hot(t)): the gradient but for a factor g / (N s) a row."""
    e[namespace(e).arange(len(e)), right] -= total


def row_scale(g: Array, total: Array, used: Array, count: Array) -> Array:
    """Return g / (N s) as a column, 0 for the rows that are not used."""
    return (used * (g / count.astype(total.dtype)) / total)[:, None]
