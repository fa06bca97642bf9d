r"""What a training run will take: parameters, memory, arithmetic and time.

A batch is cut into slices, N threads take them in turns, and then one update follows. With
$P$ bytes of weights, as many of gradients and A bytes that the optimizer keeps (AdamW 2 P, in files
none), with an average of the weights P more, a process that takes R bytes before it has a model,
and slices that take M bytes at most, memory comes to

$$R + 2 P + A + N M + W + K$$

at the most, all threads being at the end of a forward pass at once, which over many slices they
are. Of a batch of S slices that is accumulated in n parts, N is S / n at most; where blocks are
recomputed, M is what that takes, and time has their forward passes twice. W are gradients that
wait, where a thread is ahead of those whose parts are added before (see `train.ordered_sum`), K is
the copy of what the next step changes, P + A, while a checkpoint is still being written in the
background. A step in 16 bits has copies of the weights, P / 2 more. That is resident memory, as the
system counts it. glibc keeps what a thread has freed for its next slice (see
`host.machine.keep_freed_memory`), so the most stays resident; other C libraries give some back.
Where reading the text took more than that, it is what the process takes. Not counted: the picture
of the losses (23 MB), and the buffers of BLAS and the stacks of threads (some MB).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heapreplace
from pathlib import Path
from statistics import median
from tempfile import gettempdir
from typing import Any

from autograd import Tensor

from ..host.files import Scratch
from ..host.machine import Memory
from ..host.threads import check_threads, workers
from ..models import architecture
from ..nn.parameters import children
from ..train.config import TrainConfig
from ..train.objective import Objective
from ..train.ordered_sum import AHEAD
from ..train.precision import FLOAT32
from ..train.slices import slice_bounds
from ..train.step import next_token
from .fold import fold
from .measure import Bench, Measured, measure

SECONDS = 4.0
"""How long a machine is measured; with what has to be opened before it, five seconds."""


@dataclass(frozen=True)
class Plan:
    """What is predicted for a run.

    `parameters` are counted by group, `sizes` are their bytes, `beside_weights` those of averages.
    `before` is the memory of the process before it has a model, and `measured` a slice of
    `measured.rows` sequences.
    """

    config: TrainConfig
    vocab_size: int
    threads: int
    parameters: dict[str, int]
    sizes: list[int]
    beside_weights: int
    before: Memory
    measured: Measured

    @property
    def slices(self) -> list[int]:
        """The sequences of each slice."""
        return sizes_of(self.config)

    @property
    def beside(self) -> int:
        """The slices that are under way at once, at most."""
        return min(self.threads, under_way(self.config))

    @property
    def memory(self) -> dict[str, int]:
        """The bytes of a step by purpose."""
        settings, found, size = self.config.memory, self.measured, sum(self.sizes)
        most = sum(found.peak(rows, settings.recompute)
                   for rows in sorted(self.slices)[-self.beside:])
        kept = found.kept(settings.recompute) * at_once(self.slices, self.beside) // found.rows
        waiting = 0 if self.beside == 1 else max(
            *self.sizes, min(AHEAD, (len(self.slices) - 1) * size))
        return {"program and data": self.before.now, "weights": size, "gradients": size,
                "averages": self.averages, "activations": kept,
                "working memory": most - kept + waiting} | (
                    {"copies of 16 bits": size // 2} if self.config.run.precision != FLOAT32 else {}
                    ) | ({"copy for a checkpoint": size + self.averages} if self._copies() else {})

    @property
    def averages(self) -> int:
        """The bytes in memory of what the optimizer keeps, and of averaged weights."""
        ema = sum(self.sizes) if self.config.optimizer.ema else 0
        return ema if self.config.memory.offload_moments else self.beside_weights

    def _copies(self) -> bool:
        """Whether a checkpoint may still be under way as the next step changes the weights."""
        run = self.config.run
        return self.config.saves_in_background and (
            0 < run.checkpoint_every < run.steps or self.config.faults.rolls_back())

    @property
    def peak(self) -> int:
        """The bytes of memory that the process takes at the most."""
        return max(self.before.most, sum(self.memory.values()))

    def instead(self, slices: int | None = None, threads: int | None = None, **memory: Any) -> Plan:
        """Return the plan with other settings of memory, slices or threads."""
        config = self.config
        run = replace(config.run, slices=slices or config.run.slices)
        return replace(self, threads=threads or self.threads, config=replace(
            config, run=run, memory=replace(config.memory, **memory)))

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
        sequences = longest(self.slices, self.beside)
        slice_seconds = (self.measured.seconds if under_way(self.config) > 1 else
                         self.measured.alone)
        again = self.measured.again() if self.config.memory.recompute else 0
        return (sequences * (1 + again) * slice_seconds / self.measured.rows + self.update_seconds)

    @property
    def evaluation_seconds(self) -> float:
        """The time of all evaluations of the run; a thread takes whole batches."""
        run = self.config.run
        between = (run.steps - 1) // run.eval_every if run.eval_every else 0
        forward = sum(op.count * op.forward for op in self.measured.ops) / self.measured.rows
        return forward * self.config.data.batch / self.threads * (
            between * run.eval_batches + run.final_eval_batches)


def predict(config: TrainConfig, vocab_size: int, *, before: Memory, threads: int | None = None,
            seconds: float = SECONDS, objective: Objective = next_token,
            scratch: Path | None = None) -> Plan:
    """Predict a run whose number of slices is settled; `before` it has a model is its memory.

    Files in the place of memory are tried out in the folder `scratch`. Raises MemoryError where not
    even two layers of the model fit.
    """
    trial = Trial(config, vocab_size, before, check_threads(threads), objective, scratch)
    return trial.plan(config, trial.measure(config, seconds))


@dataclass
class Trial:
    """A run on this machine, of which something is measured; files go to the folder `scratch`."""

    config: TrainConfig
    vocab_size: int
    before: Memory
    threads: int
    objective: Objective = next_token
    scratch: Path | None = None

    def __post_init__(self) -> None:
        model = self.config.new_model(self.vocab_size, seed=None)
        weights = architecture(self.config.arch).weights(model)
        self.sizes, self.groups = [p.data.nbytes for p in weights.values()], by_group(model)
        self.averages = self.config.bytes_beside(weights)

    def bench(self, config: TrainConfig) -> Bench:
        """Return a folded model in training."""
        model = config.new_model(self.vocab_size, seed=None)
        fold(model)
        return Bench(model, self.objective, self.vocab_size, config,
                     key=0 if config.model.get("dropout") else None,
                     scratch=Scratch(self.scratch or Path(gettempdir()))
                     if config.memory.offload_moments else None)

    def measure(self, config: TrainConfig, seconds: float) -> Measured:
        """Measure slices and updates for about so many seconds."""
        return measure(self.bench(config), max(sizes_of(config)), under_way(config), self.threads,
                       seconds)

    def update(self, config: TrainConfig) -> float:
        """Measure an update alone; return its seconds for each parameter."""
        bench = self.bench(config)
        with workers(self.threads):
            return median([bench.update() for _ in range(4)][1:])

    def plan(self, config: TrainConfig, found: Measured) -> Plan:
        """Return what is predicted for settings, of what was measured with them or like them."""
        return Plan(config, self.vocab_size, self.threads, self.groups, self.sizes,
                    self.averages, self.before, found)


def sizes_of(config: TrainConfig) -> list[int]:
    """Return the sequences of each slice."""
    return [rows.stop - rows.start for rows in slice_bounds(config.data.batch, config.run.slices)]


def under_way(config: TrainConfig) -> int:
    """Return how many slices are under way at once, if there are as many threads."""
    return config.run.slices // config.memory.accumulate


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
