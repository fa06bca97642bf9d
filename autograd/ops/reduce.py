"""Ops that sum up axes; `axis` is None (all), a number or a tuple, `keepdims` keeps length 1."""

from __future__ import annotations

from math import prod
from typing import Any

from ..backend import Array, Shape, namespace
from ..broadcast import broadcast_to
from ..primitive import primitive
from ..tensor import values
from .exponential import exp
from .piecewise import equal, where
from .shape import reshape

__all__ = ["logsumexp", "max", "mean", "min", "sum", "var"]

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
    return prod(shape[i] for i in reduced_axes(len(shape), axis))


@primitive
def sum(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Return the sum over the axes."""
    return namespace(x).sum(x, axis=axis, keepdims=keepdims)


sum.vjp(lambda g, shape, axis, keepdims: spread(g, shape, axis, keepdims))


@primitive
def mean(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Return the arithmetic mean over the axes."""
    return namespace(x).mean(x, axis=axis, keepdims=keepdims)


mean.vjp(lambda g, shape, axis, keepdims:
         spread(g / _count(shape, axis), shape, axis, keepdims))


@primitive
def max(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Return the largest element over the axes; equal ones share the gradient equally."""
    return namespace(x).max(x, axis=axis, keepdims=keepdims)


@primitive
def min(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    """Return the smallest element over the axes; equal ones share the gradient equally."""
    return namespace(x).min(x, axis=axis, keepdims=keepdims)


def _to_the_extreme(g: Any, x: Any, y: Any, shape: Shape, axis: Axis, keepdims: bool) -> Any:
    hit = equal(x, spread(y, shape, axis, keepdims)).astype(g.dtype)
    count = hit.sum(axis=axis, keepdims=True)
    return spread(g, shape, axis, keepdims) * (hit / count)


max.vjp(_to_the_extreme)
min.vjp(_to_the_extreme)


@primitive
def var(x: Array, /, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Array:
    r"""Return the variance $\frac{1}{n - \text{ddof}} \sum_i (x_i - \bar x)^2$ over the axes.

    $\partial_i = \frac{2}{n - \text{ddof}} (x_i - \bar x)$: the derivative through $\bar x$
    vanishes, because $\sum_i (x_i - \bar x) = 0$.
    """
    return namespace(x).var(x, axis=axis, ddof=ddof, keepdims=keepdims)


@var.vjp
def _(g: Any, x: Any, shape: Shape, axis: Axis, ddof: int, keepdims: bool) -> Any:
    centred = x - mean(x, axis, keepdims=True)
    degrees = _count(shape, axis) - ddof
    scale = 2 / degrees if degrees else float("nan")  # NumPy's value is 0 / 0 there
    return spread(g * scale, shape, axis, keepdims) * centred


@primitive
def logsumexp(x: Array, /, axis: Axis = None, *, keepdims: bool = False) -> Array:
    r"""Return $\ln \sum_i e^{x_i}$ over the axes, without overflow; its gradient is softmax.

    $\partial_i = e^{x_i} / \sum_j e^{x_j} = e^{x_i - y}$.
    """
    xp, top = namespace(x), _finite_top(x, axis)
    y = xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else xp.squeeze(y, axis=reduced_axes(x.ndim, axis))


@logsumexp.vjp
def _(g: Any, x: Any, shape: Shape, axis: Axis, keepdims: bool) -> Any:
    terms = exp(x - _finite_top(values(x), axis))  # e^(x - y) would round y, which may be large
    total = sum(terms, axis, keepdims=True)
    total = where(equal(total, 0), 1.0, total)  # an empty sum: every term is 0
    return spread(g, shape, axis, keepdims) * terms / total


def _finite_top(x: Array, axis: Axis) -> Array:
    """Return the maximum over the axes, 0 where it is infinite; as a constant of the tape."""
    xp = namespace(x)
    top = xp.max(x, axis=axis, keepdims=True)
    return xp.where(xp.isfinite(top), top, 0.0)
