r"""Ops that sum up axes, and their running forms.

`axis` is None (all axes), a number or a tuple of numbers, `keepdims` keeps the axes with length 1.
A sum $y = \sum_i x_i$ hands its gradient to every term: $\bar x_i = \bar y$, for which `spread`
repeats $\bar y$ along the axes that are gone. In the formulas y is the result at one place, and
the $x_i$ are the n elements that it was made of.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from ..backend import Array, Shape, accumulated, namespace, wide, widened, wider
from ..broadcast import broadcast_to
from ..primitive import composite, nondifferentiable, primitive
from ..tensor import values
from .arithmetic import ldexp
from .exponential import exp
from .kinks import bend
from .piecewise import equal, isnan, not_equal, where
from .shape import as_arrays, concatenate, reshape, transpose

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "average", "count_nonzero", "cumprod",
    "cumsum", "cumulative_prod", "cumulative_sum", "logsumexp", "max", "mean", "min", "nanargmax",
    "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd",
    "nansum", "nanvar", "prod", "ptp", "std", "sum", "var",
]

Axis = int | tuple[int, ...] | None


def reduced_axes(ndim: int, axis: Axis) -> tuple[int, ...]:
    """Return the axes that `axis` names, as numbers from 0."""
    if axis is None or ndim == 0:  # NumPy lets a number be reduced along axis 0
        return tuple(range(ndim))
    return tuple(i % ndim for i in (axis if isinstance(axis, tuple) else (axis,)))


def spread(r: Any, shape: Shape, axis: Axis, keepdims: bool) -> Any:
    """Return r, a reduction's result or its gradient, repeated to the shape before reduction."""
    if not keepdims:
        gone = reduced_axes(len(shape), axis)
        r = reshape(r, tuple(1 if i in gone else n for i, n in enumerate(shape)))
    return broadcast_to(r, shape)


def _count(shape: Shape, axis: Axis) -> int:
    return math.prod(shape[i] for i in reduced_axes(len(shape), axis))


# sums and moments


@primitive
def sum(x: Array, /, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False) -> Array:
    r"""Return $y = \sum_i x_i$ over the axes.

    $dy = \sum_i dx_i$: every term has the slope 1, so $\bar x_i = \bar y$.
    """
    return accumulated(namespace(x).sum, x, dtype, axis=axis, keepdims=keepdims)


sum.vjp(lambda g, shape, axis, keepdims: spread(g, shape, axis, keepdims))


@primitive
def mean(x: Array, /, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False) -> Array:
    r"""Return the mean over the axes.

    $y = \frac1n \sum_i x_i$ with n, the number of elements, so $dy = \frac1n \sum_i dx_i$: every
    element has the slope 1 / n, and $\bar x_i = \bar y / n$.
    """
    return accumulated(namespace(x).mean, x, dtype, axis=axis, keepdims=keepdims)


mean.vjp(lambda g, shape, axis, keepdims:
         spread(wider(g) / (_count(shape, axis) or 1), shape, axis, keepdims))


@composite
@widened
def average(x: Any, axis: Axis = None, weights: Any = None, *, keepdims: bool = False) -> Any:
    r"""Return $\sum_i w_i x_i / \sum_i w_i$ over the axes, w being the weights; or the mean.

    The weights have the shape of x, or of the axes alone; a gradient flows to them too. Where they
    add up to 0 the result is not finite. With $s = \sum_i w_i$: $s\,y = \sum_i w_i x_i$, so
    $s\,dy = \sum_i w_i\,dx_i + \sum_i (x_i - y)\,dw_i$, and $\bar x_i = \bar y\,w_i / s$,
    $\bar w_i = \bar y\,(x_i - y) / s$.
    """
    (x,) = as_arrays([x])
    axis = tuple(axis) if isinstance(axis, list) else axis
    if weights is None:
        return mean(x, axis, keepdims=keepdims)
    (weights,) = as_arrays([weights])
    if weights.shape != x.shape:
        axes = reduced_axes(x.ndim, axis)
        if axis is None or weights.shape != tuple(x.shape[i] for i in axes):
            raise ValueError(f"average: expected weights of the shape of x, {x.shape}, or of the "
                             f"axes alone; got {weights.shape} with axis={axis}")
        weights = transpose(weights, tuple(axes.index(i) for i in sorted(axes)))
        weights = reshape(weights, tuple(n if i in axes else 1 for i, n in enumerate(x.shape)))
    total = sum(broadcast_to(weights, x.shape), axis, keepdims=keepdims)
    return sum(x * weights, axis, keepdims=keepdims) / total


