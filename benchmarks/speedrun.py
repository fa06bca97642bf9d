"""The published marks at the compute of `tiny`, on this machine: a report card.

    python -m benchmarks.speedrun --data tinyshakespeare.txt --out benchmarks/results
    python -m benchmarks.speedrun --data tinyshakespeare.txt --only tiny torch --seeds 1337

The mark: nanoGPT's README ("quick start", Karpathy 2022) publishes a validation loss of 1.88 for
its CPU configuration, which the preset `tiny` is: 2,000 steps of 12 windows of 64 characters, 0.8M
parameters. Two digits are published, so whatever rounds to 1.88 reaches it. Here are trained

    tiny       that configuration
    torch      the same in eager PyTorch, where it is installed: from the same weights, on the same
               batches in the same order
    recipes    the presets with the best recipes known to us for the same compute: as many tokens,
               and about as many parameters
    ladder     one change after another between them; left out unless it is named with --only

by turns, seed by seed, each in one go. Time counts training alone: the steps, with their batches,
without evaluations and files. Recipes were chosen on another split, the training text's last tenth
(see docs/training.md), and are reported on the published one, the text's last tenth. The time to a
loss is found between two evaluations on the way, over few batches, by a straight line.

OUT gets speedrun.jsonl, a record of each run, and the report card of all that are recorded there
for this machine, text and number of threads, as speedrun.md and speedrun.json. Started again with
the same OUT, what is recorded is not done again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import mean, median, stdev
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from benchmarks.sides import blas_facts
from benchmarks.speedrun_torch import race
from benchmarks.train_cpu import busy_seconds, cpu_model, machine
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.files import sha256_of, write_in_one_step
from tinygrad_llm.host.machine import usable_cores
from tinygrad_llm.host.processes import Processes
from tinygrad_llm.nn import parameters
from tinygrad_llm.train import make_config, start_run, train
from tinygrad_llm.train.log import read_metrics

Record = dict[str, Any]

MARKS = 1.88, 1.68, 1.60
TORCH = "tiny in PyTorch"
RECIPES = "tiny-fast", "tiny-best"
RUNGS: dict[str, dict[str, Any]] = {
    "RMSNorm, rotary, SwiGLU, no biases": {"preset": "tiny-llama"},
    "+ norms of queries and keys, rate 3e-3 to 0": {
        "qk_norm": True, "learning_rate": 3e-3, "min_learning_rate": 0.0},
    "+ ReLU squared, without a gate": {"activation": "relu_squared"},
    "+ untied, outputs begin at zero": {"tied": False, "zero_outputs": True},
    "+ Muon, without decay": {"optimizer": "muon", "learning_rate": 0.02, "weight_decay": 0.0,
                              "beta2": 0.99, "warmup": 20}}
"""One change a rung, each beside those above it; with WSD the last one is `tiny-best`."""
LADDER = dict(zip(RUNGS, accumulate(RUNGS.values(), dict.__or__), strict=True))
QUICK = {"layers": 1, "heads": 2, "width": 8, "context": 8, "batch": 2, "steps": 8, "warmup": 2,
         "eval_every": 4, "eval_batches": 2, "final_eval_batches": 3}


@dataclass(frozen=True)
class Entry:
    """One competitor: its part of the report, and the settings in which it differs from `tiny`."""

    part: str
    name: str
    settings: dict[str, Any]


ENTRIES = [Entry("tiny", "tiny", {}), Entry("torch", TORCH, {}),
           *(Entry("recipes", name, {"preset": name}) for name in RECIPES),
           *(Entry("ladder", name, settings) for name, settings in LADDER.items())]
PARTS = tuple(dict.fromkeys(entry.part for entry in ENTRIES))


# ---- one run -------------------------------------------------------------------------------------

def settings_of(entry: Entry, seed: int, data: Path, quick: bool) -> dict[str, Any]:
    """Return the settings of one run."""
    return {**entry.settings, "seed": seed, "data": str(data), "sample_every": 0,
            "checkpoint_every": 0, "eval_every": 100, "eval_batches": 60,
            "final_eval_batches": 400, **(QUICK if quick else {})}


def our_race(given: dict[str, Any], threads: int) -> Record:
    """Train one of ours as `tinygrad-llm train` does; return its losses and times."""
    with TemporaryDirectory(prefix="speedrun_") as folder:
        run = start_run(make_config(given), Path(folder) / "run")
        if not train(run, say=lambda text: None, threads=threads):
            raise KeyboardInterrupt
        clock = [0.0, *accumulate(run.seconds)]
        records = read_metrics(run.folder / "metrics.jsonl")
        return {"curve": [(r["step"], round(clock[r["step"]], 2), round(r["val_loss"], 4))
                          for r in records if "val_loss" in r],
                "step_ms": round(median(run.seconds) * 1e3, 2),
                "parameters": sum(p.size for p in parameters(run.model).values())}


def torch_race(given: dict[str, Any], threads: int) -> Record:
    """Train PyTorch's twin in a process of its own, as its threads would disturb ours."""
    with Processes(1) as processes:
        return processes.submit(race, given, threads).result()


