r"""Reductions of chosen elements, or from a first value on: NumPy's `where=`, `initial=`, `dtype=`.

Let $c_i$ be 1 where `where` holds, else 0, and v be `initial`. Then the sum is
$y = v + \sum_i c_i x_i$, with $\bar x_i = c_i \bar y$ and $\bar v = \bar y$; the product, the
largest and the smallest likewise have v as one more element. What was left out receives no
gradient and may be anything, NaN too. So each of these is the op itself, of x with a neutral
element in the places left out, and then one op with v. The mean divides by $n = \sum_i c_i$.
`dtype` is the type to compute in: x is converted to it first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backend import Array, DType, namespace, wide, widened
from ..broadcast import astype, broadcast_to
from ..primitive import primitive
from ..tensor import Tensor, values
from . import reduce
from .arithmetic import add, multiply
from .exponential import exp, like
from .piecewise import equal, fmax, fmin, isinf, isnan, maximum, minimum, where
from .reduce import Axis, reduced_axes
from .shape import array, as_arrays, broadcast_arrays

__all__: list[str] = []


def _mask(chosen: Any, x: Any) -> Array:
    """Return `where=` as booleans of the shape and library of x."""
    mask = namespace(values(x)).asarray(values(array(chosen)))
    if mask.size and mask.dtype.kind not in "biu":
        raise TypeError(f"where= holds or does not, in each place: expected booleans, got "
                        f"{mask.dtype}; compare first")
    return broadcast_to(mask.astype(bool), x.shape)


def _chosen(x: Any, chosen: Any, otherwise: Any) -> Any:
    """Return x with a neutral element in the places that `where=` leaves out."""
    (x,) = as_arrays([x])
    return x if chosen is None else where(_mask(chosen, x), x, otherwise)


def _number(x: Any, chosen: Any, axis: Axis, keepdims: bool) -> Any:
    """Return how many elements over the axes are chosen, as floats that can count."""
    xp = namespace(values(x))
    mask = xp.ones(x.shape, dtype=bool) if chosen is None else _mask(chosen, x)
    dtype = wide(x.dtype) if x.dtype.kind == "f" else float
    return mask.sum(axis=axis, keepdims=keepdims).astype(dtype)


def _started(y: Any, first: Any, join: Callable[[Any, Any], Any]) -> Any:
    """Return y joined with `initial=`, which has the dtype of y."""
    if first is None:
        return y
    first = as_arrays([y, first])[1]
    if first.ndim:
        raise ValueError(f"initial= is one number, got shape {first.shape}")
    return join(y, astype(first, y.dtype))


def _converted(x: Any, dtype: DType) -> Any:
    (x,) = as_arrays([x])
    return x if dtype is None else astype(x, dtype)


# sums and products


@reduce.sum.form("initial", "where")
def _(x: Any, *, initial: Any = None, where: Any = None, **options: Any) -> Any:
    return _started(reduce.sum(_chosen(x, where, 0), **options), initial, add)


@reduce.prod.form("initial", "where")
def _(x: Any, *, initial: Any = None, where: Any = None, **options: Any) -> Any:
    return _started(reduce.prod(_chosen(x, where, 1), **options), initial, multiply)


@reduce.nansum.form("dtype", "initial", "where")
def _(x: Any, axis: Axis = None, **options: Any) -> Any:
    return reduce.sum(_without_nan(x, 0), axis, **options)


@reduce.nanprod.form("dtype", "initial", "where")
def _(x: Any, axis: Axis = None, **options: Any) -> Any:
    return reduce.prod(_without_nan(x, 1), axis, **options)


@reduce.nancumsum.form("dtype")
def _(x: Any, axis: int | None = None, *, dtype: DType) -> Any:
    return reduce.cumsum(_without_nan(x, 0), axis, dtype)


@reduce.nancumprod.form("dtype")
def _(x: Any, axis: int | None = None, *, dtype: DType) -> Any:
    return reduce.cumprod(_without_nan(x, 1), axis, dtype)


def _without_nan(x: Any, otherwise: float) -> Any:
    (x,) = as_arrays([x])
    return where(isnan(x), otherwise, x)


# moments


@reduce.mean.form("where")
def _(x: Any, axis: Axis = None, dtype: DType = None, *, keepdims: bool = False,
      where: Any = None) -> Any:
    (x,) = as_arrays([x])
    y = reduce.mean(_chosen(x, where, 0), axis, dtype, keepdims=keepdims)  # of all N elements
    chosen = _number(x, where, axis, keepdims)
    return like(y, y * (_number(x, None, axis, keepdims) / chosen))


@reduce.var.form("dtype", "mean", "where")
@widened
def _(x: Any, axis: Axis = None, *, dtype: DType = None, mean: Any = None, where: Any = None,
      ddof: float = 0, correction: float | None = None, keepdims: bool = False) -> Any:
    x = _converted(x, dtype)
    if where is None and mean is None:
        return reduce.var(x, axis, ddof=ddof, correction=correction, keepdims=keepdims)
    centred = _centred(x, axis, mean, where)
    degrees = maximum(_number(x, where, axis, keepdims) - reduce._lost_degrees(ddof, correction), 0)
    return reduce.sum(centred * centred, axis, keepdims=keepdims) / degrees


def _centred(x: Any, axis: Axis, mean: Any, chosen: Any) -> Any:
    """Return x less its mean, or the given one; 0 where left out, and where it is one element."""
    if mean is not None:
        return _chosen(x - mean, chosen, 0)
    x = _chosen(x, chosen, 0)
    several = _number(x, chosen, axis, keepdims=True) > 1
    return _chosen(where(several, x - reduce.mean(x, axis, keepdims=True, where=chosen), 0),
                   chosen, 0)


@reduce.std.form("dtype", "mean", "where")
def _(x: Any, axis: Axis = None, *, dtype: DType = None, mean: Any = None, where: Any = None,
      ddof: float = 0, correction: float | None = None, keepdims: bool = False) -> Any:
    x = _converted(x, dtype)
    if where is None and mean is None:
        return reduce.std(x, axis, ddof=ddof, correction=correction, keepdims=keepdims)
    degrees = maximum(_number(x, where, axis, keepdims) - reduce._lost_degrees(ddof, correction), 0)
    return reduce.length(_centred(x, axis, mean, where), axis, keepdims=keepdims) / degrees**0.5


def _nan_moment(moment: Any) -> Callable[..., Any]:
    def form(x: Any, axis: Axis = None, *, dtype: DType = None, where: Any = None,
             **options: Any) -> Any:
        x = _converted(x, dtype)
        x = astype(x, float) if x.dtype.kind in "biu" else x
        return moment(_chosen(x, where, math.nan), axis, **options)  # NaN is left out already

    return form


for _moment in (reduce.nanmean, reduce.nanvar, reduce.nanstd):
    _moment.form("dtype", "where")(_nan_moment(_moment))


# the extremes


def _extreme(op: Any, join: Any, neutral: float) -> Callable[..., Any]:
    def form(x: Any, axis: Axis = None, *, keepdims: bool = False, initial: Any = None,
             where: Any = None) -> Any:
        (x,) = as_arrays([x])
        if initial is None:
            raise ValueError("where= needs initial=, the result where nothing is chosen")
        x = _chosen(x, where, neutral if x.dtype.kind == "f" else values(initial))
        if math.prod(x.shape[i] for i in reduced_axes(x.ndim, axis)):
            return _started(op(x, axis, keepdims=keepdims), initial, join)
        nothing = astype(reduce.sum(x, axis, keepdims=keepdims), x.dtype)
        return _started(nothing, initial, add)

    return form


_EXTREMES: list[tuple[Any, Any, float]] = [
    (reduce.max, maximum, -math.inf), (reduce.min, minimum, math.inf),
    (reduce.nanmax, fmax, math.nan), (reduce.nanmin, fmin, math.nan)]

for _op, _join, _last in _EXTREMES:
    _op.form("initial", "where")(_extreme(_op, _join, _last))


@reduce.all.form("where")
def _(x: Any, *, where: Any, **options: Any) -> Any:
    return reduce.all(_chosen(values(x), where, True), **options)


@reduce.any.form("where")
def _(x: Any, *, where: Any, **options: Any) -> Any:
    return reduce.any(_chosen(values(x), where, False), **options)


# weighted sums of exponentials


@reduce.logsumexp.form("b", "where")
def _(x: Any, axis: Axis = None, *, keepdims: bool = False, b: Any = None,
      where: Any = None) -> Any:
    x = _chosen(x, where, -math.inf)
    x = astype(x, float) if x.dtype.kind in "biu" else x
    if b is None:
        return reduce.logsumexp(x, axis, keepdims=keepdims)
    b = b if isinstance(b := array(b), Tensor) else namespace(values(x)).asarray(b)
    x, b = broadcast_arrays(x, b)
    return _weighted_logsumexp(x, astype(b, x.dtype), axis=axis, keepdims=keepdims)


@primitive
@widened
def _weighted_logsumexp(x: Array, b: Array, /, *, axis: Axis, keepdims: bool) -> Array:
    r"""Return $y = \ln \sum_i b_i e^{x_i}$ over the axes, x and b of one shape; NaN of a sum < 0.

    $dy = \sum_i e^{x_i - y} (b_i\,dx_i + db_i)$, so $\bar x_i = \bar y\,b_i e^{x_i - y}$ and
    $\bar b_i = \bar y\,e^{x_i - y}$. An element of weight 0 adds nothing, however large.
    """
    xp = namespace(x, b)
    x, top = xp.where(b == 0, -math.inf, x), _top(x, b, axis)
    total = xp.sum(b * reduce._terms(x, top), axis=axis, keepdims=True)
    empty = total == 0
    y = xp.log(xp.where(empty, 1, xp.where(total < 0, math.nan, total)))
    y = y + xp.where(empty, -math.inf, top)
    return y if keepdims else xp.squeeze(y, axis=reduced_axes(x.ndim, axis))


@_weighted_logsumexp.vjp
@widened
def _(g: Any, x: Any, b: Any, shape: Any, axis: Axis, keepdims: bool) -> tuple[Any, Any]:
    terms, weighted = _weighted(x, b, _top(values(x), values(b), axis))
    total = reduce.sum(weighted, axis, keepdims=True)
    total = where(equal(total, 0), 1.0, total)  # an empty sum: every term is 0
    g = reduce.spread(g, shape, axis, keepdims) / total
    return g * weighted, g * terms


def _weighted(x: Any, b: Any, top: Array) -> tuple[Any, Any]:
    """Return e^(x - top), 1 where both are infinite, and that times b, where 0 weighs nothing."""
    limit = equal(x, math.inf) & equal(top, math.inf)
    terms = exp(where(limit, 0.0, x) - where(limit, 0.0, top))
    return terms, b * where(isinf(terms), 0.0, terms)  # only where b is 0 are they infinite


def _top(x: Array, b: Array, axis: Axis) -> Array:
    """Return the largest x of a weight, as a constant."""
    return reduce._top(namespace(x).where(b == 0, -math.inf, x), axis)
