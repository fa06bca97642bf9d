r"""A GPT that writes one token at a time, and keeps the keys and values of the tokens before.

`GPT.next_logits` is the definition: all positions of the text through all layers, for the logits of
the last one. But no position depends on a later one, so of a text that grows by a token all that
earlier positions have computed stays as it was. The last position needs from them their keys $k_j$
and values $v_j$, in each layer and head, and nothing else:

$$s_j = \tfrac{1}{\sqrt D}\,q_t \cdot k_j, \qquad p_j = \frac{e^{s_j}}{\sum_{l \le t} e^{s_l}},
\qquad o = \sum_{j \le t} p_j\,v_j \qquad (j \le t)$$

So keys and values are kept, and a new token costs one position: `Decoder.begin` takes a whole text
through the model's own layers and keeps what they find, `Decoder.step` takes one more token.

A step is `nn` and `functional` written out for a single position, on plain arrays. In a small model
a layer multiplies for 10 microseconds, and each call of NumPy takes a quarter of one before its
first number: therefore everything is written into the same few buffers, views are made once where
they can be, constants are arrays without axes (NumPy converts a Python number in each call), and
two calls a layer are saved by algebra. The shift b of a layer norm goes into the bias c of the map
behind it, and what is kept are keys divided by $\sqrt D$:

$$W (w \odot n + b) + c = W (w \odot n) + (W b + c).$$

Source: Shazeer, "Fast Transformer Decoding", arXiv:1911.02150, section 2.3 (keys and values kept).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import pi, sqrt
from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from autograd.backend import Array

from ..functional import attention, linear, split_heads
from ..models import GPT
from ..models.gpt import Block
from ..nn import MLP, CausalSelfAttention, Embedding, LayerNorm, Linear


def can_decode(model: Any) -> bool:
    """Whether `Decoder` is this model's twin: a GPT of its usual parts, on NumPy's arrays.

    What somebody put in a layer's place, or weights on a GPU, `step` knows nothing of.
    """
    if not all(type(part) is kind for part, kind in _parts(model)):
        return False
    arrays = [model.head.data]
    for part, _ in _parts(model):
        arrays += [t.data for t in vars(part).values() if isinstance(t, Tensor)]
    dtype = arrays[0].dtype
    return dtype in (np.float32, np.float64) and all(
        type(a) is np.ndarray and a.dtype == dtype for a in arrays)


def _parts(model: Any) -> Iterator[tuple[Any, type]]:
    """Give each part of a GPT and its class; whoever finds another class must not go on."""
    yield model, GPT
    yield from ((model.wte, Embedding), (model.wpe, Embedding))
    for block in model.h:
        yield block, Block
        yield from ((block.ln_1, LayerNorm), (block.ln_2, LayerNorm))
        yield from ((block.attn, CausalSelfAttention), (block.mlp, MLP))
        yield from ((block.attn.qkv, Linear), (block.attn.out, Linear))
        yield from ((block.mlp.up, Linear), (block.mlp.down, Linear))
    yield model.ln_f, LayerNorm


class Decoder:
    """The logits of a text that grows by single tokens, up to the model's context.

    It belongs to the model's weights as they are now; make another one after they have changed.
    """

    def __init__(self, model: GPT) -> None:
        config, dtype = model.config, model.head.dtype
        width, heads = config.width, config.heads
        self.model = model
        self.length = 0  # tokens whose keys and values are kept
        self.layers = [_Layer(block, config.context) for block in model.h]
        self.tokens, self.positions = model.wte.weight.data, model.wpe.weight.data
        self.norm_f = _Norm(model.ln_f)
        self.head = model.head.data
        self.head_bias = _folded(self.head, None, model.ln_f)
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
        self.length = size
        with no_grad():
            x = self.model.wte(np.array([ids])) + self.model.wpe.weight[:size]  # 1, T, C
            for block, layer in zip(self.model.h, self.layers, strict=True):
                qkv = block.attn.qkv(block.ln_1(x))
                _, k, v = np.split(qkv.data[0], 3, axis=1)
                np.multiply(k.T, self.scale, out=layer.keys[:, :size])
                layer.values[:size] = v
                depth = x.shape[2] // self.heads
                mixed = attention(*(split_heads(qkv, first=i * self.heads, count=self.heads,
                                                depth=depth) for i in range(3)))
                x = x + block.attn.out(mixed.reshape(x.shape))
                x = x + block.mlp(block.ln_2(x))
            return linear(self.model.ln_f(x[:, -1]), self.model.head).data[0]

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

    def __init__(self, block: Block, context: int) -> None:
        attn, mlp = block.attn, block.mlp
        self.norm_1, self.norm_2 = _Norm(block.ln_1), _Norm(block.ln_2)
        self.qkv, self.out = attn.qkv.weight.data, attn.out.weight.data
        self.up, self.down = mlp.up.weight.data, mlp.down.weight.data
        self.qkv_bias = _folded(self.qkv, attn.qkv.bias, block.ln_1)
        self.out_bias = _folded(self.out, attn.out.bias, None)
        self.up_bias = _folded(self.up, mlp.up.bias, block.ln_2)
        self.down_bias = _folded(self.down, mlp.down.bias, None)
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
