"""GPT-2 and Llama at the size of `tiny`, and one change at a time between them.

    python -m benchmarks.architectures --data tinyshakespeare.txt --out records.jsonl
    python -m benchmarks.architectures --table records.jsonl --picture docs/architectures.svg

Each variant is trained as `tinygrad-llm train` trains it: 2,000 steps of 768 tokens with the rates
of the preset, from several seeds. Recorded are the validation loss over 400 batches at the end, the
losses on the way, and the parameters; speed is the matter of `benchmarks.train_cpu`. Variants take
turns, seed by seed.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from benchmarks.records import publish
from benchmarks.train_cpu import cpu_model
from tinygrad_llm.nn import parameters
from tinygrad_llm.train import make_config, start_run, train
from tinygrad_llm.train.log import read_metrics

VARIANTS: dict[str, dict[str, Any]] = {
    "tiny (GPT-2)": {},
    "+ RMSNorm": {"norm": "rms"},
    "+ sinusoidal positions": {"positions": "sinusoidal"},
    "+ rotary positions": {"positions": "rotary"},
    "+ ReLU squared": {"mlp": "relu_squared"},
    "+ GeGLU": {"mlp": "geglu"},
    "+ SwiGLU": {"mlp": "swiglu"},
    "without biases": {"bias": False},
    "tiny-llama": {"preset": "tiny-llama"},
}
SEEDS = 1337, 1, 2


def measure(name: str, seed: int, data: Path, steps: int) -> dict[str, Any]:
    """Train a variant; return its record."""
    config = make_config({**VARIANTS[name], "data": str(data), "seed": seed, "steps": steps,
                          "sample_every": 0, "checkpoint_every": 0})
    with TemporaryDirectory(prefix="architectures_") as folder:
        run = start_run(config, Path(folder) / "run")
        if not train(run, say=lambda text: None):
            raise SystemExit("stopped before the last step; nothing is recorded")
        metrics = read_metrics(run.folder / "metrics.jsonl")
    losses = [(r["step"], round(r["val_loss"], 4)) for r in metrics if "val_loss" in r]
    return {"variant": name, "seed": seed, "steps": steps, "val_loss": losses[-1][1],
            "curve": losses, "parameters": sum(p.size for p in parameters(run.model).values()),
            "data": data.name, "cpu": cpu_model(),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat()}


def table(records: list[dict[str, Any]]) -> str:
    """Return the losses of all seeds, and beside them what the change bought, as Markdown."""
    seeds = sorted({r["seed"] for r in records}, key=[*SEEDS].index)
    lines = [["variant", "parameters", *(f"seed {seed}" for seed in seeds), "mean", "change"]]
    lines.append(["---"] * len(lines[0]))
    found = {name: {r["seed"]: r for r in records if r["variant"] == name} for name in VARIANTS}
    first = mean(r["val_loss"] for r in found["tiny (GPT-2)"].values())
    for name, own in found.items():
        if own:
            average = mean(r["val_loss"] for r in own.values())
            size = next(iter(own.values()))["parameters"]
            lines.append([name, f"{size:,}", *(
                f"{own[seed]['val_loss']:.3f}" if seed in own else "" for seed in seeds),
                f"{average:.3f}", f"{average - first:+.3f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def picture(records: list[dict[str, Any]], path: Path) -> None:
    """Draw the validation losses on the way, the mean of the seeds, from step 250 on."""
    import matplotlib
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for i, name in enumerate(VARIANTS):
        curves = [dict(r["curve"]) for r in records if r["variant"] == name]
        if not curves:
            continue
        steps = sorted(set.intersection(*(set(curve) for curve in curves)))
        whole = "tiny" in name
        axes.plot(steps, [mean(curve[step] for curve in curves) for step in steps],
                  color=f"C{i}", linewidth=2.5 if whole else 1.2, label=name,
                  linestyle="-" if whole else "--", marker="o", markersize=3)
    axes.set(xlabel="step of 768 tokens", ylabel="validation loss, nats a character",
             title="GPT-2, one change at a time, and Llama, on tinyshakespeare")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.architectures",
                                     description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="the text to train on")
    parser.add_argument("--out", type=Path, help="a file to append the records to")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--table", type=Path, help="print the table of such a file instead")
    parser.add_argument("--picture", type=Path, help="with --table, draw the curves too")
    args = parser.parse_args()
    if args.table:
        records = [json.loads(line) for line in args.table.read_text().splitlines()]
        print(table(records))
        if args.picture:
            picture(records, args.picture)
        return
    if not args.data:
        parser.error("name the text with --data")
    pairs = [(name, seed) for seed in args.seeds for name in VARIANTS]
    for name, seed in tqdm(pairs, unit="run"):
        publish(measure(name, seed, args.data, args.steps), args.out)


if __name__ == "__main__":
    main()
