r"""GGUF's blocks: numbers of few bits, with a scale for each group, back to float32.

A tensor's rows are cut into blocks of equal length, 32 numbers or 256. A block keeps a small whole
number $q$ for each, and the scale $d$ and perhaps the offset $m$ that turn it into a number $w$.
Scales are float16, little-endian; the products and sums below are float32, in the order written.
"lower" and "upper" are the halves of a byte, bits 0 to 3 and 4 to 7.

| type | block | bytes | holds |
|---|---|---|---|
| F32, F16, BF16 | 1 | 4, 2, 2 | the number; BF16 is the upper half of a float32 |
| Q8_0 | 32 | 34 | d, 32 q (int8) |
| Q4_0 | 32 | 18 | d, 16 bytes: lower q of numbers 0 to 15, upper of 16 to 31 |
| Q4_1 | 32 | 20 | d, m, 16 bytes as in Q4_0 |
| Q4_K | 256 | 144 | d, d', 12 bytes of scales, 128 bytes of q |
| Q6_K | 256 | 210 | 128 bytes of q's lower 4 bits, 64 of its upper 2, 16 s (int8), d |

$$ \text{Q8\_0: } w = d q \qquad \text{Q4\_0: } w = d (q - 8) \qquad \text{Q4\_1: } w = d q + m $$

$$ \text{Q4\_K: } w = (d s_j) q - (d' m_j), \quad j = \lfloor i / 32 \rfloor \qquad
   \text{Q6\_K: } w = (d s_j) (q - 32), \quad j = \lfloor i / 16 \rfloor $$

**Q4_K** has eight groups of 32 numbers. Its 128 bytes are four stretches of 32: the lower halves
are the q of groups 0, 2, 4, 6, the upper ones those of 1, 3, 5, 7. Scales $s_j$ and $m_j$ have 6
bits. In the 12 bytes a, b, c of 4 each, those of $j < 4$ are the lower six bits of $a_j$ and $b_j$;
those of $j = 4 + k$ have the lower and upper half of $c_k$, and as their upper two bits those of
$a_k$ and $b_k$.

**Q6_K** has two halves of 128 numbers, each with 64 bytes $l$ and 32 bytes $h$. Number $32 t + i$
of a half takes its lower bits from $l_i, l_{32+i}$ (lower, $t = 0, 1$; upper, $t = 2, 3$), and its
upper two from bits $2t, 2t + 1$ of $h_i$.

Source: ggml's block formats (ggml-common.h) and their reference in ggml-quants.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

NAMES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS",
    17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
    24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0",
    35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
}  # fmt: skip
"""The names of the types, those that are not read here too."""


def _float16(b: Bytes) -> Floats:
    """Return the float16 in the columns of b (N, 2 K) as (N, K)."""
    return b.view("<f2").astype(np.float32)


def _halves(b: Bytes) -> Bytes:
    """Return the lower halves of bytes (..., K), then the upper ones: (..., 2 K)."""
    return np.concatenate([b & 15, b >> 4], axis=-1)


def _f32(b: Bytes) -> Floats:
    return b.view("<f4").astype(np.float32)


def _bf16(b: Bytes) -> Floats:
    return (b.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _q8_0(b: Bytes) -> Floats:
    w = b[:, 2:].view(np.int8).astype(np.float32)
    w *= _float16(b[:, :2])
    return w


def _q4_0(b: Bytes) -> Floats:
    w = _halves(b[:, 2:]).astype(np.float32)
    w -= 8
    w *= _float16(b[:, :2])
    return w


def _q4_1(b: Bytes) -> Floats:
    w = _halves(b[:, 4:]).astype(np.float32)
    w *= _float16(b[:, :2])
    w += _float16(b[:, 2:4])
    return w


def _q4_k(b: Bytes) -> Floats:
    d, d_min = _float16(b[:, :2]), _float16(b[:, 2:4])
    low, high = b[:, 4:12] & 63, b[:, 4:12] >> 6 << 4  # of a and b
    s = np.concatenate([low[:, :4], b[:, 12:16] & 15 | high[:, :4]], axis=1)  # N, 8
    m = np.concatenate([low[:, 4:], b[:, 12:16] >> 4 | high[:, 4:]], axis=1)
    w = _halves(b[:, 16:].reshape(-1, 4, 32)).reshape(-1, 8, 32).astype(np.float32)
    w *= (d * s)[:, :, None]
    w -= (d_min * m)[:, :, None]
    return w


def _q6_k(b: Bytes) -> Floats:
    s, shifts = b[:, 192:208].view(np.int8), np.array([[0], [2], [4], [6]], np.uint8)
    low = _halves(b[:, :128].reshape(-1, 2, 64)).reshape(-1, 2, 4, 32)  # half, t, i
    high = b[:, 128:192].reshape(-1, 2, 1, 32) >> shifts & np.uint8(3)
    w = (low | high << np.uint8(4)).reshape(-1, 16, 16).astype(np.float32)
    w -= 32
    w *= (_float16(b[:, 208:]) * s)[:, :, None]
    return w


class Block(NamedTuple):
    """A type's numbers in a block, its bytes, and what makes float32 of blocks (N, bytes)."""

    numbers: int
    bytes: int
    floats: Callable[[Bytes], Floats]


BLOCKS = {
    "F32": Block(1, 4, _f32), "F16": Block(1, 2, _float16), "BF16": Block(1, 2, _bf16),
    "Q8_0": Block(32, 34, _q8_0), "Q4_0": Block(32, 18, _q4_0), "Q4_1": Block(32, 20, _q4_1),
    "Q4_K": Block(256, 144, _q4_k), "Q6_K": Block(256, 210, _q6_k),
}
"""The types that are read."""


def dequantize(kind: str, data: Bytes) -> Floats:
    """Return the numbers (N,) that the bytes `data` hold as blocks of a type in BLOCKS.

    >>> dequantize("Q8_0", np.array([0, 60] + [1] * 16 + [255] * 16, np.uint8))[[0, 31]].tolist()
    [1.0, -1.0]
    """
    block = BLOCKS[kind]
    with np.errstate(invalid="ignore", over="ignore"):  # a scale may be infinite, or no number
        return block.floats(data.reshape(-1, block.bytes)).reshape(-1)
