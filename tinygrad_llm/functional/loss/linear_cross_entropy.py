r"""The output layer and its cross-entropy in one: logits that are nobody else's.

$$\ell = \frac1N \sum_n \Bigl(\ln \sum_v e^{z_{nv}} - z_{n t_n}\Bigr), \qquad
z_{nv} = \sum_c x_{nc} w_{vc}$$

over the N rows whose target $t_n$ is not `ignore_index`: `softmax_cross_entropy` of
$Z = X W^\top$. With a vocabulary of 50,000 the logits are larger than anything else that a forward
pass makes. Here they exist once: what the backward pass needs is written over them.

With the row's maximum $m_n$, $e_{nv} = e^{z_{nv} - m_n}$ and $s_n = \sum_v e_{nv}$, the gradient of
the logits is, as derived there,

$$\bar z_{nv} = k_n\,a_{nv}, \qquad a_{nv} = e_{nv} - s_n [v = t_n], \qquad
k_n = \frac{g}{N s_n}, \quad k_n = 0 \text{ for ignored rows.}$$

a does not depend on g, so the forward pass makes it, in place of z and while a block of rows is in
the cache: one exponential for each logit in both passes together. Kept: a, s, x and w.

Z is linear in X and in W: $dZ = dX\,W^\top + X\,dW^\top$, so $\bar X = \bar Z W$ and
$\bar W = \bar Z^\top X$. The factors k belong to rows, and rows of a product are scaled after it as
well as before, which leaves a untouched: with $K = \operatorname{diag}(k)$

$$\bar X = K (A W), \qquad \bar W = A^\top (K X) .$$

Source: that the gradient takes the place of the logits, from the kernel FusedLinearCrossEntropy of
Hsu et al., "Liger Kernel", arXiv:2410.10989, which moreover takes the rows in chunks.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from autograd import fused, namespace
from autograd.backend import Array
from autograd.deferred import Deferred

from ...host.threads import matmul, over_rows, write_product
from .softmax_cross_entropy import (
    exponentials,
    mean_loss,
    read_targets,
    row_scale,
    subtract_one_hot,
)
from .softmax_cross_entropy import reference as of_logits


def reference(x: Any, w: Any, targets: Any, /, *, ignore_index: int = -100) -> Any:
    """The definition, in primitives."""
    return of_logits(x @ w.T, targets, ignore_index=ignore_index)


@fused(reference)
def linear_cross_entropy(x: Array, w: Array, targets: Array, /, *,
                         ignore_index: int = -100) -> Any:
    """Return the mean of -ln softmax(x @ w.T)[target], in nats, as a scalar.

    x of shape (..., C), w (V, C), targets (...) integers in [0, V) or `ignore_index`. Raises
    ValueError where the shapes do not fit, TypeError for targets that are not integers, IndexError
    for targets out of range (on the CPU; a GPU would have to wait for the answer).
    """
    if not x.ndim or w.ndim != 2 or x.shape[-1:] != w.shape[1:] or targets.shape != x.shape[:-1]:
        raise ValueError(f"linear_cross_entropy: expected x (..., C), w (V, C) and targets (...), "
                         f"got x {x.shape}, w {w.shape}, targets {targets.shape}; w holds one row "
                         f"for each class")
    xp = namespace(x)
    if xp.result_type(x, w).kind in "biuc":
        raise TypeError(f"linear_cross_entropy: expected floating x and w, got {x.dtype} and "
                        f"{w.dtype}")
    right, used, count = read_targets("linear_cross_entropy", targets, len(w), ignore_index)
    shape, x = x.shape, x.reshape(len(right), w.shape[1])  # N, C
    z = matmul(x, w.T)  # N, V
    total, score = xp.empty((2, len(z)), z.dtype)

    def replace(rows: slice) -> None:
        block = z[rows]
        _, total[rows], score[rows] = exponentials(block, right[rows], used[rows], out=block)
        subtract_one_hot(block, right[rows], total[rows])

    over_rows(replace, z)
    return mean_loss(total, score, used, count), (x, w, z, total, used, count, shape)


@linear_cross_entropy.vjp
def _(g: Array, saved: Any) -> tuple[Any, Any, None]:
    x, w, a, total, used, count, shape = saved
    k = row_scale(g, total, used, count)
    dx = matmul(a, w)
    dx *= k
    dw = Deferred(w, partial(write_product, a.T, x * k))  # w is large: no second array of its size
    return dx.reshape(shape), dw, None
