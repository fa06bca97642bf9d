r"""A few seconds of training, on this machine, with the shapes and threads of the run.

A folded model (see `fold`) goes through slices of the batch as training has them do: forward,
backward, sum, update. Of each op it is noted how long it took both ways and what it keeps. With
$n_o$ the number of parts that op o stands for, a slice takes and keeps

$$t = \sum_o n_o\,(t_o + \bar t_o), \qquad
M = M' + \sum_o (n_o - 1)\,m_o ,$$

M' being the most that the folded model held at a time: activations are all there when the backward
pass begins, and fall from then on. Where parts are recomputed, each keeps its input x alone, of
which all are there until the backward pass has been through:

$$M = M' + \sum_p (n_p - 1)\,x_p ,$$

and the forward passes of the parts count twice. No formula has to be kept for an op or an
architecture: what is new is measured as all else is.

Threads run at the same time here too, as they share the memory's bandwidth and the clock of the
cores. One sequence of each slice is taken where whole slices would take too long; a slice's time
and memory grow with its sequences.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median
from time import perf_counter
from typing import Any

import numpy as np

from autograd.backward import pull_back
from autograd.graph import Node
from autograd.tape.walk import buffers
from autograd.tensor import STATE, Tensor

from ..host.files import Scratch
from ..host.threads import workers
from ..nn import parameters
from ..optim import Arena, clip_scale, global_norm
from ..optim.muon import NO_HIDDEN, PACKED
from ..train.config import TrainConfig
from ..train.objective import Objective
from ..train.ordered_sum import OrderedSum
from ..train.precision import Precision
from ..train.slices import Add, Slice, sum_over_slices
from .flops import flops


@dataclass
class OpRow:
    """A call of an op: how many parts it stands for, its seconds, bytes kept and arithmetic."""

    op: str
    count: int
    forward: float
    backward: float = 0.0
    inside: bool = False
    kept: int = 0
    flops: tuple[float, float] = (0.0, 0.0)


@dataclass
class Clock:
    """Watches a forward pass (see `autograd.tensor.Watch`), and the sweep by hooks.

    Unless it is `noting`, only the parts, of whose inputs `inputs` is the bytes: each part's once,
    and those of all that they stand for.
    """

    ops: list[tuple[OpRow, Node | None]] = field(default_factory=list)
    noting: bool = True
    inputs: tuple[int, int] = 0, 0
    count: int = 0
    """Of the part that is being called; 0 outside of parts."""
    last: float = field(default_factory=perf_counter)
    current: OpRow | None = None

    def computed(self, op: Any, args: Any, options: Any, y: Tensor) -> None:
        """Note the op that has just computed y."""
        if not self.noting:
            return
        row = OpRow(op.name, self.count or 1, self._lap(), inside=self.count > 0)
        self.ops.append((row, y.node))
        if y.node is not None:
            y.node.hooks = [lambda g: self.reach(row, g)]

    def enter(self, count: int, args: Sequence[Any]) -> None:
        """Note that a part is called that stands for `count` of them."""
        self.count, size = count, args[0].data.nbytes
        self.inputs = self.inputs[0] + size, self.inputs[1] + count * size

    def leave(self) -> None:
        """Note that the part is done."""
        self.count = 0

    def pulled(self, node: Node, g: Any, parts: Sequence[Any]) -> None:
        """Not used: a sweep that is watched makes arrays of deferred gradients."""

    def reach(self, row: OpRow | None, g: Any = None) -> Any:
        """Note that the sweep has come to an op, or to its end, and return its gradient."""
        lap = self._lap()
        if self.current is not None:
            self.current.backward += lap
        self.current = row
        return g

    def _lap(self) -> float:
        before, self.last = self.last, perf_counter()
        return self.last - before

    def seconds(self) -> float:
        """Return the time of the whole model's slice."""
        return sum(row.count * (row.forward + row.backward) for row, _ in self.ops)

    def note_memory(self, model: Any) -> None:
        """Note for each op its arithmetic, and the bytes that no older op and no weight keeps."""
        seen = {id(b) for p in parameters(model).values() for b in buffers(p.data)}
        known: dict[Any, tuple[float, float]] = {}
        for row, node in self.ops:
            for buffer in buffers(node.kept) if node is not None else ():
                if id(buffer) not in seen:
                    seen.add(id(buffer))
                    row.kept += buffer.nbytes
            row.flops = (0.0, 0.0) if node is None else flops(node, known)


@dataclass(frozen=True)
class Measured:
    """A slice of `rows` sequences of the whole model: its ops, mean seconds, and bytes at most.

    `peaks` are the bytes where all is kept, and where parts are recomputed, `first` those of a
    slice of one sequence, `inputs` those of the inputs of parts. `alone` are its seconds where no
    other slice is under way and its ops use all threads. `update` has the seconds that an update
    takes for each parameter.
    """

    rows: int
    ops: list[OpRow]
    seconds: float
    alone: float
    first: tuple[int, int]
    peaks: tuple[int, int]
    inputs: int
    update: float

    def peak(self, rows: int, recompute: bool = False) -> int:
        """Return the bytes of a slice of `rows` sequences at most, on the line through both."""
        one, most = self.first[recompute], self.peaks[recompute]
        if self.rows == 1:
            return most * rows
        return one + (most - one) * (rows - 1) // (self.rows - 1)

    def kept(self, recompute: bool) -> int:
        """Return the bytes of what a forward pass keeps."""
        ops = sum(op.count * op.kept for op in self.ops if not (recompute and op.inside))
        return ops + recompute * self.inputs

    def again(self) -> float:
        """Return the share of a slice's seconds that the forward passes of its parts take."""
        inside = sum(op.count * op.forward for op in self.ops if op.inside)
        return inside / sum(op.count * (op.forward + op.backward) for op in self.ops)


