"""One training step, from a line of text to an updated weight, with every shape on the way."""

import numpy as np

from tinygrad_llm.data import Batches
from tinygrad_llm.functional import linear, softmax_cross_entropy
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import AdamW, clip_by_global_norm
from tinygrad_llm.text import CharTokenizer


def show(what, value):
    """Print a step and the shape of what came out of it."""
    print(f"{what:46} {tuple(value.shape)}")


text = "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n"
tokenizer = CharTokenizer.from_text(text)
tokens = tokenizer.encode_to_array(text)
print(f"{text.splitlines()[1]!r}\n -> {tokenizer.encode(text.splitlines()[1])[:12]} ...\n")
show(f"tokens: {tokenizer.vocab_size} different characters", tokens)

ids, targets = Batches(tokens, batch=4, context=16, seed=1).at(step=0)
show("ids, a batch of windows: (B, T)", ids)
show("targets, the same windows one token later", targets)

model = GPT(GPTConfig(tokenizer.vocab_size, context=16, layers=2, heads=2, width=32), seed=1)
weights = parameters(model)

print("\nforward")
x = model.wte(ids)
show("token embeddings: (B, T, C)", x)
x = x + model.wpe.weight[: ids.shape[1]]
show("plus positions", x)
for i, block in enumerate(model.h):
    n = block.ln_1(x)
    show(f"block {i}: layer norm", n)
    show(f"block {i}: queries, keys, values: (B, T, 3 C)", block.attn.qkv(n))
    x = x + block.attn(n)
    show(f"block {i}: plus attention", x)
    show(f"block {i}: inside the MLP: (B, T, 4 C)", block.mlp.up(block.ln_2(x)))
    x = x + block.mlp(block.ln_2(x))
    show(f"block {i}: plus MLP", x)
logits = linear(model.ln_f(x), model.head)
show("logits, by the token table again: (B, T, V)", logits)
loss = softmax_cross_entropy(logits, targets)
show(f"loss {float(loss):.4f} (a uniform guess: {np.log(tokenizer.vocab_size):.4f})", loss)

print("\nbackward")
loss.backward()
for name in ("h.1.mlp.down.weight", "h.0.attn.qkv.weight", "wte.weight"):
    show(f"gradient of {name}", weights[name].grad)
norm = clip_by_global_norm(weights.values(), 1.0)
print(f"the global norm was {norm:.3f}, clipped to at most 1")

before = weights["wte.weight"].data.copy()
AdamW(weights).update(lr=1e-2)
after = float(softmax_cross_entropy(model(ids), targets))
print(f"\nupdated: the token table moved by up to {np.abs(before - model.head.data).max():.4f}, "
      f"the loss fell from {float(loss):.4f} to {after:.4f}")
assert after < float(loss)
