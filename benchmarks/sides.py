"""The sides of a comparison: each trains in a process of its own, and works when asked to.

    with Side("torch", "tiny", threads=2, weights=path) as side:
        side.turn(lead=4, run=5)    # milliseconds of 5 updates after 4 others, and the loss
        side.peak_mb()              # of the whole process, which then ends

Why a process each. A process that trains only that side shows that side's peak memory. And they
would change each other: our side has the C library keep freed memory, which would also speed
PyTorch up, and each library's pool of threads spins or sleeps by rules of its own.

`ours` is started first and writes its initial weights to a file, from which the others start, so
that all losses must agree. The side `sgemm` trains nothing: its turn is NumPy's float32 product at
the shape of the MLP's first layer, again and again for some 3e9 operations, which gives the speed
that this BLAS reaches on that many threads.

Traps. ru_maxrss of a fresh process starts at the size of the one it was forked from, so the process
that starts sides stays small: it imports neither models nor rivals. The peak of `compile` and `jax`
includes their compiler, which runs in the same process. A library may print: the answers go through
a copy of the standard output, and what is printed goes to the error output.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from benchmarks.configs import CLIP, CONFIGS, SETTINGS, Config, LlamaSizes

Step = Callable[[], float]
"""Do one update and return the loss."""

Facts = dict[str, Any]
"""Facts that a side reports about itself, for the record."""

RIVALS = {"torch": "PyTorch eager", "compile": "torch.compile", "jax": "JAX jit"}
NEEDS = {"torch": "torch", "compile": "torch", "jax": "jax"}


def installed(rival: str) -> bool:
    """Whether the package that a rival needs is there."""
    return importlib.util.find_spec(NEEDS[rival]) is not None


# ---- in the process of a side --------------------------------------------------------------------

def our_update(config: Config) -> tuple[Step, Mapping[str, np.ndarray]]:
    """Return our update, and the weights by name; to be called inside `host.threads.workers`."""
    from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
    from tinygrad_llm.nn import parameters
    from tinygrad_llm.optim import AdamW, Arena
    from tinygrad_llm.train import next_token, train_step

    sizes = asdict(config.sizes)
    model = (Llama(LlamaConfig(**sizes)) if isinstance(config.sizes, LlamaSizes)
             else GPT(GPTConfig(**sizes)))
    settings = dict(SETTINGS)
    lr = settings.pop("lr")
    optimizer = AdamW(Arena(parameters(model)), **settings)
    batch = config.data()

    def step() -> float:
        return train_step(model, optimizer, next_token, batch, lr=lr, clip=CLIP, key=None)[0]

    return step, {name: p.data for name, p in optimizer.parameters.items()}


def ours(config: Config, threads: int, weights: Path, stack: ExitStack) -> tuple[Step, Facts]:
    from tinygrad_llm.host.threads import workers
    from tinygrad_llm.train.slices import default_slices

    facts = {"slices": default_slices(config.batch, config.sizes.context),
             "threads": stack.enter_context(workers(threads))}
    step, arrays = our_update(config)
    np.savez(weights, **arrays)
    return step, facts


def torch_eager(config: Config, threads: int, weights: Path, stack: ExitStack,
                compiled: bool = False) -> tuple[Step, Facts]:
    import torch

    from benchmarks import rival_torch
    from benchmarks.rival_torch_llama import TorchLlama

    kind = TorchLlama if isinstance(config.sizes, LlamaSizes) else rival_torch.TorchGPT
    with np.load(weights) as arrays:
        step = rival_torch.make_step(
            kind(**asdict(config.sizes)), *config.data(), settings=SETTINGS, clip=CLIP,
            threads=threads, weights=arrays, compiled=compiled)
    return step, {"torch": torch.__version__,
                  "torch_capability": torch.backends.cpu.get_cpu_capability()}


def torch_compiled(config: Config, threads: int, weights: Path,
                   stack: ExitStack) -> tuple[Step, Facts]:
    return torch_eager(config, threads, weights, stack, compiled=True)


def jax_jit(config: Config, threads: int, weights: Path, stack: ExitStack) -> tuple[Step, Facts]:
    from benchmarks import rival_jax

    if isinstance(config.sizes, LlamaSizes):
        raise SystemExit("the rival in JAX is a GPT; compare a Llama with --vs torch,compile")
    with np.load(weights) as arrays:
        step = rival_jax.make_step(asdict(config.sizes), *config.data(), settings=SETTINGS,
                                   clip=CLIP, threads=threads, weights=arrays)
    return step, {"jax": importlib.metadata.version("jax")}


def sgemm(config: Config, threads: int, weights: Path, stack: ExitStack) -> tuple[Step, Facts]:
    """The burst of products; see the top of the file."""
    stack.enter_context(threadpool_limits(threads, user_api="blas"))
    rows, inputs, outputs = config.tokens(), config.sizes.width, 4 * config.sizes.width
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, inputs), dtype=np.float32)
    w = rng.standard_normal((outputs, inputs), dtype=np.float32)
    y = np.empty((rows, outputs), dtype=np.float32)
    flops = 2 * rows * inputs * outputs
    count = max(2, round(3e9 / flops))

    def burst() -> float:
        for _ in range(count):
            np.matmul(x, w.T, out=y)
        return 0.0

    return burst, {"flops": count * flops, **blas_facts()}


def blas_facts() -> Facts:
    """Return which BLAS NumPy uses, and whose choice its kernels are."""
    np.dot(np.ones((2, 2)), np.ones((2, 2)))  # so that the library is loaded
    found = [info for info in threadpool_info() if info["user_api"] == "blas"]
    return {
        "blas": "; ".join(f"{info['internal_api']} {info['version']}" for info in found)
                or "not recognised",
        "blas_architecture": "; ".join(str(info.get("architecture")) for info in found) or None,
        # Set, the kernels above are not OpenBLAS's own choice for this processor.
        "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE"),
    }


SIDES: dict[str, Callable[[Config, int, Path, ExitStack], tuple[Step, Facts]]] = {
    "ours": ours, "torch": torch_eager, "compile": torch_compiled, "jax": jax_jit, "sgemm": sgemm}


def own_peak_mb() -> float | None:
    """Return this process's peak resident memory in MiB."""
    if importlib.util.find_spec("resource") is None:  # Windows
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss counts, in bytes
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)


