"""Settings that are chosen for so much memory: from made-up measurements, and from real ones."""

from __future__ import annotations

import sys
import tracemalloc
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.files import Scratch
from tinygrad_llm.host.machine import Memory
from tinygrad_llm.host.threads import workers
from tinygrad_llm.models import architecture
from tinygrad_llm.optim import Arena
from tinygrad_llm.plan import Plan, Trial, bytes_of, choose, sentence
from tinygrad_llm.plan.choose import chunks_for, needed, plans_of
from tinygrad_llm.plan.measure import Measured, OpRow
from tinygrad_llm.plan.page import amount, flags
from tinygrad_llm.train import TrainConfig, make_config, next_token, train_step
from tinygrad_llm.train.run import with_slices

MB = 10**6


@pytest.mark.parametrize("text, size", [
    ("2GB", 2 * 10**9), ("2GiB", 2 * 2**30), ("1.5 GiB", 3 * 2**29), (" 800mb ", 800 * MB),
    (".5kB", 500), ("64KiB", 2**16), ("1TB", 10**12), ("1 tib", 2**40), ("123b", 123)])
def test_bytes_of_a_size(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "2", "GB", "0GB", "-1GB", "2G", "2 gigabytes", "1e9B",
                                  "2,5GB", "nan GB", "2GB2", f"{'9' * 400}GB"])
def test_no_size(text: str) -> None:
    with pytest.raises(UserError, match=r"with its unit, as 2GB .*got '"):
        bytes_of(text)


@dataclass
class MadeUp(Trial):
    """A sequence keeps 40 MB of logits and 60 of blocks; less of either takes longer."""

    def measure(self, config: TrainConfig, seconds: float) -> Measured:
        chunked = config.memory.loss_chunk > 0
        peaks = (70 * MB, 20 * MB) if chunked else (100 * MB, 60 * MB)
        time = 1.1 if chunked else 1.0
        op = OpRow("linear", 2, forward=0.25, backward=0.25, inside=True, kept=MB)
        return Measured(1, [op], time, time, peaks, peaks, inputs=MB, update=1e-8)

    def update(self, config: TrainConfig) -> float:
        return 5e-6 if config.memory.offload_moments else 1e-8


def made_up(**given: Any) -> MadeUp:
    """Return a run of four sequences on one thread, with 6.4 MB of weights."""
    config = make_config({"layers": 1, "width": 32, "heads": 2, "context": 256, "batch": 4,
                          "checkpoint_every": 0, **given})
    return MadeUp(with_slices(config), 50_000, Memory(MB, MB), threads=1)


def descent(trial: Trial, given: Any = (), seconds: float = 0.0) -> tuple[list[Plan], str]:
    """Return what is chosen as the limit falls below each choice, and the sentence at the end."""
    found = [choose(trial, 2**50, given, seconds)[0]]
    for _ in range(20):
        try:
            found.append(choose(trial, needed(found[-1]) - 1, given, seconds)[0])
        except UserError as error:
            return found, str(error)
    pytest.fail("the same is chosen for ever smaller limits")


def test_the_cheapest_that_fits_from_a_generous_limit_to_an_impossible_one() -> None:
    found, error = descent(made_up())
    assert [flags(plan.config) for plan in found] == [
        "",
        "--accumulate 2",  # of no cost; and 4 saves no more, as slices are of a sequence each
        "--accumulate 2 --loss-chunk 128",  # a tenth more
        "--accumulate 2 --recompute true",  # half more
        "--recompute true --loss-chunk 128",
        "--accumulate 2 --recompute true --loss-chunk 128",
        "--accumulate 2 --recompute true --loss-chunk 128 --offload-moments true"]
    for more, less in pairwise(found):
        assert needed(less) < needed(more) and less.step_seconds >= more.step_seconds
    smallest = found[-1]
    least = amount(needed(smallest), up=True)
    assert f"the smallest takes {least}, with {flags(smallest.config)};" in error
    assert error.endswith("or choose a smaller model or --context")
    assert descent(made_up(recompute=False), ["recompute"])[1].endswith(
        "--context, or leave out what is given: recompute")


