"""From GPT-2 to Llama: what each part does, what it costs, and what it learns in a hundred steps.

The parts are shown on numbers small enough to read, then put into a tiny GPT one at a time. The
last lines write the Llama as a folder of Hugging Face's and read it again, to the same bit.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from tinygrad_llm.data import Batches
from tinygrad_llm.functional import layer_norm, rms_norm, swiglu
from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import Rotary, parameters
from tinygrad_llm.optim import AdamW
from tinygrad_llm.pretrained import from_pretrained, save_pretrained
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.train import next_token, train_step

show = partial(np.array2string, precision=3, suppress_small=True)
x, ones = np.array([1.0, 2.0, 6.0]), np.ones(3)
print("x               ", show(x))
print("layer norm of x ", show(layer_norm(x, ones, np.zeros(3))), "mean 0, mean square 1")
print("RMSNorm of x    ", show(rms_norm(x, ones)), "mean square 1: no mean to subtract")

packed = np.array([-2.0, 0.0, 2.0, 1.0, 1.0, 1.0])  # three gates, and behind them three numbers
print("SwiGLU of 1 1 1 ", show(swiglu(packed)), "for the gates -2, 0 and 2")

rng = np.random.default_rng(0)
q, k = rng.standard_normal((2, 1, 1, 1, 8))
turn = Rotary(8)
print("\nrotary positions: q at place i, k at place j, and their product")
for i, j in ((3, 1), (13, 11), (103, 101), (103, 100)):
    qi, kj = (turn.rotation(np.array([place]), 104, a)(a) for place, a in ((i, q), (j, k)))
    print(f"  i {i:3}  j {j:3}  {(qi * kj).sum():8.4f}")
print("so it depends on i - j alone")

text = "The quick brown fox jumps over the lazy dog; the lazy dog sleeps. " * 40
tokenizer = CharTokenizer.from_text(text)
batches = Batches(tokenizer.encode_to_array(text), batch=8, context=32, seed=2)
sizes = {"vocab_size": tokenizer.vocab_size, "context": 32, "layers": 2, "heads": 2, "width": 32}
VARIANTS = {
    "GPT-2": GPTConfig(**sizes),
    "+ RMSNorm": GPTConfig(**sizes, norm="rms"),
    "+ rotary positions": GPTConfig(**sizes, positions="rotary"),
    "+ SwiGLU": GPTConfig(**sizes, mlp="swiglu"),
    "Llama: all three, no biases": LlamaConfig(**sizes),
    "Llama with half the keys": LlamaConfig(**sizes, key_heads=1),
}
print(f"\n{'':28} parameters  loss after 100 steps")
for name, config in VARIANTS.items():
    model = (GPT if isinstance(config, GPTConfig) else Llama)(config, seed=1)
    optimizer = AdamW(parameters(model))
    for step in range(100):
        loss, _ = train_step(model, optimizer, next_token, batches.at(step), lr=3e-3, clip=1.0,
                             key=None)
    print(f"{name:28} {sum(p.size for p in parameters(model).values()):10,}  {loss:.4f}")

with tempfile.TemporaryDirectory() as folder:
    save_pretrained(model, Path(folder) / "llama")
    files = sorted(path.name for path in (Path(folder) / "llama").iterdir())
    again = from_pretrained(Path(folder) / "llama").model
ids, targets = batches.at(0)
assert float(again.loss(ids, targets)) == float(model.loss(ids, targets))
print(f"\nwritten for others as {', '.join(files)}; read again, its loss is the same to the bit")
