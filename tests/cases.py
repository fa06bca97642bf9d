"""The cases of every op: the engine's own, and those of the hand-derived layers.

Weights are drawn at natural scale, so that no factor hides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attention_cases
import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

import autograd.testing.cases
import tinygrad_llm.functional  # noqa: F401, enters the fused ops into the registry
from autograd.testing.opcase import Inputs, OpCase, floating
from autograd.testing.strategies import one, reals, shapes, spaced
from tinygrad_llm.functional.dropout import keep_mask

__all__ = ["CASES", "floating"]


@st.composite
def affine(draw: Any) -> Inputs:
    lead = draw(shapes(dims=2))
    i, o = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    b = draw(st.one_of(st.none(), reals((o,))))
    return (draw(reals((*lead, i))), draw(reals((o, i))), b), {}


@st.composite
def looking_up(draw: Any) -> Inputs:
    v, c = draw(st.sampled_from([(4, 3), (1, 2), (1030, 1)])), 2
    ids = draw(hnp.arrays(np.int64, shapes(dims=2), elements=st.integers(0, v[0] - 1)))
    table = draw(reals((v[0], c))) if v[0] < 9 else draw(reals((v[0], 1)))
    return (ids, table), {}


def one_row_many_times() -> Any:
    """An edge that sums up more ones than float16 can count, of a table too large for a product."""
    ids, w = np.zeros(4096, int), np.ones((300, 1), np.float16)
    return (ids, w), {}, np.ones((4096, 1), np.float16), [4096.0 * (np.arange(300) == 0)[:, None]]


@st.composite
def normalising(draw: Any) -> Inputs:
    lead, c = draw(shapes(dims=2)), draw(st.integers(1, 5))
    x = draw(reals((*lead, c), -3, 3))
    b = draw(st.one_of(st.none(), reals((c,))))
    return (x, draw(reals((c,))), b), {"eps": draw(st.sampled_from([0.01, 0.5]))}


def many_rows_to_normalise() -> Any:
    """An edge that takes several blocks of rows."""
    x = np.cos(np.arange(1500 * 100.0)).reshape(1500, 100)
    g, w = np.sin(x * x + np.arange(100)), np.linspace(-1, 1, 100)
    r = (x.var(-1, keepdims=True) + 0.5) ** -0.5
    n, h = (x - x.mean(-1, keepdims=True)) * r, g * w
    dx = r * (h - h.mean(-1, keepdims=True) - n * (h * n).mean(-1, keepdims=True))
    return (x, w, np.zeros(100)), {"eps": 0.5}, g, [dx, (g * n).sum(0), g.sum(0)]


def numpy_layer_norm(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, eps: float) -> np.ndarray:
    n = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return n * w + (0 if b is None else b)


@st.composite
def scaling(draw: Any) -> Inputs:
    lead, c = draw(shapes(dims=3)), draw(st.integers(1, 5))
    w = draw(st.one_of(st.none(), reals((c,))))
    return (draw(reals((*lead, c), -3, 3)), w), {"eps": draw(st.sampled_from([0.01, 0.5]))}


def many_rows_to_scale() -> Any:
    """An edge that takes several blocks of rows."""
    x = np.cos(np.arange(1500 * 100.0)).reshape(1500, 100)
    g, w = np.sin(x * x + np.arange(100)), np.linspace(-1, 1, 100)
    r = ((x * x).mean(-1, keepdims=True) + 0.5) ** -0.5
    n, h = x * r, g * w
    return (x, w), {"eps": 0.5}, g, [r * (h - n * (h * n).mean(-1, keepdims=True)), (g * n).sum(0)]


def rows_out_of_range() -> Any:
    """An edge of rows whose squares overflow, beside one whose squares vanish."""
    x = np.array([[1e200, 7e200], [1e-170, 7e-170], [-1e306, 1e306]])
    g, w = np.array([[1.0, 2.0]] * 3), np.array([3.0, 5.0])
    r = np.array([[0.2e-200], [0.2e170], [1e-306]])
    n, h = x * r, g * w
    return (x, w), {"eps": 0.0}, g, [r * (h - n * (h * n).mean(-1, keepdims=True)), (g * n).sum(0)]


def numpy_rms_norm(x: np.ndarray, w: np.ndarray | None, eps: float) -> np.ndarray:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * (1 if w is None else w)


@st.composite
def gated(draw: Any, **options: Any) -> Inputs:
    lead, f = draw(shapes(dims=2)), draw(st.integers(0, 3))
    return draw(one(reals((*lead, 2 * f), -3, 3), **options))


def many_rows_to_gate(gate: Callable[[np.ndarray], Any]) -> Any:
    """An edge that takes several blocks of rows; `gate` gives the gate's value and slope."""
    x = 3 * np.cos(np.arange(1500 * 100.0)).reshape(1500, 100)
    g, (a, f) = np.sin(x[:, ::2]), gate(x[:, :50])
    return (x,), {}, g, [np.concatenate([g * x[:, 50:] * f, g * a], -1)]


