r"""Twin of `Writer` for GPT-2: one position through all layers, written out on plain arrays.

A step is `nn` and `functional` for a single position. In a small model a layer multiplies for 10
microseconds, and each call of NumPy takes a quarter of one before its first number: therefore
everything is written into the same few buffers, views are made once where they can be, constants
are arrays without axes (NumPy converts a Python number in each call), and two calls a layer are
saved by algebra. The shift b of a layer norm goes into the bias c of the map behind it, and what is
kept are keys divided by $\sqrt D$:

$$W (w \odot n + b) + c = W (w \odot n) + (W b + c).$$

`begin` takes a whole text through the model's own call and copies the keys and values that it
leaves in its cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sqrt
from typing import Any, TypeVar

import numpy as np

from autograd import Tensor, no_grad
from autograd.backend import Array

from ..models import GPT
from ..models.gpt import Block
from ..nn import MLP, CausalSelfAttention, Embedding, LayerNorm, Linear
from .generate import writers

Part = TypeVar("Part")


class OtherModel(Exception):
    """The model is not one of GPT's usual parts, on NumPy's arrays of one kind."""


def writer(model: Any) -> GPTWriter | None:
    """Return a writer for a GPT; None for any other model, and where a part was replaced."""
    try:
        return GPTWriter(model)
    except OtherModel:
        return None


def usual(part: Any, kind: type[Part], dtype: Any) -> Part:
    """Return the part. Raises OtherModel for another class, and for other arrays than NumPy's."""
    if type(part) is kind:
        arrays = [t.data for t in vars(part).values() if isinstance(t, Tensor)]
        if all(type(a) is np.ndarray and a.dtype == dtype for a in arrays):
            return part
    raise OtherModel(f"{type(part).__name__} is not a {kind.__name__} of {dtype}")