def record(entry: Entry, given: dict[str, Any], data: Path, threads: int) -> Record:
    """Run one competitor; return its record."""
    began, busy, own = time.perf_counter(), busy_seconds(), time.process_time()
    found = (torch_race if entry.part == "torch" else our_race)(given, threads)
    wall, others = time.perf_counter() - began, None
    if busy is not None and (now := busy_seconds()) is not None:
        ours = time.process_time() - own + found.pop("cpu_seconds", 0.0)
        others = round(max(0.0, now - busy - ours) / wall / (os.cpu_count() or 1), 3)
    step, seconds, loss = found["curve"][-1]
    return {"part": entry.part, "name": entry.name, "seed": given["seed"], "split": "published",
            "settings": entry.settings, "steps": step, "val_loss": round(loss, 4),
            "seconds": round(seconds, 2), "step_ms": found["step_ms"],
            "parameters": found["parameters"], "threads": threads, "data": data.name,
            "data_sha256": sha256_of(data), "others_share": others,
            **machine(blas_facts(), found), "curve": found["curve"]}


def seconds_to(curve: Sequence[tuple[int, float, float]], mark: float) -> float | None:
    """Return the seconds to the first loss that rounds to the mark, on a line between two points.

    None where it was not reached.

    >>> seconds_to([(100, 10.0, 3.0), (200, 20.0, 1.885), (300, 30.0, 1.785)], 1.88)
    20.0
    """
    goal = round(mark + 0.005, 9)
    if curve and curve[0][2] <= goal:
        return curve[0][1]
    for (_, t0, before), (_, t1, after) in pairwise(curve):
        if after <= goal:
            return t0 + (t1 - t0) * (before - goal) / (before - after)
    return None


# ---- the report card -----------------------------------------------------------------------------

def summary(records: Sequence[Record]) -> list[Record]:
    """Return for each competitor the mean loss of its seeds, its times, and these beside `tiny`'s.

    A ratio is the mean of those to `tiny` of the same seed, which ran in the same turn.
    """
    tiny = {r["seed"]: r["seconds"] for r in records if r["name"] == "tiny"}
    found = []
    for name in dict.fromkeys(entry.name for entry in ENTRIES):
        own = [r for r in records if r["name"] == name]
        if not own:
            continue
        losses, ratios = [r["val_loss"] for r in own], [
            r["seconds"] / tiny[r["seed"]] for r in own if r["seed"] in tiny]
        marks = {}
        for mark in MARKS:
            times = [t for r in own if (t := seconds_to(r["curve"], mark)) is not None]
            marks[f"{mark:.2f}"] = {"seconds": round(mean(times), 1) if times else None,
                                    "reached": len(times)}
        found.append({
            "name": name, "part": own[0]["part"], "parameters": own[0]["parameters"],
            "steps": own[0]["steps"], "seeds": [r["seed"] for r in own],
            "val_loss": round(mean(losses), 4),
            "spread": round(stdev(losses), 4) if len(losses) > 1 else None,
            "seconds": round(mean(r["seconds"] for r in own), 1),
            "step_ms": round(mean(r["step_ms"] for r in own), 1),
            "times_tiny": round(mean(ratios), 2) if ratios else None, "marks": marks})
    return found


def report(records: Sequence[Record]) -> str:
    """Return the report card as Markdown."""
    last, tiny = records[-1], make_config({})
    heads = ["", "parameters", "steps", "seeds", "validation loss", "spread", "ms a step",
             "seconds", "times tiny", *(f"seconds to {mark:.2f}" for mark in MARKS)]
    lines = [heads, ["---"] * len(heads)]
    for one in summary(records):
        lines.append([one["name"], f"{one['parameters']:,}", f"{one['steps']:,}",
                      f"{len(one['seeds'])}", f"{one['val_loss']:.3f}", cell(one["spread"], ".3f"),
                      f"{one['step_ms']:.1f}", f"{one['seconds']:.0f}",
                      cell(one["times_tiny"], ".2f"),
                      *(reached(found, len(one["seeds"])) for found in one["marks"].values())])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    seeds = dict.fromkeys(r["seed"] for r in records)
    torch = next((r["torch"] for r in records if r.get("torch")), None)
    return (
        f"# Speedrun\n\nThe mark is a validation loss of 1.88, nanoGPT's published one for its CPU "
        f"configuration (`tiny`). All are trained on {last['data']}, a batch of {tiny.data.batch} "
        f"windows of {tiny.context} a step, from the seeds {', '.join(map(str, seeds))}; a loss is "
        f"the mean of them, seconds are those of training alone.\n\n{table}\n\n"
        f"{last['cpu']}, {last['threads']} of {last['cores']} cores; Python {last['python']}, "
        f"NumPy {last['numpy']} with {last['blas']} ({last['blas_architecture']} kernels)"
        f"{f', PyTorch {torch}' if torch else ''}; {last['date']}.{busy(records)}\n")


