r"""The square of what is positive.

$$y = r^2, \qquad r = [x > 0]\,x$$

Each element stands by itself. The bracket is constant on both sides of 0, so $dr = [x > 0]\,dx$,
and as r is 0 where the bracket is, $dy = 2 r\,dr = 2 r\,dx$:

$$\bar x = 2\,g \odot r .$$

Kept: x, which the engine keeps in any case. Trap: there is no kink at 0, but the second derivative
$2\,[x > 0]$ jumps there; at 0 itself it is that of the left side, 0, as the slope of ReLU is.

Source: So, Mańke, Liu, Dai, Shazeer, Le, "Primer: Searching for Efficient Transformers for
Language Modeling", arXiv:2109.08668, section 3.
"""

from __future__ import annotations

from typing import Any

import autograd
from autograd import fused, namespace
from autograd.backend import Array


def reference(x: Any, /) -> Any:
    """The definition, in primitives."""
    return autograd.square(autograd.relu(x))


@fused(reference)
def relu_squared(x: Array, /) -> Any:
    """Return the square of each element that is positive, else 0."""
    r = namespace(x).maximum(x, 0)
    return r * r, x


@relu_squared.vjp
def backward(g: Array, x: Array) -> Array:
    """Return the gradient of x."""
    return 2 * g * namespace(x).maximum(x, 0)