@dataclass
class Bench:
    """A folded model in training, with random ids."""

    model: Any
    objective: Objective
    vocab_size: int
    config: TrainConfig
    key: int | None
    scratch: Scratch | None = None

    def __post_init__(self) -> None:
        any_names = replace(self.config.optimizer, groups="", adamw_for=NO_HIDDEN,
                            squares=PACKED)
        optimizer = replace(self.config, optimizer=any_names).new_optimizer(
            Arena(parameters(self.model), self.scratch))
        precision = Precision.of(self.config.run.precision, self.model, optimizer)
        self.model, self.optimizer = precision.rounded(), precision.optimizer
        self.weights = self.optimizer.parameters

    def slices(self, count: int, rows: int) -> list[Slice]:
        """Return slices of so many sequences of random ids."""
        shape = 2, count, rows, self.config.context
        ids, targets = np.random.default_rng(0).integers(self.vocab_size, size=shape,
                                                         dtype=np.int32)
        return [Slice((ids[s], targets[s]), self.key, 1 / count) for s in range(count)]

    def forward(self, part: Slice, recompute: bool = False) -> tuple[Tensor, Clock]:
        """Return the loss of a slice, and the clock that has watched it."""
        before, clock = STATE.watch, Clock(noting=not recompute)
        STATE.watch, self.model.recompute = clock, recompute
        try:
            return self.objective.loss(self.model, part.batch, part.key), clock
        finally:
            STATE.watch = before

    def timed(self, parts: list[Slice]) -> list[Clock]:
        """Take slices at the same time, each on a thread; return their clocks."""
        clocks = []

        def body(part: Slice, add: Add) -> float:
            loss, clock = self.forward(part)
            pull_back([loss], [part.share], [*self.weights.values()], deliver=add)
            clock.reach(None)
            clocks.append(clock)
            return float(loss)

        sum_over_slices(parts, body, self.weights, self.optimizer.gradients)
        return clocks

    def update(self) -> float:
        """Do an update of all parameters; return its seconds for each."""
        for name, p in self.weights.items():
            p.grad = self.optimizer.gradients[name]
        began = perf_counter()
        self.optimizer.update(1e-4, clip_scale(global_norm(self.weights.values()), 1.0))
        return (perf_counter() - began) / sum(p.size for p in self.weights.values())

    def memory(self, rows: int, recompute: bool = False) -> tuple[Clock, int]:
        """Take a slice; return its clock, with the bytes of each op, and those of the whole.

        Beyond those of the weights and their gradients. If parts are recomputed, no op is noted.
        """
        part, = self.slices(1, rows)
        tracemalloc.start()
        try:
            start = tracemalloc.get_traced_memory()[0]
            loss, clock = self.forward(part, recompute)
            peak = tracemalloc.get_traced_memory()[1]
            clock.note_memory(self.model)
            tracemalloc.reset_peak()
            sums = OrderedSum([self.optimizer.gradients[name] for name in self.weights])
            with sums.slice(0) as add:
                pull_back([loss], [1.0], [*self.weights.values()], deliver=add)
            clock.reach(None)
            peak = max(peak, tracemalloc.get_traced_memory()[1]) - start
        finally:
            tracemalloc.stop()
        if recompute:
            return clock, peak + clock.inputs[1] - clock.inputs[0]
        return clock, peak + sum((row.count - 1) * row.kept for row, _ in clock.ops)


def measure(bench: Bench, most: int, at_once: int, threads: int, seconds: float) -> Measured:
    """Measure slices of up to `most` sequences for about so many seconds, two rounds at least.

    So many of them are under way `at_once`. The first round does not count: memory is fetched in
    it.
    """
    began = perf_counter()
    with workers(1 if at_once > 1 else threads):
        (clock, peak), (again, recomputed) = bench.memory(1), bench.memory(1, recompute=True)
        rows, first = 1, (peak, recomputed)
        once = sum(row.forward + row.backward for row, _ in clock.ops)
        if 1 < most < 0.3 * seconds / once:
            rows, (clock, peak) = most, bench.memory(most)
            again, recomputed = bench.memory(most, recompute=True)
    with workers(threads):
        parts = bench.slices(min(threads, at_once), rows)
        clocks, updates = list[Clock](), list[float]()
        bench.timed(parts), bench.update()
        alone = bench.timed(parts[:1])
        while not clocks or perf_counter() - began < seconds:
            clocks += bench.timed(parts)
            updates.append(bench.update())
        alone = [*alone, *bench.timed(parts[:1])] if len(parts) > 1 else clocks
    middle = sorted(clocks, key=Clock.seconds)[len(clocks) // 2]
    for (op, _), (timed, _) in zip(clock.ops, middle.ops, strict=True):
        op.forward, op.backward = timed.forward, timed.backward
    return Measured(rows, [op for op, _ in clock.ops], fmean(map(Clock.seconds, clocks)),
                    min(map(Clock.seconds, alone)), first, (peak, recomputed), again.inputs[1],
                    median(updates))
