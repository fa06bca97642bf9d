"""Cases of the ops in `autograd.ops.losses`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

from ..opcase import Inputs, OpCase
from ..strategies import reals, shapes, spaced
from .piecewise import bent

REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


@st.composite
def compared(draw: Any, left: tuple[float, float] = (-2, 2), right: tuple[float, float] = (-2, 2),
             **options: Any) -> Inputs:
    """An input and a target of one shape."""
    shape = draw(shapes(least=1))
    drawn = {k: draw(v) for k, v in options.items()}
    return (draw(reals(shape, *left)), draw(reals(shape, *right))), {
        **drawn, "reduction": drawn.get("reduction") or draw(REDUCTIONS)}


@st.composite
def apart(draw: Any, **options: Any) -> Inputs:
    """An input and a target whose difference is 0.03 or more from 0 and all multiples of 0.5."""
    (_, t), drawn = draw(compared(**options))
    d = draw(reals(t.shape))
    nearest = np.round(2 * d) / 2
    d = np.where(np.abs(d - nearest) < 0.03, nearest + 0.03, d)
    return (np.asarray(t + d), t), drawn


@st.composite
def margins(draw: Any) -> Inputs:
    (x, _), drawn = draw(apart())
    x = np.where(np.abs(np.abs(x) - 1) < 0.03, np.float64(0.9), x)
    return (x, draw(hnp.arrays(np.int64, x.shape, elements=st.sampled_from([-1, 1])))), drawn


@st.composite
def classifying(draw: Any, **options: Any) -> Inputs:
    shape = draw(st.sampled_from([(3, 2), (2, 3), (2, 3, 2), (3,), (1, 3), (2, 1)]))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    lead = tuple(n for i, n in enumerate(shape) if i != axis % len(shape))
    classes = shape[axis]
    ignore = draw(st.sampled_from([-100, 7, 0]))
    elements = st.sampled_from([*range(classes), ignore])
    drawn = {k: draw(v) for k, v in options.items()}
    if draw(st.booleans()):
        drawn["weight"] = draw(reals((classes,), 0.2, 3.0))
    return (draw(reals(shape)), draw(hnp.arrays(np.int64, lead, elements=elements))), {
        "axis": axis, "ignore_index": ignore, "reduction": draw(REDUCTIONS), **drawn}


@st.composite
def cross_entropies(draw: Any) -> Inputs:
    smoothing = st.sampled_from([0.3, 0.0, 1.0])
    (z, t), drawn = draw(classifying(label_smoothing=smoothing))
    if draw(st.booleans()):
        t = draw(reals(z.shape, 0.1, 2.0))
    return (z, t), drawn


@st.composite
def divergences(draw: Any) -> Inputs:
    log_target = draw(st.booleans())
    (x, t), drawn = draw(compared(right=(-2, 1) if log_target else (0.2, 2)))
    if x.ndim and draw(st.booleans()):
        drawn["reduction"] = "batchmean"
    return (x, t), {**drawn, "log_target": log_target}


@st.composite
def similar(draw: Any) -> Inputs:
    """Two arrays, of more than one element along the axis: for one, the cosine is 1 or -1."""
    shape = draw(shapes(least=2, min_dims=1))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    a, b = draw(reals(shape, 0.2, 2)), draw(reals(shape, -2, -0.2))
    first = [slice(None)] * len(shape)
    first[axis] = slice(0, 1)
    b[tuple(first)] *= -1
    return (a, b), {"axis": axis, "eps": draw(st.sampled_from([1e-8, 0.01]))}


def reduced(losses: Any, reduction: str) -> Any:
    losses = np.asarray(losses)
    return {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[reduction]()


def mean_of(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f, which computes the losses, with its result reduced."""
    return lambda x, t, *, reduction, **options: reduced(f(x, t, **options), reduction)


def numpy_huber(x: Any, t: Any, delta: float) -> Any:
    d = np.abs(x - t)
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


def numpy_cross_entropy(z: np.ndarray, t: np.ndarray, axis: int, ignore_index: int,
                        label_smoothing: float, reduction: str, weight: Any = None) -> Any:
    log_p = np.moveaxis(np.log(np.exp(z) / np.exp(z).sum(axis, keepdims=True)), axis, -1)
    log_p = log_p if weight is None else log_p * weight
    classes = z.shape[axis]
    if t.dtype.kind == "f":
        t = np.moveaxis(t, axis, -1) * (1 - label_smoothing) + label_smoothing / classes
        return reduced(-(t * log_p).sum(-1), reduction)
    losses, count = np.zeros(t.shape), 0.0
    for i, c in np.ndenumerate(t):
        if c != ignore_index:
            smooth = np.full(classes, label_smoothing / classes)
            smooth[c] += 1 - label_smoothing
            losses[i] = -smooth @ log_p[i]
            count += 1 if weight is None else weight[c]
    return losses.sum() / (count or 1) if reduction == "mean" else reduced(losses, reduction)