def work(side: str, config: Config, threads: int, weights: Path) -> None:
    """Do one update, then, for each line that comes, as many uncounted and counted as it says."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**values: Any) -> None:
        print(json.dumps({**values, "cpu": time.process_time()}), file=answers, flush=True)

    with ExitStack() as stack:
        step, facts = SIDES[side](config, threads, weights, stack)
        answer(loss=step(), **facts)
        for line in sys.stdin:
            if line == "peak\n":
                break
            lead, run = map(int, line.split())
            times, loss = [], 0.0
            for _ in range(lead + run):
                start = time.perf_counter()
                loss = step()
                times.append((time.perf_counter() - start) * 1e3)
            answer(ms=times[lead:], loss=loss)
        answer(peak_mb=own_peak_mb())


# ---- in the process that measures ----------------------------------------------------------------

class Side:
    """A side's process. `facts` is its report about itself, with the loss of a first update."""

    def __init__(self, name: str, config: str, *, threads: int, weights: Path) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sides", name, config, str(threads), str(weights)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.facts: Facts = {}
        self.cpu = 0.0  # seconds that all its threads together had used at the last answer

    def __enter__(self) -> Side:
        try:
            self.facts = self._answer()
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()

    def turn(self, lead: int, run: int) -> tuple[list[float], float]:
        """Return the milliseconds of `run` updates after `lead` others, and the last one's loss."""
        answer = self._ask(f"{lead} {run}")
        return answer["ms"], answer["loss"]

    def peak_mb(self) -> float | None:
        """Return the peak resident memory of the process, in MiB, which ends."""
        return self._ask("peak")["peak_mb"]

    def _ask(self, line: str) -> dict[str, Any]:
        assert self.process.stdin
        with suppress(BrokenPipeError):  # it has ended: the missing answer will say so
            print(line, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the side {self.name} ended with status {self.process.wait()}; "
                               f"what it said stands above")
        answer = json.loads(line)
        self.cpu = answer.pop("cpu")
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description="A side's process; started by a measurement.")
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("config", choices=CONFIGS)
    parser.add_argument("threads", type=int)
    parser.add_argument("weights", type=Path)
    args = parser.parse_args()
    work(args.side, CONFIGS[args.config], args.threads, args.weights)


if __name__ == "__main__":
    main()
