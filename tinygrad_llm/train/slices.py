r"""A batch in slices that several threads can take.

A batch of B rows is cut into S slices of neighbouring rows. With $n_s$ the terms that count in
slice s (in pretraining, the targets) and $n$ their sum, the means of the slices add up to the mean
of the batch, and so do their gradients:

$$\ell = \sum_{s=1}^{S} \frac{n_s}{n}\,\ell_s, \qquad
\bar\theta = \sum_{s=1}^{S} \frac{n_s}{n}\,\bar\theta_s .$$

Each slice runs by itself, on one thread, and the gradients are added in the order of the slices:
the bits of the result depend on S and not on the number of threads.

The same sum is that of gradient accumulation: a batch in N parts, of which one at a time goes
through the model, takes the activations of one part. As parts consist of slices, all that N does is
to limit how many slices are under way, to S / N, and the bits are those of any other N. (Where that
is one slice, it is cut for the threads inside its ops, as a batch of one slice is: the same to
rounding.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np

from autograd import Tensor, namespace, no_grad
from autograd.backend import Array
from autograd.tree import flatten, mapped

from ..host.threads import each
from ..nn import subkey
from .objective import Objective
from .ordered_sum import OrderedSum, Part


@dataclass(frozen=True)
class Slice:
    """Neighbouring rows of a batch, a key of their own, and n_s / n, their share of the terms."""

    batch: Any
    key: int | None
    share: float


def cut(batch: Any, count: Callable[[Any], float], slices: int | None = None,
        key: int | None = None, accumulate: int = 1) -> list[Slice]:
    """Return the slices of a batch, without those in which nothing counts.

    `slices` of them, 1 to B; by default as many as suit each of the `accumulate` parts. On a GPU,
    which has no use for more, a part is one slice, and a batch in one part is not counted: the host
    would have to wait for that. Raises ValueError for another number, and for arrays whose first
    axes differ.
    """
    arrays, _ = flatten(batch)
    length = _rows(arrays)
    if namespace(*arrays) is not np:
        if accumulate == 1:
            return [Slice(batch, subkey(key, 0), share=1.0)]
        slices = accumulate
    slices = slices or default_slices(
        length, max(a.size for a in arrays) // max(1, length), accumulate)
    parts = [_taken(batch, rows) for rows in slice_bounds(length, slices)]
    counts = [count(part) for part in parts]
    return [Slice(part, subkey(key, s), share=n / sum(counts))
            for s, (part, n) in enumerate(zip(parts, counts, strict=True)) if n]


def _rows(arrays: Sequence[Any]) -> int:
    """Return the length of the first axis, which all arrays have in common."""
    shapes = [tuple(getattr(a, "shape", ())) for a in arrays]
    if not all(shapes) or len({shape[0] for shape in shapes}) != 1:
        raise ValueError(f"a batch is cut along the first axis of its arrays, all of one length; "
                         f"got {', '.join(map(str, shapes)) or 'no array'}")
    return int(shapes[0][0])


def _taken(batch: Any, rows: slice) -> Any:
    return mapped(lambda array: array[rows], batch)


def slice_bounds(length: int, slices: int) -> list[slice]:
    """Return where each slice lies in a batch; their sizes differ by one at most.

    Raises ValueError unless there are 1 to `length` slices.
    """
    if not 1 <= slices <= length:
        raise ValueError(f"a batch of {length} rows can be cut into 1 to {length} slices, got "
                         f"{slices}")
    bounds = [length * s // slices for s in range(slices + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def default_slices(batch: int, context: int, accumulate: int = 1) -> int:
    """Return a number of slices that suits the batch: about 1,024 tokens each, 2 to 16 of them.

    It depends on nothing else, least of all on the machine, so a run has the same bits everywhere
    where the arithmetic is the same. Below 256 tokens a batch stays whole: threads would cost more
    than they bring. Of a batch in `accumulate` parts that is meant of each of them.
    """
    rows = batch // accumulate
    tokens = rows * context
    wanted = min(rows, max(2, tokens // 1024), 16) if tokens >= 256 else 1
    return accumulate << (wanted.bit_length() - 1)


Add = Callable[[int, Part], None]
"""Adds a part to the gradient of the parameter number i."""


def sum_over_slices(parts: Sequence[Slice], body: Callable[[Slice, Add], float],
                    parameters: Mapping[str, Tensor], into: Mapping[str, Array],
                    accumulate: int = 1) -> float:
    """Run `body(part, add)` for all parts, on all workers; return the sum of share times result.

    Of the parts, one in `accumulate` is under way at a time. What the bodies add is summed in the
    arrays `into`, which become the parameters' `grad`; it is None for a parameter that no body adds
    to, and for all where a body fails. A hook on a parameter sees the slices' gradients one by one.
    """
    for p in parameters.values():
        p.grad = None  # the arrays are about to be written
    sums = OrderedSum([into[name] for name in parameters], len(parts))

    def weighted(s: int) -> float:
        with sums.slice(s) as add:
            return parts[s].share * body(parts[s], add)

    total = sum(each(len(parts), weighted, -(-len(parts) // accumulate)), 0.0)
    sums.finish()
    for (name, p), added in zip(parameters.items(), sums.added, strict=True):
        p.grad = into[name] if added else None
    return total


def batch_losses(model: Any, objective: Objective, batch_at: Callable[[int], Any], batches: int,
                 slices: int | None = None) -> list[list[float]]:
    """Return the losses of `batches` batches, without dropout and without recording.

    Each is a list of its slices' shares, whose sum it is; `mean_loss` is that of batches.
    """
    measure = objective.measure or objective.loss

    def losses(i: int) -> list[float]:
        with no_grad():
            return [part.share * float(measure(model, part.batch, None))
                    for part in cut(batch_at(i), objective.count, slices)]

    return each(batches, losses)


def mean_loss(losses: Sequence[Sequence[float]]) -> float:
    """Return the mean of the losses of batches, each a list of its slices' shares."""
    return sum(chain.from_iterable(losses), 0.0) / len(losses)
