r"""Keys and values of earlier positions, so that a text can grow without being computed anew.

No position depends on a later one. Of a text that grows, all that its earlier positions have
computed stays as it was, and a new position needs nothing of them but their keys $k_j$ and values
$v_j$ in each layer. So with a cache, a model's call takes the new tokens alone:

    cache = model.cache()
    model(ids[:, :60], cache=cache)      # the logits of 60 positions
    model(ids[:, 60:61], cache=cache)    # those of the next one, from the keys and values of all 61

$$\mathrm{model}(x_{1..t})_t = \mathrm{model}(x_t \mid k_{1..t-1}, v_{1..t-1}) .$$

A cache has a row for each text, and each row its own length. Texts of different lengths go through
the model together, padded on the right; of the padding nothing is kept:

    cache = model.cache(rows=8)
    model.next_logits(ids, cache.part(0, 2, counts=[3, 5]))  # ids (2, 5), two of them padding
    model.next_logits(tokens[:, None], cache.part(0, 2))     # the next token of both

Keys and values of a layer are arrays (rows, G, slots, D): then each head's keys are one block of
memory, along which a single query's scores are computed fastest. Slot i holds position i. A layer
whose queries see a window of W keys has W slots only, and slot i mod W holds position i: as the
softmax does not ask for the order of keys, a single query reads them as they lie.

Sources: Shazeer, "Fast Transformer Decoding", arXiv:1911.02150, section 2.3 (keys and values kept);
Jiang et al., "Mistral 7B", arXiv:2310.06825, section 2 (rotating buffer).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np

from autograd import namespace
from autograd.backend import Array
from autograd.tensor import Tensor, values

from .parameters import parameters
from .positions import lengths_of, positions_of


def quantized(x: Array) -> tuple[Array, Array]:
    r"""Return integers q (..., D) in [-127, 127] and scales s (..., 1) with $x \approx s q$.

    $s = \max |x| / 127$ over the last axis, and q is the nearest integer to x / s, so that
    $|x - s q| \le s / 2$, up to rounding. s is of float32 at least, and NaN where x is not finite.
    """
    xp = namespace(x)
    s = abs(x).max(-1, keepdims=True).astype(np.result_type(x.dtype, np.float32)) / 127
    finite = xp.isfinite(s)
    q = xp.rint(xp.where(finite, x, 0) / xp.where(finite & (s > 0), s, 1)).astype(np.int8)
    return q, xp.where(finite, s, np.nan)


class LayerCache:
    """The keys and values of one layer, for the rows of a `Cache` or of a part of one.

    `arrays` (rows, G, slots, ...) are both, or their integers and then their scales.
    """

    def __init__(self, arrays: Sequence[Array], lengths: np.ndarray, dtype: Any,
                 counts: np.ndarray | None = None) -> None:
        self.arrays, self.lengths, self.dtype, self.counts = tuple(arrays), lengths, dtype, counts

    @property
    def slots(self) -> int:
        """How many positions of a row are kept."""
        return int(self.arrays[0].shape[2])

    def extend(self, k: Any, v: Any) -> tuple[Array, Array, Array | None]:
        """Keep k and v (B, T, G, D) of each row's next T positions; return what their queries see.

        That are keys and values (B, S, G, D), and the place of each row's first query among them,
        (B,), or None where it is S - T in all. Lengths grow by `Cache.advance`, when all layers
        are extended. Raises RuntimeError where a gradient would be lost.
        """
        if any(isinstance(x, Tensor) and x.node is not None for x in (k, v)):
            raise RuntimeError("cache: no gradient flows into kept keys and values; compute inside "
                               "no_grad(), or without a cache")
        new = self.packed(values(k), values(v))
        xp, time, slots = namespace(new[0]), new[0].shape[1], self.slots
        before = np.minimum(self.lengths, slots - 1)
        stop = int(self.lengths.max(initial=0)) + time
        if time > 1 and stop > slots:
            seen = self._behind_earlier(new, before)
            self.put(new)
        else:
            self.put(new)
            seen = [a[:, :, :stop].swapaxes(1, 2) for a in self.arrays]
        offset = None if self._start() is not None else xp.asarray(before)
        return *self.floats(seen), offset

    def packed(self, k: Array, v: Array) -> list[Array]:
        """Return what is kept of k and v, arrays (..., D): they, or their integers and scales."""
        if len(self.arrays) == 2:
            return [k, v]
        (qk, sk), (qv, sv) = (quantized(x) for x in (k, v))
        return [qk, qv, sk, sv]

    def floats(self, arrays: list[Array]) -> tuple[Array, Array]:
        """Return keys and values of what is kept of them."""
        k, v, *scales = arrays
        if scales:
            k, v = ((q * s).astype(self.dtype) for q, s in zip((k, v), scales, strict=True))
        return k, v

    def _start(self) -> int | None:
        """Return the length of all rows where it is the same one."""
        different = set(self.lengths.tolist())
        return None if len(different) > 1 else max(different, default=0)

    def put(self, new: list[Array]) -> None:
        """Write arrays (B, T, G, D) into the slots of their positions, without the padding."""
        xp, time, start = namespace(new[0]), new[0].shape[1], self._start()
        if start is not None and self.counts is None and start % self.slots + time <= self.slots:
            first = start % self.slots
            for a, x in zip(self.arrays, new, strict=True):
                a[:, :, first : first + time] = x.swapaxes(1, 2)
            return
        row, t = self._last_real(time, self.slots)
        slot = xp.asarray((self.lengths[row] + t) % self.slots)
        row, t = xp.asarray(row), xp.asarray(t)
        for a, x in zip(self.arrays, new, strict=True):
            a[row, :, slot] = x[row, t]

    def _last_real(self, time: int, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and places of ids (B, time): of each row, the last `most` real ones."""
        counts = np.full_like(self.lengths, time) if self.counts is None else self.counts
        t, ends = np.arange(time), counts[:, None]
        row, t = np.nonzero((t < ends) & (t >= ends - most))
        return row, t

    def _behind_earlier(self, new: list[Array], before: np.ndarray) -> list[Array]:
        """Return arrays (B, S, G, D): `before` positions of each row in order, then the new ones.

        Behind those of a shorter row lie some that no query of it sees, but for padding.
        """
        xp, time = namespace(new[0]), new[0].shape[1]
        places, (row, t) = np.arange(before.max(initial=0)), self._last_real(time, time)
        slot = xp.asarray(((self.lengths - before)[:, None] + places) % self.slots)
        rows, place = xp.arange(len(before))[:, None], xp.asarray(before[row] + t)
        row, t, results = xp.asarray(row), xp.asarray(t), []
        for a, x in zip(self.arrays, new, strict=True):
            results.append(xp.concatenate([a[rows, :, slot], xp.zeros_like(x)], 1))
            results[-1][row, place] = x[row, t]
        return results