@primitive
@widened
def var(x: Array, /, axis: Axis = None, *, ddof: float = 0, correction: float | None = None,
        keepdims: bool = False) -> Array:
    r"""Return the variance $y = \frac{1}{n - c} \sum_i (x_i - \mu)^2$, $\mu = \langle x \rangle$.

    n is the number of elements over the axes, c is `ddof`, also called `correction`; NaN unless n >
    c. $dy = \frac{2}{n - c} \sum_i (x_i - \mu) (dx_i - d\mu)$, where $d\mu$ falls out because
    $\sum_i (x_i - \mu)$ is 0, so $\bar x_i = \bar y\,\frac{2}{n - c} (x_i - \mu)$.
    """
    return namespace(x).var(x, axis=axis, ddof=_lost_degrees(ddof, correction), keepdims=keepdims)


@var.vjp
@widened
def _(g: Any, x: Any, shape: Shape, axis: Axis, ddof: float, correction: float | None,
      keepdims: bool) -> Any:
    if not _count(shape, axis):
        return spread(g, shape, axis, keepdims)  # of no element; there is no mean
    centred = x - mean(x, axis, keepdims=True)
    degrees = _count(shape, axis) - _lost_degrees(ddof, correction)
    scale = 2 / degrees if degrees > 0 else math.nan  # NumPy divides by 0 there
    return spread(g * scale, shape, axis, keepdims) * centred


def _lost_degrees(ddof: float, correction: float | None) -> float:
    if correction is not None and ddof:
        raise ValueError("ddof and correction are two names of one number, give one of them")
    return ddof if correction is None else correction


@composite
@widened
def std(x: Any, axis: Axis = None, *, ddof: float = 0, correction: float | None = None,
        keepdims: bool = False) -> Any:
    r"""Return the standard deviation over the axes, the root of `var`.

    $y^2$ is the variance, so $2y\,dy = \frac{2}{n - c} \sum_i (x_i - \mu)\,dx_i$ with n, c and
    $\mu$ as in `var`, and $\bar x_i = [y \ne 0]\,\bar y\,(x_i - \mu) / ((n - c)\,y)$: taken as 0 at
    the kink, where all $x_i$ are equal.
    """
    (x,) = as_arrays([x])
    s = square_scale(values(x), axis)
    x = x if s is None else x / s
    # The mean is rounded, and is subtracted again below. It is a constant here.
    c = x - mean(values(x), axis, keepdims=True)
    n = _count(x.shape, axis)
    degrees = n - _lost_degrees(ddof, correction)
    c = c - mean(c, axis, keepdims=True) if n > 1 else c * 0  # of one y is 0, without a kink
    y = (length if n > 1 else sum)(c, axis, keepdims=keepdims)
    y = y / (math.sqrt(degrees) if degrees > 0 else math.nan)
    return y if s is None else y * reshape(s, y.shape)


def square_scale(x: Array, axis: Axis, p: float = 2) -> Any:
    r"""Return powers of two, one for each row, to divide by before the p-th powers of x are summed.

    They are near the largest magnitude where these powers, or their sum, would overflow or lose
    digits below the smallest number, else 1; None if all are. Of an f with $f(x) = s\,f(x / s)$,
    such as a norm, s is no argument: it is a constant.
    """
    xp = namespace(x)
    if not x.size or x.dtype.kind not in "fc":
        return None
    top = xp.max(xp.abs(x), axis=axis, keepdims=True)
    info = xp.finfo(x.dtype)
    room = (info.maxexp - info.nmant - math.log2(x.size)) / builtins.max(p, 1)
    exponent = xp.frexp(xp.where(xp.isfinite(top), top, 1))[1]
    exponent = xp.where(xp.abs(exponent) < room, 1, exponent)
    if xp is np and (exponent == 1).all():  # a GPU would have to wait for the answer
        return None
    return xp.ldexp(xp.ones_like(top), exponent - 1)


