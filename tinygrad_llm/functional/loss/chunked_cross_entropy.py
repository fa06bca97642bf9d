r"""The output layer and its cross-entropy, some rows of logits at a time.

What `linear_cross_entropy` computes, which see for the symbols. It keeps the logits of all rows,
and with a vocabulary of 50,000 they are more than a block of the model keeps. But its loss is a
mean over rows: with the rows in chunks c, of which $N_c$ of N are not ignored,

$$\ell = \sum_c \frac{N_c}{N}\,\ell_c, \qquad d\ell = \sum_c \frac{N_c}{N}\,d\ell_c$$

and $d\ell_c = \frac{\partial \ell_c}{\partial X_c} \cdot dX_c + \frac{\partial \ell_c}{\partial W}
\cdot dW$, with the derivatives of `linear_cross_entropy`. Rows $X_c$ stand in one chunk alone, W is
in all, so

$$\bar X_c = g\,\frac{N_c}{N}\,\frac{\partial \ell_c}{\partial X_c}, \qquad
\bar W = g \sum_c \frac{N_c}{N}\,\frac{\partial \ell_c}{\partial W},$$

and the logits of one chunk are held at a time. Kept: X and W alone. The backward pass computes the
logits once more: a fourth product of N V C multiplications beside the three of a gradient. Both
gradients could be made in the forward pass, and scaled by g later, without a fourth one; but then
$\bar W$ is kept for each slice of a batch that is under way, V C numbers, as many as the logits of
C rows. Trap: a chunk in which nothing counts has $N_c = 0$ and the loss 0.

Source: the rows in chunks, with gradients made in the forward pass: the kernel
FusedLinearCrossEntropy of Hsu et al., "Liger Kernel", arXiv:2410.10989.
"""

from __future__ import annotations

from typing import Any

from autograd import fused, namespace
from autograd.backend import Array

from . import linear_cross_entropy as whole
from .softmax_cross_entropy import read_targets


def reference(x: Any, w: Any, targets: Any, /, *, rows: int, ignore_index: int = -100) -> Any:
    """The definition, in primitives."""
    return whole.reference(x, w, targets, ignore_index=ignore_index)


@fused(reference)
def chunked_cross_entropy(x: Array, w: Array, targets: Array, /, *, rows: int,
                          ignore_index: int = -100) -> Any:
    """Return the mean of -ln softmax(x @ w.T)[target], in nats, from `rows` of logits at a time.

    x of shape (..., C), w (V, C), targets (...) integers in [0, V) or `ignore_index`. Raises what
    `linear_cross_entropy` does, and ValueError for `rows` below 1.
    """
    _, used, count = read_targets(targets, ignore_index)
    shape, x, t = x.shape, x.reshape(len(used), w.shape[1]), targets.reshape(-1)
    xp, chunks = namespace(x, w), []
    loss = xp.zeros((), xp.result_type(x, w))
    for c in chunks_of(len(t), rows):
        share = (used[c].sum() / count).astype(x.dtype)  # N_c / N
        loss = loss + share * _of_chunk(x[c], w, t[c], ignore_index)[0]
        chunks.append((c, share))
    return loss, (x, w, t, chunks, ignore_index, shape)


@chunked_cross_entropy.vjp
def backward(g: Array, saved: Any) -> tuple[Any, Any, None]:
    """Return the gradients of x and w."""
    x, w, t, chunks, ignore_index, shape = saved
    dx, dw = namespace(x).empty_like(x), namespace(w).zeros_like(w)
    for c, share in chunks:
        _, kept = _of_chunk(x[c], w, t[c], ignore_index)
        dx[c], dw_c, _ = whole.backward(g * share, kept)
        dw += dw_c
    return dx.reshape(shape), dw, None


@chunked_cross_entropy.check
def check(x: Array, w: Array, targets: Array, /, *, rows: int, ignore_index: int = -100) -> None:
    """Raise unless the arguments are those of `linear_cross_entropy` and a number of rows."""
    whole.check(x, w, targets, ignore_index=ignore_index)
    if rows < 1:
        raise ValueError(f"chunked_cross_entropy: expected rows of at least 1, got {rows}")


def chunks_of(length: int, rows: int) -> list[slice]:
    """Return where each chunk of that many rows lies; the last may have fewer."""
    return [slice(start, min(start + rows, length)) for start in range(0, length, rows)]


def _of_chunk(x: Array, w: Array, t: Array, ignore_index: int) -> Any:
    """Return the loss of some rows, and what its backward pass needs."""
    return whole.linear_cross_entropy.forward(x, w, t, ignore_index=ignore_index)
