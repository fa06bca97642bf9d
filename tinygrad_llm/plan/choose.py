"""The cheapest settings with which a run fits into so much memory.

What a step can do to take less memory (`train.settings.MemorySettings`) costs time, and how much of
both depends on the model and the machine. All combinations are predicted from few measurements: a
step with the logits whole and in chunks, and an update with the averages in memory and in files;
the rest follows (see `predict`). Of those that fit, the one of the least predicted time is chosen,
unless the run fits as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import product
from typing import Any

from ..host.errors import UserError
from ..train.config import TrainConfig
from ..train.slices import default_slices
from .page import amount, duration, flags
from .predict import Plan, Trial, sizes_of

UNITS = {unit: base**power for power, prefix in enumerate("kmgt", 1)
         for unit, base in ((f"{prefix}b", 1000), (f"{prefix}ib", 1024))} | {"b": 1}
_CHUNK = 1 << 25  # bytes of logits in a chunk, about
_SPARE = 16 << 20  # bytes for what is not counted: the buffers of BLAS, the stacks of threads
_ROWS = 64  # of a chunk, at least: thinner products cost time


def bytes_of(text: str) -> int:
    """Return the bytes that a text such as "2GB", "1.5 GiB" or "800MB" stands for.

    Raises UserError for another text.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*", text.lower())
    if found is None or found[2] not in UNITS or not 0 < float(found[1]) < 1e12:
        raise UserError(f"--max-memory: expected a size with its unit, as 2GB (a thousand million "
                        f"bytes each) or 2GiB (2**30 bytes), got {text!r}")
    return int(float(found[1]) * UNITS[found[2]])


def choose(trial: Trial, limit: int, given: Collection[str], seconds: float) -> tuple[Plan, Plan]:
    """Return the plan of the least time that takes at most `limit` bytes, and that of no choice.

    The second is the first too where it fits. Of those within 2 % of the least time, the one with
    the fewest settings. Settings whose names are `given` stay as they are. Raises UserError, naming
    the smallest, where none fits.
    """
    others = plans_of(trial, given, seconds)
    plain = next(others)
    if needed(plain) <= limit:  # a run of other settings may only seem faster
        return plain, plain
    plans = [plain, *others]
    fitting = [plan for plan in plans if needed(plan) <= limit]
    if not fitting:
        least = min(plans, key=lambda plan: plan.peak)
        kept = [name for name in asdict(trial.config.memory) if name in given]
        raise UserError(
            f"no run of this model fits into {amount(limit)}: the smallest takes "
            f"{amount(needed(least), up=True)}, with "
            f"{flags(least.config) or 'the settings as they are'}; give at least that, or choose a "
            f"smaller model or --context"
            + (f", or leave out what is given: {', '.join(kept)}" if kept else ""))
    most = 1.02 * min(plan.step_seconds for plan in fitting)
    return min((plan for plan in fitting if plan.step_seconds <= most), key=lambda plan: (
        len(flags(plan.config).split()), plan.config.memory.accumulate)), plain


def needed(plan: Plan) -> int:
    """Return the bytes with which a run is safe: what is predicted, and a little more."""
    return plan.peak + plan.peak // 50 + _SPARE


def plans_of(trial: Trial, given: Collection[str], seconds: float) -> Iterator[Plan]:
    """Yield the plans of all combinations of settings, those without any first."""
    config, batch = trial.config, trial.config.data.batch
    own = asdict(config.memory)
    free: dict[str, Sequence[Any]] = {
        "accumulate": [n for n in range(1, batch + 1) if batch % n == 0],
        "recompute": (False, True), "offload_moments": (False, True),
        "loss_chunk": (0, *chunks_for(config, trial.vocab_size))}
    options = {name: [own[name]] if name in given else values for name, values in free.items()}
    updates = {moved: trial.update(_with(config, offload_moments=moved))
               for moved in options["offload_moments"]}
    for chunk in options["loss_chunk"]:
        found = trial.measure(_with(config, loss_chunk=chunk, offload_moments=False),
                              seconds / len(options["loss_chunk"]))
        for parts, again, moved in product(options["accumulate"], options["recompute"],
                                           options["offload_moments"]):
            slices = config.run.slices if "slices" in given else default_slices(
                batch, config.context, parts)
            if slices % parts == 0:
                yield trial.plan(_with(config, slices, accumulate=parts, recompute=again,
                                       loss_chunk=chunk, offload_moments=moved),
                                 replace(found, update=updates[moved]))


def _with(config: TrainConfig, slices: int | None = None, **memory: Any) -> TrainConfig:
    """Return settings with others of memory, and of the number of slices."""
    run = config.run if slices is None else replace(config.run, slices=slices)
    return replace(config, memory=replace(config.memory, **memory), run=run)


def chunks_for(config: TrainConfig, vocab_size: int) -> list[int]:
    """Return a number of rows whose logits are not many, where a slice has more rows.

    And not too few for a product; a power of 2. None where logits have a cap.
    """
    rows = 1 << max(_ROWS, _CHUNK // (4 * vocab_size)).bit_length() - 1
    most = max(sizes_of(config)) * config.context
    return [rows] if rows < most and not config.model.get("logit_cap") else []


def sentence(plan: Plan, plain: Plan, limit: int) -> str:
    """Return what was chosen, and what it costs beside `plain`, the plan of no choice."""
    took = f"{amount(plan.peak)} of memory and {duration(plan.step_seconds)} a step"
    if plan == plain:
        return f"the run fits into {amount(limit)} as it is: {took} are predicted"
    return (f"to fit into {amount(limit)}: {flags(plan.config)}; {took} are predicted, and "
            f"{amount(plain.peak)} and {duration(plain.step_seconds)} without")