def silu_and_slope(z: np.ndarray) -> Any:
    s = 1 / (1 + np.exp(-z))
    return z * s, s * (1 + z * (1 - s))


def gelu_and_slope(z: np.ndarray) -> Any:
    t = np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))
    du = math.sqrt(2 / math.pi) * (1 + 0.134145 * z * z)
    return z * (1 + t) / 2, (1 + t + z * (1 - t * t) * du) / 2


def numpy_swiglu(x: np.ndarray) -> np.ndarray:
    z, u = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return z / (1 + np.exp(-z)) * u


def numpy_geglu(x: np.ndarray, approximate: str) -> np.ndarray:
    f = x.shape[-1] // 2
    return numpy_gelu(x[..., :f], approximate) * x[..., f:]


def numpy_gelu(x: np.ndarray, approximate: str) -> np.ndarray:
    if approximate == "none":
        return x * 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@st.composite
def classifying(draw: Any) -> Inputs:
    lead, v = draw(shapes(dims=2)), draw(st.integers(1, 4))
    targets = draw(hnp.arrays(np.int64, lead, elements=st.sampled_from([*range(v), -100])))
    return (draw(reals((*lead, v), -3, 3)), targets), {}


def numpy_cross_entropy(z: np.ndarray, targets: np.ndarray, ignore_index: int = -100) -> float:
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    losses = [-np.log(p[i][t]) for i, t in np.ndenumerate(targets) if t != ignore_index]
    return float(np.mean(losses)) if losses else 0.0


