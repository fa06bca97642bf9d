r"""A look at one step, part by part and layer by layer.

Of each part of the model with parameters w (a weight and its bias together), which the step changed
by dw and whose gradient was g:

    update_ratio    ||dw|| / ||w||, near 1e-3 where the learning rate suits the part
    weight_norm     ||w||, before the step
    gradient_norm   ||g||, before clipping

and of each layer, over the places of some rows of the step's batch, after the step and without
dropout, the root mean square $\sqrt{\operatorname{mean}(x^2)}$ of

    stream      the residual stream before the first block and behind each: L + 1 numbers
    attention   what attention adds to it in each block: L numbers
    mlp         what the feed-forward layer adds

A change needs the weights of before: of at most SAMPLED elements of each parameter, evenly spaced,
so that a look takes little memory; the ratio is of these, exact for smaller ones. A look
reads arrays and writes none, and draws no number: the run's bits are the same without it.

Source of the rule of thumb for ||dw|| / ||w||: Karpathy, CS231n notes, "Neural Networks Part 3",
section "Ratio of weights:updates" (2015).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import hypot, sqrt
from typing import Any

from autograd import namespace, no_grad
from autograd.backend import Array
from autograd.tensor import values
from autograd.tree import flatten, mapped

from ...nn.observed import added, can_be_observed, observed, streams_of
from ..objective import Objective

SAMPLED = 1 << 16
ELEMENTS = 256  # of an array of the batch, at least, as far as there are so many


class Look:
    """The weights of a model before a step, to be compared with those behind it."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.before = {name: _some(p.data).copy() for name, p in optimizer.parameters.items()}
        self.weights = _by_part((name, _norm(p.data)) for name, p in optimizer.parameters.items())

    def after(self, model: Any, objective: Objective, batch: Any, norm: float) -> dict[str, Any]:
        """Return the record of the step, whose gradient had that norm over all parts together."""
        now = {name: _some(p.data) for name, p in self.optimizer.parameters.items()}
        changed = _by_part((name, _norm(now[name] - old)) for name, old in self.before.items())
        was = _by_part((name, _norm(old)) for name, old in self.before.items())
        gradients = _by_part((name, _norm(self.optimizer.gradients[name])) for name in now)
        # A scaled loss scales them all: the norm that the step reports is that without the scale.
        scale = norm / (hypot(*gradients.values()) or 1.0)
        return {"update_ratio": {part: _short(changed[part] / was[part]) if was[part] else None
                                 for part in changed},
                "weight_norm": {part: _short(value) for part, value in self.weights.items()},
                "gradient_norm": {part: _short(scale * g) for part, g in gradients.items()},
                **activations(model, objective, batch)}


def activations(model: Any, objective: Objective, batch: Any) -> dict[str, list[float]]:
    """Return `stream`, `attention` and `mlp` of the module; of other models, nothing."""
    if not can_be_observed(model):
        return {}
    arrays, _ = flatten(batch)
    rows = max(1, max(-(-ELEMENTS * len(a) // max(1, a.size)) for a in arrays))
    twin, blocks = observed(model)
    with no_grad():
        (objective.measure or objective.loss)(twin, mapped(lambda a: a[:rows], batch), None)
    return {name: [_short(_norm(values(x)) / sqrt(values(x).size)) for x in found]
            for name, found in (("stream", streams_of(blocks)),
                                ("attention", added(blocks, "attn")),
                                ("mlp", added(blocks, "mlp")))}


def _some(a: Array) -> Array:
    """Return at most SAMPLED elements, evenly spaced; an odd distance meets all columns."""
    distance = -(-a.size // SAMPLED)
    return a.reshape(-1)[::distance + (distance % 2 == 0)]


def _norm(a: Array) -> float:
    x = a.reshape(-1)
    x = x if x.dtype.itemsize > 2 else x.astype("float32")
    return sqrt(float(namespace(x).dot(x, x)))


def _by_part(norms: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the norms of parts, from those of their parameters by name."""
    parts: dict[str, float] = {}
    for name, norm in norms:
        part = re.sub(r"\.(weight|bias)$", "", name)
        parts[part] = hypot(parts.get(part, 0.0), norm)
    return parts


def _short(value: float) -> float:
    return float(f"{value:.4g}")
