"""Each type of block: made by hand, and against the package `gguf` on random bytes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tinygrad_llm.pretrained.gguf.blocks import BLOCKS, NAMES, dequantize

KINDS = list(BLOCKS)


def half(*values: float) -> bytes:
    return np.array(values, "<f2").tobytes()


def numbers(kind: str, data: bytes) -> NDArray[np.float32]:
    found = dequantize(kind, np.frombuffer(data, np.uint8))
    assert found.dtype == np.float32
    return found


def test_plain_numbers() -> None:
    values = np.array([1.5, -2.25, 3.0e-5, np.inf], np.float32)
    assert numbers("F32", values.astype("<f4").tobytes()).tolist() == values.tolist()
    assert numbers("F16", half(1.5, -2.25)).tolist() == [1.5, -2.25]
    assert numbers("BF16", bytes([0xC0, 0x3F, 0x10, 0xC0])).tolist() == [1.5, -2.25]


def test_q8_0() -> None:
    q = np.arange(-16, 16, dtype=np.int8)
    assert numbers("Q8_0", half(0.5) + q.tobytes()).tolist() == (0.5 * q).tolist()


def test_q4_0_and_q4_1() -> None:
    low, high = np.arange(16), np.arange(15, -1, -1)
    packed = (low | high << 4).astype(np.uint8).tobytes()
    q = np.concatenate([low, high])
    assert numbers("Q4_0", half(0.25) + packed).tolist() == (0.25 * (q - 8)).tolist()
    assert numbers("Q4_1", half(0.25, -3) + packed).tolist() == (0.25 * q - 3).tolist()


def test_q4_k() -> None:
    rng = np.random.default_rng(0)
    q, s, m = rng.integers(0, 16, (8, 32)), rng.integers(0, 64, 8), rng.integers(0, 64, 8)
    scales = [s[j] | s[4 + j] >> 4 << 6 for j in range(4)]
    scales += [m[j] | m[4 + j] >> 4 << 6 for j in range(4)]
    scales += [s[4 + j] & 15 | (m[4 + j] & 15) << 4 for j in range(4)]
    packed = [q[2 * j] | q[2 * j + 1] << 4 for j in range(4)]
    data = half(0.5, 0.25) + np.array(scales, np.uint8).tobytes() + np.array(
        packed, np.uint8).tobytes()
    expected = 0.5 * s[:, None] * q - 0.25 * m[:, None]
    assert numbers("Q4_K", data).tolist() == expected.ravel().tolist()


def test_q6_k() -> None:
    rng = np.random.default_rng(1)
    q, s = rng.integers(0, 64, (2, 4, 32)), rng.integers(-128, 128, 16)
    low = [[q[k, t] & 15 | (q[k, t + 2] & 15) << 4 for t in range(2)] for k in range(2)]
    high = [sum(q[k, t] >> 4 << 2 * t for t in range(4)) for k in range(2)]
    data = b"".join(np.array(part, np.uint8).tobytes() for part in (low, high)) + s.astype(
        np.int8).tobytes() + half(0.125)
    expected = 0.125 * np.repeat(s, 16) * (q.ravel() - 32)
    assert numbers("Q6_K", data).tolist() == expected.tolist()


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", ["any", "small"])
def test_the_same_bits_as_gguf(kind: str, scale: str) -> None:
    """Random bytes also have scales that are infinite, denormal or no number."""
    gguf = pytest.importorskip("gguf")
    rng = np.random.default_rng(2)
    block = BLOCKS[kind]
    data = rng.integers(0, 256, (3001, block.bytes), dtype=np.uint8)
    if scale == "small" and kind not in ("F32", "F16", "BF16"):
        at = block.bytes - 2 if kind == "Q6_K" else 0
        data[:, at : at + 2] = rng.normal(0, 0.01, (len(data), 1)).astype("<f2").view(np.uint8)
    with np.errstate(all="ignore"):
        expected = gguf.dequantize(data, gguf.GGMLQuantizationType[kind])
    found = dequantize(kind, data.ravel())
    assert np.array_equal(found.view(np.uint32), expected.reshape(-1).view(np.uint32))


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])
def test_numbers_that_gguf_quantized(kind: str) -> None:
    gguf = pytest.importorskip("gguf")
    w = np.random.default_rng(3).standard_normal((7, 96)).astype(np.float32)
    data = gguf.quantize(w, gguf.GGMLQuantizationType[kind])
    found = dequantize(kind, np.frombuffer(data.tobytes(), np.uint8)).reshape(w.shape)
    assert np.array_equal(found, gguf.dequantize(data, gguf.GGMLQuantizationType[kind]))
    assert np.abs(found - w).max() < 0.4


@pytest.mark.oracle
def test_the_names_and_sizes_of_the_types() -> None:
    gguf = pytest.importorskip("gguf")
    assert {kind.value: kind.name for kind in gguf.GGMLQuantizationType} == NAMES
    assert all(gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]] == block[:2]
               for kind, block in BLOCKS.items())
