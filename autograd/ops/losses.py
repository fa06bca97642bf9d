r"""The standard losses, as compositions, under the names of `torch.nn.functional`.

Each is computed by element, or by row where there are classes, and then reduced: `reduction` is
"mean" over these losses, their "sum", or "none".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..backend import Array, Shape, namespace, widened
from ..broadcast import astype, broadcast_to
from ..primitive import composite, primitive
from ..tensor import Tensor, values
from . import reduce
from .activations import log_softmax, relu, softplus
from .exponential import exp, xlogy
from .index import getitem, take_along_axis
from .linalg import vector_norm
from .piecewise import absolute, clip, maximum, where
from .shape import array, as_arrays, reshape, squeeze

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_similarity",
    "cross_entropy", "hinge_loss", "huber_loss", "kl_div", "l1_loss", "mse_loss", "nll_loss",
    "smooth_l1_loss",
]


def _reduced(losses: Any, reduction: str) -> Any:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"`reduction` is 'mean', 'sum' or 'none', got {reduction!r}")
    if reduction == "mean":
        return reduce.mean(losses)
    return reduce.sum(losses) if reduction == "sum" else losses


def _pair(x: Any, target: Any) -> tuple[Any, Any]:
    """Return both as arrays; refuse two shapes, which would broadcast to other losses."""
    xp = namespace(values(x), values(target))
    x, target = (v if isinstance(v, Tensor) else xp.asarray(v) for v in (x, target))
    if x.shape != target.shape:
        raise ValueError(f"expected an input and a target of one shape, got {x.shape} and "
                         f"{target.shape}; reshape or broadcast one of them")
    if x.dtype.kind == "f" and target.dtype.kind in "biu":
        target = astype(target, x.dtype)  # int64 labels would make float64 of a float32 input
    return x, target


# of numbers


@composite
@widened
def mse_loss(x: Any, target: Any, *, reduction: str = "mean") -> Any:
    r"""Return $u^2$ with $u = x - t$, t being the target.

    By element, $dy = 2u\,(dx - dt)$, so $\bar x = 2 \bar y\,u$ and $\bar t = -2 \bar y\,u$.
    """
    x, target = _pair(x, target)
    d = x - target
    return _reduced(d * d, reduction)


@composite
@widened
def l1_loss(x: Any, target: Any, *, reduction: str = "mean") -> Any:
    r"""Return $|u|$ with $u = x - t$, t being the target; the derivative at 0 is taken as 0.

    By element, $dy = \operatorname{sign}(u)\,(dx - dt)$, so
    $\bar x = \bar y \operatorname{sign}(u)$ and $\bar t = -\bar y \operatorname{sign}(u)$.
    """
    x, target = _pair(x, target)
    return _reduced(absolute(x - target), reduction)


@composite
@widened
def huber_loss(x: Any, target: Any, *, delta: float = 1.0, reduction: str = "mean") -> Any:
    r"""Return $u^2/2$ where $|u| \le \delta$ with $u = x - t$, else $\delta\,(|u| - \delta/2)$.

    t is the target and $\delta$ is `delta`. With c, that is u clipped to $[-\delta, \delta]$, both
    are $c\,(u - c/2)$, which does not square a large u. $dy = c\,(dx - dt)$, so
    $\bar x = \bar y\,c$ and $\bar t = -\bar y\,c$. At $|u| = \delta$ the second derivative is taken
    as 1/2.

    Source: Huber, "Robust estimation of a location parameter", 1964.
    """
    if delta <= 0:
        raise ValueError(f"expected delta > 0, got {delta}; at 0 the loss is 0, see l1_loss")
    x, target = _pair(x, target)
    return _reduced(_huber(x - target, delta), reduction)


@primitive
def _huber(u: Array, r: Array, /) -> Array:
    r"""Return $y = c\,(u - c/2)$, c being u clipped to $[-r, r]$.

    $dy = (u - c)\,dc + c\,du$, where within the bounds $u - c$ is 0, and beyond them $dc$ is
    $\pm dr$: $dy = c\,du + |u - c|\,dr$, so $\bar u = \bar y\,c$ and $\bar r = \bar y\,|u - c|$.
    """
    c = namespace(u, r).clip(u, -r, r)
    return c * (u - 0.5 * c)


_huber.vjp(lambda g, u, r: g * clip(u, -r, r), lambda g, u, r: g * relu(absolute(u) - r))


@composite
@widened
def smooth_l1_loss(x: Any, target: Any, *, beta: float = 1.0, reduction: str = "mean") -> Any:
    r"""Return $u^2/(2\beta)$ where $|u| \le \beta$ with $u = x - t$, and $|u| - \beta/2$ beyond.

    t is the target and $\beta$ is `beta`. That is `huber_loss` with $\beta$ for delta, divided by
    $\beta$, and `l1_loss` for a $\beta$ of 0. With c, that is u clipped to $[-\beta, \beta]$, by
    element $dy = (c / \beta)\,(dx - dt)$, so $\bar x = \bar y\,c / \beta$ and
    $\bar t = -\bar y\,c / \beta$.
    """
    if beta == 0:
        return l1_loss(x, target, reduction=reduction)
    return huber_loss(x, target, delta=beta, reduction=reduction) / beta


@composite
@widened
def cosine_similarity(a: Any, b: Any, axis: int = -1, *, eps: float = 1e-8) -> Any:
    r"""Return $a \cdot b / \bigl(\max(|a|, \epsilon) \max(|b|, \epsilon)\bigr)$ along the axis.

    $\epsilon$ is `eps`. a and b broadcast, along this axis too, before their lengths are taken.
    For lengths above $\epsilon$, $|a|\,|b|\,y = a \cdot b$ and $d|a| = a \cdot da / |a|$, so
    $dy = (b / (|a|\,|b|) - y\,a / |a|^2) \cdot da$ and as much with a and b exchanged:
    $\bar a = \bar y\,(b / (|a|\,|b|) - y\,a / |a|^2)$.
    """
    a, b = as_arrays([a, b])
    shape = np.broadcast_shapes(a.shape, b.shape)
    axis = normalize_axis_index(axis, len(shape))

    def normalized(x: Any) -> Any:
        own = (1,) * (len(shape) - x.ndim) + x.shape
        x = broadcast_to(x, (*own[:axis], shape[axis], *own[axis + 1 :]))
        return x / maximum(vector_norm(x, axis=axis, keepdims=True), eps)

    return reduce.sum(normalized(a) * normalized(b), axis)


# of two classes


@composite
@widened
def hinge_loss(x: Any, target: Any, *, reduction: str = "mean") -> Any:
    r"""Return $\max(0, 1 - t\,x)$ for targets t of -1 and 1.

    By element, $dy = -[t\,x < 1]\,t\,dx$, so $\bar x = -[t\,x < 1]\,\bar y\,t$, which is 0 at the
    kink.
    """
    x, target = _pair(x, target)
    return _reduced(relu(1.0 - target * x), reduction)


@composite
@widened
def binary_cross_entropy(x: Any, target: Any, *, reduction: str = "mean") -> Any:
    r"""Return $-t \ln x - (1 - t) \ln(1 - x)$ for probabilities x and targets t, with 0 ln 0 = 0.

    By element, $dy = (-t / x + (1 - t) / (1 - x))\,dx$, so
    $\bar x = \bar y\,(x - t) / (x\,(1 - x))$. It is infinite where a probability 0 comes true; of
    logits, which x was computed from, `binary_cross_entropy_with_logits` is finite and more
    precise.
    """
    x, target = _pair(x, target)
    _check_probabilities(values(x))
    return _reduced(-xlogy(target, x) - xlogy(1.0 - target, 1.0 - x), reduction)


def _check_probabilities(x: Array) -> None:
    if namespace(x) is np and not bool(((x >= 0) & (x <= 1)).all()):  # a GPU would have to wait
        raise ValueError("expected probabilities, between 0 and 1; for logits there is "
                         "binary_cross_entropy_with_logits")


@composite
@widened
def binary_cross_entropy_with_logits(z: Any, target: Any, *, pos_weight: Any = None,
                                     reduction: str = "mean") -> Any:
    r"""Return $-t \ln \sigma(z) - (1 - t) \ln(1 - \sigma(z))$; `pos_weight` multiplies the first.

    z is the logit and t the target. It is $t \operatorname{softplus}(-z) + (1 - t)
    \operatorname{softplus}(z)$, precise in both tails. By element $dy = (\sigma(z) - t)\,dz$, so
    $\bar z = \bar y\,(\sigma(z) - t)$.
    """
    z, target = _pair(z, target)
    yes = target * softplus(-z)
    yes = yes if pos_weight is None else pos_weight * yes
    return _reduced(yes + (1 - target) * softplus(z), reduction)


# of distributions over classes


@composite
@widened
def cross_entropy(logits: Any, targets: Any, *, weight: Any = None, axis: int = -1,
                  ignore_index: int = -100, label_smoothing: float = 0.0,
                  reduction: str = "mean") -> Any:
    r"""Return $-\sum_c t_c \ln p_c$ with $p = \operatorname{softmax}(z)$, z being the logits.

    `targets` are the classes, integers in the shape of the logits without the axis of classes, of
    which rows with `ignore_index` are left out; or probabilities t in the shape of the logits. By
    `label_smoothing` $\epsilon$, t becomes $(1 - \epsilon)\,t + \epsilon / C$ with C classes. The
    mean is over the rows that are not left out, 0 if there are none. (PyTorch has the classes in
    axis 1, where there are more axes than two.)

    With a `weight` for each class, $\ln p_c$ is multiplied by that of class c; the mean over rows
    of classes is then by the sum of their weights, and a gradient flows to the weights too.

    By row, with the weights $w_c$, 1 unless given, and $\ln p_c = z_c - \ln \sum_k e^{z_k}$:
    $dy = -\sum_c w_c t_c\,(dz_c - \sum_k p_k\,dz_k)$, so
    $\bar z_c = \bar y\,(p_c \sum_k w_k t_k - w_c t_c)$, without weights $\bar y\,(p_c - t_c)$.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"expected a label_smoothing between 0 and 1, got {label_smoothing}")
    log_p, targets = log_softmax(logits, axis), _target_array(targets, logits)
    if targets.dtype.kind in "iu":
        return _of_classes(log_p, values(targets), weight, axis, ignore_index, label_smoothing,
                           reduction)
    log_p, targets = _pair(_weighed(log_p, weight, axis)[0], targets)
    if label_smoothing:
        targets = (1 - label_smoothing) * targets + label_smoothing / log_p.shape[axis]
    return _reduced(-reduce.sum(targets * log_p, axis), reduction)


