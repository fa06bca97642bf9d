r"""The time of a training step on the CPU, beside the same model elsewhere.

    python -m benchmarks.train_cpu --config tiny                      # beside PyTorch eager
    python -m benchmarks.train_cpu --all --vs torch,compile,jax
    python -m benchmarks.train_cpu --config tiny --profile            # where our step spends it

A step is forward, backward, clipping to norm 1 and AdamW, in float32. Ours and the rivals' take
turns, a few steps each, so that all see the same noise of the machine. Each is a process of its own
(see `benchmarks/sides.py`), whose peak memory is reported, too; they are in memory together. All
start from the same weights. Their first losses must agree to 1e-4, and those of every turn to 0.01,
as rounding errors grow: so they do the same updates. Compiling and warming up are not counted.

Turns have a trap. The threads of a library spin after their last task, OpenBLAS's for about a
tenth of a second, and would take the cores from the other side: without a rest between the turns
PyTorch's small step takes twice its time. But threads that sleep wake up slowly, and the others
have had the caches: our first step of `tiny` after a rest takes 1.5 times that of the ninth. So
where a step is short, a turn is several in a row, of which the first are not counted. The numbers
are then those of each side running alone, without pause.

`ratio` is the rival's median over ours: above 1 we are faster. `share_of_sgemm` is the operations
of a step's matrix products (`Config.product_flops`), divided by the time of our step and by the
rate of NumPy's float32 product at the shape of the MLP's first layer, measured in turn with the
steps: 1 would be a step that does nothing but such products. Which kernels OpenBLAS uses
(`blas_architecture`) decides that rate, and is its own choice only where `openblas_coretype` is
null; PyTorch brings a BLAS of its own, whose choice `torch_capability` hints at. `others_share` is
the part of all cores' time that went to other programs and, on a virtual machine, to other
machines: where it is more than a few hundredths the rest of the record means little.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from math import ceil, isclose
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.configs import CONFIGS
from benchmarks.records import publish
from benchmarks.sides import NEEDS, RIVALS, Facts, Side, installed
from benchmarks.table import markdown
from tinygrad_llm.host.machine import usable_cores

REST = 0.15  # seconds between turns
BURSTS = 2, 5  # of products: uncounted and counted ones in a turn


def measure(name: str, rivals: list[str], *, rounds: int, warmup: int,
            threads: int) -> Iterator[dict[str, Any]]:
    """Yield the record of one configuration for each rival, or one of ours alone.

    Raises RuntimeError where the sides' losses differ, or a side's process ends.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="train_cpu_"))
        sides = {}
        for side in tqdm(["ours", *rivals, "sgemm"], desc=f"{name}: starting", unit="side",
                         disable=None, leave=False):
            sides[side] = stack.enter_context(
                Side(side, name, threads=threads, weights=Path(folder) / "weights.npz"))
        check_agreement({side: s.facts["loss"] for side, s in sides.items() if side != "sgemm"})
        others = Others(sides)
        turns = take_turns(sides, name, rounds=rounds, warmup=warmup)
        share = others.share()
        peaks = {side: s.peak_mb() for side, s in sides.items() if side != "sgemm"}
        facts = {side: s.facts for side, s in sides.items()}
    for rival in rivals or [None]:
        yield record(name, rival, turns, peaks, facts, threads=threads) | {"others_share": share}


def take_turns(sides: dict[str, Side], name: str, *, rounds: int,
               warmup: int) -> dict[str, list[list[float]]]:
    """Return the milliseconds of each side's counted steps, a list for each turn."""
    config = CONFIGS[name]
    turns: dict[str, list[list[float]]] = {side: [] for side in sides}
    for i in tqdm(range(warmup + rounds), unit="round", disable=None, leave=False,
                  desc=f"{name}: timing"):
        losses = {}
        for side in sides:
            time.sleep(REST)
            lead, run = BURSTS if side == "sgemm" else (config.lead, config.run)
            times, losses[side] = sides[side].turn(lead, run)
            if i >= warmup:
                turns[side].append(times)
        del losses["sgemm"]
        check_agreement(losses, tolerance=0.01)
    return turns


class Others:
    """How busy the machine is meanwhile with what is not the sides' work."""

    def __init__(self, sides: dict[str, Side]) -> None:
        self.sides = sides
        self.start = time.perf_counter(), busy_seconds(), self.ours()

    def ours(self) -> float:
        """Return the processor seconds of this process and the sides' until now."""
        return time.process_time() + sum(side.cpu for side in self.sides.values())

    def share(self) -> float | None:
        """Return the part of all cores' time since the start that others took, None if unknown."""
        clock, busy, ours = self.start
        now = busy_seconds()
        if busy is None or now is None:
            return None
        seconds = (time.perf_counter() - clock) * (os.cpu_count() or 1)
        return round(max(0.0, now - busy - (self.ours() - ours)) / seconds, 3)


