r"""Running forms of the largest, the smallest and the sum of exponentials: one result a prefix.

`axis` is a number, or None for x flattened, as in `cumsum`. What each $y_k$ is made of is computed
by doubling: y over windows of d elements gives y over windows of 2d, so $\log_2 n$ steps suffice,
in any array library.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numpy.lib.array_utils import normalize_axis_index

from ..backend import Array, namespace, widened
from ..primitive import composite, primitive
from ..tensor import values
from .exponential import exp
from .index import take_along_axis
from .piecewise import equal, isfinite, where
from .reduce import _adjoint_recurrence, _along, _delayed
from .shape import array, reshape

__all__ = ["cummax", "cummin", "logcumsumexp"]


def _by_doubling(x: tuple[Array, ...], axis: int,
                 join: Callable[[tuple[Array, ...], tuple[Array, ...]], tuple[Array, ...]],
                 ) -> tuple[Array, ...]:
    """Return the running results of `join(earlier, later)` along an axis, for several arrays."""
    xp, d, ndim = namespace(x[0]), 1, x[0].ndim
    while d < x[0].shape[axis]:
        start, late, early = (_along(axis, ndim, slice(*s)) for s in ((d,), (d, None), (-d,)))
        joined = join(tuple(v[early] for v in x), tuple(v[late] for v in x))
        x = tuple(xp.concatenate([v[start], w], axis=axis) for v, w in zip(x, joined, strict=True))
        d *= 2
    return x


@composite
def cummax(x: Any, axis: int | None = None) -> Any:
    r"""Return $y_k = \max_{i \le k} x_i$ along an axis, NaN from the first NaN on.

    $y_k = x_{p(k)}$ with p(k) the first place of the largest so far, and p does not change with a
    small change of x if no elements are equal: $dy_k = dx_{p(k)}$, so
    $\bar x_i = \sum_k [p(k) = i]\,\bar y_k$; of equal elements the first receives it.
    """
    return _running_extreme(x, axis, lambda a, b: b > a)


@composite
def cummin(x: Any, axis: int | None = None) -> Any:
    r"""Return $y_k = \min_{i \le k} x_i$ along an axis, NaN from the first NaN on.

    $y_k = x_{p(k)}$ with p(k) the first place of the smallest so far: $dy_k = dx_{p(k)}$, so
    $\bar x_i = \sum_k [p(k) = i]\,\bar y_k$; of equal elements the first receives it.
    """
    return _running_extreme(x, axis, lambda a, b: b < a)


def _running_extreme(x: Any, axis: int | None, beats: Callable[[Any, Any], Any]) -> Any:
    x = array(x)
    if axis is None or not x.ndim:
        x, axis = reshape(x, -1), 0
    axis = normalize_axis_index(axis, x.ndim)
    xp, v = namespace(values(x)), values(x)
    places = xp.arange(v.shape[axis]).reshape((-1,) + (1,) * (v.ndim - 1 - axis))

    def join(earlier: Any, later: Any) -> Any:
        (a, i), (b, k) = earlier, later
        newer = beats(a, b) | ((b != b) & (a == a))  # a NaN beats all but a NaN
        return xp.where(newer, b, a), xp.where(newer, k, i)

    _, chosen = _by_doubling((v, xp.broadcast_to(places, v.shape)), axis, join)
    return take_along_axis(x, chosen, axis)


@primitive
@widened
def logcumsumexp(x: Array, /, axis: int | None = None) -> Array:
    r"""Return $y_k = \ln \sum_{i \le k} e^{x_i}$ along an axis, without overflow.

    From $e^{y_k} = e^{y_{k-1}} + e^{x_k}$: $dy_k = a_k\,dy_{k-1} + w_k\,dx_k$ with
    $a_k = e^{y_{k-1} - y_k}$ and $w_k = e^{x_k - y_k}$, both at most 1. So
    $\bar x_k = \lambda_k w_k$, where $\lambda_k = \bar y_k + a_{k+1} \lambda_{k+1}$ is all that
    reaches $y_k$. Infinities share the gradient equally; a sum of nothing but $-\infty$ passes
    none.
    """
    xp = namespace(x)
    x = xp.asarray(x)
    if axis is None or not x.ndim:
        x, axis = x.reshape(-1), 0
    axis = normalize_axis_index(axis, x.ndim)
    x = x.astype(float) if x.dtype.kind in "biu" else x
    return _by_doubling((x,), axis, lambda a, b: (xp.logaddexp(a[0], b[0]),))[0]


@logcumsumexp.vjp
@widened
def _(g: Any, x: Any, y: Any, shape: Any, axis: int | None) -> Any:
    x, axis = reshape(x, y.shape), axis or 0
    before, found = _delayed(y, axis, -math.inf), equal(values(x), math.inf).astype(y.dtype)
    finite, infinite = isfinite(values(y)), found.cumsum(axis=axis)  # so many up to here
    level = where(finite, y, 0.0)
    infinite = namespace(found).maximum(infinite, 1)
    a = exp(where(finite, before - level, -math.inf)) + (infinite - found) / infinite * ~finite
    w = exp(where(finite, x - level, -math.inf)) + found / infinite
    return reshape(_adjoint_recurrence(g, a, axis) * w, shape)
