r"""Twin of `chunked_cross_entropy` in which both gradients come from the same small buffers.

With m, s, a and k as in the twin of `linear_cross_entropy`, the gradient of the logits is
$\bar Z = K A$. A chunk of rows of A is there in the forward pass anyway, so that pass makes

$$\bar X_c = K_c\,(A_c W)$$

too, but for the factor g, which comes later: X's size is kept besides X. What is left is $\bar W$.
A sum over chunks of rows would need a second array of W's size, as it must not depend on what it is
added to. Chunks v of the vocabulary do not: with each row's m and s, which are kept,

$$\bar W_v = A_{\cdot v}^\top (K X), \qquad a_{nv} = e^{z_{nv} - m_n} - s_n [v = t_n]$$

needs the logits of those classes alone, and is written straight to where it belongs. So the logits
are computed twice, once by rows and once by classes, and the other two products once: four.

A W of half precision is widened some classes at a time, no more numbers than a chunk of logits has.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from autograd.backend import Array, narrowed, wide, wider
from autograd.deferred import Deferred
from autograd.tensor import STATE

from ...host.threads import matmul, over_rows, write_product
from ..loss.chunked_cross_entropy import chunked_cross_entropy, chunks_of
from ..loss.softmax_cross_entropy import read_targets
from .linear import times_rows, wider_block
from .linear_cross_entropy import gradient_in_place


def forward(x: Array, w: Array, targets: Array, /, *, rows: int, ignore_index: int = -100) -> Any:
    """Return what `chunked_cross_entropy` does."""
    t, used, count = read_targets(targets, ignore_index)
    shape, given, used = x.shape, x, used[:, 0]
    x = wider(x.reshape(len(t), w.shape[1]))  # N, C
    m, s, right = np.empty((3, len(t)), np.result_type(x, wide(w.dtype)))
    dx = np.empty_like(x) if STATE.recording else None
    room = np.empty((min(rows, len(t)), len(w)), m.dtype)
    for c in chunks_of(len(t), rows):
        z = times_rows(x[c], w, out=room[: len(t[c])])
        m[c], s[c], right[c] = gradient_in_place(z, t[c], used[c])
        if dx is not None:
            _times(z, w, dx[c])
    loss = np.where(used, np.log(s) - right, 0).sum() / count.astype(m.dtype)
    return narrowed(loss, given, w), (x, w, t, m, s, used, count, dx, rows, shape)


def _times(z: Array, w: Array, out: Array) -> None:
    """Set `out` to z @ w."""
    if wide(w.dtype) is w.dtype:
        matmul(z, w, out=out)
        return
    out[...] = 0
    for v in chunks_of(len(w), max(1, z.size // max(1, w.shape[1]))):
        out += matmul(z[:, v], wider_block(w[v]))


def backward(g: Array, saved: Any) -> tuple[Any, Any, None]:
    """Return the gradients of x and w."""
    x, w, t, m, s, used, count, dx, rows, shape = saved
    k = (used * (g / count.astype(s.dtype)) / s)[:, None]
    write = partial(_write, x, w, t, m, s, used, x * k, rows)
    return (dx * k).reshape(shape), Deferred(w, write), None


def _write(x: Array, w: Array, t: Array, m: Array, s: Array, used: Array, kx: Array, rows: int,
           total: Array, add: bool) -> None:
    """Set `total` to the gradient of w, or add it there, from as many logits as `rows` have."""
    chunks = chunks_of(len(w), -(-len(w) * rows // (len(t) or 1)))
    room = np.empty(len(t) * chunks[0].stop, m.dtype)
    for v in chunks:
        part = wider_block(w[v])
        a = matmul(x, part.T, out=room[: len(t) * len(part)].reshape(len(t), len(part)))

        def replace(rows: slice, a: Array = a, v: slice = v) -> None:
            """Write a over the logits."""
            block, place = a[rows], t[rows] - v.start
            block[~used[rows]] = 0
            block -= m[rows, None]
            np.exp(block, out=block)
            here, = np.nonzero((place >= 0) & (place < block.shape[1]))
            block[here, place[here]] -= s[rows][here]

        over_rows(replace, a)
        write_product(a.T, kx, total[v], add)


chunked_cross_entropy.twin("numpy", forward, backward, half=True)
