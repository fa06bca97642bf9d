"""The library of an array is found from the array; random bits and keys are those published."""

from __future__ import annotations

import sys
from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import strict_cupy

from autograd import fold_in, namespace, random_bits, to_host

MASK = (1 << 64) - 1


@pytest.mark.parametrize("values", [
    (), (1.0,), ([1, 2],), (np.ones(2),), (np.float32(1),), (None, np.ones(1)), ("text",)])
def test_what_is_on_the_host_is_numpys(values: Any) -> None:
    assert namespace(*values) is np


def test_one_array_of_a_device_decides() -> None:
    x = strict_cupy.asarray(np.ones(2))
    device = namespace(x)
    assert device is not np and namespace(2.0, x) is device and namespace(None, 1, x) is device
    assert isinstance(device.zeros_like(x), type(x))


def test_subclasses_and_scalars_of_numpy_are_numpys() -> None:
    class Mine(np.ndarray):
        pass

    assert namespace(np.ones(2).view(Mine)) is np and namespace(np.ma.masked_array([1.0])) is np


def test_a_library_that_computes_with_no_arrays_is_not_taken(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "no_arrays", ModuleType("no_arrays"))
    other = type("Other", (), {"__module__": "no_arrays"})
    assert namespace(other()) is np


def test_copies_on_the_host() -> None:
    x = np.arange(3.0)
    assert to_host(x) is x
    assert type(to_host(strict_cupy.asarray(x))) is np.ndarray
    assert to_host(strict_cupy.asarray(x)).tolist() == [0, 1, 2]
    assert to_host([1, 2]).tolist() == [1, 2]


def philox(counter: int, key: int) -> list[int]:
    """Return the 16 words of 16 bits that Philox4x64-10 makes of a counter, by its definition."""
    a, b, c, d = (counter >> 64 * i & MASK for i in range(4))
    k0, k1 = key & MASK, 0
    for _ in range(10):
        low, high = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = high >> 64 ^ b ^ k0, high & MASK, low >> 64 ^ d ^ k1, low & MASK
        k0, k1 = k0 + 0x9E3779B97F4A7C15 & MASK, k1 + 0xBB67AE8584CAA73B & MASK
    return [word >> 16 * i & 0xFFFF for word in (a, b, c, d) for i in range(4)]


def test_philox_as_published() -> None:
    """The known answer for a counter and a key of 0, from the authors' Random123."""
    words = philox(0, 0)
    joined = [sum(w << 16 * i for i, w in enumerate(words[k : k + 4])) for k in range(0, 16, 4)]
    assert joined == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B,
                      0x7E68B68AEC7BA23B]


@pytest.mark.parametrize("key", [0, 7, MASK, 1 << 63, -1])
def test_random_bits_are_those_of_philox(key: int) -> None:
    expected = [word for counter in range(1, 5) for word in philox(counter, key)]
    assert random_bits(64, key).tolist() == expected
    for start, count in [(0, 1), (3, 10), (16, 16), (17, 40), (63, 1), (5, 0)]:
        assert random_bits(count, key, start).tolist() == expected[start : start + count]
    assert random_bits(5, key).dtype == np.uint16


def test_far_stretches_are_found_without_those_before() -> None:
    start = 16 * 10**15
    assert random_bits(16, 1, start).tolist() == philox(10**15 + 1, 1)


def test_random_bits_are_even() -> None:
    bits = np.unpackbits(random_bits(1 << 16, key=3).view(np.uint8))
    assert abs(bits.mean() - 0.5) < 0.002


def splitmix(seed: int) -> int:
    """Return the first output of splitmix64 of this seed, by its definition."""
    z = seed + 0x9E3779B97F4A7C15 & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def test_splitmix_as_published() -> None:
    assert splitmix(1234567) == 6457827717110365317


@pytest.mark.parametrize("key, data", [(0, 0), (1, 2), (MASK, 3), (5, -1), (1 << 70, 0)])
def test_keys_are_folded_by_two_steps_of_splitmix(key: int, data: int) -> None:
    assert fold_in(key, data) == splitmix(splitmix(key & MASK) + (data & MASK) & MASK)


def test_keys_of_different_uses_differ() -> None:
    keys = Counter(fold_in(fold_in(key, layer), step)
                   for key in range(10) for layer in range(10) for step in range(10))
    assert len(keys) == 1000 and all(0 <= key <= MASK for key in keys)
    assert fold_in(1, 2) != fold_in(2, 1)
