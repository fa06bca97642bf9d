"""One OpCase for every op: how to draw valid inputs, and what the result must be.

A case draws `(args, options)`; the positions of the float64 arrays among `args` are those to be
differentiated. `oracle` computes the result with NumPy, or with what defines it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

import tinygrad_llm.functional  # noqa: F401, enters the fused ops into the registry
from autograd import registry

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class OpCase:
    """The inputs of one op and its definition; `order` is how often it is differentiated."""

    inputs: st.SearchStrategy[Inputs]
    oracle: Callable[..., Any]
    order: int = 2

    def op(self, name: str) -> Callable[..., Any]:
        return registry[name]


def floating(args: tuple[Any, ...]) -> list[int]:
    """Return the positions of the arguments to be differentiated."""
    return [i for i, x in enumerate(args) if isinstance(x, np.ndarray) and x.dtype == np.float64]


# values: natural scale, random, from a seed that Hypothesis draws and shrinks


def shapes(least: int = 0, dims: int = 3, min_dims: int = 0) -> st.SearchStrategy[Any]:
    return hnp.array_shapes(min_dims=min_dims, max_dims=dims, min_side=least, max_side=3)


@st.composite
def values(draw: Any, shape: Any, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """An array between low and high; contiguous, or a view of every other element."""
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if shape and draw(st.booleans()):
        wide = rng.uniform(low, high, (*shape[:-1], 2 * shape[-1]))
        return wide[..., ::2]
    return np.asarray(rng.uniform(low, high, shape))


@st.composite
def spaced(draw: Any, shape: Any, offset: float = 0.0) -> np.ndarray:
    """An array of different values at least 0.1 apart, none near 0: no kink within a step."""
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    count = math.prod(shape)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grid = (np.arange(count) - count // 2) * 0.2 + 0.1 + offset
    return rng.permutation(grid).reshape(shape)


@st.composite
def one(draw: Any, x: st.SearchStrategy[Any], **options: Any) -> Inputs:
    """A single array, and options that may be strategies."""
    return (draw(x),), {k: draw(v) if isinstance(v, st.SearchStrategy) else v
                        for k, v in options.items()}


@st.composite
def pair(draw: Any, left: tuple[float, float] = (-2, 2),
         right: tuple[float, float] = (-2, 2)) -> Inputs:
    """Two arrays whose shapes broadcast together."""
    found = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0,
                                                   max_side=3))
    a, b = found.input_shapes
    return (draw(values(a, *left)), draw(values(b, *right))), {}


@st.composite
def uneven_pair(draw: Any) -> Inputs:
    """Two arrays that broadcast together and have no nearly equal elements."""
    a, b = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0,
                                                  max_side=3)).input_shapes
    return (draw(spaced(a)), draw(spaced(b, offset=0.1))), {}


@st.composite
def reduction(draw: Any, of: Callable[..., Any] = values, least: int = 1, **options: Any) -> Inputs:
    """An array, and an axis in every form that NumPy takes."""
    x = draw(of(shapes(least)))
    axes = draw(st.sets(st.integers(0, x.ndim - 1))) if x.ndim else set()
    signed = tuple(a - x.ndim if draw(st.booleans()) else a for a in axes)
    axis = draw(st.sampled_from([None, signed, *signed[:1]]))
    return (x,), {"axis": axis, "keepdims": draw(st.booleans()),
                  **{k: draw(v) for k, v in options.items()}}


# shape ops


@st.composite
def reshaping(draw: Any) -> Inputs:
    x = draw(values(shapes()))
    target = draw(st.sampled_from([(-1,), (x.size,), x.shape[::-1], (1, *x.shape)]))
    return (x,), {"shape": target if x.size or -1 not in target else (0,)}


@st.composite
def permuting(draw: Any) -> Inputs:
    x = draw(values(shapes()))
    axes = draw(st.one_of(st.none(), st.permutations(range(x.ndim)).map(tuple)))
    return (x,), {"axes": axes}


@st.composite
def with_axes(draw: Any, *names: str, extra: int = 0) -> Inputs:
    x = draw(values(shapes(min_dims=1)))
    n = x.ndim + extra
    return (x,), {name: draw(st.integers(-n, n - 1)) for name in names}


@st.composite
def squeezing(draw: Any) -> Inputs:
    x = draw(values(shapes()))
    ones = [i for i, n in enumerate(x.shape) if n == 1]
    return (x,), {"axis": draw(st.sampled_from([None, *ones, tuple(ones)]))}


@st.composite
def joining(draw: Any) -> Inputs:
    shape = draw(shapes(min_dims=1))
    axis = draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    lengths = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3))
    parts = [shape if axis is None else
             (*shape[: axis % len(shape)], n, *shape[axis % len(shape) + 1 :]) for n in lengths]
    return tuple(draw(values(s)) for s in parts), {"axis": axis}


@st.composite
def stacking(draw: Any) -> Inputs:
    shape = draw(shapes(dims=2))
    count = draw(st.integers(1, 3))
    axis = draw(st.integers(-len(shape) - 1, len(shape)))
    return ([draw(values(shape)) for _ in range(count)],), {"axis": axis}


@st.composite
def splitting(draw: Any) -> Inputs:
    x = draw(values(shapes(min_dims=1)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    n = x.shape[axis]
    cuts = draw(st.lists(st.integers(0, n), max_size=3).map(sorted))
    sections = draw(st.sampled_from([k for k in range(1, 4) if n % k == 0]))
    return (x,), {"indices_or_sections": draw(st.sampled_from([sections, cuts])), "axis": axis}


@st.composite
def padding(draw: Any) -> Inputs:
    x = draw(values(shapes(least=1, min_dims=1)))
    mode = draw(st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]))
    width = st.integers(0, 2)
    forms = st.one_of(width, st.tuples(width, width),
                      st.tuples(*[st.tuples(width, width)] * x.ndim))
    return (x,), {"pad_width": draw(forms), "mode": mode}


@st.composite
def repeating(draw: Any) -> Inputs:
    small, big = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3)).input_shapes
    return (draw(values(small)),), {"shape": np.broadcast_shapes(small, big)}


@st.composite
def unrepeating(draw: Any) -> Inputs:
    (x,), options = draw(repeating())
    big = draw(values(options["shape"]))
    return (big,), {"shape": x.shape}


def numpy_sum_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The definition, by brute force: each element goes where broadcasting took it from."""
    y = np.zeros(shape)
    source = np.broadcast_to(np.arange(y.size).reshape(shape), x.shape)
    np.add.at(y.reshape(-1), source.reshape(-1), x.reshape(-1))
    return y


