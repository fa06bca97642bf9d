"""The cases of every op: the engine's own, and those of the hand-derived layers.

Weights are drawn at natural scale, so that no factor hides.
"""

from __future__ import annotations

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

import autograd.testing.cases
import tinygrad_llm.functional  # noqa: F401, enters the fused ops into the registry
from autograd.testing.opcase import Inputs, OpCase, floating
from autograd.testing.strategies import one, shapes, values

__all__ = ["CASES", "floating"]


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


def numpy_gelu(x: np.ndarray, approximate: str) -> np.ndarray:
    if approximate == "none":
        return x * 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@st.composite
def attending(draw: Any) -> Inputs:
    batch, time = draw(st.integers(1, 2)), draw(st.integers(1, 4))
    heads, d = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    options = {"heads": heads}
    options["dropout"] = draw(st.sampled_from([0.0, 0.5]))
    options["key"] = draw(st.one_of(st.none(), st.integers(0, 9)))
    return (draw(values((batch, time, 3 * heads * d))),), options


def numpy_attention(qkv: np.ndarray, heads: int, dropout: float = 0.0,
                    key: int | None = None) -> np.ndarray:
    """The definition, element by element."""
    from tinygrad_llm.functional.dropout import keep_mask

    batch, time, width = qkv.shape
    d = width // (3 * heads)
    mask = np.ones((batch, heads, time, time))
    if key is not None and dropout:
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


def several_blocks() -> Any:
    """An edge that takes several pieces and blocks, with its gradient in matrices."""
    from tinygrad_llm.functional.dropout import keep_mask

    batch, time, heads, d, options = 3, 70, 6, 1, {"heads": 6, "dropout": 0.25, "key": 7}
    qkv = np.cos(np.arange(batch * time * 3.0 * heads * d)).reshape(batch, time, -1)
    g = np.sin(np.arange(batch * time * 1.0 * heads * d)).reshape(batch, time, -1)
    q, k, v = qkv.reshape(batch, time, 3, heads, d).transpose(2, 0, 3, 1, 4)
    go = g.reshape(batch, time, heads, d).swapaxes(1, 2)
    p = np.tril(np.exp(q @ k.swapaxes(-1, -2) / math.sqrt(d)))
    p /= p.sum(-1, keepdims=True)
    mask = keep_mask(p.shape, 0.25, 7, p)
    dp = mask * (go @ v.swapaxes(-1, -2))
    ds = p * (dp - (p * dp).sum(-1, keepdims=True)) / math.sqrt(d)
    dqkv = np.stack([ds @ k, ds.swapaxes(-1, -2) @ q, (mask * p).swapaxes(-1, -2) @ go])
    return (qkv,), options, g, [dqkv.transpose(1, 3, 0, 2, 4).reshape(qkv.shape)]


@st.composite
def classifying(draw: Any) -> Inputs:
    lead, v = draw(shapes(dims=2)), draw(st.integers(1, 4))
    targets = draw(hnp.arrays(np.int64, lead, elements=st.sampled_from([*range(v), -100])))
    return (draw(values((*lead, v), -3, 3)), targets), {}


def many_rows() -> Any:
    """An edge that takes several blocks of rows: the gradient is (softmax - one-hot) / rows."""
    z = np.cos(np.arange(800 * 100.0)).reshape(800, 100)
    targets = np.arange(800) % 100
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    return (z, targets), {}, np.array(1.0), [(p - np.eye(100)[targets]) / 800]


def numpy_cross_entropy(z: np.ndarray, targets: np.ndarray, ignore_index: int = -100) -> float:
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    losses = [-np.log(p[i][t]) for i, t in np.ndenumerate(targets) if t != ignore_index]
    return float(np.mean(losses)) if losses else 0.0


