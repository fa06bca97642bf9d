"""Cases of the ops in `autograd.ops.convolution`."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import reals, spaced

number = st.integers(1, 2)


@st.composite
def two_vectors(draw: Any, numbers: bool = False) -> Inputs:
    length: Any = st.tuples(st.integers(1, 5))
    length = st.one_of(st.just(()), length) if numbers else length
    return (draw(reals(draw(length))), draw(reals(draw(length)))), {
        "mode": draw(st.sampled_from(["full", "same", "valid"]))}


@st.composite
def sliding(draw: Any, dims: int = 2) -> Inputs:
    kernel, stride, dilation = (tuple(draw(number) for _ in range(dims)) for _ in range(3))
    size = tuple(d * (k - 1) + 1 + draw(st.integers(0, 2))
                 for k, d in zip(kernel, dilation, strict=True))
    lead = draw(st.sampled_from([(), (2,), (1, 2), (0,)]))
    return (draw(reals((*lead, *size))),), {
        "kernel": kernel, "stride": stride, "dilation": dilation}


def numpy_windows(x: np.ndarray, kernel: Any, stride: Any, dilation: Any) -> np.ndarray:
    dims, spans = len(kernel), [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    axes = tuple(range(-dims, 0))
    y = np.lib.stride_tricks.sliding_window_view(x, spans, axes)
    y = y[(..., *[slice(None, None, s) for s in stride], *[slice(None, None, d) for d in dilation])]
    return np.moveaxis(y, axes, range(dims))


@st.composite
def folding(draw: Any) -> Inputs:
    (x,), options = draw(sliding())
    shape = numpy_windows(x, **options).shape
    del options["kernel"]
    return (draw(reals(shape)),), {"size": x.shape[-2:], **options}


def numpy_fold(x: np.ndarray, size: Any, stride: Any, dilation: Any) -> np.ndarray:
    y = np.zeros((*x.shape[2:-2], *size))
    for i, j, p, q in product(*[range(x.shape[axis]) for axis in (0, 1, -2, -1)]):
        row, column = stride[0] * p + dilation[0] * i, stride[1] * q + dilation[1] * j
        y[..., row, column] += x[i, j, ..., p, q]
    return y


@st.composite
def convolving(draw: Any, dims: int) -> Inputs:
    groups, each, outs, count = (draw(number) for _ in range(4))
    options: dict[str, Any] = {"groups": groups}
    for name in ("stride", "dilation"):
        options[name] = draw(st.one_of(number, st.tuples(*[number] * dims)))
    width = st.integers(0, 2)
    options["padding"] = draw(st.one_of(width, st.tuples(*[width] * dims), st.just("valid")))
    if draw(st.booleans()):
        options |= {"padding": "same", "stride": 1}
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    size = tuple(2 * (k - 1) + 1 + draw(st.integers(0, 1)) for k in kernel)
    b = draw(st.one_of(st.none(), reals((groups * outs,))))
    w = draw(reals((groups * outs, each, *kernel)))
    return (draw(reals((count, groups * each, *size))), w, b), options


def numpy_conv(x: np.ndarray, w: np.ndarray, b: Any, stride: Any, padding: Any, dilation: Any,
               groups: int) -> np.ndarray:
    """The definition, number by number."""
    dims = x.ndim - 2
    stride, dilation = (v if isinstance(v, tuple) else (v,) * dims for v in (stride, dilation))
    span = [d * (k - 1) for k, d in zip(w.shape[2:], dilation, strict=True)]
    if isinstance(padding, str):
        margins = [(n // 2, n - n // 2) if padding == "same" else (0, 0) for n in span]
    else:
        margins = [(n, n) for n in (padding if isinstance(padding, tuple) else (padding,) * dims)]
    x = np.pad(x, [(0, 0), (0, 0), *margins])
    places = [(n - k - 1) // s + 1 for n, k, s in zip(x.shape[2:], span, stride, strict=True)]
    y = np.zeros((len(x), len(w), *places))
    per_in, per_out = w.shape[1], len(w) // groups
    for n, o, *p in np.ndindex(*y.shape):
        for c, *t in np.ndindex(*w.shape[1:]):
            at = [s * q + d * k for s, q, d, k in zip(stride, p, dilation, t, strict=True)]
            y[(n, o, *p)] += w[(o, c, *t)] * x[(n, o // per_out * per_in + c, *at)]
    return y if b is None else y + b.reshape(-1, *[1] * dims)


@st.composite
def pooling(draw: Any, of: Any, dilated: bool) -> Inputs:
    kernel = draw(st.sampled_from([1, 2, (2, 1), (2, 2)]))
    options = {"kernel": kernel, "stride": draw(st.sampled_from([None, 1, (1, 2)])),
               "padding": 0 if kernel == 1 else draw(st.sampled_from([0, (1, 0)]))}
    if dilated:
        options["dilation"] = draw(st.sampled_from([1, (2, 1)]))
    return (draw(of(draw(st.sampled_from([(3, 3), (2, 4, 3)])))),), options


def numpy_pool(x: np.ndarray, kernel: Any, stride: Any, padding: Any, dilation: Any = 1, *,
               value: float, reduce: Any) -> np.ndarray:
    kernel, padding, dilation = (v if isinstance(v, tuple) else (v, v)
                                 for v in (kernel, padding, dilation))
    stride = kernel if stride is None else stride if isinstance(stride, tuple) else (stride,) * 2
    margins = [(0, 0)] * (x.ndim - 2) + [(n, n) for n in padding]
    x = np.pad(x, margins, constant_values=value)
    return reduce(numpy_windows(x, kernel, stride, dilation), axis=(0, 1))


CASES: dict[str, OpCase] = {
    "convolve": OpCase(two_vectors(numbers=True), np.convolve, order=3),
    "correlate": OpCase(two_vectors(), np.correlate),
    "sliding_windows": OpCase(sliding(), numpy_windows),
    "fold": OpCase(folding(), numpy_fold),
    "conv1d": OpCase(convolving(1), numpy_conv),
    "conv2d": OpCase(convolving(2), numpy_conv),
    "max_pool2d": OpCase(pooling(spaced, dilated=True),
                         lambda x, **o: numpy_pool(x, **o, value=-np.inf, reduce=np.max)),
    "avg_pool2d": OpCase(pooling(reals, dilated=False),
                         lambda x, **o: numpy_pool(x, **o, value=0.0, reduce=np.mean)),
}
