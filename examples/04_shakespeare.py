"""A character-level GPT learns from Shakespeare's plays and writes some.

The same as `tinygrad-llm train --preset tiny`, from Python and short enough to watch: pass the
number of steps, 2000 for the real thing (about two minutes on two cores).

    python examples/04_shakespeare.py 2000
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from tinygrad_llm.data.read.corpus import read_corpus
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.sample import Sampling, generate
from tinygrad_llm.train import make_config, start_run, train

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100
folder = Path(tempfile.mkdtemp(prefix="shakespeare-"))

try:
    read_corpus("shakespeare")
    source = "shakespeare"
except UserError as advice:  # the package with the plays is optional
    print(advice)
    source = __file__
    print(f"learning from {source} instead\n")

config = make_config({"preset": "tiny", "data": source, "steps": steps, "warmup": steps // 20,
                      "eval_every": max(1, steps // 4), "sample_every": max(1, steps // 2),
                      "final_eval_batches": 20})
run = start_run(config, folder)
train(run)

tokenizer = run.data.tokenizer
prompt = tokenizer.encode("\n")
ids = generate(run.model, prompt, 300, Sampling(temperature=0.8), np.random.default_rng(1))
print(f"\nafter {steps} steps it writes:\n{tokenizer.decode(list(ids))}")
print(f"\nthe run, with its loss curve, is in {folder}")
