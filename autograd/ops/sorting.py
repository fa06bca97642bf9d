r"""Sorting, order statistics and choosing the largest.

A sorted array is a permutation of x, $y_k = x_{p(k)}$, and p does not change within a small enough
neighbourhood of x if no elements are equal. So $\bar x_{p(k)} = \bar y_k$: the gradient goes back
to where its element came from. Elements that are equal keep their order, which decides for them;
there the function has a kink and this is one of its subgradients. NaN sorts last.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan, prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..backend import Array, Shape, namespace, to_host
from ..broadcast import astype
from ..primitive import composite, nondifferentiable, primitive
from ..tensor import Tensor, constant, values
from .arithmetic import remainder
from .index import take, take_along_axis
from .piecewise import equal, greater, less, not_equal, where
from .reduce import mean
from .shape import array, as_arrays, concatenate, moveaxis, pad, reshape, transpose

__all__ = [
    "argpartition", "argsort", "interp", "median", "nanmedian", "nanpercentile", "nanquantile",
    "partition", "percentile", "quantile", "searchsorted", "sort", "topk", "unique",
]

Axis = int | tuple[int, ...] | None


def _downward(x: Array) -> Array:
    """Return x with its order reversed; applied twice it is x again."""
    return ~x if x.dtype.kind in "biu" else -x


@primitive
def sort(x: Array, /, axis: int | None = -1, kind: str | None = None, *,
         descending: bool = False, stable: bool | None = None) -> Array:
    r"""Return x sorted along an axis; flattened first if it is None.

    $y_k = x_{p(k)}$ with $p$ = `argsort(x)`, which does not change in a neighbourhood of x: $dy_k =
    dx_{p(k)}$, so $\bar x_j = \bar y_{p^{-1}(j)}$. The order of equal elements is kept whatever
    `stable` says.
    """
    xp = namespace(x)
    return _downward(xp.sort(_downward(x), axis)) if descending else xp.sort(x, axis)


@sort.vjp
def _(g: Any, x: Any, shape: Shape, axis: int | None, descending: bool) -> Any:
    ranks = argsort(argsort(x, axis, descending=descending), axis)
    return reshape(take_along_axis(g, ranks, axis), shape)


@nondifferentiable
def argsort(x: Array, /, axis: int | None = -1, kind: str | None = None, *,
            descending: bool = False, stable: bool | None = None) -> Array:
    """Return the indices that sort x along an axis; x flattened if it is None.

    The order of equal elements is kept whatever `kind` and `stable` say.
    """
    return namespace(x).argsort(_downward(x) if descending else x, axis, kind="stable")


@primitive
def partition(x: Array, /, kth: int | Sequence[int], axis: int | None = -1) -> Array:
    r"""Return x with element `kth` where sorting puts it, no larger before, no smaller after it.

    $y_k = x_{p(k)}$ with a permutation p, which does not change in a neighbourhood of x:
    $dy_k = dx_{p(k)}$, so $\bar x_j = \bar y_{p^{-1}(j)}$.
    """
    return namespace(x).partition(x, kth, axis)


@partition.vjp
def _(g: Any, x: Any, y: Any, shape: Shape, axis: int | None) -> Any:
    by_rank = take_along_axis(g, argsort(y, -1 if axis is None else axis), axis)
    return reshape(take_along_axis(by_rank, argsort(argsort(x, axis), axis), axis), shape)


@nondifferentiable
def argpartition(x: Array, /, kth: int | Sequence[int], axis: int | None = -1) -> Array:
    """Return the indices that partition x along an axis; x flattened if it is None."""
    return namespace(x).argpartition(x, kth, axis)


@composite
def topk(x: Any, k: int, axis: int = -1, *, largest: bool = True) -> tuple[Any, Any]:
    """Return the k largest elements along an axis, in falling order, and their indices.

    The smallest in rising order if not `largest`; of equal ones the first. Of a Tensor the indices
    are a constant Tensor.
    """
    x = array(x)
    axis = normalize_axis_index(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"k must be between 0 and {x.shape[axis]}, got {k}")
    order = argsort(x, axis, descending=largest)[(*(slice(None),) * axis, slice(k))]
    return take_along_axis(x, order, axis), constant(order) if isinstance(x, Tensor) else order


@nondifferentiable
def searchsorted(a: Array, v: Array, /, side: str = "left", sorter: Any = None) -> Array:
    """Return where to insert v into the sorted vector a: before its equals, or "right" of them."""
    xp = namespace(a, v)
    return xp.searchsorted(xp.asarray(a), xp.asarray(v), side, values(sorter))


# order statistics


@composite
def median(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    r"""Return the middle element over the axes, or the mean of the two middle ones.

    They alone receive the gradient: $\bar y$, or $\bar y / 2$ each. NaN if any element is.
    """
    x = array(x)
    ordered, shape = _sorted_flat(x, axis, keepdims)
    n = ordered.shape[-1]
    return reshape(_or_nan(mean(ordered[..., (n - 1) // 2 : n // 2 + 1], -1), ordered), shape)


@composite
def quantile(x: Any, q: Any, axis: Axis = None, *, method: str = "linear",
             keepdims: bool = False) -> Any:
    r"""Return the value below which the fraction q of the elements over the axes lies.

    With the n elements in rising order, $s = q (n - 1)$, $i = \lfloor s \rfloor$ and $t = s - i$,
    $y = (1 - t)\,x_i + t\,x_{i+1}$. As $dt = (n - 1)\,dq$,
    $dy = (1 - t)\,dx_i + t\,dx_{i+1} + (n - 1) (x_{i+1} - x_i)\,dq$: the weights of $x_i$ and
    $x_{i+1}$ are also those of their gradients, and $\bar q = \bar y\,(n - 1) (x_{i+1} - x_i)$, at
    a whole s with the piece to its right. Other methods than "linear" round s, and then $\bar q$ is
    0: "lower", "higher", "nearest" (of two the even one), "midpoint" (between them); or count it
    otherwise, as NumPy's "hazen", "weibull", "median_unbiased", "normal_unbiased" and
    "interpolated_inverted_cdf" do. q lies between 0 and 1; its axes come first in the result. NaN
    if any element is.
    """
    x, q = array(x), _fractions(q, method)
    ordered, shape = _sorted_flat(x, axis, keepdims)
    y = _or_nan(_between(ordered, q, ordered.shape[-1], method), ordered[..., None, :])
    return reshape(moveaxis(y, -1, 0), (*q.shape, *shape))


@composite
def percentile(x: Any, q: Any, axis: Axis = None, *, method: str = "linear",
               keepdims: bool = False) -> Any:
    """Return the value below which q percent of the elements over the axes lie (see `quantile`)."""
    return quantile(x, _hundredths(q), axis, method=method, keepdims=keepdims)


@composite
def nanquantile(x: Any, q: Any, axis: Axis = None, *, method: str = "linear",
                keepdims: bool = False) -> Any:
    """Return `quantile` of the elements that are not NaN; NaN only where all are."""
    x, q = array(x), _fractions(q, method)
    ordered, shape = _sorted_flat(x, axis, keepdims)
    if not ordered.shape[-1]:
        ordered = pad(astype(ordered, np.result_type(ordered.dtype, np.float16)),
                      ((0, 0),) * (ordered.ndim - 1) + ((0, 1),), constant_values=nan)
    counts = equal(ordered, ordered).sum(-1, keepdims=True)
    return reshape(moveaxis(_between(ordered, q, counts, method), -1, 0), (*q.shape, *shape))


@composite
def nanpercentile(x: Any, q: Any, axis: Axis = None, *, method: str = "linear",
                  keepdims: bool = False) -> Any:
    """Return `percentile` of the elements that are not NaN; NaN only where all are."""
    return nanquantile(x, _hundredths(q), axis, method=method, keepdims=keepdims)


@composite
def nanmedian(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Return `median` of the elements that are not NaN; NaN only where all are."""
    return nanquantile(x, 0.5, axis, keepdims=keepdims)


