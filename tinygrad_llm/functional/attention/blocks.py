"""How both forms of attention cut their work: into pieces, and these into blocks of queries.

A piece is some sequences with all heads, or some heads of one sequence. Pieces need nothing of each
other and are handed to the workers. Inside a piece, a block is some neighbouring queries with all
keys up to the last of them, so nearly half of the scores, those of later keys, are never computed;
only in the square at a block's end some of them have to be masked. A block's scores stay in a
core's cache while they are worked on.

The cut follows from the shapes alone, and it is the same for both forms.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from autograd.backend import Array, namespace

from ..dropout import keep_mask

ROWS = 64  # queries in a block: with fewer, calls and sums add up; with more, zeros
SCORES = 1 << 19  # bytes of a block's scores, at most, in a piece of several heads

Piece = tuple[slice, slice]


def check_packed(name: str, qkv: Array, heads: int) -> None:
    """Raise ValueError unless qkv has the shape (B, T, 3 * heads * D)."""
    if qkv.ndim != 3 or heads < 1 or not qkv.shape[2] or qkv.shape[2] % (3 * heads):
        raise ValueError(f"{name}: expected qkv (B, T, 3 * heads * D), got {qkv.shape} with "
                         f"heads={heads}; the width must be a multiple of 3 * {heads}")


def split_heads(qkv: Array, heads: int) -> Any:
    """Return the packed array as views (3, B, H, T, D)."""
    batch, time, width = qkv.shape
    return qkv.reshape(batch, time, 3, heads, width // (3 * heads)).transpose(2, 0, 3, 1, 4)


def pieces(q: Array) -> list[Piece]:
    """Return the pieces of q (B, H, T, D) as slices of its first two axes; one on a GPU."""
    batch, heads, time, _ = q.shape
    if type(q) is not np.ndarray:
        return [(slice(0, batch), slice(0, heads))]
    room = max(1, SCORES // max(1, block_rows(time) * time * q.itemsize))  # heads in a piece
    if room >= heads:
        return [(part, slice(0, heads)) for part in _parts(batch, room // heads)]
    return [(slice(b, b + 1), part) for b in range(batch) for part in _parts(heads, room)]


def _parts(size: int, room: int) -> list[slice]:
    """Return slices of at most `room`, as few as possible, of nearly the same length."""
    step = -(-size // max(1, -(-size // room)))
    return [slice(i, min(i + step, size)) for i in range(0, size, max(1, step))]


def block_rows(time: int) -> int:
    """Return the number of queries in a block; the last one may have fewer."""
    return min(time, ROWS)


def blocks(time: int) -> list[tuple[int, int]]:
    """Return (i, j) for each block: the queries i to j - 1, which see keys 0 to j - 1."""
    step = block_rows(time)
    return [(i, min(i + step, time)) for i in range(0, time, max(1, step))]


def future(q: Array) -> Array:
    """Return (R, R), R a block's queries: True above the diagonal, for the keys to be hidden."""
    return namespace(q).asarray(_future(block_rows(q.shape[2])))


@lru_cache(8)
def _future(rows: int) -> np.ndarray:
    return np.triu(np.ones((rows, rows), dtype=bool), 1)


def scratch(q: Array, count: int) -> Array:
    """Return memory for `count` blocks of scores of a piece's q (b, h, T, D), used for each block.

    It is one array for a whole piece, so that the memory stays in the cache.
    """
    batch, heads, time, _ = q.shape
    return namespace(q).empty((count, batch * heads * block_rows(time) * time), dtype=q.dtype)


def product(a: Array, b: Array, memory: Array) -> Array:
    """Return a @ b, in the beginning of that flat memory."""
    shape = (*a.shape[:-1], b.shape[-1])
    return namespace(a).matmul(a, b, out=memory[: prod(shape)].reshape(shape))


def exponentials(q: Array, k: Array, hidden: Array, memory: Array,
                 top: Array | None = None) -> tuple[Array, Array]:
    r"""Return $e^{s - t}$ of a block, and its rows' maxima t, which `top` gives if known already.

    q (b, h, R, D) holds a block's queries times 1 / sqrt(D), k (b, h, J, D) the keys up to its end.
    Each number is the same, bit for bit, whether `top` is given or not.
    """
    rows = q.shape[2]
    s = product(q, k.swapaxes(-1, -2), memory)  # b, h, R, J
    square = s[..., -rows:]
    # Set, not added to: a later key's NaN is nobody's business, and inf - inf would be one.
    namespace(s).copyto(square, -np.inf, where=hidden[:rows, :rows])
    if top is None:
        top = row_maxima(s)
    s -= top
    return namespace(s).exp(s, out=s), top


def row_maxima(s: Array) -> Array:
    """Return s.max(axis=-1, keepdims=True); NumPy finds where it is 3 to 5 times as fast."""
    if type(s) is not np.ndarray:
        return s.max(axis=-1, keepdims=True)
    rows = s.reshape(-1, s.shape[-1])
    return rows[np.arange(len(rows)), rows.argmax(axis=1)].reshape(*s.shape[:-1], 1)


def block_mask(q: Array, piece: Piece, block: tuple[int, int], dropout: float,
               key: int | None) -> Array | None:
    """Return a block's part of the mask that `keep_mask` gives for all of (B, H, T, T), or None.

    Only its rows are drawn. q is all of (B, H, T, D); None stands for no dropout.
    """
    if not dropout or key is None:
        return None
    (sequences, some), (i, j), (_, heads, time, _) = piece, block, q.shape
    first = sequences.start * heads + some.start  # a piece's heads follow each other in memory
    shape = sequences.stop - sequences.start, some.stop - some.start
    if j - i == time:
        return keep_mask((*shape, time, time), dropout, key, q, first * time * time)
    drawn = [keep_mask((j - i, time), dropout, key, q, ((first + n) * time + i) * time)[:, :j]
             for n in range(shape[0] * shape[1])]
    return namespace(q).stack(drawn).reshape(*shape, j - i, j)


def add_product(a: Array, b: Array, total: Array, memory: Array) -> None:
    """Add a @ b to the total's first rows; or set the total to it, where it has no more rows.

    So the sum must begin with the product that has them all. The flat memory has the total's size.
    """
    rows = a.shape[2]
    if rows == total.shape[2]:
        namespace(a).matmul(a, b, out=total)
    else:
        total[:, :, :rows] += product(a, b, memory)