@st.composite
def predicting(draw: Any) -> Inputs:
    lead, v, c = draw(shapes(dims=2)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    ignored = draw(st.sampled_from([-100, 7]))
    targets = draw(hnp.arrays(np.int64, lead, elements=st.sampled_from([*range(v), ignored])))
    return (draw(reals((*lead, c), -2, 2)), draw(reals((v, c), -2, 2)), targets), {
        "ignore_index": ignored}


@st.composite
def predicting_in_chunks(draw: Any) -> Inputs:
    """Of one class, the gradient is rounding alone, of which no difference quotient converges."""
    args, options = draw(predicting().filter(lambda inputs: len(inputs[0][1]) > 1))
    return args, {**options, "rows": draw(st.integers(1, 5))}


def chunks_of_rows() -> Any:
    """An edge of 5 rows, 2 at a time, the first two ignored; there are no logits but 0."""
    x, targets = np.arange(1.0, 6)[:, None], np.array([-100, -100, 1, 0, 2])
    dw = np.array([[12 / 3 - 4], [12 / 3 - 3], [12 / 3 - 5]]) / 3
    return (x, np.zeros((3, 1)), targets), {"rows": 2}, np.array(1.0), [np.zeros((5, 1)), dw]


def chunks_in_blocks() -> Any:
    """An edge that takes several blocks of rows, and a chunk's rows many classes.

    An ignored row would overflow.
    """
    x, w = np.cos(np.arange(900.0))[:, None], np.sin(np.arange(2000.0))[:, None]
    targets = np.arange(900) * 7 % 2000
    targets[::5], x[::5] = -100, 1e300
    kept = np.where(targets[:, None] < 0, 0.0, x)
    p = np.exp(kept * w.T)
    z = p / p.sum(-1, keepdims=True)
    z[np.arange(900), targets] -= 1
    z[::5] = 0
    return (x, w, targets), {"rows": 300}, np.array(720.0), [z @ w, z.T @ kept]


@st.composite
def splitting(draw: Any) -> Inputs:
    lead, depth = draw(shapes(dims=2)), draw(st.integers(1, 2))
    first, count, after = draw(st.integers(0, 2)), draw(st.integers(1, 2)), draw(st.integers(0, 3))
    width = (first + count) * depth + after
    return (draw(reals((*lead, width))),), {"first": first, "count": count, "depth": depth}


def numpy_split_heads(x: np.ndarray, first: int, count: int, depth: int) -> np.ndarray:
    heads = [x[..., h * depth : (h + 1) * depth] for h in range(first, first + count)]
    return np.stack(heads, -2)


@st.composite
def choosing(draw: Any) -> Inputs:
    n, k, e, f, c = (draw(st.integers(low, high)) for low, high in (
        (0, 4), (1, 3), (1, 4), (1, 3), (1, 3)))
    chosen = draw(hnp.arrays(np.int64, (n, k), elements=st.integers(0, e - 1)))
    args = tuple(draw(reals(shape)) for shape in ((n, c), (n, k), (e, 2 * f, c), (e, c, f)))
    return args, {"chosen": chosen,
                  "activation": draw(st.sampled_from(["silu", "gelu_tanh", "gelu"]))}


def numpy_experts(x: np.ndarray, p: np.ndarray, gate_up: np.ndarray, down: np.ndarray,
                  chosen: np.ndarray, activation: str) -> np.ndarray:
    y, inner = np.zeros_like(x), down.shape[2]
    for n, k in np.ndindex(chosen.shape):
        z = gate_up[chosen[n, k]] @ x[n]
        gate = (z[:inner] / (1 + np.exp(-z[:inner])) if activation == "silu" else
                numpy_gelu(z[:inner], "none" if activation == "gelu" else "tanh"))
        y[n] += p[n, k] * down[chosen[n, k]] @ (gate * z[inner:])
    return y


def one_expert_for_all() -> Any:
    """An edge where each row chooses expert 1 twice, which is linear far out, and no row another.

    There $y = (p_0 + p_1)\\,w\\,z\\,u$ with the gate $z = a x$ and $u = b x$.
    """
    x, p = np.array([[50.0], [20.0], [80.0]]), np.array([[0.5, 2.0], [1.0, -3.0], [0.25, 0.0]])
    a, b, w, g = 2.0, -3.0, 0.5, np.array([[1.0], [-1.0], [2.0]])
    gate_up = np.array([[[7.0], [7.0]], [[a], [b]], [[7.0], [7.0]]])
    down, total = np.array([[[7.0]], [[w]], [[7.0]]]), p.sum(1, keepdims=True)
    du, dw = np.zeros_like(gate_up), np.zeros_like(down)
    squares = (g * total * x * x).sum()
    du[1], dw[1] = [[w * b * squares], [w * a * squares]], a * b * squares
    return ((x, p, gate_up, down), {"chosen": np.ones((3, 2), int)}, g,
            [2 * g * total * w * a * b * x, g * w * a * b * x * x * np.ones(2), du, dw])


@st.composite
def balancing(draw: Any) -> Inputs:
    n, k, e = draw(st.integers(0, 4)), draw(st.integers(0, 3)), draw(st.integers(1, 4))
    chosen = draw(hnp.arrays(np.int64, (n, k), elements=st.integers(0, e - 1)))
    return (draw(reals((n, e))),), {"chosen": chosen}


def numpy_load_balance(p: np.ndarray, chosen: np.ndarray) -> float:
    if not len(p):
        return 0.0
    f = np.bincount(chosen.ravel(), minlength=p.shape[1]) / len(p)
    return float(p.shape[1] * (f @ p.mean(0)))


@st.composite
def turning(draw: Any) -> Inputs:
    """Draw heads, and cos and sin for a part of their numbers, for all sequences or for each."""
    batch, time, heads, half = (draw(st.integers(0, 3)) for _ in range(4))
    x = draw(reals((batch, time, heads, 2 * half + draw(st.integers(0, 3)))))
    shape = (time, half) if draw(st.booleans()) else (batch, time, half)
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    cos, sin = (draw(reals(shape)).astype(dtype) for _ in range(2))
    return (x,), {"cos": cos, "sin": sin, "interleaved": draw(st.booleans())}


def numpy_rotary(x: np.ndarray, cos: np.ndarray, sin: np.ndarray, interleaved: bool
                 ) -> np.ndarray:
    y, half = x.copy(), cos.shape[-1]
    for d in range(half):
        i, j = (2 * d, 2 * d + 1) if interleaved else (d, d + half)
        z = (x[..., i] + 1j * x[..., j]) * (cos + 1j * sin)[..., d, None]
        y[..., i], y[..., j] = z.real, z.imag
    return y


def dropped(x: np.ndarray, p: float, key: int) -> np.ndarray:
    return x * keep_mask(x.shape, p, key, x)


CASES: dict[str, OpCase] = {
    **autograd.testing.cases.CASES,
    "linear": OpCase(affine(), lambda x, w, b: x @ w.T + (0 if b is None else b)),
    "embedding": OpCase(looking_up(), lambda ids, w: w[ids], edges=(one_row_many_times(),)),
    "tinygrad_llm.functional.layer_norm.layer_norm": OpCase(
        normalising(), numpy_layer_norm, edges=(many_rows_to_normalise(),)),
    "tinygrad_llm.functional.gelu.gelu": OpCase(
        one(reals(shapes(), -3, 3), approximate=st.sampled_from(["tanh", "none"])),
        numpy_gelu, order=3),
    "geglu": OpCase(gated(approximate=st.sampled_from(["tanh", "none"])), numpy_geglu,
                    edges=(many_rows_to_gate(gelu_and_slope),)),
    "swiglu": OpCase(gated(), numpy_swiglu, order=3,
                     edges=(many_rows_to_gate(silu_and_slope),)),
    "relu_squared": OpCase(
        one(spaced(shapes())), lambda x: x * x * (x > 0),
        edges=(((np.array([-2.0, 0.0, 3.0]),), {}, np.ones(3), [np.array([0.0, 0.0, 6.0])]),),
        curvatures=(((np.array([-2.0, 0.0, 3.0]),), {}, autograd.sum, np.diag([0.0, 0.0, 2.0])),)),
    "tinygrad_llm.functional.rms_norm.rms_norm": OpCase(
        scaling(), numpy_rms_norm, edges=(
            many_rows_to_scale(), rows_out_of_range(),
            ((np.full((1, 2), 2, np.float32), np.array([3.0, 1])), {"eps": 0.0},
             np.array([[1 / 3, 3]]), [np.array([[-0.5, 0.5]]), np.array([1 / 3, 3])]))),
    "dropout": OpCase(one(reals(shapes()), p=st.sampled_from([0.0, 0.3]), key=st.integers(0, 9)),
                      dropped),
    "attention": OpCase(attention_cases.attending(), attention_cases.in_loops,
                        edges=attention_cases.EDGES, curvatures=attention_cases.CURVATURES),
    "split_heads": OpCase(splitting(), numpy_split_heads),
    "experts": OpCase(choosing(), numpy_experts, edges=(one_expert_for_all(),)),
    "load_balance": OpCase(balancing(), numpy_load_balance),
    "rotary": OpCase(turning(), numpy_rotary),
    "softmax_cross_entropy": OpCase(
        classifying(), numpy_cross_entropy, order=3,
        edges=(((np.array([[1e3, 0.0], [0.0, 1e3]]), np.array([0, 0])), {}, np.array(1.0),
                [np.array([[0.0, 0.0], [-0.5, 0.5]])]),
               ((np.array([[np.inf, 0.0], [0.0, 0.0]]), np.array([-100, 1])), {}, np.array(1.0),
                [np.array([[0.0, 0.0], [0.5, -0.5]])]),
               ((np.ones((2, 2)), np.array([-100, -100])), {}, np.array(1.0),
                [np.zeros((2, 2))])),
        curvatures=(((np.array([[1.0, 1.0], [np.inf, 0.0]]), np.array([0, -100])), {},
                     lambda y: y, np.kron(np.diag([1, 0]), [[0.25, -0.25], [-0.25, 0.25]])),)),
    "linear_cross_entropy": OpCase(
        predicting(), lambda x, w, targets, ignore_index: numpy_cross_entropy(
            x @ w.T, targets, ignore_index), order=3,
        edges=(((np.array([[1e3], [-1e3]]), np.array([[1.0], [0.0]]), np.array([1, 1])), {},
                np.array(1.0), [np.array([[0.5], [0.0]]), np.array([[500.0], [-500.0]])]),
               ((np.ones((2, 1)), np.ones((2, 1)), np.array([-100, -100])), {}, np.array(1.0),
                [np.zeros((2, 1)), np.zeros((2, 1))]))),
    "chunked_cross_entropy": OpCase(
        predicting_in_chunks(), lambda x, w, targets, ignore_index, rows: numpy_cross_entropy(
            x @ w.T, targets, ignore_index), order=3,
        edges=(chunks_of_rows(), chunks_in_blocks(),
               ((np.array([[1e3], [-1e3]]), np.array([[1.0], [0.0]]), np.array([1, 1])),
                {"rows": 1}, np.array(1.0),
                [np.array([[0.5], [0.0]]), np.array([[500.0], [-500.0]])]))),
}


# Mutants of the rules that give the same gradients, each with the reason: see
# `python -m autograd.testing.mutate --help`.

_NORM = "tinygrad_llm.functional.layer_norm.layer_norm numpy"
_RMS = "tinygrad_llm.functional.rms_norm.rms_norm numpy"
_RMS_SHAPE = "shape, columns = (g.shape, g.shape[-1])"
_RMS_SHARE = "share, ones = (w / columns, np.ones(len(r), g.dtype))"
_SHARE = "share, ones = (w / x.shape[1], np.ones(len(x), g.dtype))"
_CE, _MASK = "softmax_cross_entropy", "p = p * keep_mask(p.shape, dropout, key, values(p))"
_ROWS = "z = xp.where(used, logits.reshape(len(t), logits.shape[-1]), 0)"
_ONE_HOT = "dz[xp.arange(len(t)), t] -= 1"
_RIGHT = "right = z[xp.arange(len(targets)), xp.where(used, targets, 0)]"
_LOSSES = "losses = autograd.where(used, autograd.logsumexp(z, -1) - right, 0.0)"
_SEEN = "seen = visible(values(q), k.shape[2], offset, window, documents)"
_SIZES = "batch, groups, _, keys, depth = k.shape"
_HEADS = "(_, _, heads, depth), groups = (q.shape, k.shape[2])"
_FLAT = "x.reshape(*x.shape[:2], 1, prod(x.shape[2:4]), x.shape[4])"
_SPLIT = "return autograd.reshape(picked, (*x.shape[:-1], count, depth))"
_IS_E = "values(chosen)[..., None] == namespace(values(x)).arange(len(gate_up))"
_UNCHOSEN = "total[list({*range(len(total))} - parts.keys())] = 0"
_FLAT_IDS = "ids, g = (ids.reshape(-1), wider(g).reshape(ids.size, w.shape[1]))"
_CHUNKED = "chunked_cross_entropy._write"
_CLASSES = "chunks = chunks_of(len(w), -(-len(w) * rows // (len(t) or 1)))"
_ROOM = "room = np.empty(len(t) * chunks[0].stop, m.dtype)"
_HERE = "here, = np.nonzero((place >= 0) & (place < block.shape[1]))"
_WRITE = "dx[..., :start], dx[..., stop:], part[...] = (0, 0, g)"

_MUTANTS: list[Any] = [
    ("the arrays have the same lengths in these axes", *[
        (unit, before, before.replace(*change)) for unit, before, *changes in (
            ("attention", "g = by_group(g, k.shape[1])", *[("k.", f"{x}.") for x in "qvo"]),
            ("attention numpy", _SIZES, ("k.shape", "v.shape")),
            ("attention reference", _HEADS, ("k.shape", "v.shape")),
            ("attention reference", _SEEN, ("(q)", "(s)"), ("k.shape", "v.shape")),
            ("attention reference", _MASK, ("p.shape", "s.shape")),
            ("attention_blocks.add_product", _FLAT, ("*x.", "*total."), ("*x.", "*b."),
             ("prod(x.", "prod(b.")),
            ("split_heads reference", _SPLIT, ("x.", "picked.")),
            ("experts reference", _IS_E, ("(gate_up)", "(down)")),
            (_CE, _ROWS, *[("(t)", f"({x})") for x in ("s", "used", "m")]),
            (_CE, _ONE_HOT, *[("(t)", f"({x})") for x in ("s", "used", "m")]),
            (_NORM, _SHARE, *[("len(x)", f"len({x})") for x in ("mu", "r")]),
            (_RMS, _RMS_SHAPE, ("(g.", "(x."), ("g.shape[", "x.shape[")),
            (_RMS, _RMS_SHARE, ("(r)", "(x)")),
            (_RMS, "dx = np.empty(g.shape, g.dtype)", ("g.shape", "x.shape")),
            (_CHUNKED, _CLASSES, *[("(t)", f"({x})") for x in "mx"]),
            (_CHUNKED, _ROOM, *[("(t)", f"({x})") for x in "mx"]),
            (_CHUNKED, _HERE, ("block.", "a.")),
            (f"{_CE} reference", _RIGHT, *[("(targets)", f"({x})") for x in ("z", "used")]),
        ) for change in changes]),
    ("they have the same shape and dtype, and nothing else of them is used",
     ("attention numpy", "room, second = scratch(qn, keys, 2)",
      "room, second = scratch(gn, keys, 2)"),
     ("attention reference", _MASK, _MASK.replace("values(p)", "values(s)")),
     (_NORM, "dx = np.empty_like(g)", "dx = np.empty_like(x)")),
    ("it has as many rows, and how they are cut into blocks changes nothing", *[
        (unit, f"{over}{x})", f"{over}{other})") for unit, over, x, *others in (
            (_NORM, "sums = over_rows(pull, ", "x", "mu", "r"),
            (_RMS, "sums = over_rows(pull, ", "x", "r", "dx"),
            ("geglu numpy", "over_rows(pull, ", "dx", "g")) for other in others]),
    ("it says how many classes are held at a time, which a test of memory holds; any would do",
     *[(_CHUNKED, _CLASSES, _CLASSES.replace(*change)) for change in (
         (" // (len(t)", " * (len(t)"), (" // (len(t) or 1)", ""), ("* rows ", ""),
         ("(len(t) or 1)", "1"), ("(t)", "(w)"), ("or 1", "or 2"))]),
    ("NumPy's products of float32 and half precision are float32 too, without the help of BLAS",
     (_CHUNKED, "part = wider_block(w[v])", "part = w[v]"),
     *[(f"{unit} numpy", before, before.replace(f"wider({x})", x)) for unit, x, before in (
         ("linear", "w", "dx = matmul(g, wider(w)).reshape(shape)"),
         ("linear", "rows", "dw = Deferred(w, partial(write_product, g.T, wider(rows)))"),
         ("linear_cross_entropy", "w", "dx = matmul(a, wider(w))"),
         ("linear_cross_entropy", "x",
          "dw = Deferred(w, partial(write_product, a.T, wider(x) * k))"))]),
    ("float32 and float64 stay as they are; a test of its own has sums of half precision",
     ("embedding numpy", _FLAT_IDS, _FLAT_IDS.replace("wider(g)", "g"))),
    ("a mask of dropout 0 keeps everything and scales by 1",
     ("attention reference", "dropout and key is not None", "key is not None")),
    ("the limit chooses between two ways to compute the same sum", *[
        ("embedding numpy", "len(w) <= SMALL_TABLE", other) for other in (
            "len(w) < SMALL_TABLE", "len(w) >= SMALL_TABLE", "len(ids) <= SMALL_TABLE",
            "len(saved) <= SMALL_TABLE", "len(g) <= SMALL_TABLE")]),
    ("it says when to add, not what to add", *[
        ("embedding numpy", "return (None, Deferred(w, write, sparse=True))", other)
        for other in ("return (None, Deferred(w, write))",
                      "return (None, Deferred(w, write, sparse=False))")]),
    ("the part is written last, over what was there",
     ("split_heads numpy", _WRITE, _WRITE.replace(":start", ":stop")),
     ("experts._write", _UNCHOSEN, _UNCHOSEN.replace(" - parts.keys()", ""))),
    ("the engine itself sums a gradient over the axes along which its argument was broadcast",
     ("linear", "return (dx, g.T @ rows, g.sum(0) if has_bias else None)",
      "return (dx, g.T @ rows, g if has_bias else None)"),
     ("linear numpy", "db = np.ones(len(g), g.dtype) @ g if has_bias else None",
      "db = g if has_bias else None")),
    ("the row is multiplied by 0 next, and may hold anything finite",
     (_CE, _ROWS, _ROWS.replace(", 0)", ", 1)")),
     (_CHUNKED, "block[~used[rows]] = 0", "block[~used[rows]] = 1")),
    ("reshape takes any negative length as the one to be inferred",
     (f"{_CE} reference", "z = autograd.reshape(logits, (-1, logits.shape[-1]))",
      "z = autograd.reshape(logits, (-2, logits.shape[-1]))")),
    ("z has two axes, of which -1 is number 1",
     (f"{_CE} reference", _LOSSES, _LOSSES.replace("(z, -1)", "(z, 1)"))),
    ("what is added for an unused target is a constant",
     (f"{_CE} reference", _LOSSES, _LOSSES.replace("0.0", "1.0"))),
    ("where no target is used the sum has gradient 0, and 0 / 0 is only ever multiplied by it",
     (f"{_CE} reference", "autograd.sum(losses) / xp.maximum(used.sum(), 1).astype(losses.dtype)",
      "autograd.sum(losses) / used.sum().astype(losses.dtype)")),
]
EQUIVALENT: dict[tuple[str, str], str] = {
    (unit, f"{before}  ->  {after}"): reason
    for reason, *made in _MUTANTS for unit, before, after in made}
