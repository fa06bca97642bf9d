"""A plan as a page of text, as JSON, and beside what the run then took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import zip_longest
from math import ceil
from textwrap import fill
from typing import Any

from ..host.machine import memory_of_machine
from ..train.config import TrainConfig
from ..train.settings import MemorySettings
from ..train.slices import default_slices
from .predict import Plan, at_once

SHOWN = 8
"""How many ops the page names; the others are summed up in a line."""


def report(plan: Plan) -> str:
    """Return the page."""
    config, count = plan.config, sum(plan.parameters.values())
    head = (f"{config.run.preset}: {config.arch}, {count:,} parameters, a vocabulary of "
            f"{plan.vocab_size:,}, {config.data.batch} x {config.context:,} tokens a step, "
            f"slices: {len(plan.slices)}, threads: {plan.threads} {flags(config)}".rstrip())
    groups = [(name, f"{size:,}") for name, size in plan.parameters.items()]
    memory = [(name, amount(size)) for name, size in (*plan.memory.items(),
                                                      ("at the most", plan.peak))]
    both: list[Sequence[str]] = [("parameters", "", "memory", "")]
    both += [left + right for left, right in zip_longest(groups, memory, fillvalue=("", ""))]
    return "\n".join([head, "", *_aligned(both, "<><>"), "",
                      *_aligned([*_op_lines(plan)], "<>>>>"), "",
                      *_time_lines(plan), *_advice(plan)])


def _op_lines(plan: Plan) -> Iterator[Sequence[str]]:
    """Yield the lines of the ops that keep most, and one of all others."""
    rows, ops = plan.measured.rows, by_op(plan)
    sequences, batch = at_once(plan.slices, plan.threads), plan.config.data.batch
    seconds, shown, rest = sum(one["seconds"] for one in ops), ops[:SHOWN], ops[SHOWN:]
    if rest:
        shown.append({"op": f"{len(rest)} others"} | {
            name: sum(one[name] for one in rest) for name in ("calls", "kept", "flops", "seconds")})
    yield "op", "calls", "keeps", "arithmetic a step", "time"
    for one in shown:
        yield (one["op"], f"{one['calls']}", amount(one["kept"] * sequences // rows),
               f"{one['flops'] * batch / rows / 1e9:,.2f} GFLOP", f"{one['seconds'] / seconds:.0%}")


def by_op(plan: Plan) -> list[dict[str, Any]]:
    """Return calls, bytes, operations and seconds of each op in the measured slice, largest first.

    In one slice, of `plan.measured.rows` sequences.
    """
    sums: dict[str, dict[str, Any]] = {}
    for op in plan.measured.ops:
        one = sums.setdefault(op.op, {"op": op.op, "calls": 0, "kept": 0, "flops": 0.0,
                                      "seconds": 0.0})
        for name, value in (("calls", 1), ("kept", op.kept), ("flops", sum(op.flops)),
                            ("seconds", op.forward + op.backward)):
            one[name] += op.count * value
    return sorted(sums.values(), key=lambda one: (-one["kept"], -one["seconds"]))


def _time_lines(plan: Plan) -> Iterator[str]:
    forward, backward = plan.flops
    step, steps = plan.step_seconds, plan.config.run.steps
    yield (f"a step: {duration(step)}, {plan.tokens / step:,.0f} tokens/s; "
           f"{(forward + backward) / 1e9:,.2f} GFLOP ({forward / 1e9:,.2f} forward, "
           f"{backward / 1e9:,.2f} backward), {(forward + backward) / step / 1e9:,.0f} GFLOP/s; "
           f"{duration(plan.update_seconds)} of it the update")
    yield (f"the run: {steps:,} steps, {steps * plan.tokens:,} tokens, {duration(steps * step)}; "
           f"evaluations {duration(plan.evaluation_seconds)}")


def _advice(plan: Plan) -> Iterator[str]:
    """Yield what would take less memory, and a warning where there is not enough."""
    there = memory_of_machine()
    words = [f"{flag} {amount(less.peak)}" for flag, less in _thinner(plan)
             if less.peak < plan.peak]
    if words:
        yield fill(f"less memory: {', '.join(words)}", 100, subsequent_indent=13 * " ")
    if plan.peak > there:
        yield (f"warning: {amount(plan.peak)} are more than the {amount(there)} of this machine; "
               f"choose a smaller model, --context or --batch, or what is named above")


def _thinner(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Yield plans that may take less memory, each with its flag."""
    config, batch = plan.config, plan.config.data.batch
    yield f"--slices {(more := 2 * len(plan.slices))}", plan if more > batch else plan.instead(more)
    yield "--threads 1", plan.instead(threads=1)
    parts = next((n for n in range(config.memory.accumulate + 1, batch + 1) if batch % n == 0), 0)
    if parts:
        yield f"--accumulate {parts}", plan.instead(
            default_slices(batch, config.context, parts), accumulate=parts)
    yield "--recompute true", plan.instead(recompute=True)
    yield "--offload-moments true", plan.instead(offload_moments=True)


