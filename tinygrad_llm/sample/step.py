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

A part of another class than the usual ones, experts or a map with low-rank additions, is called as
it is. BLAS uses the threads that it is set to: a product with few columns is over before threads of
Python's are awake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod, sqrt
from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from autograd.backend import Array
from autograd.tensor import values

from ..functional import gelu
from ..functional.gelu import CUBIC, ROOT
from ..host.threads import each, workers_unless_open
from ..models import GPT, Llama
from ..models.gpt import Block
from ..models.llama import LlamaBlock
from ..nn import (
    MLP,
    Cache,
    CausalSelfAttention,
    Embedding,
    GatedMLP,
    LayerNorm,
    Linear,
    RMSNorm,
    sinusoidal,
)


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
        self.dtype = np.dtype(getattr(getattr(model, "head", None), "dtype", None))
        self._check()
        self.head, self.steps = model.head.data.T, 0
        self.rooms: dict[int, _Room] = {}
        self.readers: list[_Room] = []
        self._begin()

    def _check(self) -> None:
        """Raise OtherModel where `stepper` returns None."""
        model, dtype = self.model, self.dtype
        if type(model) not in (GPT, Llama) or dtype not in (np.float32, np.float64):
            raise OtherModel(f"{type(model).__name__} of {dtype}")
        tables = [model.wte] + [table for table in [getattr(model, "wpe", None)] if table]
        kind = Block if type(model) is GPT else LlamaBlock
        if not (type(model.head.data) is np.ndarray and all(
                usual(table, dtype, Embedding) for table in tables) and all(
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
        self.places = _Places(model, cache, self.dtype)

    def __call__(self, tokens: Sequence[int] | Array) -> Array:
        """Return the logits (n, V); `tokens` (n,) are the next ones of the rows 0 to n - 1.

        Their keys and values are kept. The logits lie in a buffer that the next step overwrites.
        Raises ValueError where a row is full, IndexError where there are too few rows.
        """
        ids = np.asarray(tokens)
        self.steps += 1
        if self.steps == MANY:
            self.head = laid_out(self.head)
            self.rooms.clear()
        self._look()
        room = self.rooms.get(len(ids))
        if room is None:
            if len(self.rooms) == ROOMS:
                self.rooms.clear()
            room = self.rooms[len(ids)] = _Room(self, len(ids))
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

    def _readers(self, count: int, size: int) -> list[_Room]:
        """Return so many rooms of `size` columns for reading."""
        if self.readers and self.readers[0].n != size:
            self.readers.clear()
        while len(self.readers) < count:
            self.readers.append(_Room(self, size, reading=True))
        return self.readers[:count]


def run(calls: Sequence[Callable[[], Any]]) -> None:
    """Call them in their order."""
    for call in calls:
        call()


def _run_one(phases: Sequence[Sequence[Callable[[], Any]]], piece: int) -> None:
    run(phases[piece])


def check_room(positions: int, limit: int) -> None:
    """Raise ValueError where a row gets more positions than there is room for."""
    if positions > limit:
        raise ValueError(f"step: a row has {positions - 1} tokens already, of at most {limit}: the "
                         f"context, or what the cache has room for")


PIECE, ROUND = 256, 16  # columns of a piece in reading, at most; they are made up to a multiple
QUERIES = 64  # of a head, that attend at once in reading
ROOMS = 8  # numbers of rows whose calls are kept
MANY = 32  # steps, after which laying out the head pays: it takes as long as 20 are faster by


def laid_out(w: Array, rows: int = 512) -> Array:
    """Return a copy of w (C, V), a transposed view, by rows; in blocks, in a third of the time."""
    copy = np.empty(w.shape, w.dtype)
    for start in range(0, w.shape[1], rows):
        copy[:, start : start + rows] = w[:, start : start + rows]
    return copy


def usual(part: Any, dtype: Any, *kinds: type) -> bool:
    """Whether a part is of one of these classes, with NumPy's arrays of that dtype."""
    arrays = [t.data for t in vars(part).values() if isinstance(t, Tensor)] if (
        type(part) in kinds) else [None]
    return all(type(a) is np.ndarray and a.dtype == dtype for a in arrays)


class _Places:
    """What is put in for the positions of tokens: rows of a table, or angles."""

    def __init__(self, model: Any, cache: Cache, dtype: Any) -> None:
        config = model.config
        self.limit, self.tokens = min(cache.capacity, config.context), model.wte.weight.data
        factor = getattr(config, "embed_scale", 1)
        self.table: Array = None
        self.cos: Array = None
        self.sin: Array = None
        if getattr(model, "wpe", None) is not None:
            self.table = model.wpe.weight.data
        elif model.rotary is None:
            factor = sqrt(config.width)
            self.table = sinusoidal(self.limit, config.width, dtype)
        self.factor = None if factor == 1 else np.array(factor, dtype)
        self.rotary, self.dtype = model.rotary, dtype
        if self.rotary is not None and self.rotary.rule != "dynamic":
            self.cos, self.sin = self._angles(np.arange(self.limit), self.limit)

    def _angles(self, positions: Array, length: Any) -> tuple[Array, Array]:
        """Return (c, c) and (-s, s) of positions (n,), each (n, D), laid out as a head is."""
        cos, sin = self.rotary.at(positions, length, self.dtype)
        order = -1 if self.rotary.interleaved else -2
        cc, ss = (np.stack(two, order).reshape(len(cos), -1) for two in ((cos, cos), (-sin, sin)))
        return cc, ss

    def angles(self, at: Any, begun: Any) -> tuple[Array, Array]:
        """Return those of the next positions: of an integer (D,), of an array (n,) (n, D).

        `begun` are those of the cache, which a dynamic rule asks for.
        """
        if self.cos is not None:
            return self.cos[at], self.sin[at]
        at = np.asarray(at)
        cos, sin = self._angles(at.reshape(-1), np.maximum(at.reshape(-1) + 1, begun))
        return cos.reshape(*at.shape, -1), sin.reshape(*at.shape, -1)

    def put(self, ids: Any, at: Any, x: Array) -> None:
        """Write the rows of `ids` at positions `at` into x."""
        rows = self.tokens[ids]
        if self.factor is not None:
            rows = rows * self.factor
        if self.table is None:
            np.copyto(x, rows)
        else:
            np.add(rows, self.table[at], x)


class _Room:
    """The buffers of a step of n rows, or of n ids that are read, and its calls in order."""

    def __init__(self, step: Step, n: int, reading: bool = False) -> None:
        model, self.dtype, self.n = step.model, step.dtype, n
        self.part, self.places = step.cache if reading else step.cache.part(0, n), step.places
        self.shape = () if n == 1 else (n,)
        self.calls: list[Callable[[], Any]] = []
        self.phases = [self.calls]  # in reading, one behind each layer's keys and values
        self.texts: list[tuple[int, int, int, int]] = []
        self.reading, self.buffers = reading, dict[Any, Array]()
        self.views: dict[Any, _View] = {}
        self.scores, self.logits = step.scores, step.logits[:n]
        if reading:
            self.scores = np.empty(QUERIES * len(step.scores) // step.cache.rows, self.dtype)
        config, width = model.config, model.config.width
        self.one, self.zero, self.power, self.cubic, self.linear = (
            np.array(number, self.dtype) for number in (1, 0, -0.5, -2 * ROOT * CUBIC, -2 * ROOT))
        self.x, self.normed, self.y, self.factor = (self.empty(width) for _ in range(4))
        self.mean, self.r = self.empty(), self.empty()
        self.average = np.array([*[1 / width] * width, 1], self.dtype)
        self.squares: dict[float, Array] = {}
        if self.places.rotary is not None:
            self.cos, self.sin = self.empty(self.places.rotary.width), self.empty(
                self.places.rotary.width)
        post_norms = getattr(config, "post_norms", False)
        names = ("ln_1", "ln_2", "ln_f") if type(model) is GPT else ("norm_1", "norm_2", "norm_f")
        for block, layer in zip(model.h, self.part.layers, strict=True):
            norm_1, norm_2 = (getattr(block, name) for name in names[:2])
            self.attention(norm_1, block.attn, layer)
            if reading and block is model.h[-1]:
                self.phases.pop()  # the last keys and values are kept, and no logits are asked for
                return
            self.add(block.post_attn if post_norms else None)
            self.mlp(norm_2, block.mlp)
            self.add(block.post_mlp if post_norms else None)
        self.norm(getattr(model, names[2]), self.x, self.normed)
        self.head(step.head, getattr(config, "logit_cap", 0))

    def run(self, ids: Array) -> Array:
        """Return the logits (n, V) behind the next tokens (n,)."""
        lengths = self.part.lengths
        last = int(lengths.max())
        check_room(last + 1, self.places.limit)
        if self.n == 1:
            self.put(int(ids[0]), last, self.part.begun)
        else:
            self.put(ids, lengths, self.part.begun)
        for view in self.views.values():
            view.begin(lengths, last)
        with np.errstate(over="ignore"):
            run(self.calls)
        self.part.advance(1)
        return self.logits

    def put(self, ids: Any, at: Any, begun: Any) -> None:
        """Put ids in at their positions, both (n,) or an integer."""
        self.places.put(ids, at, self.x.T)
        if self.places.rotary is not None:
            cos, sin = self.places.angles(at, begun)
            np.copyto(self.cos, cos.T)
            np.copyto(self.sin, sin.T)

    def look(self, ids: Array, at: Array, begun: Array, texts: list[tuple[int, int, int]]) -> None:
        """Take ids to read, at most n, and their positions; those of a row lie at first..stop."""
        self.texts = [(row, int(at[first]), first, stop) for row, first, stop in texts]
        rest = 0, self.n - len(ids)
        self.put(np.pad(ids, rest), np.pad(at, rest), np.pad(begun, rest))

    def empty(self, *shape: int) -> Array:
        """Return a buffer with a column for each row of the batch."""
        return np.empty((*shape, *self.shape), self.dtype)

    def buffer(self, name: str, *shape: int) -> Array:
        """Return a buffer that each layer overwrites: filled, as nothing writes a missing id's."""
        key = name, shape
        if key not in self.buffers:
            self.buffers[key] = np.zeros((*shape, *self.shape), self.dtype)
        return self.buffers[key]

    def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Add a call to the step."""
        self.calls.append(partial(function, *arguments))

    def rows(self, x: Array) -> Array:
        """Return X (C, n), or x (C,), as a view (n, 1, C)."""
        return x.reshape(len(x), self.n).T[:, None]

    def whole(self, part: Any, x: Array, y: Array) -> None:
        """Write what a part maps x (n, ..., C) to into y, by its own call."""
        def call() -> None:
            with no_grad():
                np.copyto(y, values(part(x)))

        self.call(call)

    def norm(self, norm: Any, x: Array, y: Array, into: Any = None) -> None:
        """Normalise x into y; the shift is left to the map `into`, if it is a usual one."""
        if not usual(norm, self.dtype, LayerNorm, RMSNorm):
            self.whole(norm, self.rows(x), self.rows(y))
            return
        squares: Any = self.squares.setdefault(norm.eps, self.empty(len(x) + 1))
        squares[-1] = norm.eps
        w, shift = norm.weight.data, getattr(norm, "bias", None)
        if type(norm) is LayerNorm:
            self.call(self.average[:-1].dot, x, self.mean)
            self.call(np.subtract, x, self.mean, y)
            x = y
        elif norm.offset:
            w = w + np.array(norm.offset, w.dtype)
        self.call(np.multiply, x, x, squares[:-1])
        self.call(self.average.dot, squares, self.r)
        self.call(np.power, self.r, self.power, self.r)
        if self.n == 1:
            self.call(np.multiply, w, self.r, self.factor)
        else:
            self.call(w[:, None].dot, self.r[None], self.factor)
        self.call(np.multiply, x, self.factor, y)
        if shift is not None and not usual(into, self.dtype, Linear):
            self.call(np.add, y, self.column(shift.data), y)

    def column(self, vector: Array) -> Array:
        """Return a vector so that it can be added to each column."""
        return vector if self.n == 1 else vector[:, None]

    def map(self, linear: Any, x: Array, y: Array, norm: Any = None) -> None:
        """Write what a map makes of x into y; of a layer norm before it, it adds the shift."""
        if not usual(linear, self.dtype, Linear):
            self.whole(linear, self.rows(x), self.rows(y))
            return
        w, bias = linear.weight.data, None if linear.bias is None else linear.bias.data
        if usual(norm, self.dtype, LayerNorm) and norm.bias is not None:
            shift = w @ norm.bias.data
            bias = shift if bias is None else bias + shift
        self.call(w.dot, x, y)
        if bias is not None:
            self.call(np.add, y, self.column(bias), y)

    def add(self, post: Any) -> None:
        """Add y to the stream, behind a norm of its own if there is one."""
        if post is not None:
            self.norm(post, self.y, self.y)
        self.call(np.add, self.x, self.y, self.x)

    def attention(self, norm: Any, attn: CausalSelfAttention, layer: Any) -> None:
        """Write what attention adds to the stream into y."""
        heads, groups, depth = attn.heads, attn.key_heads, attn.depth
        self.norm(norm, self.x, self.normed, attn.qkv)
        qkv = self.buffer("qkv", (heads + 2 * groups) * depth)
        self.map(attn.qkv, self.normed, qkv, norm)
        by_head = qkv.reshape(-1, depth, *self.shape)
        rows = by_head if self.n == 1 else by_head.transpose(2, 0, 1)  # n, H + 2 G, D
        q, k, v = (rows[..., first:stop, :] for first, stop in (
            (0, heads), (heads, heads + groups), (heads + groups, heads + 2 * groups)))
        if attn.q_norm is not None:
            self.whole(attn.q_norm, q, q)
            self.whole(attn.k_norm, k, k)
        if self.places.rotary is not None:
            self.rotate(by_head[: heads + groups])
        cap = attn.soft_cap
        alpha = np.array((1 / sqrt(depth) if attn.scale is None else attn.scale) / (cap or 1),
                         self.dtype)
        shape = groups, heads // groups, depth
        mixed = self.buffer("mixed", heads * depth)
        if self.reading:
            self.attention_of_texts(by_head[:heads].reshape(*shape, self.n), k, v, alpha, attn,
                                    layer, mixed.reshape(*shape, self.n))
        else:
            scaled = self.buffer("scaled", *shape) if self.n == 1 else np.empty(
                (self.n, *shape), self.dtype)
            self.call(np.multiply, q.reshape(scaled.shape), alpha, scaled)
            slots = layer.slots
            window = attn.window if attn.window is not None and attn.window < slots else None
            view = self.views.setdefault((slots, window, scaled.shape), _View(
                self, slots, window, scaled.shape))
            by_head = mixed.reshape(*shape, *self.shape)
            self.calls.append(_Attend(view, scaled, k, v, layer, cap, by_head if self.n == 1 else
                                      by_head.transpose(3, 0, 1, 2)))
        self.map(attn.out, mixed, self.y)

    def attention_of_texts(self, q: Array, k: Array, v: Array, alpha: Array,
                           attn: CausalSelfAttention, layer: Any, mixed: Array) -> None:
        """Keep keys and values (n, G, D); in the next phase, write what each text attends to."""
        self.call(np.multiply, q, alpha, q)
        self.calls.append(partial(_keep, self, k, v, layer))
        self.calls = []
        self.phases.append(self.calls)
        self.calls.append(partial(_read, self, q, layer, attn.window, attn.soft_cap, mixed))

    def rotate(self, x: Array) -> None:
        """Turn the pairs of queries and keys (H + G, D, n) in place."""
        half = x.shape[1] // 2
        pairs = (half, 2) if self.places.rotary.interleaved else (2, half)
        x, cos, sin = (a.reshape(*a.shape[:-1 - len(self.shape)], *pairs, *self.shape)
                       for a in (x, self.cos, self.sin))
        other = x[:, :, ::-1] if self.places.rotary.interleaved else x[:, ::-1]
        turned = self.buffer("turned", *x.shape[: -len(self.shape) or None])
        self.call(np.multiply, other, sin, turned)
        self.call(np.multiply, x, cos, x)
        self.call(np.add, x, turned, x)

    def mlp(self, norm: Any, mlp: Any) -> None:
        """Write what the MLP adds to the stream into y."""
        gated = type(mlp) is GatedMLP
        up: Any = getattr(mlp, "gate_up" if gated else "up", None)
        if type(mlp) not in (MLP, GatedMLP) or not all(
                usual(map, self.dtype, Linear) for map in (up, mlp.down)):
            self.norm(norm, self.x, self.normed)
            self.whole(mlp, self.rows(self.normed), self.rows(self.y))
            return
        self.norm(norm, self.x, self.normed, up)
        inner = self.buffer("inner", len(up.weight.data))
        self.map(up, self.normed, inner, norm)
        z = inner[: len(inner) // 2] if gated else inner
        activation = _exact_gelu if gated and mlp.activation == "gelu" else (
            ACTIVATIONS[mlp.activation])
        activation(self, z, self.buffer("activation", len(z)))
        if gated:
            self.call(np.multiply, z, inner[len(z) :], z)
        self.map(mlp.down, z, self.y)

    def head(self, w: Array, cap: float) -> None:
        """Write the logits (n, V) of the normed stream; w (C, V) is the transposed head."""
        if self.n == 1:
            self.call(self.normed.dot, w, self.logits[0])
        else:
            self.call(self.normed.T.dot, w, self.logits)
        if cap:
            c = np.array(cap, self.dtype)
            self.call(np.divide, self.logits, c, self.logits)
            self.call(np.tanh, self.logits, self.logits)
            self.call(np.multiply, self.logits, c, self.logits)


def _gelu(room: _Room, x: Array, s: Array) -> None:
    r"""Replace x by $x\,\sigma(2u) = x / (1 + e^{-2u})$; see `functional.gelu`."""
    room.call(np.multiply, x, x, s)
    room.call(np.multiply, s, room.cubic, s)
    room.call(np.add, s, room.linear, s)
    room.call(np.multiply, s, x, s)  # -2u
    room.call(np.exp, s, s)  # far out infinite: x / inf is 0, as it must be
    room.call(np.add, s, room.one, s)
    room.call(np.divide, x, s, x)


def _silu(room: _Room, x: Array, s: Array) -> None:
    r"""Replace x by $x\,\sigma(x) = x / (1 + e^{-x})$."""
    room.call(np.negative, x, s)
    room.call(np.exp, s, s)
    room.call(np.add, s, room.one, s)
    room.call(np.divide, x, s, x)


def _relu_squared(room: _Room, x: Array, _: Array) -> None:
    room.calls.append(partial(np.maximum, x, room.zero, out=x))
    room.call(np.multiply, x, x, x)


def _exact_gelu(room: _Room, x: Array, _: Array) -> None:
    room.whole(partial(gelu, approximate="none"), x, x)


ACTIVATIONS: dict[str, Callable[[_Room, Array, Array], None]] = {
    "relu_squared": _relu_squared, "silu": _silu, "gelu_tanh": _gelu, "gelu": _gelu}


class _View:
    """What the next queries of a layer see: slots up to `time`, without those that are hidden."""

    def __init__(self, room: _Room, slots: int, window: int | None, shape: tuple[int, ...]) -> None:
        self.slots, self.window, self.n = slots, window, room.n
        self.scores, self.shape = room.scores, shape[:-1]  # (n,) G, R
        self.size = int(np.prod(self.shape))
        self.rows = np.arange(room.n)

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


class _Attend:
    """The call in which a layer keeps its new keys and values, and attends."""

    def __init__(self, view: _View, q: Array, k: Array, v: Array, layer: Any,
                 cap: float | None, mixed: Array) -> None:
        self.view, self.q, self.k, self.v, self.mixed = view, q, k, v, mixed
        self.keys, self.values = (a if q.ndim == 4 else a[0] for a in layer.arrays)
        self.columns = self.keys.swapaxes(-1, -2)
        self.out, self.sums = np.empty_like(q), np.empty((*q.shape[:-1], 1), q.dtype)
        self.cap = None if cap is None else np.array(cap, q.dtype)

    def __call__(self) -> None:
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


def _keep(room: _Room, k: Array, v: Array, layer: Any) -> None:
    """Keep the keys and values (n, G, D) of the ids that are read."""
    for row, at, first, stop in room.texts:
        for kept, new in zip(layer.arrays, (k, v), strict=True):
            kept[row, :, at : at + stop - first] = new[first:stop].swapaxes(0, 1)


def _read(room: _Room, q: Array, layer: Any, window: int | None, cap: float | None, mixed: Array
          ) -> None:
    """Write what the queries (G, R, D, n) of each text attend to into `mixed`, of the same shape.

    A query has a column of p (G, R, S, t), and the mixture of values is one of $V^\top P$.
    """
    for row, at, first, stop in room.texts:
        keys, values = (a[row, :, None] for a in layer.arrays)  # G, 1, slots, D
        for i in range(first, stop, QUERIES):
            j = min(i + QUERIES, stop)
            place = at + i - first  # of query i
            low, high = max(0, place + 1 - (window or place + 1)), place + j - i
            shape = *q.shape[:2], high - low, j - i
            p = room.scores[: prod(shape)].reshape(shape)
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