@st.composite
def predicting(draw: Any) -> Inputs:
    lead, v, c = draw(shapes(dims=2)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    ignored = draw(st.sampled_from([-100, 7]))
    targets = draw(hnp.arrays(np.int64, lead, elements=st.sampled_from([*range(v), ignored])))
    return (draw(values((*lead, c), -2, 2)), draw(values((v, c), -2, 2)), targets), {
        "ignore_index": ignored}


def dropped(x: np.ndarray, p: float, key: int) -> np.ndarray:
    from tinygrad_llm.functional.dropout import keep_mask

    return x * keep_mask(x.shape, p, key, x)


CASES: dict[str, OpCase] = {
    **autograd.testing.cases.CASES,
    "linear": OpCase(affine(), lambda x, w, b: x @ w.T + (0 if b is None else b)),
    "embedding": OpCase(looking_up(), lambda ids, w: w[ids]),
    "tinygrad_llm.functional.layer_norm.layer_norm": OpCase(
        normalising(), numpy_layer_norm, edges=(many_rows_to_normalise(),)),
    "tinygrad_llm.functional.gelu.gelu": OpCase(
        one(values(shapes(), -3, 3), approximate=st.sampled_from(["tanh", "none"])),
        numpy_gelu, order=3),
    "dropout": OpCase(one(values(shapes()), p=st.sampled_from([0.0, 0.3]), key=st.integers(0, 9)),
                      dropped),
    "causal_attention": OpCase(attending(), numpy_attention, edges=(several_blocks(),)),
    "flash_attention": OpCase(attending(), numpy_attention, edges=(several_blocks(),)),
    "softmax_cross_entropy": OpCase(
        classifying(), numpy_cross_entropy, order=3,
        edges=(many_rows(),
               ((np.array([[1e3, 0.0], [0.0, 1e3]]), np.array([0, 0])), {}, np.array(1.0),
                [np.array([[0.0, 0.0], [-0.5, 0.5]])]),
               ((np.array([[np.inf, 0.0], [0.0, 0.0]]), np.array([-100, 1])), {}, np.array(1.0),
                [np.array([[0.0, 0.0], [0.5, -0.5]])]),
               ((np.ones((2, 2)), np.array([-100, -100])), {}, np.array(1.0),
                [np.zeros((2, 2))]))),
    "linear_cross_entropy": OpCase(
        predicting(), lambda x, w, targets, ignore_index: numpy_cross_entropy(
            x @ w.T, targets, ignore_index), order=3,
        edges=(((np.array([[1e3], [-1e3]]), np.array([[1.0], [0.0]]), np.array([1, 1])), {},
                np.array(1.0), [np.array([[0.5], [0.0]]), np.array([[500.0], [-500.0]])]),
               ((np.ones((2, 1)), np.ones((2, 1)), np.array([-100, -100])), {}, np.array(1.0),
                [np.zeros((2, 1)), np.zeros((2, 1))]))),
}


# Mutants of the rules that give the same gradients, each with the reason: see
# `python -m autograd.testing.mutate --help`.

_CE, _AT, _FLASH = "softmax_cross_entropy", "causal_attention", "flash_attention"
_GELU, _NORM = "tinygrad_llm.functional.gelu.gelu", "tinygrad_llm.functional.layer_norm.layer_norm"
_FOUR = "the arrays have four axes, of which -2 is number 2"
_SAME = "both have the same shape and dtype, and nothing else of them is used"
_LENGTH = "both have one entry for each row"
_CUT = "it has as many rows, and how they are cut into blocks changes nothing"
_SPEED = "the limit chooses between two ways to compute the same sum"
_SUMMED = "the engine itself sums a gradient over the axes along which its argument was broadcast"
_PRODUCTS = ("add_product(p.swapaxes(-1, -2), gi, dv, term)",
             "add_product(ds.swapaxes(-1, -2), q[:, :, i:j], dk, term)")
_DS = "ds = product(gi, v[:, :, :j].swapaxes(-1, -2), {})"
_TERM = "term = xp.empty(k.size, dtype=qkv.dtype)"
_ROOM, _ROOMS = "room, = scratch(k, 1)", "room, second = scratch(k, 2)"
_BLOCK = "mask = block_mask(whole[0], cut[n], (i, j), dropout, key)"
_MASK = "p = p * keep_mask(p.shape, dropout, key, values(p))"
_RIGHT = "right = z[xp.arange(len(targets)), xp.where(used, targets, 0)]"
_LOSSES = "losses = autograd.where(used, autograd.logsumexp(z, -1) - right, 0.0)"

_MUTANTS: list[Any] = [
    (_FOUR, *[(op, before, before.replace("-1, -2", "-1, 2")) for op, before in (
        *[(op, product) for op in (_AT, _FLASH) for product in _PRODUCTS],
        (_AT, _DS.format("room")), (_FLASH, _DS.format("second")))],
     (f"{_AT} reference", "s = q @ autograd.swapaxes(k, -1, -2) / sqrt(width // heads)",
      "s = q @ autograd.swapaxes(k, -1, 2) / sqrt(width // heads)")),
    (_SAME, (f"{_AT} reference", _MASK, _MASK.replace("p.shape", "s.shape")),
     (f"{_AT} reference", _MASK, _MASK.replace("values(p)", "values(s)")),
     *[(op, _TERM, _TERM.replace("k.size", f"{x}.size")) for op in (_AT, _FLASH) for x in "qv"],
     *[(_AT, _ROOM, _ROOM.replace("k,", f"{x},")) for x in "qv"],
     *[(_FLASH, _ROOMS, _ROOMS.replace("k,", f"{x},")) for x in "qv"],
     *[(_FLASH, _BLOCK, _BLOCK.replace("whole[0]", other)) for other in ("whole[1]", "dheads[0]")],
     (_NORM, "dx = xp.empty_like(g)", "dx = xp.empty_like(x)")),
    (_CUT, *[(_CE, "over_rows(pull, z)", f"over_rows(pull, {other})")
             for other in ("total", "top", "dz")],
     *[(_NORM, "sums = over_rows(pull, x)", f"sums = over_rows(pull, {other})")
       for other in ("mu", "r")]),
    ("the row is multiplied by 0 next, and may hold anything finite",
     (_CE, "xp.copyto(e, 0, where=unused[rows])", "xp.copyto(e, 1, where=unused[rows])")),
    ("what is kept has an entry for each piece",
     (_AT, "each(len(cut), pull)", "each(len(kept), pull)")),
    ("a mask of dropout 0 keeps everything and scales by 1",
     (f"{_AT} reference", "dropout and key is not None", "key is not None")),
    (_SPEED, *[("embedding", "len(w) <= _SMALL_TABLE", other) for other in (
        "len(w) < _SMALL_TABLE", "len(w) >= _SMALL_TABLE", "len(ids) <= _SMALL_TABLE",
        "len(saved) <= _SMALL_TABLE", "len(g) <= _SMALL_TABLE")]),
    ("it tells when to add, not what", *[
        ("embedding", "return (None, Deferred(w, write, sparse=True))", other)
        for other in ("return (None, Deferred(w, write))",
                      "return (None, Deferred(w, write, sparse=False))")]),
    (_SUMMED,
     ("linear", "db = namespace(g).ones(len(g), g.dtype) @ g if has_bias else None",
      "db = g if has_bias else None")),
    (_LENGTH, *[(_NORM, "share, ones = (w / x.shape[1], xp.ones(len(x), g.dtype))",
                 f"share, ones = (w / x.shape[1], xp.ones(len({other}), g.dtype))")
                for other in ("mu", "r")],
     *[(f"{_CE} reference", _RIGHT, _RIGHT.replace("len(targets)", f"len({other})"))
       for other in ("z", "used")]),
    ("reshape takes any negative length as the one to be inferred",
     (f"{_CE} reference", "z = autograd.reshape(logits, (-1, logits.shape[-1]))",
      "z = autograd.reshape(logits, (-2, logits.shape[-1]))")),
    ("z has two axes, of which -1 is number 1",
     (f"{_CE} reference", _LOSSES, _LOSSES.replace("(z, -1)", "(z, 1)"))),
    ("what is added for an unused target is a constant",
     (f"{_CE} reference", _LOSSES, _LOSSES.replace("0.0", "1.0"))),
    ("where no target is used the sum has gradient 0, and 0 / 0 is only ever multiplied by it",
     (f"{_CE} reference", "autograd.sum(losses) / xp.maximum(used.sum(), 1).astype(z.dtype)",
      "autograd.sum(losses) / used.sum().astype(z.dtype)")),
]
EQUIVALENT: dict[tuple[str, str], str] = {
    (unit, f"{before}  ->  {after}"): reason
    for reason, *made in _MUTANTS for unit, before, after in made}