def as_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain values; bytes, seconds and operations, of a step where not said."""
    return {
        "preset": plan.config.run.preset, "arch": plan.config.arch, "settings": plan.config.flat(),
        "vocab_size": plan.vocab_size, "threads": plan.threads, "slices": len(plan.slices),
        "parameters": {**plan.parameters, "all": sum(plan.parameters.values())},
        "memory": {**plan.memory, "peak": plan.peak, "machine": memory_of_machine()},
        "flops": dict(zip(("forward", "backward"), plan.flops, strict=True)),
        "tokens": plan.tokens, "seconds": plan.step_seconds,
        "tokens_per_second": plan.tokens / plan.step_seconds,
        "update_seconds": plan.update_seconds,
        "run": {"steps": plan.config.run.steps,
                "seconds": plan.config.run.steps * plan.step_seconds,
                "evaluation_seconds": plan.evaluation_seconds},
        "slice": {"sequences": plan.measured.rows, "peak": plan.measured.peak(plan.measured.rows),
                  "seconds": plan.measured.seconds, "ops": by_op(plan)},
    }


def compared(plan: Plan, seconds: float, peak: int) -> str:
    """Return the prediction beside what a run took: seconds a step, and bytes at the most."""
    return (f"predicted / measured: {duration(plan.step_seconds)} / {duration(seconds)} a step "
            f"({plan.step_seconds / seconds:.2f}), {amount(plan.peak)} / {amount(peak)} of memory "
            f"({plan.peak / peak:.2f})")


def flags(config: TrainConfig) -> str:
    """Return the settings of memory that are not the defaults, as flags."""
    default = asdict(MemorySettings())
    return " ".join(f"--{name.replace('_', '-')} {str(value).lower()}"
                    for name, value in asdict(config.memory).items() if value != default[name])


def _aligned(rows: list[Sequence[str]], ways: str) -> list[str]:
    """Return lines of columns, each to the left (<) or to the right (>)."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:{way}{width}}" for cell, way, width
                      in zip(row, ways, widths, strict=True)).rstrip() for row in rows]


def amount(size: float, up: bool = False) -> str:
    """Return bytes in MiB or GiB, to the nearest or up.

    >>> amount(79.04 * 2**20), amount(79.04 * 2**20, up=True)
    ('79.0 MiB', '79.1 MiB')
    """
    unit, digits = (30, 2) if size >= 2**30 else (20, 1)
    number = size / 2**unit
    number = ceil(number * 10**digits) / 10**digits if up else number
    return f"{number:,.{digits}f} {'GiB' if unit == 30 else 'MiB'}"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it.

    >>> duration(0.0384), duration(95), duration(40 * 3600)
    ('38.4 ms', '1 min 35 s', '1 d 16 h')
    """
    if seconds < 1:
        return f"{1e3 * seconds:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    units = [("d", 86400), ("h", 3600), ("min", 60), ("s", 1)]
    first = next(i for i, (_, size) in enumerate(units) if seconds >= size)
    (large, size), (small, less) = units[first : first + 2]
    return f"{int(seconds // size)} {large} {int(seconds % size // less)} {small}"
