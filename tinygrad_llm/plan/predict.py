r"""What a training run will take: parameters, memory, arithmetic and time.

A batch is cut into slices, N threads take them in turns, and then one update follows. With
$P$ bytes of weights, as many of gradients and A bytes that the optimizer keeps (AdamW 2 P), with an
average of the weights P more, a process that takes R bytes before it has a model, and slices that
take M bytes at most, memory comes to

$$R + 2 P + A + N M + W$$

at the most, all threads being at the end of a forward pass at once, which over many slices they
are; W is the largest gradient, one of which waits where a thread is ahead of those whose parts are
added before (see `train.ordered_sum`). That is resident memory, as the system counts it. glibc
keeps what a thread has freed for its next slice (see `host.machine.keep_freed_memory`), so the most
stays resident; other C libraries give some back. Where reading the text took more than that, it is
what the process takes. Not counted: the picture of the losses (23 MB), and the buffers of BLAS and
the stacks of threads (some MB).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace
from typing import Any

from autograd import Tensor

from ..host.machine import Memory
from ..host.threads import check_threads
from ..models import architecture
from ..nn.parameters import children
from ..train.config import TrainConfig
from ..train.objective import Objective
from ..train.slices import slice_bounds
from ..train.step import next_token
from .fold import fold
from .measure import Bench, Measured, measure

SECONDS = 4.0
"""How long a machine is measured; with what has to be opened before it, five seconds."""


@dataclass(frozen=True)
class Plan:
    """What is predicted for a run. The bytes in `memory`, by purpose, add up to those of a step.

    `slices` are the sequences of each, `measured` is a slice of `measured.rows` sequences, and
    `reading` are the bytes that the process has taken at the most before it had a model.
    """

    config: TrainConfig
    vocab_size: int
    threads: int
    slices: list[int]
    parameters: dict[str, int]
    memory: dict[str, int]
    reading: int
    measured: Measured

    @property
    def peak(self) -> int:
        """The bytes of memory that the process takes at the most."""
        return max(self.reading, sum(self.memory.values()))

    @property
    def tokens(self) -> int:
        """The tokens of a step."""
        return self.config.data.batch * self.config.context

    @property
    def flops(self) -> tuple[float, float]:
        """The arithmetic of a step, forward and backward."""
        share = self.config.data.batch / self.measured.rows
        forward, backward = (share * sum(op.count * op.flops[i] for op in self.measured.ops)
                             for i in (0, 1))
        return forward, backward

    @property
    def update_seconds(self) -> float:
        """The time of an update."""
        return sum(self.parameters.values()) * self.measured.update

    @property
    def step_seconds(self) -> float:
        """The time of a step."""
        sequences = longest(self.slices, self.threads)
        return sequences * self.measured.seconds / self.measured.rows + self.update_seconds

    @property
    def evaluation_seconds(self) -> float:
        """The time of all evaluations of the run; a thread takes whole batches."""
        run = self.config.run
        between = (run.steps - 1) // run.eval_every if run.eval_every else 0
        forward = sum(op.count * op.forward for op in self.measured.ops) / self.measured.rows
        return forward * self.config.data.batch / self.threads * (
            between * run.eval_batches + run.final_eval_batches)


def predict(config: TrainConfig, vocab_size: int, *, before: Memory, threads: int | None = None,
            seconds: float = SECONDS, objective: Objective = next_token) -> Plan:
    """Predict a run whose number of slices is settled; `before` it has a model is its memory.

    Raises MemoryError where not even two layers of the model fit.
    """
    model, batch = config.new_model(vocab_size, seed=None), config.data.batch
    weights = architecture(config.arch).weights(model)
    sizes, averages = [p.data.nbytes for p in weights.values()], config.bytes_beside(weights)
    groups = by_group(model)
    del weights
    fold(model)
    key = 0 if config.model.get("dropout") else None
    threads = check_threads(threads)
    slices = [rows.stop - rows.start for rows in slice_bounds(batch, config.run.slices)]
    found = measure(Bench(model, objective, vocab_size, config, key), slices, threads, seconds)
    beside = at_once(slices, threads)
    kept = sum(op.count * op.kept for op in found.ops)
    waiting = max(sizes) if min(threads, len(slices)) > 1 else 0
    memory = {"program and data": before.now, "weights": sum(sizes), "gradients": sum(sizes),
              "averages": averages, "activations": kept * beside // found.rows,
              "working memory": (found.peak - kept) * beside // found.rows + waiting}
    return Plan(config, vocab_size, threads, slices, groups, memory, before.most, found)


def at_once(slices: Sequence[int], threads: int) -> int:
    """Return the sequences that are at work at once, at the most."""
    return sum(sorted(slices)[-threads:])


def longest(slices: Sequence[int], threads: int) -> int:
    """Return how many sequences the busiest thread takes, the next free one each next slice.

    >>> longest([1, 2, 1, 2], threads=2), longest([6, 6], threads=8)
    (4, 6)
    """
    taken = [0] * threads
    for size in slices:
        heapreplace(taken, taken[0] + size)
    return max(taken)


GROUPS = {"Norm": "norms", "Attention": "attention", "MLP": "feed-forward",
          "Experts": "feed-forward", "Embedding": "embeddings"}
"""What a class's name has in it, and the group of its parameters."""


def by_group(model: Any) -> dict[str, int]:
    """Return how many parameters each group has; "other" are those of classes without one.

    The innermost class decides: the norm of the queries in attention is a norm.
    """
    counts, seen = Counter[str](), set[int]()

    def visit(thing: Any, group: str) -> None:
        if id(thing) in seen:
            return
        seen.add(id(thing))
        if isinstance(thing, Tensor):
            counts[group] += thing.size if thing.requires_grad else 0
        name = type(thing).__name__
        group = next((GROUPS[part] for part in GROUPS if part in name), group)
        for _, value in children(thing):
            visit(value, group)

    visit(model, "other")
    return dict(counts)
