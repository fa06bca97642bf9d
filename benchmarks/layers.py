r"""The ops of a Llama's block beside those of GPT-2's, by turns: forward and backward, on Tensors.

    python -m benchmarks.layers
    python -m benchmarks.layers --out benchmarks/results/layers.jsonl

The shapes are those of `tiny-llama`, `baby-llama` and `llama-135m`. GPT-2's block has two layer
norms and a GELU of 4 C numbers, a Llama's two RMS norms, a SwiGLU of 2 F packed ones and rotary
positions on queries and keys: `block` is the sum of the one over that of the other, and above 1
the Llama's cost more. The products around them are the same and are left out.

Times are the processor's, of all threads together, so that other work on the machine shows less.
On several threads each computes its share of the batch, as in training. x is no leaf there, so its
gradient is handed on and not copied, as here.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
from tqdm import tqdm

from autograd import Tensor, pull_back
from autograd.tensor import values
from benchmarks.configs import CONFIGS, Config, LlamaSizes
from benchmarks.records import publish
from benchmarks.train_cpu import cpu_model
from tinygrad_llm.functional import (
    geglu,
    gelu,
    layer_norm,
    relu_squared,
    rms_norm,
    rotary,
    swiglu,
)
from tinygrad_llm.host.threads import each, workers
from tinygrad_llm.nn import Rotary

SHAPES = ("tiny-llama", "baby-llama", "llama-135m")
GPT = {"layer norm": 2, "GELU": 1}
LLAMA = {"RMS norm": 2, "SwiGLU": 1, "rotary (q)": 1, "rotary (k)": 1}


def ops(config: Config) -> dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]]:
    """Return each op as a function of x, and the shape of x."""
    s, rows = config.sizes, (config.batch, config.sizes.context)
    assert isinstance(s, LlamaSizes)
    rng = np.random.default_rng(0)
    w, b = (Tensor(v, requires_grad=True)
            for v in rng.normal(size=(2, s.width)).astype(np.float32))
    depth = s.width // s.heads
    head = Tensor(np.ones(depth, np.float32), requires_grad=True)
    cos, sin = Rotary(depth, 10000.0, context=s.context).at(np.arange(s.context), s.context)

    def turned(x: Any) -> Any:
        return rotary(x, cos=cos, sin=sin)

    return {
        "layer norm": (lambda x: layer_norm(x, w, b), (*rows, s.width)),
        "RMS norm": (lambda x: rms_norm(x, w), (*rows, s.width)),
        "GELU": (gelu, (*rows, 4 * s.width)),
        "SwiGLU": (swiglu, (*rows, 2 * s.inner)),
        "GeGLU": (geglu, (*rows, 2 * s.inner)),
        "ReLU squared": (relu_squared, (*rows, 4 * s.width)),
        "rotary (q)": (turned, (*rows, s.heads, depth)),
        "rotary (k)": (turned, (*rows, s.key_heads, depth)),
        "RMS norm (q)": (lambda x: rms_norm(x, head), (*rows, s.heads, depth)),
    }


def measure(config: Config, threads: int, rounds: int) -> dict[str, float]:
    """Return each op's median milliseconds of processor time, forward and backward."""
    rng, found = np.random.default_rng(0), ops(config)
    cuts = np.linspace(0, config.batch, threads + 1).astype(int)
    slices = [slice(*cut) for cut in pairwise(cuts)]
    arrays = {name: rng.normal(size=shape).astype(np.float32)
              for name, (_, shape) in found.items()}
    cotangents = {name: np.cos(values(op(arrays[name]))) for name, (op, _) in found.items()}
    times: dict[str, list[float]] = {name: [] for name in found}

    def both_passes(name: str, part: slice) -> None:
        x = Tensor(arrays[name][part], requires_grad=True)
        pull_back([found[name][0](x)], [cotangents[name][part]], [x])

    with workers(threads):
        for i in tqdm(range(rounds + 3), unit="round", disable=None, leave=False):
            for name in found:
                start = time.process_time()
                each(threads, lambda k, name=name: both_passes(name, slices[k]))  # type: ignore[misc]
                if i >= 3:
                    times[name].append((time.process_time() - start) * 1e3)
    return {name: median(taken) for name, taken in times.items()}


def block(ms: dict[str, float], counts: dict[str, int]) -> float:
    """Return the milliseconds of a block's ops together."""
    return sum(ms[name] * count for name, count in counts.items())


def main() -> None:
    """Measure, print a table and publish the records."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, action="append", help="all if left out")
    parser.add_argument("--threads", type=int, action="append", help="1 and 2 if left out")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", metavar="FILE", help="append the JSON lines to this file")
    args = parser.parse_args()
    for shape in args.shape or SHAPES:
        for threads in args.threads or (1, 2):
            ms = measure(CONFIGS[shape], threads, args.rounds)
            ratio = block(ms, LLAMA) / block(ms, GPT)
            publish({"name": "layers", "config": shape, "threads": threads,
                     "ms": {name: round(t, 4) for name, t in ms.items()},
                     "rms_over_layer_norm": round(ms["RMS norm"] / ms["layer norm"], 3),
                     "swiglu_over_gelu": round(ms["SwiGLU"] / ms["GELU"], 3),
                     "block": round(ratio, 3), "python": platform.python_version(),
                     "numpy": np.__version__, "cpu": cpu_model(),
                     "date": datetime.date.today().isoformat()}, args.out)
            print(f"{shape}, {threads} threads: " + ", ".join(
                f"{name} {t:.3g} ms" for name, t in ms.items()) + f"; block {ratio:.2f}")


if __name__ == "__main__":
    main()
