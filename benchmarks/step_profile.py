"""Where our training step spends its time: products, attention, other ops, optimizer, engine.

    python -m benchmarks.train_cpu --config tiny --profile

Everything is timed from outside: while a step is profiled, the functions that do the array work are
replaced by ones that read a clock before and after, and put back afterwards. A clock's time belongs
to exactly one category at any moment, so the categories add up to the step:

- `matmul`: products of matrices, wherever they stand, except attention's;
- `attention`: the op of that name, its products included;
- `elementwise`: everything else that ops do (norms, GELU, residual additions, cross-entropy without
  its product, embeddings) and the additions of gradients where a value was used twice;
- `slices`: adding up the slices' gradients;
- `optimizer`: the gradient's norm, clipping and AdamW;
- `engine`: the rest. Recording is all of the forward pass that is not inside an op: the layers'
  calls, too. The sweep also frees what the ops kept. Python inside an op is counted with the op.

On one thread, on which the slices run one after another; otherwise there is nothing to add up to.
What the timers themselves cost is measured on an empty function and subtracted from the category in
which it fell, and steps without timers take turns with the profiled ones to show what is left of
it. The result is the mean over the middle half of the steps, ordered by their time: medians of
parts do not add up to the median of the whole.

Traps. `a @ b` of two arrays cannot be replaced; so the operations of the products that were seen
are counted and compared with those of the model, and where some are missing the table says so. The
names that are replaced belong to modules that may change; one that is gone is an error.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import fmean, median
from typing import Any

import numpy as np

from benchmarks.configs import CONFIGS
from benchmarks.sides import blas_facts, our_update

CATEGORIES = ("matmul", "attention", "elementwise", "slices", "optimizer", "engine")
OTHER_CATEGORIES = {"attention": "attention", "matmul": "matmul"}
"""Of ops that are not elementwise."""

Place = tuple[str, str]
"""A category, and what in it."""

ENGINE = ("engine", "around them")


class Timers:
    """The place that the clock runs for, and the counts so far."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Start from nothing; the clock runs for the engine from now on."""
        self.place = ENGINE
        self.seconds: Counter[Place] = Counter()
        self.calls: Counter[Place] = Counter()
        self.inner: Counter[Place] = Counter()  # calls of timed functions out of a place
        self.flops = 0
        self.mark = time.perf_counter()

    def finish(self) -> None:
        """Stop the clock."""
        self.seconds[self.place] += time.perf_counter() - self.mark

    def timed(self, function: Callable[..., Any], category: str, label: str) -> Callable[..., Any]:
        """Return the function, such that its time counts for that place.

        Within another timed function it counts for that one, unless that is the engine's, or this
        is a product outside of attention.
        """
        def wrapper(*args: Any, **options: Any) -> Any:
            outer = self.place
            if outer[0] == "engine":
                place = (category, label)
            elif category == "matmul" and outer[0] in ("elementwise", "slices"):
                place = (category, outer[1])
            else:
                return function(*args, **options)
            now = time.perf_counter()
            self.seconds[outer] += now - self.mark
            self.inner[outer] += 1
            self.place, self.mark = place, now
            try:
                return function(*args, **options)
            finally:
                now = time.perf_counter()
                self.seconds[place] += now - self.mark
                self.calls[place] += 1
                self.place, self.mark = outer, now
                if category == "matmul":
                    self.flops += 2 * args[0].size * args[1].shape[-1]

        return wrapper

    def cost(self, category: str) -> tuple[float, float]:
        """Return the seconds that timing a call adds to the call itself, and to its caller."""
        count, a = 20_000, np.empty((2, 2))
        empty = self.timed(lambda a, b: None, category, "")
        inside, outside = [], []
        for _ in range(5):
            self.clear()
            for _ in range(count):
                empty(a, a)
            self.finish()
            bare, start = (lambda a, b: None), time.perf_counter()
            for _ in range(count):
                bare(a, a)
            plain = (time.perf_counter() - start) / count  # the loop and the call, in both
            inside.append(self.seconds[category, ""] / count)
            outside.append(self.seconds[ENGINE] / count - plain)
        return median(inside), median(outside)


@contextmanager
def installed(timers: Timers) -> Iterator[None]:
    """Time the functions that do the array work, inside the block."""
    replaced: list[tuple[Any, str, Any]] = []

    def replace(owner: Any, name: str, category: str, label: str) -> None:
        function = getattr(owner, name)
        replaced.append((owner, name, function))
        setattr(owner, name, timers.timed(function, category, label))

    twins = {op: dict(op.twins) for op in fused_ops()}
    try:
        for owner, name, category, label in places():
            replace(owner, name, category, label)
        for op, pairs in twins.items():
            for library, (forward, backward) in pairs.items():
                op.twin(library, timers.timed(forward, category_of(op), op.name),
                        timers.timed(backward, category_of(op), f"{op.name}, backward"))
        yield
    finally:
        for owner, name, function in reversed(replaced):
            setattr(owner, name, function)
        for op, pairs in twins.items():
            op.twins.update(pairs)


def fused_ops() -> list[Any]:
    """Return the ops that may have twins."""
    from autograd import Fused, registry

    return [op for op in dict.fromkeys(registry.values()) if isinstance(op, Fused)]


def category_of(op: Any) -> str:
    """Return where the time in an op belongs."""
    return OTHER_CATEGORIES.get(op.name, "elementwise")