@primitive
@widened
def root_mean_square(x: Array, e: Array, /, axis: Axis) -> Array:
    r"""Return $y = \sqrt{\langle x^2 \rangle + e}$ over the axes, which stay with length 1.

    $2 y\,dy = 2 \langle x\,dx \rangle + de$, so with the number n of elements
    $\bar x_i = \bar y\,x_i / (n\,y)$ and $\bar e = \bar y / (2 y)$.
    """
    xp, s = namespace(x), square_scale(x, axis)
    if s is None:
        return xp.sqrt(xp.mean(x * x, axis=axis, keepdims=True) + e)
    s = xp.maximum(s, (e > 0) * 1.0)  # of small x only e is left
    z = x / s
    return s * xp.sqrt(xp.mean(z * z, axis=axis, keepdims=True) + e / s / s)


root_mean_square.vjp(
    widened(lambda g, x, y, shape, axis: g * (x / y) / _count(shape, axis)),
    lambda g, y: g / (2 * y))


def along_axes(g: Any, x: Any, y: Any, axis: Axis, keepdims: bool) -> Any:
    """Return g x / y, the gradient of a length y over the axes by x; 0 where y is 0."""
    def fit(r: Any) -> Any:
        return spread(r, x.shape, axis, keepdims)

    return bend(fit(g) * (x / fit(where(equal(y, 0), math.inf, y))), g, y, x, fit=fit)


