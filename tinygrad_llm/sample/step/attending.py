"""Attention of a step, on plain arrays: of a query of each row, or of the queries of texts.

A step's queries, one of each row, see all that their rows have kept. In reading, those of each text
attend by themselves, `QUERIES` at once, so that their scores fit a core's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from autograd.backend import Array

QUERIES = 64  # of a head, that attend at once in reading

Text = tuple[int, int, int, int]
"""A row of the cache, the place of the first id that is read, and its columns: first, last + 1."""


class View:
    """The keys that the next queries of a layer see: slots up to `time`, but for hidden ones."""

    def __init__(self, scores: Array, n: int, slots: int, window: int | None,
                 shape: tuple[int, ...]) -> None:
        self.slots, self.window, self.n = slots, window, n
        self.scores, self.shape = scores, shape[:-1]  # (n,) G, R
        self.size = int(np.prod(self.shape))
        self.rows = np.arange(n)

    def begin(self, lengths: Array, last: int) -> None:
        """Look at the lengths (n,) of the rows, of which the largest is `last`."""
        time = self.time = min(last + 1, self.slots)
        self.p = self.scores[: self.size * time].reshape(*self.shape, time)
        self.hidden, alike = None, self.n == 1 or bool((lengths == last).all())
        self.where: tuple[Any, ...] = (
            (*(slice(None),) * (len(self.shape) - 1), last % self.slots) if alike else
            (self.rows, slice(None), lengths % self.slots))
        if not alike or (self.window is not None and last >= self.window):
            places, ends = np.arange(time), lengths[:, None] + 1
            hidden = places >= ends
            if self.window is not None:
                hidden |= places < ends - self.window
            self.hidden = hidden[:, None, None] if len(self.shape) == 3 else hidden[:, None]


class Attend:
    """The call in which a layer keeps its new keys and values, and attends."""

    def __init__(self, view: View, q: Array, k: Array, v: Array, layer: Any,
                 cap: float | None, mixed: Array) -> None:
        self.view, self.q, self.k, self.v, self.mixed = view, q, k, v, mixed
        self.keys, self.values = (a if q.ndim == 4 else a[0] for a in layer.arrays)
        self.columns = self.keys.swapaxes(-1, -2)
        self.out, self.sums = np.empty_like(q), np.empty((*q.shape[:-1], 1), q.dtype)
        self.cap = None if cap is None else np.array(cap, q.dtype)

    def __call__(self) -> None:
        """Keep the next keys and values, and write what the queries attend to into `mixed`."""
        view, sums = self.view, self.sums
        p = view.p
        self.keys[view.where], self.values[view.where] = self.k, self.v
        np.matmul(self.q, self.columns[..., : view.time], p)  # (n,) G, R, t
        if self.cap is not None:
            np.tanh(p, p)
            np.multiply(p, self.cap, p)
        if view.hidden is not None:
            np.copyto(p, -np.inf, where=view.hidden)
        np.subtract(p, np.maximum.reduce(p, axis=-1, out=sums, keepdims=True), p)
        np.exp(p, p)
        np.matmul(p, self.values[..., : view.time, :], self.out)  # (n,) G, R, D
        np.divide(self.out, np.add.reduce(p, axis=-1, out=sums, keepdims=True), self.mixed)


def keep_texts(texts: Sequence[Text], k: Array, v: Array, layer: Any) -> None:
    """Keep the keys and values (n, G, D) of the ids that are read."""
    for row, at, first, stop in texts:
        for kept, new in zip(layer.arrays, (k, v), strict=True):
            kept[row, :, at : at + stop - first] = new[first:stop].swapaxes(0, 1)


def attend_texts(texts: Sequence[Text], scores: Array, q: Array, layer: Any, window: int | None,
                 cap: float | None, mixed: Array) -> None:
    r"""Write what the queries (G, R, D, n) of each text attend to into `mixed`, of the same shape.

    A query has a column of p (G, R, S, t), and the mixture of values is one of $V^\top P$.
    """
    for row, at, first, stop in texts:
        keys, values = (a[row, :, None] for a in layer.arrays)  # G, 1, slots, D
        for i in range(first, stop, QUERIES):
            j = min(i + QUERIES, stop)
            place = at + i - first  # of query i
            low, high = max(0, place + 1 - (window or place + 1)), place + j - i
            shape = *q.shape[:2], high - low, j - i
            p = scores[: prod(shape)].reshape(shape)
            np.matmul(keys[:, :, low:high], q[..., i:j], p)
            if cap is not None:
                np.tanh(p, p)
                np.multiply(p, np.array(cap, p.dtype), p)
            some = low if window is not None else place  # all see the keys before it
            after = np.arange(some - place, high - place)[:, None] - np.arange(j - i)
            unseen = after > 0 if window is None else (after > 0) | (after <= -window)
            np.copyto(p[..., some - low :, :], -np.inf, where=unseen)
            np.subtract(p, np.maximum.reduce(p, axis=-2, keepdims=True), p)
            np.exp(p, p)
            o = mixed[..., i:j]
            np.matmul(values[:, :, low:high].swapaxes(-1, -2), p, o)
            np.divide(o, np.add.reduce(p, axis=-2, keepdims=True), o)
