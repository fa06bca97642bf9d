r"""Some heads of packed rows.

A projection that makes queries, keys and values at once has them side by side in its rows:

$$Y_{bthd} = X_{bt,\,(f + h) D + d}, \qquad h = 0..n-1,$$

heads f to f + n - 1, of D numbers each; f is `first`, n is `count` and D is `depth`. This is a
view: no number is copied. Kept: where they lie, and X for its shape.

$dY_{bthd} = dX_{bt,\,(f + h) D + d}$: each number picked sends its gradient back to its place,

$$\bar X_{btk} = \sum_{h,d} [k = (f + h) D + d]\,g_{bthd} ,$$

and the rest of $\bar X$ is zero: other calls pick other heads, and their gradients are added.
"""

from __future__ import annotations

from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array


def reference(x: Any, /, *, first: int, count: int, depth: int) -> Any:
    """The definition, in primitives."""
    picked = x[..., first * depth : (first + count) * depth]
    return autograd.reshape(picked, (*x.shape[:-1], count, depth))


@fused(reference)
def split_heads(x: Array, /, *, first: int, count: int, depth: int) -> Any:
    """Return `count` heads of x (B, T, W) from head `first` on, a view (B, T, count, D).

    D is `depth`. Raises ValueError where the rows are shorter.
    """
    picked = x[..., first * depth : (first + count) * depth]
    return picked.reshape(*x.shape[:-1], count, depth), (x, first * depth)


@split_heads.vjp
def backward(g: Array, saved: Any) -> Array:
    """Return the gradient of x."""
    x, start = saved
    *lead, count, depth = g.shape
    dx = namespace(x).zeros_like(x)
    dx[..., start : start + count * depth] = g.reshape(*lead, count * depth)
    return dx


@split_heads.check
def check(x: Array, /, *, first: int, count: int, depth: int) -> None:
    """Raise ValueError unless the rows hold these heads."""
    if not x.ndim or first < 0 or count < 1 or depth < 1 or (first + count) * depth > x.shape[-1]:
        raise ValueError(f"split_heads: heads {first} to {first + count - 1} of {depth} numbers do "
                         f"not lie in rows of {x.shape[-1] if x.ndim else 0}")