# index ops


@st.composite
def indexing(draw: Any) -> tuple[np.ndarray, Any]:
    """An array and an index of any kind: basic, arrays with repetitions, masks, mixtures."""
    x = draw(values(shapes(least=1, min_dims=1)))
    n = x.shape[0]
    rows = st.lists(st.integers(-n, n - 1), max_size=4).map(lambda r: np.array(r, dtype=int))
    mask = hnp.arrays(bool, x.shape[: draw(st.integers(1, x.ndim))])
    index = draw(st.one_of(
        hnp.basic_indices(x.shape, allow_newaxis=True), rows, mask,
        rows.map(lambda r: (r, ...)), rows.map(lambda r: (..., None, r) if x.ndim == 1 else
                                               (r[:, None], slice(0, 1))),
        st.integers(-n, n - 1).map(np.int64),
    ))
    return x, index


@st.composite
def adding_in(draw: Any) -> Inputs:
    x, index = draw(indexing())
    return (x, index, draw(values(x[index].shape))), {}


def numpy_scatter_add(x: np.ndarray, index: Any, v: np.ndarray) -> np.ndarray:
    y = x.copy()
    np.add.at(y, index, v)
    return y


@st.composite
def taking(draw: Any) -> Inputs:
    x = draw(values(shapes(least=1, min_dims=1)))
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    n = x.size if axis is None else x.shape[axis]
    indices = draw(hnp.arrays(np.int64, shapes(dims=2), elements=st.integers(-n, n - 1)))
    return (x, indices), {"axis": axis}


@st.composite
def taking_along(draw: Any) -> Inputs:
    x = draw(values(shapes(least=1, min_dims=1)))
    axis = draw(st.integers(-x.ndim, x.ndim - 1))
    count = draw(st.integers(0, 3))
    shape = tuple(count if i == axis % x.ndim else n for i, n in enumerate(x.shape))
    n = x.shape[axis]
    return (x, draw(hnp.arrays(np.int64, shape, elements=st.integers(-n, n - 1)))), {"axis": axis}


@st.composite
def choosing(draw: Any) -> Inputs:
    (a, b), _ = draw(pair())
    condition = draw(hnp.arrays(bool, np.broadcast_shapes(a.shape, b.shape)))
    return (condition, a, b), {}


# products