@composite
@widened
def nll_loss(log_p: Any, targets: Any, *, weight: Any = None, axis: int = -1,
             ignore_index: int = -100, reduction: str = "mean") -> Any:
    r"""Return $-\ln p_t$ for target classes t; options and targets as in `cross_entropy`.

    `log_p` is ln p for each class. The gradient by $\ln p_t$ is $-\bar y$, that by the others 0.
    """
    targets = values(_target_array(targets, log_p))
    return _of_classes(log_p, targets, weight, axis, ignore_index, 0.0, reduction)


def _target_array(targets: Any, beside: Any) -> Any:
    return targets if isinstance(targets, Tensor) else namespace(values(beside)).asarray(targets)


def _weighed(log_p: Any, weight: Any, axis: int) -> tuple[Any, Any]:
    """Return log_p multiplied by the weights of the classes, and these as an array of its dtype."""
    if weight is None:
        return log_p, None
    (log_p,), weight = as_arrays([log_p]), array(weight)
    weight = weight if isinstance(weight, Tensor) else namespace(values(log_p)).asarray(weight)
    axis = normalize_axis_index(axis, log_p.ndim)
    if weight.shape != log_p.shape[axis : axis + 1]:
        raise ValueError(f"expected a weight for each of the {log_p.shape[axis]} classes, got "
                         f"shape {weight.shape}")
    weight = astype(weight, log_p.dtype)
    return log_p * reshape(weight, (-1,) + (1,) * (log_p.ndim - 1 - axis)), weight


