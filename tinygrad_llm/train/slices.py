r"""The loss and the gradient of a batch, in shards that several threads can take.

A batch of B sequences is cut into S shards of neighbouring sequences. With $n_s$ the targets of
shard s that count and $n$ their sum, the means of the shards add up to the mean of the batch:

$$\ell = \sum_{s=1}^{S} \frac{n_s}{n}\,\ell_s, \qquad
\bar\theta = \sum_{s=1}^{S} \frac{n_s}{n}\,\bar\theta_s .$$

Each shard runs forward and backward by itself, on one thread. Sums of floating point numbers depend
on their order, so the parts of a gradient are added in a fixed one, whichever is ready first: the
bits of the result depend on S and not on the number of threads. A parameter that is used once has a
part from each shard; one that is used twice, like GPT's token table, has two, and all first parts
come before the second ones. A shard that is ahead leaves its part behind, and whoever adds the one
before it goes on with that; one that is far ahead waits. So besides the sum there are only a few
parts in memory.

Source: Chen et al., "Revisiting Distributed Synchronous SGD", arXiv:1604.00981, section 3, in which
the order of the sum is left open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count as counter
from itertools import pairwise
from math import isfinite
from threading import Condition

from autograd import Tensor, fold_in, namespace, no_grad
from autograd.backend import Array
from autograd.backward import pull_back
from autograd.deferred import Deferred

from ..host.threads import each
from ..models import GPT

_AHEAD = 1 << 25  # bytes of parts that wait, beyond which a shard waits for those before it

IGNORED = -100  # the target that counts for nothing, as in `softmax_cross_entropy`


def default_shards(batch: int, context: int) -> int:
    """Return a number of shards that suits the batch: about 1,024 tokens each, 2 to 16 of them.

    It depends on nothing else, least of all on the machine, so a run has the same bits everywhere
    where the arithmetic is the same. Below 256 tokens a batch stays whole: threads would cost more
    than they bring.
    """
    tokens = batch * context
    wanted = min(batch, max(2, tokens // 1024), 16) if tokens >= 256 else 1
    return 1 << (wanted.bit_length() - 1)


class OrderedSum:
    """One sum a place, of parts that arrive in any order and are added in the order of numbers.

    Shard s of S gives the parts number s, S + s, 2 S + s and so on. Shards begin in their order.
    """

    def __init__(self, totals: Sequence[Array], shards: int = 1) -> None:
        self.totals = totals
        self.shards = shards
        self.added = [0] * len(totals)  # how many parts; the number of the next
        self.waiting: list[dict[int, Array | Deferred]] = [{} for _ in totals]
        self.waiting_bytes = 0
        self.ended: set[int] = set()  # shards that will give no more
        self.changed = Condition()

    def add(self, number: int, place: int, part: Array | Deferred) -> None:
        """Add part `number` (0, 1, ...) to the total of a place, once those before it are in."""
        if number != self.added[place] and isinstance(part, Deferred) and not part.sparse:
            part = part.array()  # or all the work of it would be left to who comes later
        with self.changed:
            if number < self.shards and self.waiting_bytes > _AHEAD:
                self.changed.wait_for(lambda: self.added[place] == number or all(
                    s in self.ended for s in range(number)))
            if number != self.added[place]:
                self.waiting[place][number] = part
                self.waiting_bytes += _bytes(part)
                return
        following: Array | Deferred | None = part
        while following is not None:  # nobody else adds here: it is not told yet who is next
            self._put(place, following)
            with self.changed:
                self.added[place] += 1
                following = self.waiting[place].pop(self.added[place], None)
                self.waiting_bytes -= 0 if following is None else _bytes(following)
                self.changed.notify_all()

    def end(self, shard: int) -> None:
        """Say that a shard gives no more parts, also where it failed: nobody is to wait for it."""
        with self.changed:
            self.ended.add(shard)
            self.changed.notify_all()

    def _put(self, place: int, part: Array | Deferred) -> None:
        total, add = self.totals[place], self.added[place] > 0
        if isinstance(part, Deferred):
            part.write(total, add)
        elif add:
            total += part
        else:
            total[...] = part

    def finish(self) -> None:
        """Add what still waits because a part before it never came."""
        for place, parts in enumerate(self.waiting):
            for number in sorted(parts):
                self._put(place, parts.pop(number))
                self.added[place] += 1


def loss_and_gradients(model: GPT, parameters: Sequence[Tensor], inputs: Array, targets: Array, *,
                       key: int | None, shards: int, into: Sequence[Array]) -> float:
    """Return the loss of a batch (B, T) in nats, and put its gradients into the arrays `into`.

    The `grad` of a parameter becomes its array, or None where the loss does not depend on it. A key
    turns dropout on. A hook on a parameter sees the shards' parts one by one. Where a shard's loss
    is not finite, neither is the result, and all `grad` are None. Raises ValueError unless there
    are 1 to B shards.
    """
    cuts = shard_slices(len(inputs), shards)
    shares = token_shares(targets, cuts)
    for p in parameters:
        p.grad = None  # their arrays are about to be written; a failure must not leave halves
    sums = OrderedSum(into, shards)

    def shard(s: int) -> float:
        own_key = None if key is None else fold_in(key, s)
        turns = [counter(s, shards) for _ in parameters]  # the numbers of this shard's parts
        try:
            loss = model.loss(inputs[cuts[s]], targets[cuts[s]], own_key)
            value = float(loss)
            if isfinite(value):
                share = namespace(loss.data).full_like(loss.data, shares[s])
                pull_back([loss], [share], parameters,
                          deliver=lambda i, part: sums.add(next(turns[i]), i, part))
        finally:
            sums.end(s)
        return value * shares[s] if shares[s] else 0.0

    # A batch that stays whole is not a piece: its ops may cut themselves.
    loss = sum(each(shards, shard)) if shards > 1 else shard(0)
    sums.finish()
    for p, total, added in zip(parameters, into, sums.added, strict=True):
        p.grad = total if added and isfinite(loss) else None
    return loss


def _bytes(part: Array | Deferred) -> int:
    return 0 if isinstance(part, Deferred) else int(part.nbytes)


def mean_loss(model: GPT, batch_at: Callable[[int], tuple[Array, Array]], count: int,
              shards: int) -> float:
    """Return the mean loss of `count` batches (B, T), in nats a token, without dropout."""

    def piece(i: int) -> float:
        inputs, targets = batch_at(i // shards)
        cuts = shard_slices(len(inputs), shards)
        cut = cuts[i % shards]
        with no_grad():
            loss = float(model.loss(inputs[cut], targets[cut]))
        return loss * token_shares(targets, cuts)[i % shards]

    return sum(each(count * shards, piece)) / count


def shard_slices(batch: int, shards: int) -> list[slice]:
    """Return where each shard lies in a batch; their sizes differ by one at most.

    Raises ValueError unless there are 1 to `batch` shards.
    """
    if not 1 <= shards <= batch:
        raise ValueError(f"a batch of {batch} sequences can be cut into 1 to {batch} shards, got "
                         f"{shards}")
    bounds = [batch * s // shards for s in range(shards + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def token_shares(targets: Array, cuts: Sequence[slice]) -> list[float]:
    """Return for each shard its share of the targets that count."""
    if len(cuts) == 1:
        return [1.0]
    counts = [int((targets[cut] != IGNORED).sum()) for cut in cuts]
    return [count / max(1, sum(counts)) for count in counts]
