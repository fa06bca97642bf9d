r"""The output layer and its cross-entropy in one: logits that no other op sees.

$$\ell = \frac1N \sum_n [t_n \ne \iota]\,\Bigl(\ln \sum_v e^{z_{nv}} - z_{n t_n}\Bigr), \qquad
Z = X W^\top$$

for targets t; N counts the rows n whose target is not $\iota$, the `ignore_index`. That is
`softmax_cross_entropy` of the logits Z. With the softmax $p_{nv} = e^{z_{nv}} / \sum_u e^{z_{nu}}$,
$d\ell = \frac1N \sum_n [t_n \ne \iota]\,\bigl(\sum_v p_{nv}\,dz_{nv} - dz_{n t_n}\bigr)$ and
$dZ = dX\,W^\top + X\,dW^\top$, so

$$\bar X = \bar Z W, \qquad \bar W = \bar Z^\top X, \qquad
\bar z_{nv} = [t_n \ne \iota]\,\frac gN \bigl(p_{nv} - [v = t_n]\bigr)$$

Kept: X, W, and what `softmax_cross_entropy` keeps, Z among it. With a vocabulary of 50,000 the
logits are larger than anything else that a forward pass makes. They belong to this op alone, so a
twin may write over them.
"""

from __future__ import annotations

from typing import Any

from autograd import fused, namespace
from autograd.backend import Array

from . import softmax_cross_entropy as of_logits


def reference(x: Any, w: Any, targets: Any, /, *, ignore_index: int = -100) -> Any:
    """The definition, in primitives."""
    return of_logits.reference(x @ w.T, targets, ignore_index=ignore_index)


@fused(reference)
def linear_cross_entropy(x: Array, w: Array, targets: Array, /, *,
                         ignore_index: int = -100) -> Any:
    """Return the mean of -ln softmax(x @ w.T)[target], in nats, as a scalar.

    x of shape (..., C), w (V, C), targets (...) integers in [0, V) or `ignore_index`. Raises
    ValueError where the shapes do not fit, TypeError for targets that are not integers, IndexError
    for targets out of range (on the CPU; a GPU would have to wait for the answer).
    """
    rows = x.reshape(targets.size, w.shape[1])  # N, C
    z = rows @ w.T  # N, V
    loss, kept = of_logits.softmax_cross_entropy.forward(
        z, targets.reshape(-1), ignore_index=ignore_index)
    return loss, (rows, w, kept, x.shape)


@linear_cross_entropy.vjp
def backward(g: Array, saved: Any) -> tuple[Any, Any, None]:
    """Return the gradients of x and w."""
    rows, w, kept, shape = saved
    dz, _ = of_logits.backward(g, kept)
    return (dz @ w).reshape(shape), dz.T @ rows, None


@linear_cross_entropy.check
def check(x: Array, w: Array, targets: Array, /, *, ignore_index: int = -100) -> None:
    """Raise unless the shapes fit, x and w are floating and targets are classes or ignored."""
    name = "linear_cross_entropy"
    if not x.ndim or w.ndim != 2 or x.shape[-1:] != w.shape[1:] or targets.shape != x.shape[:-1]:
        raise ValueError(f"{name}: expected x (..., C), w (V, C) and targets (...), got x "
                         f"{x.shape}, w {w.shape}, targets {targets.shape}; w holds one row for "
                         f"each class")
    if namespace(x).result_type(x, w).kind in "biuc":
        raise TypeError(f"{name}: expected floating x and w, got {x.dtype} and {w.dtype}")
    of_logits.check_targets(name, targets, len(w), ignore_index)