def _of_classes(log_p: Any, targets: Array, weight: Any, axis: int, ignore_index: int,
                smoothing: float, reduction: str) -> Any:
    _check_classes(log_p.shape, targets, axis, ignore_index)
    log_p, weight = _weighed(log_p, weight, axis)
    xp, used = namespace(targets), targets != ignore_index
    classes = xp.where(used, targets, 0)
    losses = -squeeze(take_along_axis(log_p, xp.expand_dims(classes, axis), axis), axis)
    if smoothing:
        losses = (1 - smoothing) * losses - smoothing * reduce.mean(log_p, axis)
    losses = where(used, losses, 0.0)
    if reduction != "mean":
        return _reduced(losses, reduction)
    if weight is None:
        return reduce.sum(losses) / xp.maximum(used.sum(), 1).astype(log_p.dtype)
    total = reduce.sum(where(used, getitem(weight, classes), 0.0))
    return reduce.sum(losses) / (total + (~used.any()).astype(log_p.dtype))


def _check_classes(shape: Shape, targets: Array, axis: int, ignore_index: int) -> None:
    if targets.dtype.kind not in "iu":
        raise TypeError(f"expected classes, which are integers, got {targets.dtype}")
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis {axis} is out of bounds for {len(shape)} axes")
    axis %= len(shape)
    if targets.shape != shape[:axis] + shape[axis + 1 :]:
        raise ValueError(f"expected classes of the shape {shape} without axis {axis}, "
                         f"got {targets.shape}")
    if namespace(targets) is np:  # a GPU would have to wait for the answer
        wrong = (targets != ignore_index) & ((targets < 0) | (targets >= shape[axis]))
        if wrong.any():
            raise IndexError(f"classes must lie in [0, {shape[axis]}) or be "
                             f"ignore_index={ignore_index}, got {targets[wrong][0]}")


@composite
@widened
def kl_div(log_q: Any, target: Any, *, log_target: bool = False, reduction: str = "mean") -> Any:
    r"""Return $p\,(\ln p - \ln q)$ of log-probabilities $\ln q$ and probabilities p; 0 ln 0 is 0.

    `log_q` is $\ln q$, and the target is p, or $\ln p$ with `log_target`. The sum over a row's
    classes is the Kullback-Leibler divergence of p from q; `reduction="batchmean"` is the sum of
    all by the length of the first axis, which is its mean over rows, while "mean" is over all
    elements. With $r = \ln q$, by element $dy = -p\,dr + (\ln p + 1 - r)\,dp$, so
    $\bar r = -\bar y\,p$ and $\bar p = \bar y\,(\ln p + 1 - r)$.
    """
    log_q, target = _pair(log_q, target)
    if log_target:
        losses = exp(target) * (target - log_q)
    else:
        losses = xlogy(target, target) - target * log_q
    if reduction == "batchmean":
        return reduce.sum(losses) / losses.shape[0]
    return _reduced(losses, reduction)