class Cache:
    """One `LayerCache` for each layer, with room for `capacity` positions of each of its rows.

    `windows` has a number of keys for each layer, or None where queries see all. Keys and values
    have `heads` heads of `depth` numbers of a dtype, in arrays of the module `xp`. `lengths`
    (rows,) says how many positions each row has, `begun` (rows,) at which length its text began,
    0 as long as it has not; they lie on the host. `model.cache()` makes one.
    """

    def __init__(self, windows: Sequence[int | None], rows: int = 1, capacity: int = 1024,
                 bits: int | None = None, *, heads: int, depth: int, dtype: Any = np.float32,
                 xp: Any = np) -> None:
        if rows < 0 or capacity < 1:
            raise ValueError(f"cache: expected rows and a capacity of at least 1, got {rows} and "
                             f"{capacity}")
        if bits not in (None, 8):
            raise ValueError(f"cache: bits is 8, or None for the numbers as they are, got {bits}")
        self.windows, self.capacity = list(windows), capacity
        self.lengths, self.tops, self.begun = np.zeros((3, rows), np.int64)
        self.counts: np.ndarray | None = None
        self.is_part = False
        kinds = [(depth, dtype)] * 2 if bits is None else (
            [(depth, np.int8)] * 2 + [(1, np.result_type(dtype, np.float32))] * 2)
        # Zeros, as a value that no query sees counts 0 times, and 0 times NaN is NaN.
        self.layers = []
        for slots in (slots_of(window, capacity) for window in self.windows):
            arrays = [xp.zeros((rows, heads, slots, columns), kind) for columns, kind in kinds]
            self.layers.append(LayerCache(arrays, self.lengths, dtype))

    @classmethod
    def of(cls, model: Any, windows: Sequence[int | None], rows: int, capacity: int | None,
           bits: int | None, *, heads: int, depth: int) -> Cache:
        """Return a cache with arrays of the model's kind, by default with room for its context."""
        weights = [model.head, *parameters(model).values()]
        return cls(windows, rows, model.config.context if capacity is None else capacity, bits,
                   heads=heads, depth=depth, xp=namespace(model.head.data),
                   dtype=np.result_type(*{np.dtype(p.dtype) for p in weights}))

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.lengths)

    @property
    def length(self) -> int:
        """The number of positions that the longest row has."""
        return int(self.lengths.max(initial=0))

    @property
    def nbytes(self) -> int:
        """The bytes of all keys and values, filled or not."""
        return sum(a.nbytes for layer in self.layers for a in layer.arrays)

    @property
    def bytes_per_token(self) -> int:
        """The bytes of one position of one row in all layers."""
        return sum(a.itemsize * a.shape[1] * a.shape[3]
                   for layer in self.layers for a in layer.arrays)

    def part(self, start: int, stop: int, counts: Any = None) -> Cache:
        """Return a cache of the rows `start` to `stop` - 1, in the same memory.

        With `counts`, integers (stop - start,), it is for one call, whose ids (stop - start, T)
        have so many real ones in each row; the rest is padding, kept nowhere. Raises IndexError
        for rows that do not exist, ValueError for other than one count for each.
        """
        if not 0 <= start <= stop <= self.rows:
            raise IndexError(f"cache: expected rows inside 0 to {self.rows}, got {start} to {stop}")
        part = copy(self)
        part.is_part = True
        part.lengths, part.tops, part.begun = (
            a[start:stop] for a in (self.lengths, self.tops, self.begun))
        part.counts = None if counts is None else np.array(counts, np.int64)
        if part.counts is not None and part.counts.shape != part.lengths.shape:
            raise ValueError(f"cache: expected a count for each of {stop - start} rows, got "
                             f"{counts}")
        part.layers = [LayerCache([a[start:stop] for a in layer.arrays], part.lengths, layer.dtype,
                                  part.counts) for layer in self.layers]
        return part

    def ends(self, time: int) -> np.ndarray:
        """Return the lengths (rows,) behind a call with ids (rows, time)."""
        return self.lengths + (time if self.counts is None else self.counts)

    def places(self, batch: int, time: int) -> tuple[np.ndarray, Any]:
        """Return the positions of the next ids (batch, time), and how many positions each sees.

        At position i that is the larger of i + 1 and the length at which the text began: that of
        its first call, unless `begun` says it, where a text is read in several calls. Both are of
        all rows, (time,), where these are alike, or of each, (batch, time). Padding has the
        position of the last id before it. Raises ValueError where the ids do not fit.
        """
        self._check(batch, time)
        start, begun = self.length, np.where(self.begun, self.begun, self.ends(time))
        most = begun.max(initial=0)
        if self.counts is None and not ((self.lengths - start).any() or (begun - most).any()):
            positions = np.arange(start, start + time)
            return positions, np.maximum(positions + 1, most)
        ends = self.ends(time)[:, None]
        positions = np.minimum(self.lengths[:, None] + np.arange(time), ends - 1)
        return positions, np.maximum(positions + 1, begun[:, None])

    def _check(self, batch: int, time: int) -> None:
        if batch != self.rows:
            raise ValueError(f"cache: expected ids for {self.rows} rows, got {batch}; "
                             f"model.cache(rows={batch}) has so many, and part() takes some")
        counts = self.counts
        if counts is not None and not ((counts >= 1) & (counts <= time)).all():
            raise ValueError(f"cache: each row's count must lie in [1, {time}], as ids are "
                             f"{(batch, time)}, got {counts.tolist()}")
        if (longest := self.ends(time).max(initial=0)) > self.capacity:
            raise ValueError(f"cache: a row would have {longest} positions, and there is room for "
                             f"{self.capacity}; grow() makes more")

    def advance(self, time: int) -> None:
        """Count the positions of a call with ids (rows, time), whose keys and values are kept."""
        ends = self.ends(time)
        np.copyto(self.begun, ends, where=self.begun == 0)
        self.lengths[:] = ends

    def reorder(self, rows: Sequence[int]) -> None:
        """Let row b be what row rows[b] was, for each b of rows (n,); others stay as they are."""
        source = np.array(rows, np.int64)
        self._check_rows(*source, *range(len(source)))
        target = np.flatnonzero(source != np.arange(len(source)))
        source = source[target]
        tops = self._tops()
        filled = int(max(tops[source].max(initial=0), tops[target].max(initial=0)))
        for a in (a for layer in self.layers for a in layer.arrays):
            xp = namespace(a)
            a[xp.asarray(target), :, :filled] = a[xp.asarray(source), :, :filled]
        self.lengths[target], self.tops[target] = self.lengths[source], tops[source]
        self.begun[target] = self.begun[source]

    def copy_row(self, source: int, target: int) -> None:
        """Let a row be what another one is."""
        self._check_rows(source, target)
        self.reorder([source if row == target else row for row in range(target + 1)])

    def clear(self, row: int) -> None:
        """Forget a row: its numbers are zeros again, as NaN that no query sees would count."""
        self._check_rows(row)
        for a in (a for layer in self.layers for a in layer.arrays):
            a[row, :, : self._tops()[row]] = 0
        self.lengths[row] = self.tops[row] = self.begun[row] = 0

    def truncate(self, row: int, length: int) -> None:
        """Forget the positions of a row from `length` on.

        Raises ValueError where it has not so many, or where a query at the position `length` would
        see one that a window's slots have lost: a cache made with rotate=False keeps all.
        """
        self._check_rows(row)
        before, top = int(self.lengths[row]), int(self._tops()[row])
        if not 0 <= length <= before:
            raise ValueError(f"cache: row {row} has {before} positions, so it cannot be cut to "
                             f"{length}")
        if length == 0:
            self.clear(row)
            return
        for layer in self.layers:
            if length < before and layer.slots < top > length + 1:
                raise ValueError(f"cache: {layer.slots} slots of a window have lost what position "
                                 f"{length} of row {row} sees, as it had {top}; a cache made "
                                 f"with rotate=False keeps all")
        for layer in self.layers:
            slot = np.arange(length, before) % layer.slots
            for a in layer.arrays:
                a[row, :, namespace(a).asarray(slot)] = 0
        self.lengths[row], self.tops[row] = length, top

    def first(self, row: int) -> int:
        """Return the first position of a row that all layers still keep."""
        self._check_rows(row)
        slots = min((layer.slots for layer in self.layers), default=self.capacity)
        return max(0, int(self._tops()[row]) - slots)

    def read(self, row: int, start: int, stop: int) -> list[tuple[Array, Array]]:
        """Return keys and values (stop - start, G, D) of a row's positions, for each layer.

        They are copies. Raises ValueError for positions that are not kept.
        """
        if not self.first(row) <= start <= stop <= self.lengths[row]:
            raise ValueError(f"cache: row {row} keeps the positions {self.first(row)} to "
                             f"{self.lengths[row] - 1}, got {start} to {stop - 1}")
        places = np.arange(start, stop)
        return [layer.floats([a[row, :, namespace(a).asarray(places % layer.slots)]
                              for a in layer.arrays]) for layer in self.layers]

    def write(self, row: int, kept: Sequence[tuple[Array, Array]]) -> None:
        """Give an empty row its first positions, of which `kept` has what `read` returns.

        Raises ValueError where the row is not empty, or there is no room.
        """
        time, part = len(kept[0][0]), self.part(row, row + 1)
        if self.lengths[row]:
            raise ValueError(f"cache: row {row} has {self.lengths[row]} positions; clear it, then "
                             f"write")
        part.places(1, time)
        for layer, (k, v) in zip(part.layers, kept, strict=True):
            layer.put(layer.packed(k[None], v[None]))
        part.advance(time)

    def grow(self, rows: int | None = None, capacity: int | None = None) -> None:
        """Make room for more rows or positions. Parts that were made before do not see it.

        Raises ValueError for less than there is, and for a part, whose memory is its cache's.
        """
        if self.is_part:
            raise ValueError("cache: a part cannot grow; call grow() of the cache that it is of")
        rows, capacity = rows or self.rows, capacity or self.capacity
        if rows < self.rows or capacity < self.capacity:
            raise ValueError(f"cache: it has {self.rows} rows of {self.capacity} positions, which "
                             f"cannot shrink to {rows} of {capacity}")
        old, filled = slice(self.rows), int(self._tops().max(initial=0))
        lengths, tops, begun = np.zeros((3, rows), np.int64)
        lengths[old], tops[old], begun[old] = self.lengths, self.tops, self.begun
        for layer, window in zip(self.layers, self.windows, strict=True):
            arrays = []
            for a in layer.arrays:
                shape = rows, a.shape[1], slots_of(window, capacity), a.shape[3]
                arrays.append(namespace(a).zeros(shape, a.dtype))
                arrays[-1][old, :, : min(filled, layer.slots)] = a[:, :, :filled]
            layer.arrays, layer.lengths = tuple(arrays), lengths
        self.lengths, self.tops, self.begun, self.capacity = lengths, tops, begun, capacity

    def reserve(self, positions: int, most: int) -> None:
        """Have room for so many positions in each row: it grows by doubling, to `most` at most."""
        if positions > self.capacity:
            self.grow(capacity=min(max(2 * self.capacity, positions), most))

    def _tops(self) -> np.ndarray:
        """Return the largest lengths since the rows were empty: their slots are filled up to it."""
        return np.maximum(self.lengths, self.tops)

    def _check_rows(self, *rows: int) -> None:
        if any(not 0 <= row < self.rows for row in rows):
            raise IndexError(f"cache: expected rows inside 0 to {self.rows - 1}, got "
                             f"{', '.join(map(str, rows))}")


def slots_of(window: int | None, capacity: int) -> int:
    """Return how many positions a layer keeps."""
    return capacity if window is None else min(window, capacity)


def places_of(ids: Array, cache: Cache | None, documents: Array | None) -> tuple[Array, Any]:
    """Return the positions of ids (B, T), and how many each sees, as `Rotary.at` asks."""
    if documents is not None:
        return positions_of(documents), lengths_of(documents)
    if cache is not None:
        return cache.places(*ids.shape)
    return np.arange(ids.shape[1]), ids.shape[1]


def last_of(x: Any, cache: Cache | None) -> Any:
    """Return the rows (B, C) of x (B, T, C) that belong to the last real ids."""
    if cache is None or cache.counts is None:
        return x[:, -1]
    xp = namespace(values(x))
    return x[xp.arange(len(x)), xp.asarray(cache.counts - 1)]
