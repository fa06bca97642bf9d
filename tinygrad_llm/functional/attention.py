r"""Causal attention of queries to keys and values, with grouped heads, a window, documents, a cap.

For each head, with rows $q_i$ of the queries i = 0..T-1, rows $k_j$ and $v_j$ of the keys and
values j = 0..S-1, of D numbers each, and $J_i$ the keys that query i sees:

$$s_{ij} = \alpha\, q_i \cdot k_j, \qquad
p_{ij} = \frac{[j \in J_i]\,e^{s_{ij}}}{\sum_{l \in J_i} e^{s_{il}}}, \qquad
o_i = \sum_{j \in J_i} p_{ij}\,v_j$$

$\alpha$ is `scale`, $1/\sqrt D$ unless given. Query i stands at the place $i +
\text{offset}$ of the keys. It sees the key there and those before it: with a window, only the last
`window` of them; with documents, only those in the document of its own place. With a soft cap c,
$c \tanh(s_{ij} / c)$ takes the place of $s_{ij}$, so no score exceeds c. With dropout, p is
multiplied by its mask m before the last sum. Of H heads of queries and G of keys, head h of queries
reads head $\lfloor h G / H \rfloor$ of keys.

Without indices, q, k, v, s, p, m and o are the matrices of these numbers, $\tilde p = m \odot p$,
and g is the incoming gradient. The differentials in the reverse order, and their adjoints:

1. $do = d\tilde p\,v + \tilde p\,dv$, so $\bar v = \tilde p^\top g$ and
   $\bar p = m \odot (g\,v^\top)$.
2. Softmax: $dp_{ij} = p_{ij}(ds_{ij} - \sum_l p_{il}\,ds_{il})$, so
   $\bar s_{ij} = f_{ij}\,p_{ij}(\bar p_{ij} - \delta_i)$ with $\delta_i = g_i \cdot o_i$, since
   $\sum_l p_{il}\,\bar p_{il} = \sum_l \tilde p_{il}\,g_i \cdot v_l$: D products in place of S.
3. $f_{ij}$ is the slope of the cap, $1 - \tanh^2(s_{ij} / c)$ with the score before it, or 1.
4. $ds = \alpha\,(dq\,k^\top + q\,dk^\top)$, so $\bar q = \alpha\,\bar s\,k$ and
   $\bar k = \alpha\,\bar s^\top q$.

A key that several heads of queries read receives the sum of what each gives. Kept: q, k, v, o, p,
m, and the slope of the cap.

Where p is exactly 0 so is $\bar s$: the gradient with respect to a key that is not seen is exactly
zero. Trap: a row's maximum is subtracted from its scores before the exponential, which leaves p as
it is. Scores must be hidden before the maximum is taken, or a large hidden one makes every visible
exponential underflow.

Sources: Vaswani et al., "Attention Is All You Need", arXiv:1706.03762, section 3.2; $\delta$ from
Dao et al., "FlashAttention", arXiv:2205.14135, appendix B.2; grouped heads from Ainslie et al.,
"GQA", arXiv:2305.13245, section 2.2; the window from Beltagy, Peters, Cohan, "Longformer",
arXiv:2004.05150, section 3.1; the cap from Gemma Team, "Gemma 2", arXiv:2408.00118, section 2.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

import autograd
from autograd import fused, namespace
from autograd.backend import Array
from autograd.tensor import values

from .dropout import keep_mask


def reference(q: Any, k: Any, v: Any, /, *, offset: Any = None, window: int | None = None,
              documents: Any = None, scale: float | None = None, soft_cap: float | None = None,
              dropout: float = 0.0, key: int | None = None) -> Any:
    """The definition, in primitives."""
    (_, _, heads, depth), groups = q.shape, k.shape[2]
    q, k, v = (autograd.swapaxes(x, 1, 2) for x in (q, k, v))  # B, H, T, D and B, G, S, D
    k, v = (autograd.repeat(x, heads // groups, 1) for x in (k, v))  # B, H, S, D
    s = (1 / sqrt(depth) if scale is None else scale) * (q @ autograd.swapaxes(k, 2, 3))
    if soft_cap is not None:
        s = soft_cap * autograd.tanh(s / soft_cap)
    seen = visible(values(q), k.shape[2], offset, window, documents)
    s = autograd.where(seen, s, -np.inf)
    p = autograd.exp(s - autograd.logsumexp(s, -1, keepdims=True))
    if dropout and key is not None:
        p = p * keep_mask(p.shape, dropout, key, values(p))
    return autograd.swapaxes(p @ v, 1, 2)


@fused(reference)
def attention(q: Array, k: Array, v: Array, /, *, offset: Any = None, window: int | None = None,
              documents: Array | None = None, scale: float | None = None,
              soft_cap: float | None = None, dropout: float = 0.0, key: int | None = None) -> Any:
    """Return what each query attends to: o (B, T, H, D) for q (B, T, H, D), k and v (B, S, G, D).

    G divides H. `offset` is the place of the first query among the keys, an integer or one for
    each sequence, (B,); without it the last query stands at the last key. A query sees the last
    `window` keys up to its own place, or all; and with `documents`, integers (B, S), only keys
    whose number is that of its own place. `scale` is 1 / sqrt(D) unless given. `dropout` acts on
    the probabilities where a `key` is given. Raises ValueError where shapes or options do not fit
    (offsets out of range on the CPU only; a GPU would have to wait for the answer).
    """
    xp, groups = namespace(q), k.shape[2]
    alpha = 1 / sqrt(q.shape[3]) if scale is None else scale
    q, k, v = by_group(q, groups), by_group(k, groups), by_group(v, groups)
    m = slope = None
    s = alpha * (q @ k.swapaxes(-1, -2))  # B, G, R, T, S
    if soft_cap is not None:
        t = xp.tanh(s / soft_cap)
        s, slope = soft_cap * t, 1 - t * t
    seen = visible(q, k.shape[3], offset, window, documents)
    s = xp.where(seen[..., None, :, :], s, -np.inf)
    e = xp.exp(s - (s.max(-1, keepdims=True) if k.shape[3] else 0))
    p = e / e.sum(-1, keepdims=True)
    if dropout and key is not None:
        m = keep_mask(p.shape, dropout, key, p)
    o = (p if m is None else m * p) @ v
    return ungroup(o), (q, k, v, o, p, m, slope, alpha)


@attention.vjp
def backward(g: Array, saved: Any) -> tuple[Array, Array, Array]:
    """Return the gradients of q, k and v."""
    q, k, v, o, p, m, slope, alpha = saved
    g = by_group(g, k.shape[1])
    dv = (p if m is None else m * p).swapaxes(-1, -2) @ g
    dp = g @ v.swapaxes(-1, -2)
    dp = dp if m is None else m * dp
    delta = (g * o).sum(-1, keepdims=True)
    ds = p * (dp - delta)
    ds = alpha * (ds if slope is None else slope * ds)
    dq, dk = ds @ k, ds.swapaxes(-1, -2) @ q
    return ungroup(dq), ungroup(dk.sum(2, keepdims=True)), ungroup(dv.sum(2, keepdims=True))


def by_group(x: Array, groups: int) -> Array:
    """Return x (B, T, H, D) as a view (B, G, R, T, D): R heads for each of G heads of keys."""
    batch, time, heads, depth = x.shape
    return x.reshape(batch, time, groups, heads // groups, depth).transpose(0, 2, 3, 1, 4)


def ungroup(x: Array) -> Array:
    """Return x (B, G, R, T, D) as (B, T, H, D)."""
    batch, groups, repeats, time, depth = x.shape
    return x.transpose(0, 3, 1, 2, 4).reshape(batch, time, groups * repeats, depth)


def visible(q: Array, keys: int, offset: Any = None, window: int | None = None,
            documents: Array | None = None) -> Array:
    """Return which of the keys each query of q (B, ..., T, D) sees: booleans (B or 1, 1, T, S)."""
    xp, time = namespace(q), q.shape[-2]
    first = keys - time if offset is None else offset
    i = xp.arange(time)[:, None] + (first[:, None, None] if getattr(first, "ndim", 0) else first)
    j = xp.arange(keys)
    seen = j <= i
    if window is not None:
        seen = seen & (j > i - window)
    if documents is not None:
        places = xp.broadcast_to(i, (len(documents), time, 1))[..., 0]
        own = xp.take_along_axis(documents, places, 1)
        seen = seen & (own[..., None] == documents[:, None])
    return seen[:, None] if seen.ndim == 3 else seen[None, None]


@attention.check
def check(q: Array, k: Array, v: Array, /, *, offset: Any = None, window: int | None = None,
          documents: Array | None = None, soft_cap: float | None = None, **_: Any) -> None:
    """Raise ValueError where shapes or options do not fit."""
    if q.ndim != 4 or k.ndim != 4 or k.shape != v.shape or (
            (q.shape[0], q.shape[3]) != (k.shape[0], k.shape[3])
            or not q.shape[3] or not k.shape[2] or q.shape[2] % k.shape[2]):
        raise ValueError(f"attention: expected q (B, T, H, D), k and v (B, S, G, D) where G "
                         f"divides H, got {q.shape}, {k.shape} and {v.shape}")
    time, keys = q.shape[1], k.shape[1]
    if getattr(offset, "shape", ()) not in ((), q.shape[:1]):
        raise ValueError(f"attention: expected an offset or one for each of {len(q)} sequences, "
                         f"got shape {offset.shape}")
    known: Any = offset if offset is not None and namespace(offset) is np else 0
    if getattr(known, "ndim", 0):
        low, high = known.min(initial=0), known.max(initial=0)
    else:
        low = high = known
    if low < 0 or high > keys - time:
        raise ValueError(f"attention: each of {time} queries needs its own place among {keys} "
                         f"keys, got offset {offset}; it may be 0 to {keys - time}")
    if window is not None and not (hasattr(window, "__index__") and window >= 1):
        raise ValueError(f"attention: a window is a whole number of keys, at least 1, got "
                         f"{window}")
    if soft_cap is not None and not soft_cap > 0:
        raise ValueError(f"attention: a soft cap lies above 0, got {soft_cap}")
    if documents is not None and documents.shape != k.shape[:2]:
        raise ValueError(f"attention: expected a document's number for each key, {k.shape[:2]}, "
                         f"got {documents.shape}")
