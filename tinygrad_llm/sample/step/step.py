r"""Twin of `model.next_logits` for the next token of several texts, written out on plain arrays.

    step = stepper(model, cache)          # None for a model that it does not know
    logits = step(tokens)                 # model.next_logits(tokens[:, None], cache.part(0, n))
    step.read({2: ids})                   # model.hidden(ids[None], cache=cache.part(2, 3))

A step is `nn` and `functional` for a single position of each of n rows. In a small model a layer
multiplies for 10 microseconds, and each call of NumPy takes a quarter of one before its first
number. Therefore everything is written into the same few buffers, and for each n a step is a list
of calls, made once with all that they work on: only attention, whose keys become more, finds its
own at each step. Constants are arrays without axes: NumPy converts a Python number in each call.

What runs through the layers is X (C, n), a column for each row, so that a map is $Y = W X$: for few
columns BLAS reads W once, and on all cores, as it does not for $Y^\top = X^\top W^\top$. A single
row is a vector x (C,), and W x is faster still. The head, a small model's largest map, is laid out
anew after some steps, a row for each of its C inputs: a step of GPT-2 for 8 rows is faster by a
quarter then, and takes as much more memory as the head. The shift b of a layer norm goes into the
bias c of the map behind it:

$$W (w \odot n + b) + c = W (w \odot n) + (W b + c).$$

Reading a prompt is the same with a column for each of its ids, of all prompts side by side: none is
padded, each attends by itself, and behind the last layer's keys and values nothing is computed. The
columns are cut into pieces, which go from layer to layer together, as each may need the keys of the
others. A piece's arrays fit a core's cache, and workers share the pieces.

Matrices of 16 bits are widened by blocks of rows, which fit a core's cache, just before they are
multiplied (`nn.stored`); such a head is not laid out anew.

A part of another class than the usual ones, experts or a map with low-rank additions, is called as
it is. BLAS uses the threads that it is set to: a product with few columns is over before threads of
Python's are awake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from autograd.backend import Array, wide

from ...host.threads import each, workers_unless_open
from ...models import GPT, Llama
from ...models.gpt import Block
from ...models.llama import LlamaBlock
from ...nn import Cache, CausalSelfAttention, Embedding, WideEmbedding
from . import attending
from .room import Places, Room, check_room, run, usual

PIECE, ROUND = 256, 16  # columns of a piece in reading, at most; they are made up to a multiple
ROOMS = 8  # numbers of rows whose calls are kept
MANY = 32  # steps, after which laying out the head pays: it takes as long as 20 are faster by


class OtherModel(Exception):
    """The model, or its cache, is not one that a step can be written out for."""


def stepper(model: Any, cache: Cache) -> Step | None:
    """Return the twin of `model.next_logits` for the next tokens of the cache's first rows.

    None for other models than GPT and Llama, for blocks and attention of other classes, for other
    arrays than NumPy's of one kind, and for a cache in 8 bits.
    """
    try:
        return Step(model, cache)
    except OtherModel:
        return None


class Step:
    """The logits of the tokens that follow the first n rows of a cache and their next tokens.

    It belongs to the model's weights as they are now; make another one after they have changed.
    Raises OtherModel where `stepper` returns None.
    """

    def __init__(self, model: Any, cache: Cache) -> None:
        self.model, self.cache = model, cache
        self.dtype = wide(np.dtype(getattr(getattr(model, "head", None), "dtype", None)))
        self._check()
        self.head, self.steps = model.head.data.T, 0
        self.rooms: dict[int, Room] = {}
        self.readers: list[Room] = []
        self._begin()

    def _check(self) -> None:
        """Raise OtherModel where `stepper` returns None."""
        model, dtype = self.model, self.dtype
        if type(model) not in (GPT, Llama) or dtype not in (np.float32, np.float64):
            raise OtherModel(f"{type(model).__name__} of {dtype}")
        tables = [model.wte] + [table for table in [getattr(model, "wpe", None)] if table]
        kind = Block if type(model) is GPT else LlamaBlock
        if not (type(model.head.data) is np.ndarray and all(
                usual(table, dtype, Embedding, WideEmbedding) for table in tables) and all(
                type(block) is kind and type(block.attn) is CausalSelfAttention
                for block in model.h) and model.h):
            raise OtherModel("a part of another class, or arrays of another kind")
        if any(type(a) is not np.ndarray or a.dtype != dtype or len(layer.arrays) != 2
               for layer in self.cache.layers for a in layer.arrays):
            raise OtherModel("a cache of other numbers than the model's")

    def _begin(self) -> None:
        """Look at the cache's arrays; what was made for others is dropped."""
        model, cache = self.model, self.cache
        self.arrays, self.lengths = cache.layers[0].arrays, cache.lengths
        self.rooms.clear()
        self.readers.clear()
        self.logits = np.empty((cache.rows, len(model.head.data)), self.dtype)
        self.scores = np.empty(cache.rows * cache.capacity * max(
            block.attn.heads for block in model.h), self.dtype)
        self.places = Places(model, cache, self.dtype)

    def __call__(self, tokens: Sequence[int] | Array) -> Array:
        """Return the logits (n, V); `tokens` (n,) are the next ones of the rows 0 to n - 1.

        Their keys and values are kept. The logits lie in a buffer that the next step overwrites.
        Raises ValueError where a row is full, IndexError where there are too few rows.
        """
        ids = np.asarray(tokens)
        self.steps += 1
        if self.steps == MANY and self.head.dtype == self.dtype:
            self.head = laid_out(self.head)
            self.rooms.clear()
        self._look()
        room = self.rooms.get(len(ids))
        if room is None:
            if len(self.rooms) == ROOMS:
                self.rooms.clear()
            room = self.rooms[len(ids)] = self._room(len(ids))
        return room.run(ids)

    @property
    def reads(self) -> bool:
        """Whether `read` can be called: not where slots rotate."""
        return all(layer.slots == self.cache.capacity for layer in self.cache.layers)

    def read(self, texts: Mapping[int, Sequence[int]]) -> None:
        """Keep keys and values of the next ids of some rows, given by their number, 1 at least.

        Raises ValueError where a row is full.
        """
        self._look()
        lengths, begun, rows = self.cache.lengths, self.cache.begun, list(texts)
        counts = np.array([len(texts[row]) for row in rows])
        ids = np.concatenate([np.asarray(texts[row]) for row in rows])
        firsts = np.cumsum(counts) - counts
        at = np.arange(len(ids)) + np.repeat(lengths[rows] - firsts, counts)
        check_room(int(at.max()) + 1, self.places.limit)
        began = np.where(begun[rows], begun[rows], lengths[rows] + counts)
        seen = np.repeat(began, counts)
        pieces = -(-len(ids) // PIECE)
        size = -(-len(ids) // pieces)
        rooms = self._readers(pieces, -(-size // ROUND) * ROUND)
        ends = list(zip(rows, firsts.tolist(), (firsts + counts).tolist(), strict=True))
        for start, room in zip(range(0, len(ids), size), rooms, strict=True):
            stop = min(start + size, len(ids))
            room.look(ids[start:stop], at[start:stop], seen[start:stop], [
                (row, max(first, start) - start, min(end, stop) - start)
                for row, first, end in ends if first < stop and end > start])
        with workers_unless_open(), np.errstate(over="ignore"):
            for phases in zip(*(room.phases for room in rooms), strict=True):
                each(pieces, partial(_run_one, phases[::-1]))  # the last see most: they come first
        lengths[rows] += counts
        begun[rows] = began

    def _look(self) -> None:
        """Begin anew if the cache has other arrays."""
        if self.arrays is not self.cache.layers[0].arrays or self.lengths is not self.cache.lengths:
            self._begin()

    def _readers(self, count: int, size: int) -> list[Room]:
        """Return so many rooms of `size` columns for reading."""
        if self.readers and self.readers[0].n != size:
            self.readers.clear()
        while len(self.readers) < count:
            scores = np.empty(attending.QUERIES * len(self.scores) // self.cache.rows, self.dtype)
            self.readers.append(Room(self.model, self.cache, self.places, size, scores))
        return self.readers[:count]

    def _room(self, n: int) -> Room:
        """Return the room of a step of n rows."""
        return Room(self.model, self.cache.part(0, n), self.places, n, self.scores,
                    self.logits[:n], self.head)


def _run_one(phases: Sequence[Sequence[Callable[[], Any]]], piece: int) -> None:
    run(phases[piece])


def laid_out(w: Array, rows: int = 512) -> Array:
    """Return a copy of w (C, V), a transposed view, by rows; in blocks, in a third of the time."""
    copy = np.empty(w.shape, w.dtype)
    for start in range(0, w.shape[1], rows):
        copy[:, start : start + rows] = w[:, start : start + rows]
    return copy
