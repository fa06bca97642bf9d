r"""Is this gradient right? The backward pass against central differences, to any order.

For $f: \mathbb R^n \to \mathbb R^m$ take a random cotangent c and differentiate the scalar
$s(x) = \sum_j c_j f_j(x)$ by every element of x, once with the engine and once by differences.
Order 2 does the same for the function $x \mapsto (v_i \, \partial_i s(x))_i$ with random v, and
so on, so one routine serves every order. That function is computed by a recorded backward pass,
whose value is first held against the plain one's: they run different code in a fused op.

The difference quotient is the five-point one, whose error is $h^4 f^{(5)}/30$ from truncation and
about $\epsilon S / h$ from rounding, with S the size of the terms that were added up; at
$h = \epsilon^{1/5}$ both are near 1e-12. The tolerance is made of these two, so it follows the
function instead of being set by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import Array, to_host
from ..ops import concatenate, reshape
from ..tensor import Tensor, values
from ..transforms import vjp

_CANCELLED = 1e-3  # a result of exactly 0 does not tell how large the terms were that cancelled
_STEP = float(np.finfo(float).eps) ** 0.2


def check_grads(f: Callable[..., Any], *xs: Any, order: int = 2, seed: int = 0) -> None:
    """Raise AssertionError unless f's gradients are those of central differences, up to `order`.

    `xs` are floats or arrays; they are taken as float64. f may return a Tensor, an array, or a
    sequence of them, and must be smooth within 2e-3 max(1, |x|) of xs. The message names the
    order, the argument and the element, and tells both values.
    """
    if order < 1:
        raise ValueError(f"check_grads: order must be at least 1, got {order}")
    points = [np.array(to_host(values(x)), dtype=float) for x in xs]
    _check(_flat(f), points, 1, order, np.random.default_rng(seed))


def _flat(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f with its result or results as one vector."""
    def flat(*xs: Any) -> Any:
        y = f(*xs)
        parts = list(y) if isinstance(y, (tuple, list)) else [y]
        parts = [p if isinstance(p, Tensor) else np.asarray(p, dtype=float) for p in parts]
        return concatenate([reshape(p, -1) for p in parts])

    return flat


def _check(f: Callable[..., Any], xs: list[Array], at: int, order: int, rng: Any) -> None:
    y, pull = vjp(f, *xs)
    c = rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape)
    c.flags.writeable = False  # a rule that writes into its g is told
    got = pull(c)
    again = vjp(f, *[Tensor(x) for x in xs])[1](c) if at < order else None
    for position, x in enumerate(xs):
        expected, tolerance = _differences(f, xs, position, c)
        _compare(at, position, x, got[position], expected, tolerance, "central differences")
        if again is not None:
            _compare(at, position, x, values(again[position]), got[position], tolerance,
                     "the plain backward pass, but by the recorded one")
    if at == order:
        return
    directions = [rng.uniform(0.5, 1.5, x.shape) for x in xs]

    def gradient(*points: Any) -> Any:
        inner = [p if isinstance(p, Tensor) else Tensor(p) for p in points]
        parts = vjp(f, *inner)[1](c)
        return [part * v for part, v in zip(parts, directions, strict=True)]

    _check(_flat(gradient), xs, at + 1, order, rng)


def _differences(f: Callable[..., Any], xs: list[Array], position: int,
                 c: Array) -> tuple[Array, Array]:
    """Return the five-point quotients by each element of one argument, and their tolerances."""
    x = xs[position]
    quotient, tolerance = np.zeros(x.shape), np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        scale = max(1.0, abs(float(x[index])))
        h = _STEP * scale
        terms = {}
        for k in (-2, -1, 1, 2):
            moved = x.copy()
            moved[index] += k * h
            terms[k] = c * values(f(*xs[:position], moved, *xs[position + 1 :]))
        s = {k: float(t.sum()) for k, t in terms.items()}
        near = (s[1] - s[-1]) / (2 * h)
        quotient[index] = (4 * near - (s[2] - s[-2]) / (4 * h)) / 3
        size = float(np.abs(terms[1]).sum()) + scale * abs(quotient[index]) + _CANCELLED
        rounding = 100 * float(np.finfo(float).eps) * size / h
        tolerance[index] = rounding + 0.01 * abs(quotient[index] - near)
    return quotient, tolerance


def _compare(order: int, position: int, x: Array, got: Array, expected: Array, tolerance: Array,
             source: str) -> None:
    if got.shape != expected.shape:
        raise AssertionError(f"check_grads: gradient by argument {position} has shape {got.shape}, "
                             f"expected {expected.shape}")
    error = np.abs(got - expected)
    if (error <= tolerance).all():
        return
    excess = np.where(np.isnan(error), np.inf, error - tolerance)
    where = tuple(int(i) for i in np.unravel_index(int(excess.argmax()), error.shape))
    raise AssertionError(
        f"check_grads: order {order}, argument {position}, element {where} = {x[where]:.12g}: "
        f"expected {expected[where]:.12g} by {source}, got {got[where]:.12g} "
        f"(error {error[where]:.2e}, tolerance {tolerance[where]:.2e})"
    )