def cell(value: float | None, form: str) -> str:
    """Return a number, or a line for none."""
    return "-" if value is None else format(value, form)


def reached(found: Record, seeds: int) -> str:
    """Return the time to a mark, and by how many seeds it was reached, unless by all."""
    if not found["reached"]:
        return "-"
    some = "" if found["reached"] == seeds else f" ({found['reached']} of {seeds} seeds)"
    return f"{found['seconds']:.0f}{some}"


def busy(records: Sequence[Record]) -> str:
    """Return a warning that names the runs during which other programs were at work."""
    disturbed = [r for r in records if (r["others_share"] or 0.0) >= 0.05]
    if not disturbed:
        return ""
    most = max(r["others_share"] for r in disturbed)
    names = ", ".join(dict.fromkeys(f"'{r['name']}'" for r in disturbed))
    return (f" Other programs took up to {most:.0%} of the cores' time during {names}: the losses "
            f"are right, the times are not.")


# ---- the command ---------------------------------------------------------------------------------

def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's arguments, checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speedrun",
                                     description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the text, as tinyshakespeare.txt")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART",
                        help=f"parts: {', '.join(PARTS)} (all but ladder)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1337, 1, 2])
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--out", type=Path, default=Path("runs/speedrun"), help="(%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few steps of a model of one layer")
    args = parser.parse_args(argv)
    if not args.data.is_file():
        parser.error(f"--data {args.data}: there is no such file; name a text")
    has_torch = importlib.util.find_spec("torch") is not None
    if "torch" in (args.only or ()) and not has_torch:
        parser.error("--only torch: PyTorch is not installed")
    args.parts = args.only or [part for part in PARTS if part != "ladder"
                               and (has_torch or part != "torch")]
    return args


def known(path: Path) -> list[Record]:
    """Return the records of an earlier start; a last line that was cut short is left out."""
    def parsed() -> Iterator[Record]:
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                yield json.loads(line)
            except ValueError:
                continue

    return list(parsed())


def recorded(path: Path, args: argparse.Namespace) -> dict[tuple[str, int], Record]:
    """Return by name and seed what is recorded of these settings, text, threads and machine."""
    here = {"split": "published", "threads": args.threads, "data_sha256": sha256_of(args.data),
            "cpu": cpu_model()}
    wanted = {entry.name: {**here, "settings": entry.settings, "steps": make_config(
        settings_of(entry, 0, args.data, args.quick)).run.steps} for entry in ENTRIES}
    return {(r["name"], r["seed"]): r for r in known(path)
            if r["name"] in wanted and wanted[r["name"]].items() <= r.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is not recorded yet; write the report card."""
    args = arguments(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "speedrun.jsonl"
    plan = [(entry, seed) for seed in args.seeds for entry in ENTRIES if entry.part in args.parts]
    mine = recorded(path, args)
    for entry, seed in tqdm(plan, desc="speedrun", unit="run", disable=None):
        if (entry.name, seed) not in mine:
            mine[entry.name, seed] = new = record(
                entry, settings_of(entry, seed, args.data, args.quick), args.data, args.threads)
            write_in_one_step(path, [f"{json.dumps(r)}\n".encode() for r in (*known(path), new)])
            tqdm.write(f"{entry.name}, seed {seed}: validation loss {new['val_loss']:.4f} in "
                       f"{new['seconds']:.0f} s of training")
    records = [*mine.values()]
    text = report(records)
    write_in_one_step(args.out / "speedrun.md", [text.encode()])
    write_in_one_step(args.out / "speedrun.json", [json.dumps(
        {"mark": MARKS[0], "machine": {key: records[-1][key] for key in (
            "cpu", "cores", "threads", "blas", "blas_architecture", "python", "numpy", "date")},
         "results": summary(records)}, indent=2).encode()])
    print(text)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"speedrun: error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; started again, it goes on with the run that it was at, from its start")
