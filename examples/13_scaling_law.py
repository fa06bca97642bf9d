"""A law of sizes: five models are trained, the loss of a sixth is predicted, then it is trained.

All read the same characters of Shakespeare, with the same recipe and heads of the same width; a
model half as wide takes twice the learning rate (Yang et al., arXiv:2203.03466). Pass 2000 steps
for the real thing (ten minutes on two cores; few show how it goes), and a text file if you like:

    python examples/13_scaling_law.py 2000 tinyshakespeare.txt
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

from tqdm import trange

from tinygrad_llm.data import Batches
from tinygrad_llm.data.batches.random_windows import split
from tinygrad_llm.data.read.corpus import read_corpus
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.threads import workers
from tinygrad_llm.models import Llama, LlamaConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import AdamW, Arena
from tinygrad_llm.optim.schedule import Schedule
from tinygrad_llm.sweep import fit_power_law
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.train import next_token, train_step
from tinygrad_llm.train.slices import batch_losses, mean_loss

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20
real = steps >= 1000
widths, next_width = ((16, 32, 48, 64, 80), 128) if real else ((4, 8, 12, 16, 24), 32)
rows, context, head_width, evaluated = (12, 64, 16, 400) if real else (4, 32, 4, 10)
try:
    text = read_corpus(sys.argv[2] if len(sys.argv) > 2 else "shakespeare")
except UserError as advice:  # the package with the plays is optional
    print(f"{advice}\nlearning from {__file__} instead\n")
    text = Path(__file__).read_text()

tokenizer = CharTokenizer.from_text(text)
train_ids, kept_back = split(tokenizer.encode_to_array(text))
batches, validation = (Batches(ids, rows, context, seed=1) for ids in (train_ids, kept_back))


def measure(width: int) -> tuple[int, float]:
    """Train a model of that width; return its number of parameters and its validation loss."""
    model = Llama(LlamaConfig(tokenizer.vocab_size, context, 4, width // head_width, width))
    weights = parameters(model)
    optimizer = AdamW(Arena(weights), beta2=0.99)
    schedule = Schedule("cosine", 0.128 / width, 0.0128 / width, steps // 20, steps)
    for step in trange(steps, desc=f"width {width}", leave=False, disable=None):
        lr = schedule.rate(step)
        train_step(model, optimizer, next_token, batches.at(step), lr=lr, clip=1.0, key=None)
    loss = mean_loss(batch_losses(model, next_token, validation.at, evaluated))
    size = sum(p.size for p in weights.values())
    print(f"width {width:4}  {size:8,} parameters  validation loss {loss:.4f}", flush=True)
    return size, loss


with workers():
    points = [measure(width) for width in widths]
    law = fit_power_law(*zip(*points, strict=True))
    print(f"L(N) = {law.E:.3f} + {law.A:.3g} / N^{law.a:.3f}, to {law.error:.2%} at these five")
    size, loss = measure(next_width)
print(f"predicted {law.loss(size):.4f}, measured {loss:.4f} nats a character")

try:
    from matplotlib.figure import Figure
except ImportError:
    sys.exit()
figure = Figure(figsize=(7, 4.2), layout="constrained")
axes, sizes = figure.add_subplot(), [points[0][0] * 1.1**i for i in range(65)]
axes.plot(sizes, [law.loss(n) for n in sizes], label=f"{law.E:.2f} + {law.A:.3g} / N^{law.a:.2f}")
axes.plot(*zip(*points, strict=True), "o", label="measured, and fitted")
axes.plot([size], [loss], "*", markersize=14, label="measured afterwards")
axes.set(xscale="log", xlabel="parameters", ylabel="validation loss (nats a character)")
axes.legend()
picture = Path(mkdtemp(prefix="scaling-law-")) / "scaling_law.png"
figure.savefig(picture, dpi=150)
print(f"drawn in {picture}")