MATMUL_SHAPES = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((2, 1, 3), (3, 2)),
    ((2, 2, 3), (2, 3, 1)), ((1, 2, 3), (2, 3, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((3,), (2, 3, 2)),
    ((2, 2, 3), (3,)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((2, 3), (2, 3, 2)),
]
EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 2)), ("ij,jk", (2, 3), (3, 2)), ("ii->i", (3, 3)), ("ii", (3, 3)),
    ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij,ij->i", (2, 3), (2, 3)), ("i,j->ij", (2,), (3,)),
    ("...ij,...jk->...ik", (2, 2, 3), (3, 2)), ("...ij,...jk->...ik", (1, 2, 3), (2, 3, 2)),
    ("ij,jk,kl->il", (2, 3), (3, 2), (2, 2)), ("ijk,j->ik", (2, 3, 2), (3,)),
    ("iij,j->i", (2, 2, 3), (3,)), ("ab,c->a", (2, 3), (2,)), ("i...->...", (2, 3)),
    ("iji->j", (2, 3, 2)), ("bthd,bshd->bhts", (1, 2, 2, 2), (1, 3, 2, 2)), ("i,->i", (3,), ()),
    ("ij,kj->", (2, 2), (1, 2)),
]


@st.composite
def multiplying(draw: Any) -> Inputs:
    a, b = draw(st.sampled_from(MATMUL_SHAPES))
    return (draw(values(a)), draw(values(b))), {}


@st.composite
def contracting(draw: Any) -> Inputs:
    subscripts, *operands = draw(st.sampled_from(EINSUMS))
    return (subscripts, *[draw(values(shape)) for shape in operands]), {}


@st.composite
def contracting_explicit(draw: Any) -> Inputs:
    (subscripts, *operands), _ = draw(contracting().filter(
        lambda drawn: "->" in drawn[0][0] and "." not in drawn[0][0]))
    left, _, right = subscripts.partition("->")
    return tuple(operands), {"operands": tuple(left.split(",")), "result": right}


def numpy_einsum(*xs: np.ndarray, operands: tuple[str, ...], result: str) -> np.ndarray:
    return np.einsum(",".join(operands) + "->" + result, *xs)


