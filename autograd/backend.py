"""The library of an array, found from the array itself.

Nothing in this package has a current device or a global backend: an array's own type says which
library computes with it. NumPy arrays and Python numbers belong to NumPy, CuPy arrays to CuPy,
and CuPy is never imported here: the code that made a CuPy array has imported it already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import numpy as np

Array = Any
"""An array of the NumPy or CuPy kind; which one is found from the value, never declared."""

Shape = tuple[int, ...]

DType = Any
"""An element type in any form that NumPy takes: a class, a name, a dtype."""

_NumPyArray = np.ndarray
_HOST = frozenset({"numpy", "builtins", "ml_dtypes"})


def namespace(first: Any = None, *others: Any) -> Any:
    """Return the module that computes with these values: `cupy` if any is CuPy's, else `numpy`."""
    if type(first) is _NumPyArray:
        return np
    for value in (first, *others):
        kind = type(value)
        if isinstance(value, _NumPyArray):
            return np  # other libraries' arrays beside it are refused by NumPy and them alike
        root = kind.__module__.partition(".")[0]
        if root not in _HOST and root in sys.modules and hasattr(sys.modules[root], "asarray"):
            return sys.modules[root]
    return np


def to_host(array: Array) -> np.ndarray:
    """Return the array as NumPy's, copied from its device where that is not the host."""
    library: ModuleType = namespace(array)
    return np.asarray(array) if library is np else library.asnumpy(array)


def random_bits(count: int, key: int, start: int = 0) -> np.ndarray:
    r"""Return the random 16-bit words (uint16) number `start` to `start + count - 1` of a key.

    Philox4x64-10 maps a 256-bit counter and a 128-bit key to 256 random bits, so any stretch of
    any stream can be drawn again without having kept a state: that is what makes a training run
    resumable and a dropout mask reproducible in the backward pass.

    Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    counter, skipped = divmod(start, 16)  # 256 bits are 16 words
    # A list of Python integers would become floats from 2**63 on, and lose its low bits.
    words = np.array([int(key) & _MASK64, 0], dtype=np.uint64)
    end = skipped + count
    raw = np.random.Philox(counter=counter, key=words).random_raw((end + 3) // 4)
    return raw.view(np.uint16)[skipped:end]


def fold_in(key: int, data: int) -> int:
    """Return a new 64-bit key, derived from `key` for the use numbered `data`.

    One splitmix64 step on each: neighbouring numbers give unrelated keys, so that layer 3 of step
    7 can have a key of its own without any shared generator.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    return _mix(_mix(int(key) & _MASK64) + (int(data) & _MASK64))


_MASK64 = (1 << 64) - 1


def _mix(z: int) -> int:
    z = (z + 0x9E3779B97F4A7C15) & _MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK64
    return z ^ (z >> 31)


# half precision
#
# float16 ends at 65,504, and from 2,048 on it skips integers. So in it 70,000 is infinite and
# 1 / 70,000 is 0, although 1.4e-5 is one of its numbers; 2,048 + 1 is 2,048; and the square of 300
# is infinite, although a root or a mean brings it back. bfloat16 has the range of float32, but
# stops counting at 256. Therefore sums, counts, squares and products of many numbers are made in
# float32, and the result is rounded once.


_FLOAT32 = np.dtype(np.float32)


def wide(dtype: Any) -> Any:
    """Return the dtype to add up in: float32 for a dtype of half precision, else itself."""
    if dtype.itemsize == 2 and (dtype.kind == "f" or dtype.name == "bfloat16"):
        return _FLOAT32
    return dtype


def wider(x: Any) -> Any:
    """Return x, an array or Tensor, in float32 if it has half precision; anything else as it is."""
    dtype = _dtype_of(x)
    return x if dtype is None or wide(dtype) is dtype else x.astype(wide(dtype))


def widened(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function, or the rule of an op, compute in float32 what has half precision.

    The result, an array, a Tensor or a tuple of them, is rounded to half precision, unless an
    argument had float32.
    """
    @wraps(function)
    def computing_wide(*args: Any, **options: Any) -> Any:
        given = [*args, *options.values()]
        if all(dtype is None or wide(dtype) is dtype for dtype in map(_dtype_of, given)):
            return function(*args, **options)
        y = function(*map(wider, args), **{name: wider(x) for name, x in options.items()})
        return narrowed(y, *given)

    return computing_wide


def narrowed(y: Any, *arguments: Any) -> Any:
    """Return float32 results of arguments, of which some have half precision, rounded to it.

    They stay as they are where an argument had float32, or none half precision.
    """
    dtypes = [dtype for x in arguments if (dtype := _dtype_of(x)) is not None]
    half = [dtype for dtype in dtypes if wide(dtype) is not dtype]
    return y if not half or wide(half[0]) in dtypes else _narrowed(y, half[0])


def _narrowed(y: Any, half: Any) -> Any:
    """Return float32 results in half precision, those in a tuple too; others as they are."""
    if isinstance(y, tuple):
        return tuple(_narrowed(part, half) for part in y)
    return y.astype(half) if _dtype_of(y) == wide(half) else y


def accumulated(reduction: Callable[..., Array], x: Array, dtype: Any, **options: Any) -> Array:
    """Return NumPy's sum or product of x, made in float32 where the result has half precision."""
    result = getattr(x, "dtype", None) if dtype is None else np.dtype(dtype)
    if result is None or wide(result) is result:
        return reduction(x, dtype=dtype, **options)
    return reduction(x, dtype=wide(result), **options).astype(result)


def _dtype_of(x: Any) -> Any:
    dtype = getattr(x, "dtype", None)  # of a type such as np.float16 it is no dtype
    return dtype if isinstance(dtype, np.dtype) else None