@pytest.mark.parametrize("limit", range(60, 500, 20))
def test_no_plan_that_fits_is_faster(limit: int) -> None:
    trial = made_up()
    plans = [plan for plan in plans_of(trial, (), 0) if needed(plan) <= limit * MB]
    if plans:
        plan, plain = choose(trial, limit * MB, (), 0)
        assert plan in plans and not flags(plain.config)
        assert plan.step_seconds <= 1.02 * min(other.step_seconds for other in plans)


@pytest.mark.parametrize("given", [
    {"accumulate": 1}, {"accumulate": 2, "recompute": True}, {"loss_chunk": 0}, {"slices": 2},
    {"loss_chunk": 32, "offload_moments": False}])
def test_settings_that_are_given_stay(given: dict[str, Any]) -> None:
    found, _ = descent(made_up(**given), [*given])
    assert len(found) > 1, "others are still chosen"
    for plan in found:
        assert {name: plan.config.flat()[name] for name in given} == given


def test_slices_suit_the_parts_and_are_a_multiple_of_them() -> None:
    for plan in plans_of(made_up(batch=12), (), 0):
        assert plan.config.run.slices % plan.config.memory.accumulate == 0
        assert with_slices(make_config(plan.config.flat())).run == plan.config.run
    parts = {plan.config.memory.accumulate for plan in plans_of(made_up(slices=3, batch=9),
                                                                ["slices"], 0)}
    assert parts == {1, 3}, "what does not divide the slices that are given is left out"


def test_chunks_are_of_a_power_of_two_rows_where_slices_have_more() -> None:
    config = made_up().config
    assert chunks_for(config, 50_000) == [128] and chunks_for(config, 10**9) == [64]
    assert chunks_for(config, 65) == [], "all logits of a slice are fewer"
    assert chunks_for(made_up(arch="llama", logit_cap=3.0).config, 50_000) == []


def test_what_was_chosen_is_a_sentence() -> None:
    trial = made_up()
    plan, plain = choose(trial, 2**40, (), 0)
    assert sentence(plan, plain, 2**40).startswith("the run fits into 1,024.00 GiB as it is: ")
    plan, plain = choose(trial, 200 * MB, (), 0)
    assert sentence(plan, plain, 200 * MB) == (
        f"to fit into 190.7 MiB: --accumulate 2; {amount(plan.peak)} of memory and 4.0 s a step "
        f"are predicted, and {amount(plain.peak)} and 4.0 s without")


def trained(config: TrainConfig, folder: Path, steps: int = 3) -> tuple[list[float], int]:
    """Return the losses of some steps on one thread, and the bytes that were held at the most."""
    ids = np.random.default_rng(1).integers(2000, size=(steps, config.data.batch,
                                                        config.context + 1), dtype=np.int32)
    tracemalloc.start()
    try:
        model = config.new_model(2000)
        optimizer = config.new_optimizer(Arena(
            architecture(config.arch).weights(model),
            Scratch(folder) if config.memory.offload_moments else None))
        with workers(1):
            losses = [train_step(model, optimizer, next_token, (x[:, :-1], x[:, 1:]), lr=1e-2,
                                 clip=1.0, key=None, slices=config.run.slices,
                                 accumulate=config.memory.accumulate)[0] for x in ids]
        return losses, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_chosen_run_stays_below_its_limit_and_has_the_losses_of_the_plain_one(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chooser = sys.modules[plans_of.__module__]
    monkeypatch.setattr(chooser, "_SPARE", 1 << 21)  # threads and BLAS are not counted here
    monkeypatch.setattr(chooser, "_CHUNK", 1 << 19)
    trial = Trial(with_slices(make_config({"layers": 4, "width": 64, "heads": 2, "context": 64,
                                           "batch": 16, "checkpoint_every": 0})),
                  2000, Memory(0, 0), threads=1, scratch=tmp_path)
    plans = [*plans_of(trial, (), 0.5)]
    losses, peak = trained(plans[0].config, tmp_path)
    assert 0.9 * plans[0].peak < peak <= needed(plans[0])
    least = min(map(needed, plans))
    assert least < peak / 2
    for limit in (least, (least + peak) // 2):
        plan, plain = choose(trial, limit, (), 0.5)
        assert flags(plan.config) and plain.config == plans[0].config
        others, taken = trained(plan.config, tmp_path)
        assert taken <= limit < peak
        assert others == pytest.approx(losses, rel=1e-5)