def numpy_logsumexp(x: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


# the hand-derived layers: weights at natural scale, so that no factor hides


@st.composite
def affine(draw: Any) -> Inputs:
    lead = draw(shapes(dims=2))
    i, o = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    b = draw(st.one_of(st.none(), values((o,))))
    return (draw(values((*lead, i))), draw(values((o, i))), b), {}


@st.composite
def looking_up(draw: Any) -> Inputs:
    v, c = draw(st.sampled_from([(4, 3), (1, 2), (1030, 1)])), 2
    ids = draw(hnp.arrays(np.int64, shapes(dims=2), elements=st.integers(0, v[0] - 1)))
    table = draw(values((v[0], c))) if v[0] < 9 else draw(values((v[0], 1)))
    return (ids, table), {}


@st.composite
def normalising(draw: Any) -> Inputs:
    lead, c = draw(shapes(dims=2)), draw(st.integers(1, 5))
    x = draw(values((*lead, c), -3, 3))
    b = draw(st.one_of(st.none(), values((c,))))
    return (x, draw(values((c,))), b), {"eps": draw(st.sampled_from([0.01, 0.5]))}


def numpy_layer_norm(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, eps: float) -> np.ndarray:
    n = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return n * w + (0 if b is None else b)


def numpy_gelu(x: np.ndarray, approximate: str) -> np.ndarray:
    if approximate == "none":
        return x * 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@st.composite
def attending(draw: Any) -> Inputs:
    batch, time = draw(st.integers(1, 2)), draw(st.integers(1, 4))
    heads, d = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    options = {"heads": heads}
    if draw(st.booleans()):
        options |= {"dropout": 0.5, "key": draw(st.integers(0, 9))}
    return (draw(values((batch, time, 3 * heads * d))),), options


def numpy_attention(qkv: np.ndarray, heads: int, dropout: float = 0.0,
                    key: int | None = None) -> np.ndarray:
    """The definition, element by element."""
    from tinygrad_llm.functional.dropout import keep_mask

    batch, time, width = qkv.shape
    d = width // (3 * heads)
    mask = np.ones((batch, heads, time, time))
    if key is not None:
        mask = keep_mask(mask.shape, dropout, key, mask)
    out = np.zeros((batch, time, heads, d))
    packed = qkv.reshape(batch, time, 3, heads, d)
    for b in range(batch):
        for h in range(heads):
            for i in range(time):
                q, k, v = packed[b, i, 0, h], packed[b, : i + 1, 1, h], packed[b, : i + 1, 2, h]
                e = np.exp(k @ q / math.sqrt(d))
                out[b, i, h] = (e / e.sum() * mask[b, h, i, : i + 1]) @ v
    return out.reshape(batch, time, heads * d)


@st.composite
def classifying(draw: Any) -> Inputs:
    lead, v = draw(shapes(dims=2)), draw(st.integers(1, 4))
    targets = draw(hnp.arrays(np.int64, lead, elements=st.sampled_from([*range(v), -100])))
    return (draw(values((*lead, v), -3, 3)), targets), {}


def numpy_cross_entropy(z: np.ndarray, targets: np.ndarray) -> float:
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    losses = [-np.log(p[i][t]) for i, t in np.ndenumerate(targets) if t != -100]
    return float(np.mean(losses)) if losses else 0.0


def dropped(x: np.ndarray, p: float, key: int) -> np.ndarray:
    from tinygrad_llm.functional.dropout import keep_mask

    return x * keep_mask(x.shape, p, key, x)


anything = one(values(shapes()))
positive = one(values(shapes(), 0.3, 3.0))
comparison = pair()

CASES: dict[str, OpCase] = {
    "identity": OpCase(anything, lambda x: x),
    "astype": OpCase(one(values(shapes()), dtype=np.float64), lambda x, dtype: x.astype(dtype)),
    "broadcast_to": OpCase(repeating(), np.broadcast_to),
    "sum_to": OpCase(unrepeating(), numpy_sum_to),
    "add": OpCase(pair(), np.add),
    "subtract": OpCase(pair(), np.subtract),
    "multiply": OpCase(pair(), np.multiply),
    "divide": OpCase(pair(right=(0.4, 2)), np.divide, order=3),
    "negative": OpCase(anything, np.negative),
    "power": OpCase(pair(left=(0.4, 2)), np.power, order=3),
    "exp": OpCase(anything, np.exp, order=3),
    "log": OpCase(positive, np.log, order=3),
    "sqrt": OpCase(positive, np.sqrt, order=3),
    "tanh": OpCase(anything, np.tanh, order=3),
    "erf": OpCase(one(values(shapes(), -3, 3)), np.vectorize(math.erf, otypes=[float]), order=3),
    "absolute": OpCase(one(spaced(shapes())), np.absolute),
    "sign": OpCase(one(spaced(shapes())), np.sign),
    "maximum": OpCase(uneven_pair(), np.maximum),
    "minimum": OpCase(uneven_pair(), np.minimum),
    "where": OpCase(choosing(), np.where),
    "equal": OpCase(comparison, np.equal),
    "not_equal": OpCase(comparison, np.not_equal),
    "less": OpCase(comparison, np.less),
    "less_equal": OpCase(comparison, np.less_equal),
    "greater": OpCase(comparison, np.greater),
    "greater_equal": OpCase(comparison, np.greater_equal),
    "sum": OpCase(reduction(least=0), np.sum),
    "mean": OpCase(reduction(), np.mean),
    "max": OpCase(reduction(spaced), np.max),
    "min": OpCase(reduction(spaced), np.min),
    "var": OpCase(reduction(ddof=st.just(0)), np.var),
    "logsumexp": OpCase(reduction(), numpy_logsumexp, order=3),
    "reshape": OpCase(reshaping(), np.reshape),
    "transpose": OpCase(permuting(), np.transpose),
    "swapaxes": OpCase(with_axes("axis1", "axis2"), np.swapaxes),
    "expand_dims": OpCase(with_axes("axis", extra=1), np.expand_dims),
    "squeeze": OpCase(squeezing(), np.squeeze),
    "concatenate": OpCase(joining(), lambda *xs, axis: np.concatenate(xs, axis)),
    "stack": OpCase(stacking(), np.stack),
    "split": OpCase(splitting(), np.split),
    "pad": OpCase(padding(), np.pad),
    "_pad": OpCase(one(values((2, 3)), widths=st.just(((1, 0), (0, 2))), value=st.just(0.5)),
                   lambda x, widths, value: np.pad(x, widths, constant_values=value)),
    "getitem": OpCase(indexing().map(lambda drawn: (drawn, {})), lambda x, index: x[index]),
    "scatter_add": OpCase(adding_in(), numpy_scatter_add),
    "take": OpCase(taking(), np.take),
    "take_along_axis": OpCase(taking_along(), np.take_along_axis),
    "matmul": OpCase(multiplying(), np.matmul),
    "einsum": OpCase(contracting(), np.einsum),
    "_einsum": OpCase(contracting_explicit(), numpy_einsum),
    "linear": OpCase(affine(), lambda x, w, b: x @ w.T + (0 if b is None else b)),
    "embedding": OpCase(looking_up(), lambda ids, w: w[ids]),
    "layer_norm": OpCase(normalising(), numpy_layer_norm),
    "gelu": OpCase(one(values(shapes(), -3, 3), approximate=st.sampled_from(["tanh", "none"])),
                   numpy_gelu, order=3),
    "dropout": OpCase(one(values(shapes()), p=st.sampled_from([0.0, 0.3]), key=st.integers(0, 9)),
                      dropped),
    "causal_attention": OpCase(attending(), numpy_attention),
    "softmax_cross_entropy": OpCase(classifying(), numpy_cross_entropy, order=3),
}