_SHIFTS = {"hazen": (0.5, 0.5), "weibull": (0.0, 0.0), "interpolated_inverted_cdf": (0.0, 1.0),
           "median_unbiased": (1 / 3, 1 / 3), "normal_unbiased": (3 / 8, 3 / 8)}
"""Numbers a and b of the methods that interpolate at other places than "linear", a = b = 1."""

_METHODS = ("linear", "lower", "higher", "nearest", "midpoint", *_SHIFTS)


def _hundredths(q: Any) -> Any:
    q = array(q)
    return (q if isinstance(q, Tensor) else np.asarray(to_host(q), dtype=float)) / 100


def _fractions(q: Any, method: str) -> Any:
    """Return q as an array of the host, or as the Tensor that it is."""
    if method not in _METHODS:
        raise ValueError(f"method must be one of {str(_METHODS)[1:-1]}, got {method!r}")
    q = array(q)
    fractions: np.ndarray = np.asarray(to_host(values(q)), dtype=float)
    if not ((fractions >= 0) & (fractions <= 1)).all():
        raise ValueError(f"q must be between 0 and 1, got {fractions}")
    return astype(q, float) if isinstance(q, Tensor) else fractions


def _between(ordered: Any, q: Any, n: Any, method: str) -> Any:
    """Return at each q the element of the first n sorted ones, or what lies between two."""
    xp = namespace(values(ordered))
    q = reshape(q, -1) if isinstance(q, Tensor) else xp.asarray(q.reshape(-1))
    at = q * xp.maximum(n - 1, 0)
    if method in _SHIFTS:
        a, b = _SHIFTS[method]
        at, last = n * q + (a - 1 + (1 - a - b) * q), xp.maximum(n - 1, 0)
        at = where(less(at, 0), 0.0, where(greater(at, last), last, at))

    def element(i: Any) -> Any:
        i = i.astype(int)
        i = i if i.ndim > 1 else xp.broadcast_to(i, (*ordered.shape[:-1], i.size))
        return take_along_axis(ordered, i, -1)

    place = values(at)
    low, high = xp.floor(place), xp.ceil(place)
    if method in ("lower", "higher", "nearest"):
        return element({"lower": low, "higher": high, "nearest": xp.rint(place)}[method])
    ordered = astype(ordered, float) if ordered.dtype.kind in "biu" else ordered
    if method == "midpoint":
        return 0.5 * element(low) + 0.5 * element(high)
    low = xp.minimum(low, xp.maximum(n - 2, 0))
    t = astype(at - low, ordered.dtype)
    return _lerp(element(low), element(xp.minimum(low + 1, xp.maximum(n - 1, 0))), t)


