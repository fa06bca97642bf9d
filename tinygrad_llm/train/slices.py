r"""The loss and the gradient of a batch, in slices that several threads can take.

A batch of B sequences is cut into S slices of neighbouring sequences. With $n_s$ the targets of
slice s that count and $n$ their sum, the means of the slices add up to the mean of the batch:

$$\ell = \sum_{s=1}^{S} \frac{n_s}{n}\,\ell_s, \qquad
\bar\theta = \sum_{s=1}^{S} \frac{n_s}{n}\,\bar\theta_s .$$

Each slice runs forward and backward by itself, on one thread, and the parts of a gradient are added
in the order of the slices: the bits of the result depend on S and not on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import isfinite

from autograd import Tensor, fold_in, namespace, no_grad
from autograd.backend import Array
from autograd.backward import pull_back

from ..host.threads import each
from ..models import GPT
from .ordered_sum import OrderedSum

IGNORED = -100  # the target that counts for nothing, as in `softmax_cross_entropy`


def default_slices(batch: int, context: int) -> int:
    """Return a number of slices that suits the batch: about 1,024 tokens each, 2 to 16 of them.

    It depends on nothing else, least of all on the machine, so a run has the same bits everywhere
    where the arithmetic is the same. Below 256 tokens a batch stays whole: threads would cost more
    than they bring.
    """
    tokens = batch * context
    wanted = min(batch, max(2, tokens // 1024), 16) if tokens >= 256 else 1
    return 1 << (wanted.bit_length() - 1)


def loss_and_gradients(model: GPT, parameters: Sequence[Tensor], inputs: Array, targets: Array, *,
                       key: int | None, slices: int, into: Sequence[Array]) -> float:
    """Return the loss of a batch (B, T) in nats, and put its gradients into the arrays `into`.

    The `grad` of a parameter becomes its array, or None where the loss does not depend on it. A key
    turns dropout on. A hook on a parameter sees the slices' parts one by one. Where a slice's loss
    is not finite, neither is the result, and all `grad` are None. Raises ValueError unless there
    are 1 to B slices.
    """
    cuts = slice_bounds(len(inputs), slices)
    shares = token_shares(targets, cuts)
    for p in parameters:
        p.grad = None  # their arrays are about to be written; a failure must not leave halves
    sums = OrderedSum(into, slices)

    def forward_and_backward(s: int) -> float:
        own_key = None if key is None else fold_in(key, s)
        with sums.slice(s) as add:
            loss = model.loss(inputs[cuts[s]], targets[cuts[s]], own_key)
            value = float(loss)
            if isfinite(value):
                share = namespace(loss.data).full_like(loss.data, shares[s])
                pull_back([loss], [share], parameters, deliver=add)
        return value * shares[s] if shares[s] else 0.0

    loss = sum(each(slices, forward_and_backward), 0.0)
    sums.finish()
    for p, total, added in zip(parameters, into, sums.added, strict=True):
        p.grad = total if added and isfinite(loss) else None
    return loss


def mean_loss(model: GPT, batch_at: Callable[[int], tuple[Array, Array]], count: int,
              slices: int) -> float:
    """Return the mean loss of `count` batches (B, T), in nats a token, without dropout."""

    def piece(i: int) -> float:
        inputs, targets = batch_at(i // slices)
        cuts = slice_bounds(len(inputs), slices)
        cut = cuts[i % slices]
        with no_grad():
            loss = float(model.loss(inputs[cut], targets[cut]))
        return loss * token_shares(targets, cuts)[i % slices]

    return sum(each(count * slices, piece)) / count


def slice_bounds(batch: int, slices: int) -> list[slice]:
    """Return where each slice lies in a batch; their sizes differ by one at most.

    Raises ValueError unless there are 1 to `batch` slices.
    """
    if not 1 <= slices <= batch:
        raise ValueError(f"a batch of {batch} sequences can be cut into 1 to {batch} slices, got "
                         f"{slices}")
    bounds = [batch * s // slices for s in range(slices + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def token_shares(targets: Array, cuts: Sequence[slice]) -> list[float]:
    """Return for each slice its share of the targets that count."""
    if len(cuts) == 1:
        return [1.0]
    counts = [int((targets[cut] != IGNORED).sum()) for cut in cuts]
    return [count / max(1, sum(counts)) for count in counts]
