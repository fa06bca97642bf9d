"""Predictions of memory and time beside what runs take: python -m benchmarks.plan --out FILE.

By turns and each in a fresh process: `tinygrad-llm plan`, and the same run, of a few steps. A line
for each preset has the ratios of predicted to measured, and their median. A step is timed by the
median of all but the first; memory is the most that was resident until the last step. `--saving`
adds a line for each setting of memory; `--only accumulation` compares, by turns, the time of a
step whose batch goes in parts with that of the same slices at once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.records import publish
from benchmarks.sides import blas_facts
from benchmarks.train_cpu import machine

BATCHES = {"baby": 8, "baby-llama": 8, "gpt2": 2}
"""Of presets whose own batch takes up to a minute a step: more slices of the same size."""


SAVING = (["--accumulate", "2"], ["--recompute", "true"], ["--loss-chunk", "128"],
          ["--offload-moments", "true"])


def settings(preset: str, batch: int) -> list[str]:
    """Return the flags of a run in which nothing but steps happens."""
    chosen = batch or BATCHES.get(preset, 0)
    return ["--preset", preset, *(["--batch", str(chosen)] if chosen else []), "--eval-every", "0",
            "--sample-every", "0", "--final-eval-batches", "0", "--warmup", "0"]


def predicted(flags: list[str]) -> dict[str, Any]:
    """Return the plan."""
    found = subprocess.run([sys.executable, "-m", "tinygrad_llm", "plan", "--json", *flags],
                           check=True, capture_output=True, text=True)
    return json.loads(found.stdout)  # type: ignore[no-any-return]


def measured(flags: list[str], steps: int) -> dict[str, Any]:
    """Return the seconds of a step, and the bytes of a run at the most."""
    with TemporaryDirectory() as folder:
        found = subprocess.run(
            [sys.executable, "-m", "benchmarks.plan", "--work", *flags, "--steps", str(steps),
             "--out", str(Path(folder) / "run")], check=True, capture_output=True, text=True)
    line = next(line for line in found.stdout.splitlines() if line.startswith("{"))
    return json.loads(line)  # type: ignore[no-any-return]


def work(flags: list[str]) -> None:
    """Train, in this process, and print what it took."""
    from tinygrad_llm.cli import main as cli
    from tinygrad_llm.cli import train

    def report(run: Any, threads: int) -> None:
        print(json.dumps({"seconds": median(run.seconds[1:]), "peak": run.most}))

    train._compare = report
    cli(["train", *flags])


def accumulation(preset: str, args: argparse.Namespace, parts: int = 4) -> dict[str, Any]:
    """Return what a token costs more in a batch of `parts` parts than in the same batch at once.

    Both are cut into the same slices.
    """
    from tinygrad_llm.train import make_config
    from tinygrad_llm.train.slices import default_slices

    config = make_config({"preset": preset})
    batch = parts * (args.batch or BATCHES.get(preset, 0) or config.data.batch)
    slices = default_slices(batch, config.context, parts)
    flags = [*settings(preset, batch), "--slices", str(slices)]
    pairs = [(measured([*flags, "--accumulate", str(parts)], args.steps)["seconds"],
              measured(flags, args.steps)["seconds"]) for _ in range(args.runs)]
    return {"preset": preset, "case": "accumulation", "batch": batch, "slices": slices,
            "parts": parts, "time": [round(one / other, 3) for one, other in pairs],
            "time_median": round(median(one / other for one, other in pairs), 3),
            "seconds": round(median(other for _, other in pairs), 4),
            "load": round(os.getloadavg()[0], 1), **machine(blas_facts(), {})}


def compare(preset: str, args: argparse.Namespace, saving: list[str]) -> dict[str, Any]:
    """Return the record of a preset, with settings of memory as flags."""
    flags = [*settings(preset, args.batch), *saving]
    pairs = [(predicted(flags), measured(flags, args.steps)) for _ in range(args.runs)]
    time = [plan["seconds"] / run["seconds"] for plan, run in pairs]
    memory = [plan["memory"]["peak"] / run["peak"] for plan, run in pairs]
    plan, run = pairs[-1]
    return {"preset": preset, "saving": " ".join(saving), "batch": plan["settings"]["batch"],
            "threads": plan["threads"],
            "time": [round(ratio, 3) for ratio in time], "time_median": round(median(time), 3),
            "memory": [round(ratio, 3) for ratio in memory],
            "memory_median": round(median(memory), 3),
            "seconds": round(run["seconds"], 4), "peak_mb": round(run["peak"] / 2**20, 1),
            "load": round(os.getloadavg()[0], 1), **machine(blas_facts(), {})}


def main() -> None:
    """Compare the presets, or do a side's work."""
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan",
                                     description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("presets", nargs="*", metavar="PRESET", help="which; by default all")
    parser.add_argument("--batch", type=int, default=0, help="instead of the benchmark's own")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="of each run, 2 at least")
    parser.add_argument("--saving", action="store_true", help="with each setting of memory too")
    parser.add_argument("--only", choices=["accumulation"], help="this comparison instead")
    parser.add_argument("--out", type=Path, help="a file to append the lines to")
    args = parser.parse_args()
    from tinygrad_llm.train import PRESETS

    for preset in args.presets or PRESETS:
        if args.only:
            publish(accumulation(preset, args), args.out)
            continue
        for saving in ([], *(SAVING if args.saving else ())):
            publish(compare(preset, args, saving), args.out)


if __name__ == "__main__":
    main()