@primitive
def _lerp(a: Array, b: Array, t: Array, /) -> Array:
    r"""Return $y = (1 - t)\,a + t\,b$; an infinite one of weight 0 does not count.

    $dy = (1 - t)\,da + t\,db + (b - a)\,dt$, so $\bar a = (1 - t)\,\bar y$, $\bar b = t\,\bar y$
    and $\bar t = (b - a)\,\bar y$.
    """
    xp = namespace(a, b, t)
    y = (1 - t) * xp.where(t == 1, 0, a) + t * xp.where(t == 0, 0, b)
    return xp.asarray(y, dtype=xp.result_type(a, b))


_lerp.vjp(lambda g, t: g * (1 - t), lambda g, t: g * t, lambda g, a, b: g * (b - a))


def _sorted_flat(x: Any, axis: Axis, keepdims: bool) -> tuple[Any, Shape]:
    """Return x sorted along one last axis made of those to be reduced, and the result's shape."""
    axes = tuple(range(x.ndim)) if axis is None else normalize_axis_tuple(axis, x.ndim)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    lengths = tuple(x.shape[i] for i in kept)
    flat = reshape(transpose(x, kept + axes), (*lengths, prod(x.shape[i] for i in axes)))
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape)) if keepdims else lengths
    return sort(flat), shape


