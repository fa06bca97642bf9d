"""The same numbers in other memory layouts: an op must be indifferent to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import Array

LAYOUTS = ("C", "wide", "F", "reversed", "inner")
REPEATED = "repeated"
WORDS = {"C": "in C order", "F": "in F order", "wide": "every other column of an array",
         "reversed": "of negative strides", "inner": "the inside of a larger array",
         REPEATED: "broadcast, with strides of 0", "given": "as it was given"}
"""How a message names a layout."""


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """Return the same numbers in another memory layout, to which ops must be indifferent.

    "C" and "F" are contiguous, "wide" is every other column, "reversed" has negative strides,
    "inner" is the inside of a larger array, and "read-only" refuses to be written into.
    """
    if not x.shape and layout != "read-only":
        return x
    y = np.array(x, order="F" if layout == "F" else "C")
    if layout == "wide":
        y = np.repeat(y, 2, axis=-1)[..., ::2]
    elif layout == "reversed":
        y = np.flip(np.array(np.flip(y)))
    elif layout == "inner":
        y = np.pad(y, 1, constant_values=0)[(slice(1, -1),) * y.ndim]
    y.flags.writeable = layout != "read-only"
    return y


def repeated(x: np.ndarray, axis: int | None) -> np.ndarray:
    """Return x with its first element along an axis in the place of all, by a stride of 0.

    For None one number stands in the place of all: so comes the cotangent of what a sum is taken
    of.

    >>> repeated(np.arange(6.0).reshape(2, 3), 1).tolist()
    [[0.0, 0.0, 0.0], [3.0, 3.0, 3.0]]
    """
    first = x.reshape(-1)[:1] if axis is None else x.take([0], axis)
    return np.broadcast_to(first.reshape((1,) * x.ndim) if axis is None else first, x.shape)


def same_layout(x: Array, y: Array) -> bool:
    """Whether two arrays of one shape have the same strides along each axis of more than one."""
    return x.size <= 1 or all(a == b for a, b, n in zip(x.strides, y.strides, x.shape, strict=True)
                              if n > 1)


def read_only(x: Any) -> Array:
    """Return a view of x that refuses to be written into."""
    view = np.asarray(x).view()
    view.flags.writeable = False
    return view
