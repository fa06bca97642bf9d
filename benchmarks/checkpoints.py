"""The cost of a checkpoint of 124M parameters, written while the run goes on or waited for.

    python -m benchmarks.checkpoints --out benchmarks/results/checkpoints.jsonl

GPT-2 small trains on random tokens, with AdamW's two averages (1.5 GB a checkpoint), and saves
after every fourth step; in the background, then in the foreground. The time of each step is that
between two records of metrics.jsonl, so all that a run does is in it. Steps before the first
checkpoint are clean; `excess_s` is what the steps from one checkpoint to the next take beyond as
many clean ones, and `stall_s` the part of it in which the loop stood still: the saving's beginning,
and its copy before the update. Both also as shares of a step.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.records import publish
from benchmarks.sides import blas_facts
from benchmarks.train_cpu import machine
from tinygrad_llm.data.tokens.shard_writer import ShardWriter
from tinygrad_llm.nn import parameters
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.train import loop, make_config, start_run, train
from tinygrad_llm.train.folder.background import Background
from tinygrad_llm.train.log import read_metrics

EVERY = 4


def write_tokens(folder: Path, count: int) -> Path:
    """Write random tokens as shards; return their folder."""
    tokenizer = CharTokenizer.from_text("".join(map(chr, range(0x100, 0x100 + 50304))))
    tokenizer.save(folder / "tokenizer.json")
    ids = np.random.default_rng(0).integers(0, tokenizer.vocab_size, count)
    for part in ("train", "val"):
        with ShardWriter(folder / part, tokenizer.vocab_size, count,
                         tokenizer=folder / "tokenizer.json") as writer:
            writer.add(ids.tolist())
    return folder


def measure(folder: Path, data: Path, background: bool, settings: dict[str, Any],
            checkpoints: int) -> dict[str, Any]:
    """Train with checkpoints of one kind; return the record."""
    steps = EVERY * (checkpoints + 1)
    config = make_config({
        "preset": "gpt2", **settings, "data": str(data), "steps": steps, "warmup": 1,
        "checkpoint_every": EVERY, "checkpoint_in_background": background, "eval_every": 0,
        "final_eval_batches": 0, "sample_every": 0, "log_every": 1, "look_every": 0})
    run, stalls, save, settle = start_run(config, folder), [], loop._save, Background.settle

    def timed(function: Any) -> Any:
        def call(*arguments: Any) -> None:
            began = perf_counter()
            function(*arguments)
            if steps > run.step:  # the last one is waited for in any case
                stalls.append(perf_counter() - began)
        return call

    loop._save, Background.settle = timed(save), timed(settle)  # type: ignore[method-assign]
    try:
        train(run, say=lambda text: None)
    finally:
        loop._save, Background.settle = save, settle  # type: ignore[method-assign]
    times = np.diff([line["seconds"] for line in read_metrics(folder / "metrics.jsonl")
                     if "loss" in line])  # of the steps 2, 3, ...
    clean = median(times[:EVERY - 1])  # before the first checkpoint
    spans = [sum(times[first:first + EVERY]) for first in range(EVERY - 1, steps - 1, EVERY)]
    excess = [span - EVERY * clean for span in spans[:checkpoints]]
    return {"checkpoint": "background" if background else "foreground",
            "parameters": sum(p.size for p in parameters(run.model).values()),
            "batch": config.data.batch, "context": config.context, "step_s": round(clean, 2),
            "excess_s": round(median(excess), 2), "excess_share": round(median(excess) / clean, 3),
            "stall_s": round(sum(stalls) / checkpoints, 3),
            "stall_share": round(sum(stalls) / checkpoints / clean, 4)}


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, measure both kinds, print the records."""
    parser = argparse.ArgumentParser(prog="benchmarks.checkpoints", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2, metavar="N", help="windows a step (2)")
    parser.add_argument("--checkpoints", type=int, default=3, metavar="N", help="of a run (3)")
    parser.add_argument("--quick", action="store_true", help="a model of one small layer")
    parser.add_argument("--out", type=Path, metavar="FILE.jsonl")
    args = parser.parse_args(arguments)
    settings: dict[str, Any] = {"batch": args.batch}
    if args.quick:
        settings |= {"layers": 1, "heads": 2, "width": 16, "context": 16}
    for background in (True, False):
        with TemporaryDirectory(prefix="checkpoints_") as made:
            data = write_tokens(Path(made), 200_000)
            record = measure(Path(made) / "run", data, background, settings, args.checkpoints)
        publish(record | machine(blas_facts(), {}), args.out)


if __name__ == "__main__":
    main()