def numpy_nll(log_p: np.ndarray, t: np.ndarray, axis: int, ignore_index: int,
              reduction: str, weight: Any = None) -> Any:
    rows, weight = np.moveaxis(log_p, axis, -1), np.ones(9) if weight is None else weight
    losses = np.array([-weight[c] * rows[i][c] if c != ignore_index else 0.0
                       for i, c in np.ndenumerate(t)])
    count = sum(weight[c] for c in t.flat if c != ignore_index)
    return losses.sum() / (count or 1) if reduction == "mean" else reduced(
        losses.reshape(t.shape), reduction)


def numpy_kl(x: np.ndarray, t: np.ndarray, log_target: bool, reduction: str) -> Any:
    p = np.exp(t) if log_target else t
    losses = p * (np.log(p) - x)
    return losses.sum() / len(x) if reduction == "batchmean" else reduced(losses, reduction)


def numpy_cosine(a: np.ndarray, b: np.ndarray, axis: int, eps: float) -> np.ndarray:
    return (a * b).sum(axis) / np.linalg.norm(a, axis=axis) / np.linalg.norm(b, axis=axis)


def clipped(shape: tuple[int, ...]) -> st.SearchStrategy[Inputs]:
    return spaced(shape).map(lambda d: ((d, np.array(0.54)), {}))


def numpy_clipped(d: np.ndarray, delta: float) -> np.ndarray:
    return np.asarray(numpy_huber(d, 0.0, delta))


bounds = np.diag([0.5, 0.5, 1.0, 0.0])  # on the bounds, within and beyond

CASES: dict[str, OpCase] = {
    "mse_loss": OpCase(compared(), mean_of(lambda x, t: (x - t) ** 2)),
    "l1_loss": OpCase(apart(), mean_of(lambda x, t: np.abs(x - t)), curvatures=(
        bent([1.0, 2.0], [1.0, 0.0], reduction="sum"),)),
    "huber_loss": OpCase(apart(delta=st.sampled_from([0.5, 1.0])), mean_of(numpy_huber),
                         curvatures=(bent([1.0, -1.0, 0.5, 2.0], [0.0] * 4, reduction="sum",
                                          hessian=np.kron([[1, -1], [-1, 1]], bounds)),)),
    "_huber": OpCase(shapes().flatmap(clipped), numpy_clipped, curvatures=(
        bent([1.0, -1.0, 0.5, 2.0], 1, hessian=bounds),)),
    "smooth_l1_loss": OpCase(
        apart(beta=st.sampled_from([0.5, 1.0, 0.0])),
        mean_of(lambda x, t, beta: numpy_huber(x, t, beta) / beta if beta else np.abs(x - t))),
    "hinge_loss": OpCase(margins(), mean_of(lambda x, t: np.maximum(0, 1 - t * x)),
                         curvatures=(bent([1.0], np.array([1])),)),
    "binary_cross_entropy": OpCase(
        compared(left=(0.1, 0.9), right=(0.1, 0.9)),
        mean_of(lambda x, t: -t * np.log(x) - (1 - t) * np.log(1 - x))),
    "binary_cross_entropy_with_logits": OpCase(
        compared(right=(0.1, 0.9), pos_weight=st.sampled_from([None, 2.5])),
        mean_of(lambda z, t, pos_weight: (pos_weight or 1) * t * np.log(1 + np.exp(-z))
                + (1 - t) * np.log(1 + np.exp(z)))),
    "cross_entropy": OpCase(cross_entropies(), numpy_cross_entropy, curvatures=(
        bent([[1.0, 1.0], [7.0, 0.0]], np.array([0, -100]),
             hessian=np.kron(np.diag([1, 0]), [[0.25, -0.25], [-0.25, 0.25]])),)),
    "nll_loss": OpCase(classifying(), numpy_nll, curvatures=(
        bent([[1.0, 1.0], [7.0, 0.0]], np.array([0, -100])),)),
    "kl_div": OpCase(divergences(), numpy_kl),
    "cosine_similarity": OpCase(similar(), numpy_cosine, curvatures=(
        bent([0.0, 0.0], [3.0, 4.0], eps=0.5, hessian=np.kron([[0, 1], [1, 0]], [
            [0.256, -0.192], [-0.192, 0.144]])),
        bent([0.0, 0.0], [0.0, 0.0], eps=0.5, hessian=4 * np.kron([[0, 1], [1, 0]], np.eye(2))))),
}
