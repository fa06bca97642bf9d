"""Twin of `split_heads`: each gradient is written into its part of the packed one.

Of three splits of the same rows, the first sets the packed gradient and the others write into it:
no array of its size is made and added for each.
"""

from __future__ import annotations

from typing import Any

from autograd.backend import Array
from autograd.deferred import Deferred

from ..split import split_heads


def backward(g: Array, saved: Any) -> Deferred:
    """Return the gradient of x."""
    x, start = saved
    stop = start + g.shape[-2] * g.shape[-1]

    def write(dx: Array, add: bool) -> None:
        part = dx[..., start:stop].reshape(g.shape)  # a view: only the last axis is cut
        if add:
            part += g
        else:
            dx[..., :start], dx[..., stop:], part[...] = 0, 0, g

    return Deferred(x, write)


split_heads.twin("numpy", split_heads.forward, backward)