def busy_seconds() -> float | None:
    """Return how long all cores together have been busy or taken away since the machine began."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, irq, softirq, stolen = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")


def check_agreement(losses: dict[str, float], tolerance: float = 1e-4) -> None:
    """Raise RuntimeError where two losses differ: the models would not be the same."""
    first = next(iter(losses.values()))
    if not all(isclose(loss, first, rel_tol=tolerance, abs_tol=tolerance)
               for loss in losses.values()):
        raise RuntimeError(f"the sides do not compute the same: their losses are {losses}")


def record(name: str, rival: str | None, turns: dict[str, list[list[float]]],
           peaks: dict[str, float | None], facts: dict[str, Facts], *,
           threads: int) -> dict[str, Any]:
    """Return what was measured of ours and one rival, and what it depends on."""
    config = CONFIGS[name]
    times = {side: list(chain.from_iterable(found)) for side, found in turns.items()}
    ours = median(times["ours"])
    theirs = median(times[rival]) if rival else None
    rate = facts["sgemm"]["flops"] / median(times["sgemm"]) * 1e3
    return {
        "config": name, "rival": rival, "ours_ms": round(ours, 2),
        "rival_ms": theirs and round(theirs, 2), "ratio": theirs and round(theirs / ours, 3),
        "ratio_quartiles": rival and ratio_quartiles(
            *([median(turn) for turn in turns[side]] for side in (rival, "ours"))),
        "tokens_per_s": round(config.tokens() / ours * 1e3, 1),
        "peak_mb": peaks["ours"], "rival_peak_mb": rival and peaks[rival],
        "share_of_sgemm": round(config.product_flops() / (ours / 1e3) / rate, 3),
        "sgemm_gflops": round(rate / 1e9, 1), "steps": len(times["ours"]),
        "rounds": len(turns["ours"]), "threads": threads, "slices": facts["ours"]["slices"],
        **machine(facts["sgemm"], facts[rival] if rival else {}),
    }


def ratio_quartiles(rival: list[float], ours: list[float]) -> list[float] | None:
    """Return the first and third quartile of the ratios of single rounds: how noisy it was."""
    if len(ours) < 2:
        return None
    first, _, third = quantiles([r / o for r, o in zip(rival, ours, strict=True)], n=4,
                                method="inclusive")
    return [round(first, 3), round(third, 3)]


def machine(blas: Facts, rival: Facts) -> dict[str, Any]:
    """Return what the numbers depend on besides the code."""
    return {
        "cpu": cpu_model(), "cores": usable_cores(), "python": platform.python_version(),
        "numpy": np.__version__, "blas": blas["blas"],
        "blas_architecture": blas["blas_architecture"],
        "openblas_coretype": blas["openblas_coretype"], "torch": rival.get("torch"),
        "torch_capability": rival.get("torch_capability"), "jax": rival.get("jax"),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def cpu_model() -> str:
    """Return the processor's name, or at least its architecture."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def arguments() -> argparse.Namespace:
    """Return the command line's arguments, with the defaults filled in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_cpu",
                                     description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="tiny")
    parser.add_argument("--all", action="store_true", help="all configurations, one after another")
    parser.add_argument("--vs", metavar="RIVALS",
                        help=f"rivals, separated by commas: {', '.join(RIVALS)}; or none; default: "
                             f"torch where it is installed")
    parser.add_argument("--profile", action="store_true",
                        help="show instead where our step spends its time, on one thread")
    parser.add_argument("--steps", type=positive,
                        help="counted steps of each side, at least; turns are not cut")
    parser.add_argument("--warmup", type=natural, help="turns of each side before those")
    parser.add_argument("--threads", type=positive, default=usable_cores(),
                        help="threads of each side; default: the usable cores, %(default)s")
    parser.add_argument("--out", type=Path, help="a file to append the lines to")
    args = parser.parse_args()
    if args.vs is None:
        args.vs = "torch" if installed("torch") else "none"
        if args.vs == "none" and not args.profile:
            print("PyTorch is not installed: measuring ours alone", file=sys.stderr)
    args.rivals = [] if args.vs == "none" else list(dict.fromkeys(args.vs.split(",")))
    for rival in args.rivals:
        if rival not in RIVALS:
            parser.error(f"--vs {rival}: expected none, or some of {', '.join(RIVALS)}")
        if not installed(rival):
            parser.error(f"--vs {rival}: {NEEDS[rival]} is not installed; pip install "
                         f"{NEEDS[rival]}, or use --vs none")
    args.configs = list(CONFIGS) if args.all else [args.config]
    return args


def natural(text: str) -> int:
    """Return a whole number from 0."""
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, got {number}")
    return number


def positive(text: str) -> int:
    """Return a whole number from 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def profiles(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the profile of each configuration, and print its table."""
    from benchmarks.step_profile import profile, readable

    for name in args.configs:
        config = CONFIGS[name]
        found = profile(name, steps=args.steps or config.rounds * config.run,
                        warmup=config.warmup if args.warmup is None else args.warmup)
        yield found | machine(found.pop("blas_facts"), {})
        print(readable(found), file=sys.stderr)


def measurements(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the records of each configuration, and print their table."""
    done = []
    for name in args.configs:
        config = CONFIGS[name]
        rounds = ceil(args.steps / config.run) if args.steps else config.rounds
        for found in measure(name, args.rivals, rounds=rounds,
                             warmup=config.warmup if args.warmup is None else args.warmup,
                             threads=args.threads):
            done.append(found)
            yield found
    print(markdown(done), file=sys.stderr)
    if (most := max(found["others_share"] or 0 for found in done)) > 0.05:
        print(f"Others took up to {most:.0%} of the cores' time: measure again on an idle machine.",
              file=sys.stderr)


def main() -> None:
    """Measure, and print a JSON line for each record."""
    args = arguments()
    for found in profiles(args) if args.profile else measurements(args):
        publish(found, args.out)


if __name__ == "__main__":
    main()