def places() -> Iterator[tuple[Any, str, str, str]]:
    """Yield an owner, the name of its function, and where that function's time belongs."""
    import autograd.backward
    from autograd import registry
    from autograd.fused import Fused
    from autograd.primitive import Primitive
    from tinygrad_llm.host import threads as host_threads
    from tinygrad_llm.models import GPT
    from tinygrad_llm.optim import AdamW
    from tinygrad_llm.train import ordered_sum, step

    for op in dict.fromkeys(registry.values()):
        category = category_of(op)
        if isinstance(op, Fused):
            yield op, "forward", category, op.name
            yield op, "rule", category, f"{op.name}, backward"
        elif isinstance(op, Primitive):
            yield op, "forward", category, op.name
            for rule in filter(None, op.rules):
                yield rule, "function", category, f"{op.name}, backward"
    yield GPT, "loss", "engine", "recording"
    yield step, "pull_back", "engine", "sweep"
    yield autograd.backward, "accumulate", "elementwise", "gradients of values used twice"
    yield ordered_sum.OrderedSum, "_put", "slices", "sum of gradients"
    yield step, "global_norm", "optimizer", "norm"
    yield AdamW, "update", "optimizer", "AdamW"
    matmul = host_threads.matmul
    for module in list(sys.modules.values()):
        if module.__name__.startswith("tinygrad_llm") and vars(module).get("matmul") is matmul:
            yield module, "matmul", "matmul", "matmul"
    yield np, "matmul", "matmul", "matmul"


def profile(name: str, *, steps: int, warmup: int) -> dict[str, Any]:
    """Return what one step of a configuration spends where, in ms."""
    from tinygrad_llm.host.threads import workers
    from tinygrad_llm.train.slices import default_slices

    config, timers = CONFIGS[name], Timers()
    costs = {category: timers.cost(category) for category in CATEGORIES}
    untimed, found = [], []
    with workers(1):
        step, _ = our_update(config)
        for _ in range(warmup + steps):
            for _ in range(config.lead):
                step()
            start = time.perf_counter()
            step()
            untimed.append((time.perf_counter() - start) * 1e3)
            with installed(timers):
                for _ in range(config.lead):
                    step()
                timers.clear()
                step()
                timers.finish()
            found.append(corrected(timers, costs))
        blas = blas_facts()
    untimed, found = untimed[warmup:], middle_half(found[warmup:])
    rows = [{"category": category, "part": part,
             "ms": fmean(ms.get((category, part), 0.0) for ms, _ in found),
             "calls": calls_of(found, (category, part))}
            for category, part in sorted({place for ms, _ in found for place in ms})]
    return {"config": name, "profile": rows, "untimed_ms": round(median(untimed), 3),
            "products_seen": round(timers.flops / config.linear_flops(), 4), "steps": steps,
            "threads": 1, "slices": default_slices(config.batch, config.sizes.context),
            "blas_facts": blas}


Found = tuple[dict[Place, float], dict[Place, int]]
"""The milliseconds and the calls of a step, by place."""


def corrected(timers: Timers, costs: dict[str, tuple[float, float]]) -> Found:
    """Return what was found, without what the timers cost; that is a place of its own."""
    ms, total = {}, 0.0
    outside = costs["elementwise"][1]
    for place, seconds in timers.seconds.items():
        cost = timers.calls[place] * costs[place[0]][0] + timers.inner[place] * outside
        ms[place] = (seconds - cost) * 1e3
        total += cost * 1e3
    ms["timers", "timers"] = total
    return ms, dict(timers.calls)


def middle_half(found: list[Found]) -> list[Found]:
    """Return the steps that are neither among the fastest quarter nor the slowest."""
    ordered = sorted(found, key=lambda step: sum(step[0].values()))
    cut = len(ordered) // 4
    return ordered[cut : len(ordered) - cut]


def calls_of(found: list[Found], place: Place) -> int:
    """Return how often a step entered a place."""
    return max(calls.get(place, 0) for _, calls in found)


def readable(found: dict[str, Any]) -> str:
    """Return a profile as a table: the categories, and below them their parts."""
    rows = found["profile"]
    timers = sum(row["ms"] for row in rows if row["category"] == "timers")
    total = sum(row["ms"] for row in rows) - timers
    lines = [f"{found['config']}: one step on 1 thread, {found['slices']} slices, mean of the "
             f"middle half of {found['steps']}", f"{'':44}{'ms':>10}{'%':>7}{'calls':>7}"]

    def line(name: str, parts: list[dict[str, Any]]) -> str:
        ms, calls = sum(row["ms"] for row in parts), sum(row["calls"] for row in parts)
        return f"{name:44}{ms:10.3f}{100 * ms / total:7.1f}{calls or '':>7}"

    for category in CATEGORIES:
        lines.append(line(category, [row for row in rows if row["category"] == category]))
    lines += [f"{'sum':44}{total:10.3f}{100:7.1f}",
              f"{'the step without timers, median':44}{found['untimed_ms']:10.3f}",
              f"{'timers, subtracted above':44}{timers:10.3f}", "", "parts"]
    if found["products_seen"] < 0.99:
        lines.insert(1, f"NOTE: only {found['products_seen']:.1%} of the products' operations were "
                        f"seen; the others are in elementwise")
    lines += [line(f"{row['category']}: {row['part']}", [row])
              for row in sorted(rows, key=lambda row: -row["ms"]) if row["category"] != "timers"]
    return "\n".join(lines)