@primitive
@widened
def length(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    r"""Return $y = \sqrt{\sum_i x_i^2}$ over the axes.

    $y\,dy = \sum_i x_i\,dx_i$, so $\bar x_i = [y \ne 0]\,\bar y\,x_i / y$: taken as 0 at the kink.
    """
    xp = namespace(x)
    if xp is np:  # on a GPU the answer whether y will do would be waited for
        with np.errstate(over="ignore", under="ignore"):
            y = _root_of_squares(x, axis, keepdims)
        info = np.finfo(y.dtype)
        if ((y > info.tiny**0.5 / info.eps) & (y < info.max)).all():
            return y
    s = square_scale(x, axis)
    y = _root_of_squares(x if s is None else x / s, axis, keepdims)
    return y if s is None else y * xp.reshape(s, y.shape)


def _root_of_squares(x: Array, axis: Axis, keepdims: bool) -> Array:
    squares = real(x * conjugate(x))
    return namespace(x).sqrt(squares.sum(axis=axis, keepdims=keepdims))


length.vjp(lambda g, x, y, axis, keepdims: along_axes(g, x, y, axis, keepdims))


# the extremes


@primitive
def max(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    r"""Return the largest element over the axes, NaN if there is a NaN.

    Where one element is the largest, $dy = \sum_i [x_i = y]\,dx_i$; at the kink, where k elements
    equal y, they share: $\bar x_i = [x_i = y]\,\bar y / k$. A NaN counts as equal to a NaN.
    Raises ValueError where there is no element.
    """
    return namespace(x).max(x, axis=axis, keepdims=keepdims)


@primitive
def min(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    r"""Return the smallest element over the axes, NaN if there is a NaN.

    Where one element is the smallest, $dy = \sum_i [x_i = y]\,dx_i$; at the kink, where k elements
    equal y, they share: $\bar x_i = [x_i = y]\,\bar y / k$. A NaN counts as equal to a NaN.
    Raises ValueError where there is no element.
    """
    return namespace(x).min(x, axis=axis, keepdims=keepdims)


def _extreme_rule(g: Any, x: Any, y: Any, shape: Shape, axis: Axis, keepdims: bool) -> Any:
    hit = equal(x, spread(y, shape, axis, keepdims)) | not_equal(x, x)  # a NaN makes y NaN
    count = hit.astype(wide(g.dtype)).sum(axis=axis, keepdims=True)
    return reshape(g, count.shape) / count * hit


max.vjp(_extreme_rule)
min.vjp(_extreme_rule)


@composite
def ptp(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Return the range over the axes, the largest element less the smallest ("peak to peak")."""
    return max(x, axis, keepdims=keepdims) - min(x, axis, keepdims=keepdims)


@primitive
@widened
def logsumexp(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    r"""Return $y = \ln \sum_i e^{x_i}$ over the axes, without overflow.

    $e^y = \sum_i e^{x_i}$, so $e^y\,dy = \sum_i e^{x_i} dx_i$ and
    $\bar x_i = \bar y\,e^{x_i} / \sum_j e^{x_j}$, the softmax of x. Where infinities make the sum
    infinite they share the gradient equally; where all $x_i = -\infty$, or there is none, the
    sum is 0, y is $-\infty$ and no gradient flows.
    """
    xp = namespace(x)
    x = xp.asarray(x)
    top = _top(x, axis)
    total = xp.sum(_terms(x, top), axis=axis, keepdims=True)
    empty = total == 0
    y = xp.log(xp.where(empty, 1.0, total)) + xp.where(empty, -math.inf, top)
    return y if keepdims else xp.squeeze(y, axis=reduced_axes(x.ndim, axis))


@logsumexp.vjp
@widened
def _(g: Any, x: Any, shape: Shape, axis: Axis, keepdims: bool) -> Any:
    terms = _terms(x, _top(values(x), axis))  # e^(x - y) would round y, which may be large
    total = sum(terms, axis, keepdims=True)
    total = where(equal(total, 0), 1.0, total)  # an empty sum: every term is 0
    return spread(g, shape, axis, keepdims) * terms / total


def _terms(x: Any, top: Array) -> Any:
    """Return e^(x - top), with the limit 1 where both are infinite."""
    limit = equal(x, math.inf)
    return exp(where(limit, 0.0, x) - top) + limit


def _top(x: Array, axis: Axis) -> Array:
    """Return the maximum over the axes, 0 where it is negative infinity; as a constant."""
    xp = namespace(x)
    if _count(x.shape, axis) == 0:
        return xp.zeros_like(xp.sum(x, axis=axis, keepdims=True))
    top = xp.max(x, axis=axis, keepdims=True)
    return xp.where(top == -math.inf, 0, top)


# running sums and products


@primitive
def cumsum(x: Array, /, axis: int | None = None, dtype: Any = None) -> Array:
    r"""Return $y_k = \sum_{i \le k} x_i$ along an axis; of x flattened if it is None.

    $dy_k = \sum_{i \le k} dx_i$, so $\bar x_i = \sum_{k \ge i} \bar y_k$: the running sum from the
    end.
    """
    return accumulated(namespace(x).cumsum, x, dtype, axis=axis)


@cumsum.vjp
def _(g: Any, shape: Shape, axis: int | None) -> Any:
    if axis is None:
        return reshape(_reversed(cumsum(_reversed(g, 0), 0), 0), shape)
    return _reversed(cumsum(_reversed(g, axis), axis), axis)


@primitive
def cumprod(x: Array, /, axis: int | None = None, dtype: Any = None) -> Array:
    r"""Return $y_k = \prod_{i \le k} x_i$ along an axis; of x flattened if it is None.

    $y_k = x_k\,y_{k-1}$, so $dy_k = y_{k-1}\,dx_k + x_k\,dy_{k-1}$:
    $\bar x_i = \lambda_i\,y_{i-1}$, where $\lambda_i = \bar y_i + x_{i+1} \lambda_{i+1}$ is all
    that reaches $y_i$. Nothing is divided by, so zeros in x are no exception.
    Both factors may overflow or vanish where their product does not, and so are computed without
    their exponents: see `_exponents` and `_largest_ahead`.
    """
    return accumulated(namespace(x).cumprod, x, dtype, axis=axis)


@cumprod.vjp
@widened
def _(g: Any, x: Any, shape: Shape, axis: int | None) -> Any:
    if axis is None:
        x, axis = reshape(x, -1), 0
    total = _exponents(x, axis)
    e = total - _delayed(total, axis, 0)
    s = _largest_ahead(g, x, total, axis)
    z = ldexp(x, -e)
    scaled = ldexp(z, s - _delayed(s, axis, 0))
    found = _adjoint_recurrence(ldexp(g, total - s), scaled, axis)
    return reshape(ldexp(found * _delayed(cumprod(z, axis), axis, 1), s - e), shape)


@nondifferentiable
def _exponents(x: Array, /, axis: int) -> Array:
    r"""Return $E_k = \lfloor \sum_{i \le k} \log_2 |x_i| \rfloor$, infinities, NaN and 0 left out.

    With $e_k = E_k - E_{k-1}$ and $z_k = 2^{-e_k} x_k$, $|\prod_{i \le k} z_i|$ is between 1 and 2,
    and so $|\prod_{j \le i \le k} z_i|$ between 1/2 and 2, for all j and k.
    """
    xp, size = namespace(x), namespace(x).absolute(x)
    logs = xp.log2(xp.where((size > 0) & xp.isfinite(size), size, 1))
    return xp.floor(xp.cumsum(logs, axis=axis, dtype=float)).astype(xp.int64)


@nondifferentiable
def _largest_ahead(g: Array, x: Array, total: Array, /, axis: int) -> Array:
    """Return the largest exponent of the products g_k 2^total_k from each place to the next 0.

    Where g is 0 it may still be differentiated by; there its exponent is low, but within the range.
    """
    xp = namespace(g)
    low = -2 * xp.finfo(g.dtype).maxexp // 3
    exponents = xp.asarray(total, dtype=xp.int64) + xp.where(g == 0, low, xp.frexp(g)[1])
    stretch = xp.cumsum(x == 0, axis=axis) * 2**40  # of 0 and what is behind it
    ahead = _reversed(_largest_so_far(_reversed(exponents - stretch, axis), axis), axis)
    return ahead + stretch


@primitive
def _recurrence(a: Array, b: Array, /, axis: int) -> Array:
    r"""Return $y_k = b_k + a_k\,y_{k-1}$ along an axis, with $y_{-1} = 0$.

    $dy_k = db_k + y_{k-1}\,da_k + a_k\,dy_{k-1}$. With
    $\lambda_k = \bar y_k + a_{k+1} \lambda_{k+1}$, the same recurrence from the end:
    $\bar b_k = \lambda_k$ and $\bar a_k = \lambda_k\,y_{k-1}$.

    Computed by doubling: $y_k = b_k + a_k\,y_{k-d}$ holds for d = 1, and inserted into itself it
    holds for 2d with $b_k + a_k\,b_{k-d}$ and $a_k\,a_{k-d}$ in place of $b_k$ and $a_k$. Once d
    exceeds k, y is b.
    """
    xp, d = namespace(a, b), 1
    while d < b.shape[axis]:
        start, late, early = (_along(axis, b.ndim, slice(*s)) for s in ((d,), (d, None), (-d,)))
        b = xp.concatenate([b[start], b[late] + a[late] * b[early]], axis=axis)
        a = xp.concatenate([a[start], a[late] * a[early]], axis=axis)
        d *= 2
    return b


@_recurrence.vjp
def _(g: Any, a: Any, y: Any, axis: int) -> tuple[Any, Any]:
    db = _adjoint_recurrence(g, a, axis)
    return db * _delayed(y, axis, 0), db


def _adjoint_recurrence(g: Any, a: Any, axis: int) -> Any:
    r"""Return $\lambda_k = g_k + a_{k+1} \lambda_{k+1}$ along an axis."""
    ahead = _delayed(_reversed(a, axis), axis, 0)
    return _reversed(_recurrence(ahead, _reversed(g, axis), axis), axis)


def _largest_so_far(x: Array, axis: int) -> Array:
    """Return the running maximum along an axis, by doubling: CuPy has no maximum.accumulate."""
    xp, d = namespace(x), 1
    while d < x.shape[axis]:
        start, late, early = (_along(axis, x.ndim, slice(*s)) for s in ((d,), (d, None), (-d,)))
        x = xp.concatenate([x[start], xp.maximum(x[late], x[early])], axis=axis)
        d *= 2
    return x


def _along(axis: int, ndim: int, part: slice) -> tuple[slice, ...]:
    return (slice(None),) * (axis % ndim) + (part,)


def _reversed(x: Any, axis: int) -> Any:
    return x[_along(axis, x.ndim, slice(None, None, -1))]


def _delayed(x: Any, axis: int, first: float) -> Any:
    """Return x moved on by one place along an axis: `first`, x_0, x_1, ..., without the last."""
    start = values(x)[_along(axis, x.ndim, slice(1))]
    start = namespace(start).full_like(start, first)
    return concatenate((start, x[_along(axis, x.ndim, slice(-1))]), axis=axis)


@primitive
def prod(x: Array, /, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False) -> Array:
    r"""Return $y = \prod_i x_i$ over the axes.

    $dy = \sum_i \prod_{j \ne i} x_j\,dx_i$, so $\bar x_i = \bar y \prod_{j \ne i} x_j$. The product
    of the others is that of those before i times that of those behind, not $y / x_i$, so that zeros
    in x are no exception; both without their exponents (see `_exponents`), which are put back at
    the end, so that neither overflows or vanishes where the product does not.
    """
    return accumulated(namespace(x).prod, x, dtype, axis=axis, keepdims=keepdims)


@prod.vjp
@widened
def _(g: Any, x: Any, shape: Shape, axis: Axis, keepdims: bool) -> Any:
    gone = reduced_axes(len(shape), axis)
    order = [*(i for i in range(len(shape)) if i not in gone), *gone]
    moved = tuple(shape[i] for i in order)
    kept = moved[: len(moved) - len(gone)]
    rows = reshape(transpose(x, tuple(order)), (*kept, _count(shape, axis)))
    total = _exponents(rows, -1)
    e = total - _delayed(total, -1, 0)
    z = ldexp(rows, -e)
    before = cumprod(_delayed(z, -1, 1), -1)
    behind = _reversed(cumprod(_delayed(_reversed(z, -1), -1, 1), -1), -1)
    back = tuple(order.index(i) for i in range(len(shape)))
    others, exponent = (transpose(reshape(v, moved), back)
                        for v in (before * behind, total[..., -1:] - e))
    return ldexp(spread(g, shape, axis, keepdims) * others, exponent)


@composite
def cumulative_sum(x: Any, *, axis: int | None = None, dtype: Any = None,
                   include_initial: bool = False) -> Any:
    """Return the running sums along an axis; with `include_initial` they begin with 0.

    The axis may be left out for x of one axis.
    """
    return _cumulative(cumsum, x, axis, dtype, include_initial, 0)


@composite
def cumulative_prod(x: Any, *, axis: int | None = None, dtype: Any = None,
                    include_initial: bool = False) -> Any:
    """Return the running products along an axis; with `include_initial` they begin with 1.

    The axis may be left out for x of one axis.
    """
    return _cumulative(cumprod, x, axis, dtype, include_initial, 1)


def _cumulative(run: Any, x: Any, axis: int | None, dtype: Any, include_initial: bool,
                first: int) -> Any:
    (x,) = as_arrays([x])
    x = x if x.ndim else reshape(x, 1)
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"cumulative_{run.name[3:]}: expected an axis, for x has {x.ndim}")
        axis = 0
    y = run(x, axis, dtype)
    if not include_initial:
        return y
    shape = (*y.shape[: axis % y.ndim], 1, *y.shape[axis % y.ndim + 1 :])
    start = namespace(values(y)).full(shape, first, dtype=y.dtype)
    return concatenate((start, y), axis=axis)


# without NaN


@composite
def nansum(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    r"""Return the sum of the elements that are not NaN.

    $dy = \sum_i [x_i \text{ not NaN}]\,dx_i$, so $\bar x_i = [x_i \text{ not NaN}]\,\bar y$.
    """
    return sum(_filled(x, 0), axis, keepdims=keepdims)


@composite
def nanprod(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Return the product of the elements that are not NaN; no gradient flows to a NaN."""
    return prod(_filled(x, 1), axis, keepdims=keepdims)


@composite
def nancumsum(x: Any, axis: int | None = None) -> Any:
    """Return the running sum with 0 in place of NaN; no gradient flows to a NaN."""
    return cumsum(_filled(x, 0), axis)


@composite
def nancumprod(x: Any, axis: int | None = None) -> Any:
    """Return the running product with 1 in place of NaN; no gradient flows to a NaN."""
    return cumprod(_filled(x, 1), axis)


@composite
@widened
def nanmean(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    r"""Return the mean of the n elements that are not NaN, NaN where there are none.

    $dy = \frac1n \sum_i [x_i \text{ not NaN}]\,dx_i$, so
    $\bar x_i = [x_i \text{ not NaN}]\,\bar y / n$.
    """
    return nansum(x, axis, keepdims=keepdims) / _count_known(x, axis, keepdims)


@composite
@widened
def nanvar(x: Any, axis: Axis = None, *, ddof: float = 0, correction: float | None = None,
           keepdims: bool = False) -> Any:
    """Return the variance of the elements that are not NaN, see `var`; no gradient flows to a NaN.

    NaN unless there are more of them than `ddof`.
    """
    (x,) = as_arrays([x])
    c = _centred(x, axis)
    degrees = _count_known(x, axis, keepdims) - _lost_degrees(ddof, correction)
    degrees = where(degrees > 0, degrees, math.nan)
    return sum(real(c * conjugate(c)), axis, keepdims=keepdims) / degrees


@composite
@widened
def nanstd(x: Any, axis: Axis = None, *, ddof: float = 0, correction: float | None = None,
           keepdims: bool = False) -> Any:
    """Return the standard deviation of the elements that are not NaN; see `std` and `nanvar`."""
    (x,) = as_arrays([x])
    s = square_scale(values(_filled(x, 0)), axis)
    c = _centred(x if s is None else x / s, axis)
    degrees = _count_known(x, axis, keepdims) - _lost_degrees(ddof, correction)
    y = length(_centred(where(isnan(x), x, c), axis), axis, keepdims=keepdims)
    y = y / where(degrees > 0, degrees, math.nan) ** 0.5
    return y if s is None else y * reshape(s, y.shape)


def _centred(x: Any, axis: Axis) -> Any:
    """Return x without the mean of the elements that are not NaN; 0 for NaN, and of one element."""
    constant = isnan(x) | (_count_known(x, axis, keepdims=True) == 1)
    return where(constant, 0, x - nanmean(x, axis, keepdims=True))


@composite
def nanmax(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Return the largest element that is not NaN, NaN where there is none; see `max`."""
    return _nan_extreme(max, x, axis, keepdims, -math.inf)


@composite
def nanmin(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Return the smallest element that is not NaN, NaN where there is none; see `min`."""
    return _nan_extreme(min, x, axis, keepdims, math.inf)


def _nan_extreme(op: Any, x: Any, axis: Axis, keepdims: bool, last: float) -> Any:
    (x,) = as_arrays([x])
    if x.dtype.kind in "biu":
        return op(x, axis, keepdims=keepdims)
    y = op(_filled(x, last), axis, keepdims=keepdims)
    return where(all(isnan(x), axis, keepdims=keepdims), math.nan, y)


def conjugate(x: Any) -> Any:
    """Return the complex conjugate of x, which is x itself if real, as every Tensor is."""
    return x.conj() if x.dtype.kind == "c" else x


def real(x: Any) -> Any:
    """Return the real part of x, which is x itself if real, as every Tensor is."""
    return x.real if x.dtype.kind == "c" else x


def _filled(x: Any, value: float) -> Any:
    return where(isnan(x), value, x)


def _count_known(x: Any, axis: Axis, keepdims: bool) -> Array:
    """Return the number of elements over the axes that are not NaN, as floats."""
    (x,) = as_arrays([x])
    dtype = float if x.dtype.kind in "biu" else real(x).dtype
    return (~isnan(x)).astype(dtype).sum(axis=axis, keepdims=keepdims)


# counts and places: plain arrays, off the tape


@nondifferentiable
def all(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Return whether all elements over the axes are true (not 0)."""
    return namespace(x).all(x, axis=axis, keepdims=keepdims)


@nondifferentiable
def any(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Return whether an element over the axes is true (not 0)."""
    return namespace(x).any(x, axis=axis, keepdims=keepdims)


@nondifferentiable
def count_nonzero(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Return how many elements over the axes are not 0."""
    xp = namespace(x)
    return xp.sum(xp.not_equal(x, 0), axis=axis, keepdims=keepdims)


@nondifferentiable
def argmax(x: Array, /, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """Return where along the axis the largest element is, the first of equal ones."""
    return namespace(x).argmax(x, axis=axis, keepdims=keepdims)


@nondifferentiable
def argmin(x: Array, /, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """Return where along the axis the smallest element is, the first of equal ones."""
    return namespace(x).argmin(x, axis=axis, keepdims=keepdims)


@nondifferentiable
def nanargmax(x: Array, /, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """Return where along the axis the largest element that is not NaN is."""
    return namespace(x).nanargmax(x, axis=axis, keepdims=keepdims)


@nondifferentiable
def nanargmin(x: Array, /, axis: int | None = None, *, keepdims: bool = False) -> Array:
    """Return where along the axis the smallest element that is not NaN is."""
    return namespace(x).nanargmin(x, axis=axis, keepdims=keepdims)


amax, amin = max, min
