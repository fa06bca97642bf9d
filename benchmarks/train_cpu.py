r"""How long does a training step take on the CPU, beside the same model in PyTorch?

    python -m benchmarks.train_cpu --config tiny

A step is forward, backward, clipping to norm 1 and AdamW. Ours and the rival's take turns, step
by step, so that both see the same noise of the machine; both start from the same weights, and
their first losses must agree.

Turns have a trap. The threads of a library spin after their last task, OpenBLAS's for about a
tenth of a second, and would take the cores from the other side: without a rest between the turns
PyTorch's small step takes twice its time. But threads that sleep wake up slowly, so where a step
is short, one that is not counted goes before the one that is. The numbers are then those of each
side running alone, without pause.

The matrix products of a step, counted from the shapes for N = B T tokens, P parameters that are
multiplied with (the linear layers and the tied head) and L layers, are

$$6 N P + 12\,L\,B\,T^2 C$$

floating point operations: each product of the forward pass needs two more in the backward pass.
Attention's are counted in full, not only their causal half. `share_of_sgemm` is that, divided by
the time of our step and by the rate of NumPy's float32 product at the shape of the MLP's first
layer, measured in turn with the steps: 1 would be a step that does nothing but such products.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isclose
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits
from tqdm import tqdm

# The models are imported where they are made: a process whose memory is measured must hold
# nothing of the other side.

SETTINGS = {"lr": 1e-4, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1}
CLIP = 1.0
REST = 0.15  # seconds between turns
PEAK_STEPS = 3  # updates of a process whose memory is measured

Step = Callable[[], float]
"""Do one update and return the loss."""


@dataclass(frozen=True)
class Sizes:
    """What `GPTConfig` calls the same."""

    vocab_size: int
    context: int
    layers: int
    heads: int
    width: int


@dataclass(frozen=True)
class Config:
    """A model, a batch of `batch` full contexts, and how many steps make a measurement.

    `lead` uncounted steps go before each counted one.
    """

    sizes: Sizes
    batch: int
    steps: int
    warmup: int
    lead: int

    def tokens(self) -> int:
        """The tokens of a step."""
        return self.batch * self.sizes.context

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return random ids and targets, int32 of shape (B, T)."""
        rng = np.random.default_rng(0)
        shape = (2, self.batch, self.sizes.context)
        ids, targets = rng.integers(self.sizes.vocab_size, size=shape, dtype=np.int32)
        return ids, targets

    def product_flops(self) -> int:
        """The operations of a step's matrix products; see the top of the file."""
        s = self.sizes
        multiplied = 12 * s.layers * s.width**2 + s.vocab_size * s.width
        attention = 12 * s.layers * self.batch * s.context**2 * s.width
        return 6 * self.tokens() * multiplied + attention


CONFIGS = {
    "tiny": Config(Sizes(65, 64, 4, 4, 128), batch=12, steps=40, warmup=5, lead=1),
    "baby": Config(Sizes(65, 256, 6, 6, 384), batch=16, steps=5, warmup=2, lead=0),
    "gpt2": Config(Sizes(50304, 256, 12, 12, 768), batch=2, steps=5, warmup=2, lead=0),
}


def our_step(config: Config) -> tuple[Step, Any]:
    """Return our update, and the model."""
    from tinygrad_llm.models import GPT, GPTConfig
    from tinygrad_llm.nn import parameters
    from tinygrad_llm.optim import AdamW
    from tinygrad_llm.train.step import train_step

    model = GPT(GPTConfig(**asdict(config.sizes)))
    settings = dict(SETTINGS)
    lr = settings.pop("lr")
    optimizer = AdamW(parameters(model), **settings)
    ids, targets = config.data()
    return lambda: train_step(model, optimizer, ids, targets, lr=lr, clip=CLIP, key=None)[0], model


def torch_step(config: Config, threads: int, weights_of: Any = None) -> Step:
    """Return the rival's update."""
    from benchmarks import rival_torch

    return rival_torch.make_step(asdict(config.sizes), *config.data(), settings=SETTINGS,
                                 clip=CLIP, threads=threads, weights_of=weights_of)


def sgemm_burst(config: Config) -> Callable[[], float]:
    """Return a function that measures float32 products for some milliseconds: FLOP a second."""
    rows, inputs, outputs = config.tokens(), config.sizes.width, 4 * config.sizes.width
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, inputs), dtype=np.float32)
    w = rng.standard_normal((outputs, inputs), dtype=np.float32)
    y = np.empty((rows, outputs), dtype=np.float32)
    flops = 2 * rows * inputs * outputs
    count = max(2, round(3e9 / flops))

    def burst() -> float:
        np.matmul(x, w.T, out=y)  # wakes the threads
        start = time.perf_counter()
        for _ in range(count):
            np.matmul(x, w.T, out=y)
        return count * flops / (time.perf_counter() - start)

    return burst


def timed(step: Step, lead: int) -> float:
    """Return the milliseconds of one update, after a rest and `lead` others."""
    time.sleep(REST)
    for _ in range(lead):
        step()
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1e3


