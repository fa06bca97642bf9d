"""Attention by its definition in loops, its gradients in matrices, and inputs of both."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from autograd.testing.opcase import Inputs
from autograd.testing.strategies import reals
from tinygrad_llm.functional.dropout import keep_mask


@st.composite
def attending(draw: Any) -> Inputs:
    """Draw queries, keys and values, and options: each may be absent."""
    batch, time, more = draw(st.integers(0, 2)), draw(st.integers(0, 4)), draw(st.integers(0, 3))
    groups, repeats, depth = (draw(st.integers(1, 2)) for _ in range(3))
    keys = time + more
    one_each = hnp.arrays(np.int64, batch, elements=st.integers(0, more))
    numbered = hnp.arrays(np.int64, (batch, keys), elements=st.integers(0, 2))
    choices: dict[str, Any] = {
        "offset": st.one_of(st.integers(0, more), one_each), "window": st.integers(1, 4),
        "documents": numbered, "scale": st.just(-0.8), "soft_cap": st.just(1.5),
        "dropout": st.just(0.5), "key": st.integers(0, 9)}
    options = draw(st.fixed_dictionaries({}, optional=choices))
    q, k, v = (draw(reals((batch, n, heads, depth))) for n, heads in
               ((time, groups * repeats), (keys, groups), (keys, groups)))
    return (q, k, v), options


def kept(shape: tuple[int, ...], dropout: float, key: int | None) -> np.ndarray:
    """Return what the probabilities are multiplied by, for all heads and keys."""
    ones = np.ones(shape)
    return ones if key is None or not dropout else keep_mask(shape, dropout, key, ones)


def in_loops(q: np.ndarray, k: np.ndarray, v: np.ndarray, offset: Any = None,
             window: int | None = None, documents: Any = None, scale: float | None = None,
             soft_cap: float | None = None, dropout: float = 0.0,
             key: int | None = None) -> np.ndarray:
    """Return what each query attends to, one after another."""
    (batch, time, heads, depth), (_, keys, groups, _) = q.shape, k.shape
    mask, o = kept((batch, heads, time, keys), dropout, key), np.zeros(q.shape)
    for b, i, h in np.ndindex(batch, time, heads):
        here = i + int(np.broadcast_to(keys - time if offset is None else offset, batch)[b])
        seen = [j for j in range(here + 1) if (window is None or here - j < window)
                and (documents is None or documents[b, j] == documents[b, here])]
        group = h // (heads // groups)
        s = k[b, seen, group] @ q[b, i, h] * (1 / math.sqrt(depth) if scale is None else scale)
        e = np.exp(s if soft_cap is None else soft_cap * np.tanh(s / soft_cap))
        o[b, i, h] = (e / e.sum() * mask[b, h, i, seen]) @ v[b, seen, group]
    return o


def gradients_in_matrices(q: np.ndarray, k: np.ndarray, v: np.ndarray, g: np.ndarray,
                          seen: np.ndarray, soft_cap: float = math.inf, dropout: float = 0.0,
                          key: int | None = None) -> list[np.ndarray]:
    """Return the gradients of q, k and v, where the queries see these keys, (B, T, S)."""
    repeats, alpha = q.shape[2] // k.shape[2], q.shape[3] ** -0.5
    q, g = (x.swapaxes(1, 2) for x in (q, g))
    k, v = (x.swapaxes(1, 2).repeat(repeats, 1) for x in (k, v))
    s = alpha * (q @ k.swapaxes(2, 3))
    tanh = np.tanh(s / soft_cap)
    p = np.exp(s if soft_cap == math.inf else soft_cap * tanh) * seen[:, None]
    p /= p.sum(-1, keepdims=True)
    mask = kept(p.shape, dropout, key)
    dp = mask * (g @ v.swapaxes(2, 3))
    ds = alpha * (1 - tanh * tanh) * p * (dp - (p * dp).sum(-1, keepdims=True))

    def by_group(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1, repeats, *x.shape[2:]).sum(2).swapaxes(1, 2)

    return [(ds @ k).swapaxes(1, 2), by_group(ds.swapaxes(2, 3) @ q),
            by_group((mask * p).swapaxes(2, 3) @ g)]


def waves(*shape: int) -> np.ndarray:
    """Return numbers between -1 and 1, without a pattern."""
    return np.sin(np.arange(math.prod(shape)) ** 2.0).reshape(shape)


def several_blocks(time: int, keys: int, heads: int, groups: int, depth: int,
                   window: int = 999, length: int = 999,
                   offset: int | tuple[int, ...] | None = None, **options: Any) -> Any:
    """Return an edge: a call that takes several pieces and blocks of the twin, and its gradients.

    `length` is that of the documents, which come with a window and an offset, of all three
    sequences or of each.
    """
    q, g = waves(3, time, heads, depth), np.cos(waves(3, time, heads, depth) * 9)
    k, v = waves(3, keys + 1, groups, depth)[:, 1:], waves(3, keys + 2, groups, depth)[:, 2:]
    first = np.broadcast_to(keys - time if offset is None else offset, 3)
    i, j = first[:, None, None] + np.arange(time)[:, None], np.arange(keys)
    seen = (j <= i) & (i - j < window) & (i // length == j // length)
    gradients = gradients_in_matrices(q, k, v, g, seen, **options)
    if length < keys:
        documents = np.tile(j // length, (3, 1))
        options |= {"window": window, "documents": documents, "offset": np.array(offset)}
    return (q, k, v), options, g, gradients


EDGES = (several_blocks(70, 90, 8, 4, 1, dropout=0.25, key=7),
         several_blocks(70, 70, 4, 4, 18, dropout=0.25, key=7),  # few keys: p is kept
         several_blocks(130, 150, 8, 4, 2, window=20, length=48, soft_cap=1.5, offset=7),
         several_blocks(70, 150, 8, 4, 1, window=20, length=48, offset=(80, 7, 0)))

# Two queries 0 and keys 0, of which the first query sees one: by q_1 and k_j it is p_j (v_j - o_1).
_BY_KEYS = np.zeros((6, 6))
_BY_KEYS[1, 2:4] = _BY_KEYS[2:4, 1] = -0.5, 0.5
CURVATURES = (((np.zeros((1, 2, 1, 1)), np.zeros((1, 2, 1, 1)),
                np.array([1.0, 3.0]).reshape(1, 2, 1, 1)), {}, lambda o: o.sum(), _BY_KEYS),)
