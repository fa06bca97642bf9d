r"""Second derivatives at kinks: what a rule's convention there is when it is differentiated again.

At a kink a rule gives a value by convention: the gradient $\bar x = \bar y\,x / y$ of $y = |x|$ is
0 at $x = 0$, for which it divides by infinity where y is 0. That value is a constant, and as it
stands its derivative would be 0. So the rule adds a `bend`, which is 0 and whose derivative is the
true one. With $L = f(y)$ and $g = \bar y = f'(y)$, which is known as a function of y once it is
recorded:

- $g \ne 0$: L has the kink too, and no second derivative: $\pm\infty$, or NaN where the limit
  depends on the direction. For sums of straight pieces, such as |x| itself, that of the pieces, 0.
- $g = 0$: L is smooth there, $\bar x = x\,g(y) / y$, and $g(y) / y \to dg/dy$ (L'Hôpital). So
  $|x|^2$ has the second derivative 2. Where g at one place depends on y at others, NaN.

In a pass that is not recorded nothing is added. Nothing is computed before a second derivative is
asked for, and then only where there is a kink.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import numpy as np

from ..backend import Array, Shape, namespace
from ..backward import pull_back
from ..broadcast import astype
from ..primitive import primitive
from ..tensor import Tensor, recorded, values


def somewhere(condition: Array) -> bool:
    """Return whether it holds anywhere; True of a GPU's array, which would have to wait for it."""
    if namespace(condition) is not np:
        return True
    return bool(condition.any())


class Kink:
    """The places where a gradient is a convention, and what its derivative is there."""

    def __init__(self, at: Array, g: Any, y: Any, slope: float, fit: Callable[[Any], Any]) -> None:
        while isinstance(y, Tensor) and y.node is not None and y.node.op is astype:
            y = recorded(y.data, y.node.parents[0])  # which g was computed from
        self.at, self.g, self.y, self.slope, self.fit = at, g, y, slope, fit
        self.known: Any = None

    def times(self, v: Any) -> Any:
        """Return v times the true derivative, 0 where v is 0, though that be infinite."""
        if self.known is None:
            self.known = self._derivative()
        xp = namespace(values(v))
        fixed, rate = self.known
        if isinstance(v, Tensor) and self._follows() and somewhere(rate):
            there = (rate != 0).astype(rate.dtype)  # as a Tensor, for a third derivative
            found = pull_back([self.g], [there], [self.y], record=True)[0]
            rate = rate if found is None else found * there
        return v * xp.where(values(v) == 0, 0, self.fit(fixed)) + v * self.fit(rate)

    def _derivative(self) -> tuple[Array, Array]:
        """Return the part that is infinite or NaN, and the part dg/dy, where g is 0."""
        g, slope = values(self.g), self.slope
        xp = namespace(g)
        rate = self._rate(xp, self.at & (g == 0))
        none = xp.where(g > 0, slope, xp.where(g < 0, -slope, nan))
        fixed = xp.where(self.at & (g != 0), none, 0).astype(rate.dtype)
        if slope != slope:
            return xp.where(rate != 0, nan, fixed), xp.zeros_like(rate)
        unknown = rate != rate
        return xp.where(unknown, nan, fixed), xp.where(unknown, 0, rate)

    def _follows(self) -> bool:
        return isinstance(self.g, Tensor) and self.g.node is not None and self.y is not None

    def _rate(self, xp: Any, flat: Array) -> Array:
        """Return dg/dy at these places, NaN where g depends on y at others of them too."""
        ones = flat.astype(self.g.dtype)
        if not self._follows() or not somewhere(flat):
            return 0 * ones
        uneven = ones * (1 + xp.arange(flat.size).reshape(flat.shape) * _GOLDEN % 1)
        rates = [pull_back([self.g], [w], [self.y], retain=True)[0] for w in (ones, uneven)]
        if rates[0] is None:
            return 0 * ones
        alone = xp.isclose(rates[1], rates[0] * uneven, rtol=1e-3, atol=0)
        return xp.where(flat, xp.where(alone, rates[0], nan), 0)


_GOLDEN = (5**0.5 - 1) / 2


@primitive
def bend_by(x: Array, /, shape: Shape, times: Callable[[Any], Any]) -> Array:
    r"""Return zeros of a shape, with a derivative: what is missing at a kink.

    $dy = c\,dx$ with c the true derivative, so $\bar x = c\,\bar y$, which `times` computes.
    """
    xp = namespace(x)  # in x's layout, which sums of what it is added to follow
    return xp.zeros_like(x) if x.shape == shape else xp.zeros(shape, dtype=x.dtype)


bend_by.vjp(lambda g, times: times(g))


def bend(part: Any, g: Any, y: Any, *xs: Any, at: Any = None, slope: float = inf,
         fit: Callable[[Any], Any] = lambda c: c) -> Any:
    """Return a rule's result with the true derivatives by `xs` at a kink, see the module.

    The kink is where `at` holds, or y is 0. There the derivative is g times `slope`: infinity, 0
    or NaN. `fit` brings arrays of y's shape to that of `part`. Without y, g does not depend on it.
    """
    if not isinstance(part, Tensor):
        return part
    at = values(y) == 0 if at is None else at
    if not somewhere(at):
        return part
    kink = Kink(at, g, y, slope, fit)
    for x in xs:
        if isinstance(x, Tensor):
            part = part + bend_by(x, part.shape, kink.times)
    return part
