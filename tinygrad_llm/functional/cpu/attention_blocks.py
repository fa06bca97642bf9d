"""How attention's twin cuts its work: into pieces, and these into blocks of queries.

A piece is some sequences with all heads, or some heads of one sequence. Pieces need nothing of each
other and are handed to the workers. Inside a piece, a block is some neighbouring queries with the
keys from the first to the last that any of them sees: of later ones, nearly half in a training
step, no score is ever computed, nor of those before all windows. A block's scores stay in a core's
cache while they are worked on.

The cut follows from the shapes and the options alone.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from autograd.backend import Array

from ..attention import visible
from ..dropout import keep_mask

ROWS = 64  # queries in a block: with fewer, calls and sums add up; with more, zeros
SCORES = 1 << 19  # bytes of a block's scores, at most, in a piece of several heads

Piece = tuple[slice, slice]


class Block(NamedTuple):
    """The queries i to j - 1 with the keys `low` to `high` - 1."""

    i: int
    j: int
    low: int
    high: int


class Options(NamedTuple):
    """Those of `attention`, with nothing left open."""

    offset: Any  # an integer, or one for each sequence, (B,)
    window: int | None
    documents: Array | None
    alpha: float
    soft_cap: float | None
    dropout: float
    key: int | None


def pieces(q: Array, keys: int) -> list[Piece]:
    """Return the pieces of q (B, G, R, T, D) as slices of its first two axes."""
    batch, groups, repeats, time, _ = q.shape
    scores = repeats * min(time, ROWS) * keys * q.itemsize  # of a block, in bytes, for a group
    room = max(1, SCORES // max(1, scores))  # groups in a piece
    if room >= groups:
        return [(part, slice(0, groups)) for part in _parts(batch, room // groups)]
    return [(slice(b, b + 1), part) for b in range(batch) for part in _parts(groups, room)]


def _parts(size: int, room: int) -> list[slice]:
    """Return slices of at most `room`, as few as possible, of nearly the same length."""
    step = -(-size // max(1, -(-size // room)))
    return [slice(i, min(i + step, size)) for i in range(0, size, max(1, step))]


def blocks(time: int, how: Options, sequences: slice = slice(None)) -> list[Block]:
    """Return the blocks of `time` queries of some sequences."""
    cuts = [(i, min(i + ROWS, time)) for i in range(0, time, ROWS)]
    least = most = how.offset
    if not isinstance(how.offset, int):
        least, most = int(how.offset[sequences].min()), int(how.offset[sequences].max())
    back = how.window if how.window is not None else least + time
    return [Block(i, j, max(0, least + i - back + 1), most + j) for i, j in cuts]


def scratch(q: Array, keys: int, count: int = 1) -> Array:
    """Return flat memory for `count` blocks of scores of a piece's q (b, g, R, T, D).

    It is one array for a whole piece, used for each block, so that it stays in the cache.
    """
    return np.empty((count, prod(q.shape[:3]) * min(q.shape[3], ROWS) * keys), q.dtype)


def product(a: Array, b: Array, memory: Array | None = None) -> Array:
    """Return a @ b, in the beginning of a flat memory where one is given."""
    if memory is None:
        return np.matmul(a, b)
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    return np.matmul(a, b, out=memory[: prod(shape)].reshape(shape))


def exponentials(q: Array, k: Array, block: Block, how: Options, piece: Piece,
                 memory: Array | None, top: Array | None = None) -> tuple[Any, Any, Any]:
    r"""Return $e^{s - t}$ of a block, its rows' maxima t and the slope of the soft cap, or None.

    q holds a piece's queries times alpha, k its keys. `top` gives t if it is known already. Each
    number is the same, bit for bit, whether it is or not.
    """
    i, j, low, high = block
    s = product(q[..., i:j, :], k[..., low:high, :].swapaxes(-1, -2), memory)  # b, g, R, i..j, ...
    slope = None
    if how.soft_cap is not None:
        s /= how.soft_cap
        np.tanh(s, out=s)
        slope = 1 - s * s
        s *= how.soft_cap
    hide(s, block, how, piece[0])
    if top is None:
        top = row_maxima(s)
    s -= top
    return np.exp(s, out=s), top, slope


def hide(s: Array, block: Block, how: Options, sequences: slice) -> None:
    """Set the scores of a block (b, g, R, i..j, low..high) that are not seen to minus infinity."""
    # Set, not added to: the score of a hidden key may be NaN or inf, and inf - inf is NaN.
    rows, alike = block.j - block.i, isinstance(how.offset, int)
    if how.window is None and how.documents is None and alike:
        np.copyto(s[..., -rows:], -np.inf, where=_future(rows))
        return
    documents = how.documents
    if documents is not None:
        documents = documents[sequences, block.low : block.high]
    offset = (how.offset if alike else how.offset[sequences]) + block.i - block.low
    seen = visible(s, block.high - block.low, offset, how.window, documents)
    np.copyto(s, -np.inf, where=~seen[..., None, :, :])


@lru_cache(8)
def _future(rows: int) -> np.ndarray:
    """Return (R, R): True above the diagonal."""
    return np.triu(np.ones((rows, rows), dtype=bool), 1)


def row_maxima(s: Array) -> Array:
    """Return s.max(axis=-1, keepdims=True); NumPy finds where it is 3 to 5 times as fast."""
    rows = s.reshape(-1, s.shape[-1])
    return rows[np.arange(len(rows)), rows.argmax(axis=1)].reshape(*s.shape[:-1], 1)


def block_mask(shape: tuple[int, ...], piece: Piece, block: Block, how: Options,
               like: Array) -> Array | None:
    """Return a block's part of the mask that `keep_mask` gives for all of `shape`, or None.

    `shape` is (B, G, R, T, S). Only the block's rows are drawn. None stands for no dropout.
    """
    if not how.dropout or how.key is None:
        return None
    (sequences, some), (i, j, low, high) = piece, block
    _, groups, repeats, time, keys = shape
    first = (sequences.start * groups + some.start) * repeats  # a piece's heads are neighbours
    lead = sequences.stop - sequences.start, some.stop - some.start, repeats
    if j - i == time:
        drawn = keep_mask((*lead, time, keys), how.dropout, how.key, like, first * time * keys)
        return drawn[..., low:high]
    rows = [keep_mask((j - i, keys), how.dropout, how.key, like,
                      ((first + n) * time + i) * keys)[:, low:high] for n in range(prod(lead))]
    return np.stack(rows).reshape(*lead, j - i, high - low)


def add_product(a: Array, b: Array, total: Array, fresh: bool) -> None:
    r"""Add $a^\top b$, summed over the R heads of a group, to the total; or set it, where fresh.

    a (b, g, R, I, J) and b (b, g, R, I, D): one product sums over heads and queries alike.
    """
    a, b = (x.reshape(*x.shape[:2], 1, prod(x.shape[2:4]), x.shape[4]) for x in (a, b))
    if fresh:
        np.matmul(a.swapaxes(-1, -2), b, out=total)
    else:
        total += a.swapaxes(-1, -2) @ b