def _or_nan(y: Any, ordered: Any) -> Any:
    """Return y, but NaN where there is one among the sorted elements, as then the last is."""
    if not ordered.shape[-1] or ordered.dtype.kind in "biu":
        return y
    last = values(ordered)[..., -1]
    return where(not_equal(last, last), last, y)


@composite
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None,
           period: Any = None) -> Any:
    r"""Return at x the piecewise linear function through the points (xp, fp), xp rising.

    Between two of them, $(x_k, f_k)$ and the next, $y = f_k + t (f_{k+1} - f_k)$ with
    $t = (x - x_k) / (x_{k+1} - x_k)$ and $f_k$ from `fp`; below the first `left` (its value), above
    the last `right` (its value). At a point the slope is that of the piece to its right. With a
    `period` the points, in any order, repeat after it, and left and right do not count.

    With the slope $s = (f_{k+1} - f_k) / (x_{k+1} - x_k)$ of a piece,
    $dy = (1 - t)\,df_k + t\,df_{k+1} + s\,(dx - (1 - t)\,dx_k - t\,dx_{k+1})$, so
    $\bar x = \bar y\,s$. The left end of the piece receives $(1 - t)\,\bar y$ by $f_k$ and
    $-s (1 - t)\,\bar y$ by $x_k$; the right end the same with t in the place of 1 - t.
    """
    x, xp, fp = as_arrays([x, xp, fp])
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.size:
        raise ValueError(f"expected points as two vectors of one length, got shapes {xp.shape} "
                         f"and {fp.shape}")
    if period is not None:
        x, xp, fp = _within_period(x, xp, fp, abs(period))
        left = right = None
    below, above = less(x, xp[0]), greater(x, xp[-1])
    inside = where(below | above, xp[0], x)
    y = fp[0] + 0.0 * inside
    if xp.size > 1:
        k = (searchsorted(xp, inside, "right") - 1).clip(0, xp.size - 2)
        t = (inside - xp[k]) / (xp[k + 1] - xp[k])
        y = fp[k] + t * (fp[k + 1] - fp[k])
    y = where(below, fp[0] if left is None else left, y)
    return where(above, fp[-1] if right is None else right, y)


def _within_period(x: Any, xp: Any, fp: Any, period: Any) -> tuple[Any, Any, Any]:
    """Return x and the points in [0, period), the points rising, with one more at each end."""
    if not bool(values(period) > 0):
        raise ValueError("the period must not be 0")
    x, xp = remainder(x, period), remainder(xp, period)
    order = argsort(xp)
    xp, fp = xp[order], fp[order]
    xp = concatenate((xp[-1:] - period, xp, xp[:1] + period))
    return x, xp, concatenate((fp[-1:], fp, fp[:1]))


@composite
def unique(x: Any, return_index: bool = False, return_inverse: bool = False,
           return_counts: bool = False, axis: int | None = None, *, equal_nan: bool = True) -> Any:
    r"""Return the different elements of x in rising order, or its different slices along an axis.

    $y_k = x_{p(k)}$ with p(k) the first place of each, and $dy_k = dx_{p(k)}$, so
    $\bar x_i = \sum_k [p(k) = i]\,\bar y_k$: where elements are equal the function jumps, and this
    is the slope on one side. With the options also, in this order, the places p(k), those of y that
    give x back, and how often each occurs; of a Tensor these are constant Tensors.
    """
    x = array(x)
    found = namespace(values(x)).unique(values(x), True, True, True, axis=axis, equal_nan=equal_nan)
    y = take(x, found[1], axis)
    more = [part for part, asked in zip(found[1:], (return_index, return_inverse, return_counts),
                                        strict=True) if asked]
    more = [constant(part) for part in more] if isinstance(x, Tensor) else more
    return (y, *more) if more else y
