r"""The cost of the engine beside the array work: small ops, large arrays, long tapes.

    python -m benchmarks.engine
    python -m benchmarks.engine --hips ~/hips/bin/python --out benchmarks/results/engine.jsonl

Three measurements, each one taking turns with its rivals in one process, on one thread:

- `chain`: 1,000 ops on 100 float32 elements (multiply, add, tanh, multiply, again and again),
  forward and backward, beside PyTorch, MyGrad and HIPS autograd, those that are installed. HIPS
  autograd has the import name of our engine, so it runs in an environment of its own, in a process
  that waits for its turn: `--hips` names that environment's Python.
- `large`: the same chain, 16 ops long, on a million elements, beside the same NumPy written by
  hand, allocating as the ops do and freeing what it has used.
- `length`: chains of 10,000, 100,000 and a million ops: time and peak memory for each op must not
  grow without bound. (CPython's cycle collector looks at a growing graph now and then.)

All sides' gradients are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import os
import platform
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from inspect import getsource
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from tqdm import tqdm

from benchmarks.records import publish
from benchmarks.train_cpu import cpu_model

Run = Callable[[], np.ndarray]
"""Compute the chain and return the gradient by x."""


def data(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, and the constants of the chain."""
    rng = np.random.default_rng(0)
    x, a, b = rng.uniform(-1, 1, (3, size)).astype(np.float32)
    return x, 1 + 0.1 * a, 0.1 * b


def chain(x: Any, a: Any, b: Any, tanh: Callable[[Any], Any], ops: int) -> Any:
    """Multiply, add, tanh, multiply: a quarter of `ops` times, the last factor being x itself."""
    y = x
    for _ in range(ops // 4):
        y = tanh(y * a + b) * x
    return y.sum()


def ours(size: int, ops: int) -> Run:
    from autograd import Tensor, tanh

    x, a, b = data(size)
    a, b = Tensor(a), Tensor(b)

    def run() -> np.ndarray:
        leaf = Tensor(x, requires_grad=True)
        chain(leaf, a, b, tanh, ops).backward()
        return leaf.grad  # type: ignore[no-any-return]

    return run


def pytorch(size: int, ops: int) -> Run:
    import torch

    torch.set_num_threads(1)
    x, a, b = (torch.from_numpy(v) for v in data(size))

    def run() -> np.ndarray:
        leaf = x.detach().requires_grad_()
        leaf.grad = None
        chain(leaf, a, b, torch.tanh, ops).backward()
        return leaf.grad.numpy()

    return run


def mygrad(size: int, ops: int) -> Run:
    import mygrad as mg

    x, a, b = data(size)

    def run() -> np.ndarray:
        leaf = mg.tensor(x)
        chain(leaf, a, b, mg.tanh, ops).backward()
        return leaf.grad  # type: ignore[no-any-return]

    return run


HIPS = """
from __future__ import annotations
import sys, time
import autograd, autograd.numpy as np
{data}
{chain}
assert not hasattr(autograd, "__project__"), "this environment has the wrong autograd"
size, ops = {size}, {ops}
x, a, b = data(size)
gradient = autograd.grad(lambda x: chain(x, a, b, np.tanh, ops))
for line in sys.stdin:
    start = time.perf_counter()
    g = gradient(x)
    print(time.perf_counter() - start, *map(float, g), flush=True)
"""


class Hips:
    """HIPS autograd in its own process: it computes once for each line that it is sent."""

    def __init__(self, python: str, size: int, ops: int) -> None:
        code = HIPS.format(size=size, ops=ops, data=getsource(data), chain=getsource(chain))
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        self.process = subprocess.Popen([python, "-c", code], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, cwd="/", env=environment)
        self.seconds = 0.0

    def __call__(self) -> np.ndarray:
        assert self.process.stdin and self.process.stdout
        print(file=self.process.stdin, flush=True)
        self.seconds, *g = map(float, self.process.stdout.readline().split())
        return np.array(g, dtype=np.float32)


def by_hand(size: int, ops: int) -> Run:
    """The forward and backward pass of `chain` as one would write it for this one function."""
    x, a, b = data(size)

    def run() -> np.ndarray:
        y, kept = x, []
        for _ in range(ops // 4):
            t = np.tanh(y * a + b)
            y = t * x
            kept.append(t)
        y.sum()
        g, dx = np.ones_like(x), None
        while kept:
            t = kept.pop()
            part = g * t
            if dx is None:
                dx = part
            else:
                dx += part
            g = g * x * (1 - t * t) * a
        return dx + g  # type: ignore[operator]

    return run


def take_turns(sides: dict[str, Run], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each side, after their gradients were found to agree."""
    first = next(iter(sides.values()))()
    for name, run in sides.items():
        if not np.allclose(run(), first, rtol=1e-3, atol=1e-5):
            raise RuntimeError(f"{name} computes another gradient")
    times: dict[str, list[float]] = {name: [] for name in sides}
    for i in tqdm(range(rounds + 3), unit="round", disable=None, leave=False):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            seconds = run.seconds if isinstance(run, Hips) else time.perf_counter() - start
            if i >= 3:
                times[name].append(seconds * 1e3)
    return {name: median(found) for name, found in times.items()}


def measure_chain(hips: str | None, rounds: int) -> dict[str, Any]:
    size, ops = 100, 1000
    sides: dict[str, Run] = {"ours": ours(size, ops)}
    if importlib.util.find_spec("torch"):
        sides["pytorch"] = pytorch(size, ops)
    if importlib.util.find_spec("mygrad"):
        sides["mygrad"] = mygrad(size, ops)
    if hips:
        sides["hips"] = Hips(hips, size, ops)
    ms = take_turns(sides, rounds)
    return {"name": "chain", "ops": ops, "elements": size, "ms": ms,
            "rival_over_ours": {n: t / ms["ours"] for n, t in ms.items() if n != "ours"}}


def measure_large(rounds: int) -> dict[str, Any]:
    size, ops = 1_000_000, 16
    ms = take_turns({"ours": ours(size, ops), "by_hand": by_hand(size, ops)}, rounds)
    return {"name": "large", "ops": ops, "elements": size, "ms": ms,
            "ours_over_by_hand": ms["ours"] / ms["by_hand"]}


def measure_length() -> dict[str, Any]:
    found: dict[str, Any] = {"name": "length", "elements": 10}
    for ops in (10_000, 100_000, 1_000_000):
        run = ours(10, ops)
        run()
        times = []
        for _ in range(5 if ops < 1_000_000 else 2):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        tracemalloc.start()
        run()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        found[str(ops)] = {"us_per_op": median(times) / ops * 1e6, "bytes_per_op": peak / ops}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hips", metavar="PYTHON", help="a Python that has HIPS autograd")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--out", metavar="FILE", help="append the JSON lines to this file")
    args = parser.parse_args()
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    for module in ("torch", "mygrad"):
        if importlib.util.find_spec(module):
            versions[module] = __import__(module).__version__
    for found in (measure_chain(args.hips, args.rounds), measure_large(args.rounds // 2),
                  measure_length()):
        publish({**found, "versions": versions, "cpu": cpu_model(),
                 "date": datetime.date.today().isoformat()}, args.out)


if __name__ == "__main__":
    sys.exit(main())