class GPTWriter:
    """The logits of a text that grows by single tokens, up to the model's context.

    It belongs to the model's weights as they are now; make another one after they have changed.
    Raises OtherModel where the model is not one of GPT's usual parts.
    """

    def __init__(self, model: GPT) -> None:
        dtype = np.dtype(getattr(getattr(model, "head", None), "dtype", None))
        config = usual(model, GPT, dtype).config
        if dtype not in (np.float32, np.float64):
            raise OtherModel(f"numbers of {dtype}")
        width, heads = config.width, config.heads
        self.model = model
        self.length = 0  # tokens whose keys and values are kept
        self.layers = [_Layer(usual(block, Block, dtype), config.context, dtype)
                       for block in model.h]
        self.tokens, self.positions = (usual(table, Embedding, dtype).weight.data
                                       for table in (model.wte, model.wpe))
        norm = usual(model.ln_f, LayerNorm, dtype)
        self.norm_f, self.head = _Norm(norm), model.head.data
        self.head_bias = _folded(self.head, None, norm)
        self.heads = heads
        self.scale, self.one, self.cubic, self.linear = (
            np.array(number, dtype) for number in (
                sqrt(heads / width), 1, -2 * sqrt(2 / pi) * 0.044715, -2 * sqrt(2 / pi)))
        # Buffers of a step, and views of them.
        self.x, self.n, self.qkv, self.y, self.inner, self.gate, self.logits = (
            np.empty(size, dtype) for size in (width, width, 3 * width, width, 4 * width,
                                               4 * width, config.vocab_size))
        self.q = self.qkv[:width].reshape(heads, 1, width // heads)
        self.k, self.v = self.qkv[width : 2 * width], self.qkv[2 * width :]
        self.scores = np.empty(heads * config.context, dtype)
        self.mixed = np.empty((heads, 1, width // heads), dtype)
        self.mixed_flat = self.mixed.reshape(width)
        self.sums = np.empty((heads, 1, 1), dtype)

    def begin(self, ids: Sequence[int]) -> Array:
        """Forget what was before; return the logits (V,) of the token that follows `ids`.

        Raises ValueError unless there are between 1 and `context` ids.
        """
        size, context = len(ids), self.model.config.context
        if not 1 <= size <= context:
            raise ValueError(f"decode: expected 1 to {context} tokens, the model's context, got "
                             f"{size}")
        self.length, cache = size, self.model.cache()
        with no_grad():
            logits = self.model.next_logits(np.array([ids]), cache)
        for layer, kept in zip(self.layers, cache.layers, strict=True):
            keys, values = (x[0, :, :size] for x in (kept.keys, kept.values))  # H, size, D
            np.multiply(keys.swapaxes(1, 2), self.scale, out=layer.keys_by_head[:, :, :size])
            layer.values_by_head[:, :size] = values
        return logits.data[0]

    def step(self, token: int) -> Array:
        """Return the logits (V,) of the token that follows the text so far and `token`.

        They lie in a buffer that the next step overwrites. Raises ValueError where the context is
        full.
        """
        at, x, n = self.length, self.x, self.n
        if at == len(self.positions):
            raise ValueError(f"decode: the model's context of {at} tokens is full; begin again "
                             f"with the last of them")
        p = self.scores[: self.heads * (at + 1)].reshape(self.heads, 1, at + 1)
        np.add(self.tokens[token], self.positions[at], x)
        with np.errstate(over="ignore"):
            for layer in self.layers:
                layer.norm_1(x, n)
                layer.qkv.dot(n, self.qkv)
                np.add(self.qkv, layer.qkv_bias, self.qkv)
                self._attend(layer, at, p)
                layer.out.dot(self.mixed_flat, self.y)
                np.add(x, layer.out_bias, x)
                np.add(x, self.y, x)

                layer.norm_2(x, n)
                layer.up.dot(n, self.inner)
                np.add(self.inner, layer.up_bias, self.inner)
                self._gelu(self.inner, self.gate)
                layer.down.dot(self.inner, self.y)
                np.add(x, layer.down_bias, x)
                np.add(x, self.y, x)
        self.length = at + 1
        self.norm_f(x, n)
        self.head.dot(n, self.logits)
        return np.add(self.logits, self.head_bias, self.logits)

    def _attend(self, layer: _Layer, at: int, p: Array) -> None:
        """Keep this position's key and value; write what it attends to into `mixed`."""
        np.multiply(self.k, self.scale, layer.keys[:, at])
        layer.values[at] = self.v
        np.matmul(self.q, layer.keys_by_head[:, :, : at + 1], p)  # H, 1, t
        np.subtract(p, np.maximum.reduce(p, axis=2, out=self.sums, keepdims=True), p)
        np.exp(p, p)
        np.matmul(p, layer.values_by_head[:, : at + 1], self.mixed)  # H, 1, D
        total = np.add.reduce(p, axis=2, out=self.sums, keepdims=True)
        np.divide(self.mixed, total, self.mixed)

    def _gelu(self, x: Array, s: Array) -> None:
        """Replace x by $x\\,\\sigma(2u) = x / (1 + e^{-2u})$; see `functional.gelu`."""
        np.multiply(x, x, s)
        np.multiply(s, self.cubic, s)
        np.add(s, self.linear, s)
        np.multiply(s, x, s)  # -2u
        np.exp(s, s)  # far out infinite: x / inf is 0, as it must be
        np.add(s, self.one, s)
        np.divide(x, s, x)


class _Layer:
    """A block's weights, and the keys and values of the positions so far."""

    def __init__(self, block: Block, context: int, dtype: Any) -> None:
        ln_1, ln_2 = (usual(norm, LayerNorm, dtype) for norm in (block.ln_1, block.ln_2))
        attn, mlp = usual(block.attn, CausalSelfAttention, dtype), usual(block.mlp, MLP, dtype)
        options = attn.window, attn.scale, attn.soft_cap, attn.q_norm
        if mlp.activation != "gelu" or attn.key_heads != attn.heads or options != (None,) * 4:
            raise OtherModel("its attention or MLP has options")
        qkv, out, up, down = (usual(map, Linear, dtype)
                              for map in (attn.qkv, attn.out, mlp.up, mlp.down))
        self.norm_1, self.norm_2 = _Norm(ln_1), _Norm(ln_2)
        self.qkv, self.out, self.up, self.down = (
            map.weight.data for map in (qkv, out, up, down))
        self.qkv_bias = _folded(self.qkv, qkv.bias, ln_1)
        self.out_bias = _folded(self.out, out.bias, None)
        self.up_bias = _folded(self.up, up.bias, ln_2)
        self.down_bias = _folded(self.down, down.bias, None)
        width, depth = len(self.out), len(self.out) // attn.heads
        self.keys = np.empty((width, context), self.qkv.dtype)  # a column for each position
        self.values = np.empty((context, width), self.qkv.dtype)  # a row for each
        self.keys_by_head = self.keys.reshape(attn.heads, depth, context)
        self.values_by_head = self.values.reshape(context, attn.heads, depth).swapaxes(0, 1)


def _folded(w: Array, bias: Any, norm: LayerNorm | None) -> Array:
    """Return the bias of a map behind a layer norm whose shift is left out."""
    total = np.zeros(len(w), w.dtype) if bias is None else bias.data
    return total if norm is None or norm.bias is None else total + w @ norm.bias.data


class _Norm:
    """Layer norm of one position, without its shift."""

    def __init__(self, norm: LayerNorm) -> None:
        self.w, self.eps, self.columns = norm.weight.data, norm.eps, norm.weight.shape[0]
        self.average = np.full_like(self.w, 1 / self.columns)
        self.mean, self.r = np.empty((), self.w.dtype), np.empty((), self.w.dtype)

    def __call__(self, x: Array, n: Array) -> None:
        """Write x, normalised and scaled, into n."""
        x.dot(self.average, self.mean)
        np.subtract(x, self.mean, n)
        self.r[()] = 1 / sqrt(float(n.dot(n)) / self.columns + self.eps)
        np.multiply(n, self.r, n)
        np.multiply(n, self.w, n)


writers.append(writer)
