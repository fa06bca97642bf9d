"""The buffers of a step, and the calls that it consists of.

The calls of a room are those of the model's layers, each a function of NumPy's with all that it is
called with: buffers (C, n) that have a column for each row of the batch, or for each id that is
read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import sqrt
from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from autograd.backend import Array, wide, wider
from autograd.tensor import values

from ...functional import gelu
from ...functional.cpu.linear import wider_block
from ...functional.gelu import CUBIC, ROOT
from ...host.threads import BLOCK_BYTES
from ...models import GPT
from ...nn import (
    MLP,
    Cache,
    CausalSelfAttention,
    GatedMLP,
    LayerNorm,
    Linear,
    RMSNorm,
    sinusoidal,
)
from .attending import Attend, Text, View, attend_texts, keep_texts


def run(calls: Sequence[Callable[[], Any]]) -> None:
    """Call them in their order."""
    for call in calls:
        call()


def check_room(positions: int, limit: int) -> None:
    """Raise ValueError where a row gets more positions than there is room for."""
    if positions > limit:
        raise ValueError(f"step: a row has {positions - 1} tokens already, of at most {limit}: the "
                         f"context, or what the cache has room for")


def usual(part: Any, dtype: Any, *kinds: type) -> bool:
    """Whether a part is of one of these classes, with NumPy's arrays of that dtype.

    Matrices may have 16 bits where the dtype is float32; see `nn.stored`.
    """
    arrays = [t.data for t in vars(part).values() if isinstance(t, Tensor)] if (
        type(part) in kinds) else [None]
    return all(type(a) is np.ndarray and dtype in (a.dtype, wide(a.dtype) if a.ndim == 2 else None)
               for a in arrays)


class Places:
    """The rows of a table, or the angles, that are put in for the positions of tokens."""

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
        rows = wider(self.tokens[ids])
        if self.factor is not None:
            rows = rows * self.factor
        if self.table is None:
            np.copyto(x, rows)
        else:
            np.add(rows, wider(self.table[at]), x)


class Room:
    """The buffers of a step of n rows, or of n ids that are read, and its calls in order.

    A step has the part of the cache with its rows, and writes `logits` (n, V) by the transposed
    head w (C, V); without these, ids of any rows of the cache are read. `scores` are memory for the
    scores of a layer's queries.
    """

    def __init__(self, model: Any, cache: Cache, places: Places, n: int, scores: Array,
                 logits: Array | None = None, w: Array | None = None) -> None:
        self.part, self.places, self.n, self.scores = cache, places, n, scores
        self.logits, self.dtype, self.shape = logits, places.dtype, () if n == 1 else (n,)
        self.calls: list[Callable[[], Any]] = []
        self.phases = [self.calls]  # in reading, one behind each layer's keys and values
        self.texts: list[Text] = []
        self.buffers = dict[Any, Array]()
        self.blocks: dict[int, Array] = {}  # of rows so long
        self.views: dict[Any, View] = {}
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
            if logits is None and block is model.h[-1]:
                self.phases.pop()  # the last keys and values are kept, and no logits are asked for
                return
            self.add(block.post_attn if post_norms else None)
            self.mlp(norm_2, block.mlp)
            self.add(block.post_mlp if post_norms else None)
        self.norm(getattr(model, names[2]), self.x, self.normed)
        self.head(w, getattr(config, "logit_cap", 0), logits)

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
        self.texts[:] = ((row, int(at[first]), first, stop) for row, first, stop in texts)
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
            shift = wider(w) @ norm.bias.data
            bias = shift if bias is None else bias + shift
        self.product(w, x, y)
        if bias is not None:
            self.call(np.add, y, self.column(bias), y)

    def product(self, w: Array, x: Array, y: Array) -> None:
        """Write w x into y; a w of 16 bits is widened by blocks of rows, in one buffer for all."""
        if w.dtype == self.dtype:
            self.call(w.dot, x, y)
            return
        for rows, block in self.widened(w):
            self.call(block.dot, x, y[rows])

    def widened(self, w: Array) -> Iterator[tuple[slice, Array]]:
        """Yield blocks of rows of w, each with the array that has it in float32 when it is due."""
        size = max(1, BLOCK_BYTES // (4 * w.shape[1]))
        whole = self.blocks.setdefault(w.shape[1], np.empty((size, w.shape[1]), self.dtype))
        for start in range(0, len(w), size):
            rows = slice(start, min(start + size, len(w)))
            block = whole[: rows.stop - start]
            self.call(_widen, w[rows], block)
            yield rows, block

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
        if self.logits is None:
            self.attention_of_texts(by_head[:heads].reshape(*shape, self.n), k, v, alpha, attn,
                                    layer, mixed.reshape(*shape, self.n))
        else:
            scaled = self.buffer("scaled", *shape) if self.n == 1 else np.empty(
                (self.n, *shape), self.dtype)
            self.call(np.multiply, q.reshape(scaled.shape), alpha, scaled)
            slots = layer.slots
            window = attn.window if attn.window is not None and attn.window < slots else None
            view = self.views.setdefault((slots, window, scaled.shape), View(
                self.scores, self.n, slots, window, scaled.shape))
            by_head = mixed.reshape(*shape, *self.shape)
            self.calls.append(Attend(view, scaled, k, v, layer, cap, by_head if self.n == 1 else
                                      by_head.transpose(3, 0, 1, 2)))
        self.map(attn.out, mixed, self.y)

    def attention_of_texts(self, q: Array, k: Array, v: Array, alpha: Array,
                           attn: CausalSelfAttention, layer: Any, mixed: Array) -> None:
        """Keep keys and values (n, G, D); in the next phase, write what each text attends to."""
        self.call(np.multiply, q, alpha, q)
        self.calls.append(partial(keep_texts, self.texts, k, v, layer))
        self.calls = []
        self.phases.append(self.calls)
        self.calls.append(partial(attend_texts, self.texts, self.scores, q, layer, attn.window,
                                  attn.soft_cap, mixed))

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

    def head(self, w: Array, cap: float, logits: Array) -> None:
        """Write the logits (n, V) of the normed stream, by the transposed head w (C, V)."""
        if w.dtype != self.dtype:
            for rows, block in self.widened(w.T):
                if self.n == 1:
                    self.call(block.dot, self.normed, logits[0, rows])
                else:
                    self.call(np.matmul, self.normed.T, block.T, logits[:, rows])
        elif self.n == 1:
            self.call(self.normed.dot, w, logits[0])
        else:
            self.call(self.normed.T.dot, w, logits)
        if cap:
            c = np.array(cap, self.dtype)
            self.call(np.divide, logits, c, logits)
            self.call(np.tanh, logits, logits)
            self.call(np.multiply, logits, c, logits)


def _widen(w: Array, block: Array) -> None:
    np.copyto(block, w if w.dtype != np.float16 else wider_block(w))  # NumPy's cast is slow


def _gelu(room: Room, x: Array, s: Array) -> None:
    r"""Replace x by $x\,\sigma(2u) = x / (1 + e^{-2u})$; see `functional.gelu`."""
    room.call(np.multiply, x, x, s)
    room.call(np.multiply, s, room.cubic, s)
    room.call(np.add, s, room.linear, s)
    room.call(np.multiply, s, x, s)  # -2u
    room.call(np.exp, s, s)  # far out infinite: x / inf is 0, as it must be
    room.call(np.add, s, room.one, s)
    room.call(np.divide, x, s, x)


def _silu(room: Room, x: Array, s: Array) -> None:
    r"""Replace x by $x\,\sigma(x) = x / (1 + e^{-x})$."""
    room.call(np.negative, x, s)
    room.call(np.exp, s, s)
    room.call(np.add, s, room.one, s)
    room.call(np.divide, x, s, x)


def _relu_squared(room: Room, x: Array, _: Array) -> None:
    room.calls.append(partial(np.maximum, x, room.zero, out=x))
    room.call(np.multiply, x, x, x)


def _exact_gelu(room: Room, x: Array, _: Array) -> None:
    room.whole(partial(gelu, approximate="none"), x, x)


ACTIVATIONS: dict[str, Callable[[Room, Array, Array], None]] = {
    "relu_squared": _relu_squared, "silu": _silu, "gelu_tanh": _gelu, "gelu": _gelu}
