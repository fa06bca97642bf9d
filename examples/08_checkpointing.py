"""Half the memory for one more forward pass: checkpointing, measured on a deep GPT.

A backward pass needs what the forward pass computed. `checkpoint(f)` keeps the arguments of f only
and computes the rest again when the sweep arrives there.
"""

import time
import tracemalloc

import numpy as np

from autograd import checkpoint
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters

rng = np.random.default_rng(0)
ids, targets = rng.integers(65, size=(2, 8, 64))
model = GPT(GPTConfig(vocab_size=65, context=64, layers=16, heads=4, width=64), seed=1)
blocks, weights = list(model.h), parameters(model)


def measure(what, h):
    """Run one forward and backward pass through the blocks `h`; return its peak and gradients."""
    model.h = h
    for w in weights.values():
        w.grad = None
    tracemalloc.start()
    start = time.perf_counter()
    loss = model.loss(ids, targets)
    loss.backward()
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    print(f"{what:36} peak {peak:6.1f} MiB   {seconds * 1e3:4.0f} ms   loss {float(loss):.6f}")
    return peak, [w.grad for w in weights.values()]


def group(n):
    """Return the model's blocks in checkpointed groups of n."""
    def run(blocks):
        def through(x, *others):
            for block in blocks:
                x = block(x, *others)
            return x

        return checkpoint(through)

    return [run(blocks[i : i + n]) for i in range(0, len(blocks), n)]


measure("(warming up)", blocks)
plain, expected = measure("16 blocks, all remembered", blocks)
for n in (1, 2, 4, 8):
    peak, found = measure(f"checkpoints around {n} block(s)", group(n))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    if n == 1:
        best = peak
print("the gradients are the same to the last bit")
print(f"with a checkpoint around each block, peak memory falls to {best / plain:.0%}")
