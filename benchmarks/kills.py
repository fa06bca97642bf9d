"""A run that is killed again and again ends as one that was not: its weights, bit for bit.

    python -m benchmarks.kills --out benchmarks/results/kills.jsonl
    python -m benchmarks.kills --kills 40 --seed 2 --data tinyshakespeare.txt

A small GPT trains in float16, with accumulation, recomputed blocks, the loss in chunks, dropout, an
average of the weights, and checkpoints written in the background; once in one go, and once with
SIGKILL at random moments, each time gone on with by `tinygrad-llm train --resume`. The moments are
of three kinds, by turns: some time after the process began, while it may still be reading; some
time after it has saved a checkpoint; and while one is being written. After each kill every file of
every checkpoint is read and compared with its checksum; what a killed process left behind has to be
gone by the time the next one has saved. At the end both folders have the same files, and the
weights, the average, the optimizer's averages, the scale of the loss and the losses on record are
compared bit for bit. The exit status is 1 where anything differs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.numpy import load_file
from tqdm import tqdm

from benchmarks.records import publish
from benchmarks.train_cpu import cpu_model
from tinygrad_llm.host.files import sha256_of
from tinygrad_llm.train.folder.checkpoint import read_state
from tinygrad_llm.train.log import read_metrics
from tinygrad_llm.train.run import holds_run

TRAIN = [sys.executable, "-m", "tinygrad_llm", "train"]
SETTINGS: dict[str, Any] = {
    "layers": 2, "heads": 2, "width": 32, "context": 16, "batch": 8, "dropout": 0.1,
    "precision": "float16", "accumulate": 2, "recompute": "true", "loss-chunk": 32, "ema": 0.99,
    "checkpoint-in-background": "true", "checkpoint-every": 5, "keep": 2, "eval-every": 25,
    "eval-batches": 2, "final-eval-batches": 8, "sample-every": 100, "sample-tokens": 20,
    "warmup": 10}
MOMENTS = "after the start", "after a checkpoint", "while one is written"
COMPARED = "loss", "grad_norm", "val_loss", "val_loss_ema", "sample"
PATIENCE = 120.0  # seconds in which a process has to come to the moment of its kill


def flags(steps: int, data: Path) -> list[str]:
    """Return the arguments of the run."""
    values = {**SETTINGS, "steps": steps, "data": data}
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a process that trains in a folder."""
    return subprocess.Popen([*TRAIN, "--out", str(folder), *arguments], text=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a process. Raises SystemExit with its words where it failed."""
    _, error = process.communicate()
    if process.returncode:
        raise SystemExit(error)


def newest(folder: Path) -> int:
    """Return the step of the newest checkpoint, -1 before the first."""
    return read_state(folder)["step"] if (folder / "state.json").exists() else -1


def kill(process: subprocess.Popen[str], folder: Path, moment: str, dice: random.Random) -> bool:
    """Kill a process at a moment; return whether it was writing a checkpoint.

    Raises RuntimeError for one that ended before.
    """
    checkpoints = folder / "checkpoint"

    def writing(wait: float) -> bool:
        if not any(unfinished(checkpoints)):
            return False
        time.sleep(0.003 * wait)
        process.send_signal(signal.SIGSTOP)  # else the file is often whole before the kill
        time.sleep(0.01)
        if any(unfinished(checkpoints)):
            return True
        process.send_signal(signal.SIGCONT)
        return False

    def until(came: Any) -> None:
        deadline = time.monotonic() + PATIENCE
        while not came():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"a process ended before its kill; give more --steps, if "
                                   f"this is no error:\n{process.communicate()[1]}")

    if moment == MOMENTS[0]:
        if dice.random() < 0.5:  # else anywhere, often before it has read what is there
            until(lambda: folder.exists())
        time.sleep(2 * dice.random())
    else:
        before = newest(checkpoints)
        until(lambda: newest(checkpoints) > before)
        if moment == MOMENTS[1]:
            time.sleep(0.2 * dice.random())
        else:
            until(lambda: writing(dice.random()))
    process.kill()
    process.communicate()
    return any(unfinished(checkpoints)) and process.returncode == -9


def unfinished(folder: Path) -> Iterator[Path]:
    """Yield the files under temporary names."""
    return folder.glob(".*.tmp")


def corrupt(folder: Path) -> list[str]:
    """Return what is wrong with the files of a run that was killed."""
    found, checkpoints = [], folder / "checkpoint"
    if (folder / "config.toml").exists():
        tomllib.loads((folder / "config.toml").read_text())
    if (folder / "metrics.jsonl").exists():
        for line in (folder / "metrics.jsonl").read_text().split("\n")[:-1]:
            json.loads(line)  # the last one may be half of one
    if newest(checkpoints) >= 0:
        for saved in read_state(checkpoints)["checkpoints"]:
            for name, digest in saved.sha256.items():
                path = checkpoints / name
                if not path.exists() or sha256_of(path) != digest:
                    found.append(name)
    return found


def differences(one: Path, other: Path) -> list[str]:
    """Return in what the ends of two runs differ."""
    states = [read_state(folder / "checkpoint") for folder in (one, other)]
    found = []
    for kind in ("weights", "optimizer"):
        arrays = [load_file(folder / "checkpoint" / state[kind])
                  for folder, state in zip((one, other), states, strict=True)]
        if arrays[0].keys() != arrays[1].keys():
            found.append(f"the names in {kind}")
        found += [name for name, array in arrays[0].items()
                  if array.tobytes() != arrays[1][name].tobytes()]
    records = [[{key: line[key] for key in ("step", *COMPARED) if key in line}
                for line in read_metrics(folder / "metrics.jsonl")] for folder in (one, other)]
    if [line for line in records[0] if len(line) > 1] != [
            line for line in records[1] if len(line) > 1]:
        found.append("metrics.jsonl")
    files = [{str(path.relative_to(folder)) for path in folder.rglob("*")}
             for folder in (one, other)]
    return found + sorted(files[0] ^ files[1])


def measure(folder: Path, data: Path, kills: int, steps: int, seed: int) -> dict[str, Any]:
    """Do both runs in a folder; return the record."""
    whole, killed = folder / "whole", folder / "killed"
    finish(start(whole, *flags(steps, data)))
    dice, record = random.Random(seed), {"kills": 0, "while_writing": 0, "corrupt": 0, "strays": 0}
    left: set[Path] = set()
    arguments = flags(steps, data)
    for number in tqdm(range(kills), desc="kills", unit="kill", disable=None):
        process = start(killed, *arguments)
        before = newest(killed / "checkpoint")
        try:
            writing = kill(process, killed, MOMENTS[number % len(MOMENTS)], dice)
        except RuntimeError as error:
            raise SystemExit(f"{error}") from error
        record["kills"] += 1
        record["while_writing"] += writing
        record["corrupt"] += len(corrupt(killed))
        if newest(killed / "checkpoint") > before:  # it has saved: what was there before is gone
            record["strays"] += sum(path.exists() for path in left)
            left = set()
        left |= {*killed.rglob("*.tmp")}
        if holds_run(killed):
            arguments = ["--resume"]
    finish(start(killed, *arguments))
    record["strays"] += len({*killed.rglob("*.tmp")})
    return {**record, "steps": steps, "seed": seed, "differences": differences(whole, killed)}


def text() -> str:
    """Return a text to train on."""
    return "".join(f"{i} sheep and {i * i % 97} goats went up the hill.\n" for i in range(4000))


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, measure, print the record; return 1 where anything differs."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.kills", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40, metavar="N")
    parser.add_argument("--steps", type=int, default=1500, metavar="N",
                        help="of the run: enough for all kills (1500)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the moments (1)")
    parser.add_argument("--data", type=Path, metavar="TEXT", help="by default, made here")
    parser.add_argument("--out", type=Path, metavar="FILE.jsonl")
    args = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="kills_") as made:
        folder = Path(made)
        if args.data is None:
            (folder / "text.txt").write_text(text())
        record = measure(folder, (args.data or folder / "text.txt").resolve(), args.kills,
                         args.steps, args.seed)
    publish({**record, "settings": SETTINGS, "cpu": cpu_model(),
             "date": datetime.datetime.now(datetime.UTC).date().isoformat()}, args.out)
    return 1 if record["corrupt"] or record["strays"] or record["differences"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
