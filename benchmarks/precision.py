"""The preset `tiny` in float32, bfloat16 and float16: what 16 bits cost in validation loss.

    python -m benchmarks.precision --data tinyshakespeare.txt --out records.jsonl
    python -m benchmarks.precision --table records.jsonl

Each run is that of `tinygrad-llm train`: 2,000 steps of 768 tokens. Recorded are the validation
loss over 400 batches at the end, of the weights that a checkpoint holds, computed in float32 and in
the type of the steps; the batches that were left out, and the seconds of a step, which say what the
emulation costs on a CPU. Types take turns, seed by seed.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.records import publish
from benchmarks.train_cpu import cpu_model
from tinygrad_llm.host.threads import workers
from tinygrad_llm.train import make_config, start_run, train
from tinygrad_llm.train.log import read_metrics
from tinygrad_llm.train.run import VALIDATION_BATCHES
from tinygrad_llm.train.slices import batch_losses, mean_loss

VARIANTS: dict[str, dict[str, Any]] = {
    "float32": {}, "bfloat16": {"precision": "bfloat16"}, "float16": {"precision": "float16"}}
SEEDS = 1337, 1, 2
BATCHES = 400


def measure(name: str, seed: int, data: Path, steps: int, threads: int | None) -> dict[str, Any]:
    """Train a variant; return its record."""
    config = make_config({**VARIANTS[name], "data": str(data), "seed": seed, "steps": steps,
                          "sample_every": 0, "checkpoint_every": 0, "eval_every": 0,
                          "final_eval_batches": BATCHES})
    with TemporaryDirectory(prefix="precision_") as folder:
        run = start_run(config, Path(folder) / "run")
        if not train(run, say=lambda text: None, threads=threads):
            raise SystemExit("stopped before the last step; nothing is recorded")
        metrics = read_metrics(run.folder / "metrics.jsonl")
        batches = run.batches(run.data.validation, VALIDATION_BATCHES)
        with workers(threads):
            in_type = mean_loss(batch_losses(run.precision.rounded(), run.objective, batches.at,
                                             BATCHES, config.run.slices))
        loss = [record["val_loss"] for record in metrics if "val_loss" in record][-1]
    return {"variant": name, "seed": seed, "steps": steps, "val_loss": round(loss, 4),
            "val_loss_in_type": round(in_type, 4), "left_out": run.batch - run.step,
            "loss_scale": run.precision.scale.size, "step_ms": round(1e3 * median(run.seconds)),
            "data": data.name, "cpu": cpu_model(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat()}


def table(records: list[dict[str, Any]]) -> str:
    """Return the means over seeds, and the differences to float32 over the same seeds."""
    found = {(r["variant"], r["seed"]): r for r in records}
    lines = ["| steps in | seeds | validation loss | difference to float32 | evaluated in the "
             "type | batches left out | step |", "|---|---|---|---|---|---|---|"]
    for name in dict.fromkeys(r["variant"] for r in records):
        own = [r for r in found.values() if r["variant"] == name]
        apart = [r["val_loss"] - found["float32", r["seed"]]["val_loss"] for r in own
                 if ("float32", r["seed"]) in found]
        lines.append(
            f"| {name} | {len(own)} | {mean(r['val_loss'] for r in own):.4f} | "
            f"{mean(apart):+.4f} ({min(apart):+.4f} to {max(apart):+.4f}) | "
            f"{mean(r['val_loss_in_type'] for r in own):.4f} | "
            f"{mean(r['left_out'] for r in own):.0f} | "
            f"{median(r['step_ms'] for r in own):.0f} ms |")
    return "\n".join(lines)


def main() -> None:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    if args.table:
        print(table([json.loads(line) for line in args.table.read_text().splitlines()]))
        return
    for seed in args.seeds:
        for name in args.only:
            publish(measure(name, seed, args.data, args.steps, args.threads), args.out)


if __name__ == "__main__":
    main()
