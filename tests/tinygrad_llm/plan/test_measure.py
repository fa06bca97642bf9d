"""What a folded model is found to do is what the whole model does."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from typing import Any

import pytest
from small_runs import SMALL

from autograd.tape.walk import read_tape
from tinygrad_llm.host.threads import workers
from tinygrad_llm.nn import parameters
from tinygrad_llm.plan.flops import flops
from tinygrad_llm.plan.fold import fold
from tinygrad_llm.plan.measure import Bench, measure
from tinygrad_llm.train import TrainConfig, make_config, next_token, train_step


def bench_of(config: TrainConfig, folded: bool) -> Bench:
    model = config.new_model(11, seed=None if folded else 0)
    if folded:
        fold(model)
    return Bench(model, next_token, 11, config, key=3 if config.model["dropout"] else None)


def about(number: float, config: TrainConfig) -> Any:
    """Exactly, but for experts: how many of them have tokens depends on the weights."""
    return pytest.approx(number, rel=0.05 if config.model.get("experts") else 0, abs=0)


def test_ops_bytes_and_arithmetic_are_those_of_the_whole_tape(config: TrainConfig) -> None:
    clock, peak = bench_of(config, folded=True).memory(2)
    whole = bench_of(config, folded=False)
    part, = whole.slices(1, 2)
    tape = read_tape(next_token.loss(whole.model, part.batch, part.key), {}, "test")
    ops = [row for row in tape.rows if row.node.op is not None]
    assert sum((Counter({row.op: row.count}) for row, node in clock.ops if node),
               Counter()) == Counter(row.op for row in ops)
    kept = sum(row.count * row.kept for row, _ in clock.ops)
    assert kept == about(tape.kept_bytes - tape.leaf_bytes, config)
    assert kept < peak < 3 * kept + 200_000
    known: dict[Any, tuple[float, float]] = {}
    for i in (0, 1):
        assert sum(row.count * row.flops[i] for row, _ in clock.ops) == about(
            sum(flops(row.node, known)[i] for row in ops), config)


@pytest.mark.parametrize("arch", ["gpt", "llama"])
def test_the_peak_is_that_of_a_step_of_the_whole_model(arch: str) -> None:
    config = make_config({"arch": arch, "layers": 6, "width": 64, "context": 64})
    _, folded = bench_of(config, folded=True).memory(8)
    whole = bench_of(config, folded=False)
    batch = whole.slices(1, 8)[0].batch
    with workers(1):
        tracemalloc.start()
        start = tracemalloc.get_traced_memory()[0]
        train_step(whole.model, whole.optimizer, next_token, batch, lr=0.1, clip=1, key=None,
                   slices=1)
        step = tracemalloc.get_traced_memory()[1] - start
        tracemalloc.stop()
    assert step > 5e6 and abs(folded / step - 1) < 0.02


def test_a_clock_notes_each_op_both_ways(config: TrainConfig) -> None:
    bench = bench_of(config, folded=True)
    (clock, other) = bench.timed(bench.slices(2, 2))
    assert len(clock.ops) == len(other.ops)
    assert all(row.forward > 0 for row, _ in clock.ops)
    assert all(row.backward > 0 for row, node in clock.ops if node)
    assert clock.seconds() >= sum(row.forward + row.backward for row, _ in clock.ops)
    assert all(p.grad is not None for p in parameters(bench.model).values())


def test_slices_are_taken_whole_where_there_is_time() -> None:
    config = make_config(SMALL)
    found = measure(bench_of(config, folded=True), 2, at_once=2, threads=2, seconds=1.0)
    assert found.rows == 2 and found.seconds > 0 and found.update > 0
    assert measure(bench_of(config, folded=True), 2, at_once=2, threads=2, seconds=0.0).rows == 1
