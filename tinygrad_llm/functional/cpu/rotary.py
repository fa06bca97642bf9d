r"""Twin of `rotary`, by passes over whole rows of heads, in the result's own memory.

A pair that lies together is a complex number: with $z = a + i b$, it becomes $z\,(c + i s)$, in
one product. Where the pairs lie in halves, $x'$ is x with these exchanged, and

$$y = x' \odot (-s, s) + x \odot (c, c) .$$

Half of a head is so short that a loop over it costs more to begin than to run, so c and s are laid
out once for all heads, and shared by all sequences: then the products and the sum run along whole
rows. A block is some positions of all sequences.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd.backend import Array

from ...host.threads import over_rows
from ..rotary import by_head, rotary


def forward(x: Array, /, *, cos: Array, sin: Array, interleaved: bool = False) -> Any:
    """Return what `rotary` does."""
    return turn(x, cos, sin, interleaved), (cos, sin, interleaved)


def backward(g: Array, saved: Any) -> Array:
    """Return the gradient of x."""
    cos, sin, interleaved = saved
    return turn(g, cos, -sin, interleaved)


def turn(x: Array, cos: Array, sin: Array, interleaved: bool) -> Array:
    """Return x (B, T, H, D) with its pairs turned."""
    c, s = by_head(x, cos, sin)
    y = np.empty(x.shape, c.dtype)
    turn_block = _turn_neighbours if interleaved else _turn_halves
    over_rows(lambda t: turn_block(x[:, t], y[:, t], c[..., t, :, :], s[..., t, :, :]),
              x.swapaxes(0, 1))
    return y


def _turn_neighbours(x: Array, y: Array, c: Array, s: Array) -> None:
    z = c + 1j * s
    y[...] = x
    pairs = y[..., : 2 * c.shape[-1]].view(z.dtype)
    pairs *= z


def _turn_halves(x: Array, y: Array, c: Array, s: Array) -> None:
    heads, half = x.shape[2], c.shape[-1]
    ss, cc = (np.repeat(np.concatenate(two, -1), heads, -2) for two in ((-s, s), (c, c)))
    a, part = x[..., : 2 * half], y[..., : 2 * half]
    part[..., :half], part[..., half:] = a[..., half:], a[..., :half]
    part *= ss
    part += a * cc
    y[..., 2 * half :] = x[..., 2 * half :]


rotary.twin("numpy", forward, backward)