def take_turns(sides: dict[str, Step], burst: Callable[[], float], *, steps: int, warmup: int,
               lead: int) -> tuple[dict[str, list[float]], list[float]]:
    """Return the milliseconds of each side's steps, and the rates of the bursts between them.

    Raises RuntimeError where the sides' first losses differ.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    rates = []
    with tqdm(total=1 + warmup + steps, unit="round", disable=None, desc="timing") as bar:
        check_agreement({name: step() for name, step in sides.items()})
        bar.update()
        for i in range(warmup + steps):
            taken = {name: timed(step, lead) for name, step in sides.items()}
            time.sleep(REST)
            rate = burst()
            if i >= warmup:
                rates.append(rate)
                for name, ms in taken.items():
                    times[name].append(ms)
            bar.update()
    return times, rates


def check_agreement(losses: dict[str, float]) -> None:
    """Raise RuntimeError where two losses differ: the models would not be the same."""
    first = next(iter(losses.values()))
    if not all(isclose(loss, first, rel_tol=1e-4) for loss in losses.values()):
        raise RuntimeError(f"the sides do not compute the same: their first losses are {losses}")


def peak_mb(name: str, side: str, threads: int) -> float | None:
    """Return the peak resident memory, in MiB, of a process that trains only that side."""
    if importlib.util.find_spec("resource") is None:  # Windows
        return None
    command = [sys.executable, "-m", "benchmarks.train_cpu", "--config", name,
               "--threads", str(threads), "--peak-of", side]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def own_peak_mb(config: Config, side: str, threads: int) -> float:
    """Do a few updates and return this process's peak resident memory in MiB."""
    import resource

    step = our_step(config)[0] if side == "ours" else torch_step(config, threads)
    for _ in range(PEAK_STEPS):
        step()
    unit = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss counts, in bytes
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)


def measure(name: str, rival: str | None, *, steps: int, warmup: int,
            threads: int) -> dict[str, Any]:
    """Return the record of one configuration and one rival."""
    config = CONFIGS[name]
    # First, while this process is small: its size at the fork counts as its child's peak.
    peak = peak_mb(name, "ours", threads)
    rival_peak = peak_mb(name, rival, threads) if rival else None
    ours, model = our_step(config)
    sides = {"ours": ours}
    if rival:
        sides[rival] = torch_step(config, threads, weights_of=model)
    times, rates = take_turns(sides, sgemm_burst(config), steps=steps, warmup=warmup,
                              lead=config.lead)
    ours_ms = median(times["ours"])
    rival_ms = median(times[rival]) if rival else None
    seconds, rate = ours_ms / 1e3, median(rates)
    return {
        "config": name, "rival": rival, "ours_ms": round(ours_ms, 2),
        "rival_ms": rival_ms and round(rival_ms, 2),
        "ratio": rival_ms and round(rival_ms / ours_ms, 3),
        "ratio_quartiles": rival and ratio_quartiles(times[rival], times["ours"]),
        "tokens_per_s": round(config.tokens() / seconds, 1),
        "peak_mb": peak, "rival_peak_mb": rival_peak,
        "share_of_sgemm": round(config.product_flops() / seconds / rate, 3),
        "sgemm_gflops": round(rate / 1e9, 1), "steps": steps, "threads": threads,
        **machine(rival),
    }


def ratio_quartiles(rival: list[float], ours: list[float]) -> list[float] | None:
    """Return the first and third quartile of the ratios of single rounds: how noisy it was."""
    if len(ours) < 2:
        return None
    first, _, third = quantiles([r / o for r, o in zip(rival, ours, strict=True)], n=4,
                                method="inclusive")
    return [round(first, 3), round(third, 3)]


def machine(rival: str | None) -> dict[str, Any]:
    """Return what the numbers depend on besides the code."""
    blas = [f"{info['internal_api']} {info['version']}" for info in threadpool_info()
            if info["user_api"] == "blas"]
    return {
        "cpu": cpu_model(), "cores": usable_cores(), "python": platform.python_version(),
        "numpy": np.__version__, "blas": "; ".join(blas) or "not recognised",
        "torch": importlib.metadata.version("torch") if rival == "torch" else None,
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


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def arguments() -> argparse.Namespace:
    """Return the command line's arguments, with the defaults filled in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_cpu",
                                     description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="tiny")
    parser.add_argument("--vs", choices=["torch", "none"],
                        help="the rival; default: torch where it is installed")
    parser.add_argument("--steps", type=positive, help="counted steps of each side")
    parser.add_argument("--warmup", type=natural, help="steps of each side before those")
    parser.add_argument("--threads", type=positive, default=usable_cores(),
                        help="threads of each side; default: the usable cores, %(default)s")
    parser.add_argument("--out", type=Path, help="a file to append the lines to")
    parser.add_argument("--peak-of", choices=["ours", "torch"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    installed = importlib.util.find_spec("torch") is not None
    if args.vs == "torch" and not installed:
        parser.error("--vs torch: PyTorch is not installed; pip install torch, or use --vs none")
    if args.vs is None:
        args.vs = "torch" if installed else "none"
        if not installed and not args.peak_of:
            print("PyTorch is not installed: measuring ours alone", file=sys.stderr)
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


def main() -> None:
    """Measure one configuration and print its line."""
    args = arguments()
    config = CONFIGS[args.config]
    with threadpool_limits(args.threads, user_api="blas"):
        if args.peak_of:
            print(own_peak_mb(config, args.peak_of, args.threads))
            return
        record = measure(args.config, None if args.vs == "none" else args.vs,
                         steps=args.steps or config.steps, threads=args.threads,
                         warmup=config.warmup if args.warmup is None else args.warmup)
    line = json.dumps(record)
    print(line)
    if args.out:
        with args.out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
