r"""Twin of `linear_cross_entropy` that holds the logits once.

With the row's maximum $m_n$, $e_{nv} = e^{z_{nv} - m_n}$ and $s_n = \sum_v e_{nv}$, the gradient of
the logits is

$$\bar z_{nv} = k_n\,a_{nv}, \qquad a_{nv} = e_{nv} - s_n [v = t_n], \qquad
k_n = \frac{g}{N s_n}, \quad k_n = 0 \text{ for ignored rows.}$$

a does not depend on g, so the forward pass makes it, in place of z and while a block of rows is in
the cache: one exponential for each logit in both passes together. The factors k belong to rows,
and rows of a product are scaled after it as well as before, which leaves a untouched: with
$K = \operatorname{diag}(k)$

$$\bar X = K (A W), \qquad \bar W = A^\top (K X) .$$

Source: that the gradient takes the place of the logits, from the kernel FusedLinearCrossEntropy of
Hsu et al., "Liger Kernel", arXiv:2410.10989, which moreover takes the rows in chunks.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from autograd.backend import Array, narrowed, wider
from autograd.deferred import Deferred

from ...host.threads import matmul, over_rows, write_product
from ..loss.linear_cross_entropy import linear_cross_entropy
from ..loss.softmax_cross_entropy import read_targets
from .linear import times_rows


def forward(x: Array, w: Array, targets: Array, /, *, ignore_index: int = -100) -> Any:
    """Return what `linear_cross_entropy` does."""
    t, used, count = read_targets(targets, ignore_index)
    used = used[:, 0]
    shape, x = x.shape, x.reshape(len(t), w.shape[1])  # N, C
    z = times_rows(x, w)  # N, V
    _, s, right = gradient_in_place(z, t, used)
    loss = np.where(used, np.log(s) - right, 0).sum() / count.astype(z.dtype)
    return narrowed(loss, x, w), (x, w, z, s, used, count, shape)


def gradient_in_place(z: Array, t: Array, used: Array) -> Array:
    """Write a over the logits z; return for each row m, s and z_t - m, of shape (3, N)."""
    m, s, right = found = np.empty((3, len(z)), z.dtype)

    def replace(rows: slice) -> None:
        block, place = z[rows], (np.arange(len(z[rows])), t[rows])
        block[~used[rows]] = 0  # it may be anything
        m[rows] = block.max(axis=-1)
        block -= m[rows, None]
        right[rows] = block[place]
        np.exp(block, out=block)
        s[rows] = np.einsum("nv->n", block)
        block[place] -= s[rows]

    over_rows(replace, z)
    return found


def backward(g: Array, saved: Any) -> tuple[Any, Any, None]:
    """Return the gradients of x and w."""
    x, w, a, s, used, count, shape = saved
    k = (used * (g / count.astype(s.dtype)) / s)[:, None]
    dx = matmul(a, wider(w))
    dx *= k
    # w is large: no second array of its size.
    dw = Deferred(w, partial(write_product, a.T, wider(x) * k))
    return dx.reshape(shape), dw, None


linear_cross_entropy.twin("numpy", forward, backward, half=True)
