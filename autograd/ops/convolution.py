r"""Convolutions in one and two dimensions, and pooling.

**Of two vectors** (`convolve`): $y_k = \sum_{i+j=k} a_i v_j$. It is linear in both, and

$$dy_k = \sum_i da_i\,v_{k-i} + \sum_j a_{k-j}\,dv_j, \qquad
\bar a_i = \sum_k \bar y_k\,v_{k-i}, \qquad \bar v_j = \sum_k \bar y_k\,a_{k-j}:$$

each gradient is the correlation of $\bar y$ with the other vector, that is, the convolution with
it reversed. A shorter result ("same", "valid") is a cut-out of y; $\bar y$ is 0 outside of it.

**Of images and kernels** (`conv1d`, `conv2d`), deep learning's convolution, in truth a
correlation. For channels c and output channels o, with stride s and dilation r,

$$y_{o,p} = \sum_{c,t} w_{o,c,t}\,x_{c,\,s p + r t} = \sum_{c,t} w_{o,c,t}\,X_{t,c,p}, \qquad
X_{t,c,p} = x_{c,\,s p + r t}.$$

`sliding_windows` makes X, one copy of x for each tap t of the kernel; then y is one matrix product
of w and X, and its rule is that product's: $\bar w = \bar y X^\top$, the correlation of x with
$\bar y$, and $\bar X = w^\top \bar y$. The adjoint of making copies is to add them up where they
came from, $\bar x_{c,i} = \sum_{s p + r t = i} \bar X_{t,c,p}$: that is `fold`. Together the last
two say $\bar x_{c,i} = \sum_o \sum_{s p + r t = i} w_{o,c,t}\,\bar y_{o,p}$, the convolution proper
of $\bar y$ with w. `sliding_windows` and `fold` are linear and each other's adjoint, so there is a
derivative of every order.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from ..backend import Array, Shape, namespace, widened
from ..primitive import composite, primitive
from .products import matmul
from .reduce import conjugate, max, mean
from .shape import as_arrays, flip, pad, reshape, swapaxes, transpose

__all__ = [
    "avg_pool2d", "conv1d", "conv2d", "convolve", "correlate", "fold", "max_pool2d",
    "sliding_windows",
]

_MODES = ("full", "same", "valid")


# vectors


@primitive
def convolve(a: Array, v: Array, /, mode: str = "full") -> Array:
    r"""Return $y_k = \sum_{i+j=k} a_i v_j$ of two vectors.

    `mode` "full" gives all n + m - 1 elements, "same" the middle ones, as many as the longer vector
    has, "valid" those without a missing term; n and m are the lengths.
    $dy_k = \sum_i da_i\,v_{k-i} + \sum_j a_{k-j}\,dv_j$, so $\bar a_i = \sum_k \bar y_k\,v_{k-i}$
    and $\bar v_j = \sum_k \bar y_k\,a_{k-j}$.
    """
    if mode not in _MODES:
        raise ValueError(f"mode must be one of {str(_MODES)[1:-1]}, got {mode!r}")
    return namespace(a, v).convolve(a, v, mode)


def _convolve_rule(g: Any, other: Any, shapes: tuple[Shape, ...], mode: str, own: Shape) -> Any:
    small, large = sorted(prod(shape) for shape in shapes)  # a number counts as a vector of one
    start = {"full": 0, "same": (small - 1) // 2, "valid": small - 1}[mode]
    g = pad(g, (start, small + large - 1 - start - g.shape[0]))
    return reshape(convolve(g, flip(other), "valid"), own)


convolve.vjp(lambda g, v, shapes, mode: _convolve_rule(g, v, shapes, mode, shapes[0]),
             lambda g, a, shapes, mode: _convolve_rule(g, a, shapes, mode, shapes[1]))


@composite
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    r"""Return $y_k = \sum_i a_{i+k} v_i$ of two vectors, in the modes of `convolve`."""
    a, v = as_arrays([a, v])
    if a.ndim != 1 or v.ndim != 1:
        raise ValueError(f"expected two vectors, got shapes {a.shape} and {v.shape}")
    if v.size > a.size:
        return conjugate(flip(correlate(v, a, mode)))
    return convolve(a, flip(conjugate(v)), mode)


# windows


def _taps(kernel: Shape, places: Shape, stride: Shape, dilation: Shape) -> Iterator[Any]:
    """Give for each tap of the kernel its number and the slices of x that it meets."""
    for tap in product(*[range(k) for k in kernel]):
        yield tap, (..., *[slice(d * t, d * t + s * (n - 1) + 1, s)
                           for t, n, s, d in zip(tap, places, stride, dilation, strict=True)])


@primitive
def sliding_windows(x: Array, /, kernel: Shape, stride: Shape, dilation: Shape) -> Array:
    r"""Return $y_{t,\dots,p} = x_{\dots,\,s p + r t}$, what tap t of a kernel meets at place p.

    The kernel lies on the last axes of x, with a stride s and a dilation r for each of its axes.
    The taps become the first axes, the places the last. $dy_{t,\dots,p} = dx_{\dots,\,s p + r t}$,
    so $\bar x_{\dots,i} = \sum_{p,t} [i = s p + r t]\,\bar y_{t,\dots,p}$: that is `fold`.
    """
    lead = x.ndim - len(kernel)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if lead < 0 or any(span > n for span, n in zip(spans, x.shape[lead:], strict=True)):
        raise ValueError(f"a kernel that spans {tuple(spans)} does not fit into shape {x.shape}")
    places = tuple((n - span) // s + 1
                   for n, span, s in zip(x.shape[lead:], spans, stride, strict=True))
    y = namespace(x).empty((*kernel, *x.shape[:lead], *places), dtype=x.dtype)
    for tap, met in _taps(kernel, places, stride, dilation):
        y[tap] = x[met]
    return y


@sliding_windows.vjp
def _(g: Any, shape: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Any:
    return fold(g, shape[-len(kernel) :], stride, dilation)


@primitive
@widened
def fold(x: Array, /, size: Shape, stride: Shape, dilation: Shape) -> Array:
    r"""Return windows added up: $y_{\dots,i} = \sum_{p,t} [i = s p + r t]\,x_{t,\dots,p}$.

    The adjoint of `sliding_windows`, with its stride s and dilation r; `size` is the lengths of the
    last axes, which do not follow from the windows.
    $dy_{\dots,i} = \sum_{p,t} [i = s p + r t]\,dx_{t,\dots,p}$, so
    $\bar x_{t,\dots,p} = \bar y_{\dots,\,s p + r t}$: that is `sliding_windows`.
    """
    dims = len(size)
    places = x.shape[x.ndim - dims :]
    y = namespace(x).zeros((*x.shape[dims : x.ndim - dims], *size), dtype=x.dtype)
    for tap, met in _taps(x.shape[:dims], places, stride, dilation):
        y[met] += x[tap]
    return y


@fold.vjp
def _(g: Any, shape: Shape, size: Shape, stride: Shape, dilation: Shape) -> Any:
    return sliding_windows(g, shape[: len(size)], stride, dilation)


# images


@composite
def conv1d(x: Any, w: Any, b: Any = None, *, stride: int | Sequence[int] = 1,
           padding: int | Sequence[int] | str = 0, dilation: int | Sequence[int] = 1,
           groups: int = 1) -> Any:
    r"""Return $y_{nop} = b_o + \sum_{c,t} w_{oct}\,x_{n,c,\,s p + r t}$, x padded with zeros.

    x is (N, C, L), w (O, C / groups, K), b (O,) or None; y is (N, O, places), with stride s and
    dilation r. See `conv2d`.
    """
    return _conv(1, x, w, b, stride, padding, dilation, groups)


@composite
def conv2d(x: Any, w: Any, b: Any = None, *, stride: int | Sequence[int] = 1,
           padding: int | Sequence[int] | str = 0, dilation: int | Sequence[int] = 1,
           groups: int = 1) -> Any:
    r"""Return $y_{nop} = b_o + \sum_{c,t} w_{oct}\,x_{n,c,\,s p + r t}$, p and t pairs of numbers.

    x is (N, C, height, width), w (O, C / groups, height, width), b (O,) or None; s is the stride
    and r the dilation. `padding` puts so many zeros on both sides of x; "valid" is 0, and "same",
    for stride 1, gives y the size of x (of an odd number of zeros the larger half comes last). With
    `groups` the channels of x and of y are so many parts, each convolved for itself.

    $dy$ has the terms $db_o$, $\sum_{c,t} dw_{oct}\,x_{n,c,\,s p + r t}$ and
    $\sum_{c,t} w_{oct}\,dx_{n,c,\,s p + r t}$, so $\bar b_o = \sum_{n,p} \bar y_{nop}$,
    $\bar w_{oct} = \sum_{n,p} \bar y_{nop}\,x_{n,c,\,s p + r t}$ and
    $\bar x_{nci} = \sum_o \sum_{s p + r t = i} w_{oct}\,\bar y_{nop}$.
    """
    return _conv(2, x, w, b, stride, padding, dilation, groups)


def _conv(dims: int, x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any,
          groups: int) -> Any:
    x, w = as_arrays([x, w])
    stride, dilation = _per_axis(stride, dims, "stride"), _per_axis(dilation, dims, "dilation")
    if x.ndim != dims + 2 or w.ndim != dims + 2:
        raise ValueError(f"expected x and w with {dims + 2} axes, got {x.shape} and {w.shape}")
    if operator.index(groups) < 1 or x.shape[1] != groups * w.shape[1] or w.shape[0] % groups:
        raise ValueError(f"expected w of shape (a multiple of {groups}, {x.shape[1]} / {groups}, "
                         f"...) for x of shape {x.shape} and groups={groups}, got {w.shape}")
    count, (out, each, *size) = x.shape[0], w.shape
    kernel = _per_axis(tuple(size), dims, "the kernel's size")
    if b is not None and (b := as_arrays([x, b])[1]).shape != (out,):
        raise ValueError(f"expected a bias of shape ({out},), one number for each output channel, "
                         f"got {b.shape}")
    x = _padded(x, _margins(padding, kernel, stride, dilation), 0.0)
    windows = sliding_windows(swapaxes(x, 0, 1), kernel, stride, dilation)
    places = windows.shape[dims + 2 :]  # K.., C, N, P..
    taps = prod(kernel)
    windows = swapaxes(reshape(windows, (taps, groups, each, count * prod(places))), 0, 1)
    windows = reshape(windows, (groups, taps * each, count * prod(places)))
    w = transpose(reshape(w, (groups, out // groups, each, taps)), (0, 1, 3, 2))
    w = reshape(w, (groups, out // groups, taps * each))
    y = matmul(w, windows)  # G, O / G, N P
    y = swapaxes(reshape(y, (out, count, *places)), 0, 1)
    return y if b is None else y + reshape(b, (out,) + (1,) * dims)


def _per_axis(value: Any, dims: int, name: str) -> Shape:
    """Return an option as one positive number for each dimension."""
    values = _integers(value, dims, name, "a positive integer")
    if any(v < 1 for v in values):
        raise ValueError(f"{name} must be a positive integer, or {dims} of them, got {value!r}")
    return values


def _integers(value: Any, dims: int, name: str, what: str) -> Shape:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * dims
    if len(values) != dims:
        raise ValueError(f"{name} must be {what}, or {dims} of them, got {value!r}")
    try:
        return tuple(operator.index(v) for v in values)
    except TypeError as error:
        raise TypeError(f"{name} must be {what}, or {dims} of them, got {value!r}") from error


def _margins(padding: Any, kernel: Shape, stride: Shape, dilation: Shape) -> Any:
    """Return how many elements go before and after x along each of its last axes."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        if set(stride) != {1}:
            raise ValueError(f"padding 'same' needs stride 1, got {stride}; give numbers instead")
        rest = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((n // 2, n - n // 2) for n in rest)
    if isinstance(padding, str):
        raise ValueError(f"padding must be numbers, 'same' or 'valid', got {padding!r}")
    each = _integers(padding, len(kernel), "padding", "an integer, 0 or more")
    if any(n < 0 for n in each):
        raise ValueError(f"padding must be an integer, 0 or more, got {padding!r}")
    return tuple((n, n) for n in each)


def _padded(x: Any, margins: Any, value: float) -> Any:
    if not any(map(any, margins)):
        return x
    return pad(x, ((0, 0),) * (x.ndim - len(margins)) + margins, constant_values=value)


# pooling


@composite
def max_pool2d(x: Any, kernel: int | Sequence[int], stride: int | Sequence[int] | None = None, *,
               padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1) -> Any:
    """Return the largest element of each window over the last two axes; equal ones share the slope.

    The stride is that of the kernel if None. Padding never wins.
    """
    return max(_pooling_windows(x, kernel, stride, padding, dilation, least=True), axis=(0, 1))


@composite
def avg_pool2d(x: Any, kernel: int | Sequence[int], stride: int | Sequence[int] | None = None, *,
               padding: int | Sequence[int] = 0) -> Any:
    """Return the mean of each window over the last two axes, zeros of the padding included.

    The stride is that of the kernel if None.
    """
    return mean(_pooling_windows(x, kernel, stride, padding, 1, least=False), axis=(0, 1))


def _pooling_windows(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any,
                     least: bool) -> Any:
    """Return the windows of x, padded with zeros, or with the least number that there is."""
    kernel = _per_axis(kernel, 2, "kernel")
    stride = kernel if stride is None else _per_axis(stride, 2, "stride")
    dilation = _per_axis(dilation, 2, "dilation")
    (x,) = as_arrays([x])
    if x.ndim < 2:
        raise ValueError(f"expected x with at least two axes, got shape {x.shape}")
    margins = _margins(padding, kernel, stride, dilation)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(2 * n > span for (n, _), span in zip(margins, spans, strict=True)):
        raise ValueError(f"padding must be at most half of what the kernel spans, {tuple(spans)}, "
                         f"or a window would meet nothing else; got {padding!r}")
    value: float = 0
    if least:
        value = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -float("inf")
    return sliding_windows(_padded(x, margins, value), kernel, stride, dilation)
