"""Each example's own gradient, and the sharpest direction of the loss, for a whole tiny GPT.

Two things that frameworks make hard and transforms make short: `jacobian` of the vector of losses
is one gradient for each example, and `hvp` multiplies with the Hessian without ever forming it, so
that power iteration finds its largest eigenvalue. Functions take the dict of all parameters.
"""

import numpy as np

from autograd import grad, hvp, jacobian, logsumexp, take_along_axis
from tinygrad_llm.data import Batches
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters, with_parameters
from tinygrad_llm.text import CharTokenizer

text = "Before we proceed any further, hear me speak. Speak, speak. " + "zzzz" * 15
tokenizer = CharTokenizer.from_text(text)
ids, targets = Batches(tokenizer.encode_to_array(text), batch=6, context=16, seed=2).at(step=0)
model = GPT(GPTConfig(tokenizer.vocab_size, context=16, layers=2, heads=2, width=16), seed=1)
weights = {name: w.data.astype(np.float64) for name, w in parameters(model).items()}
count = sum(w.size for w in weights.values())
print(f"a GPT with {count} parameters in {len(weights)} arrays")


def losses(weights):
    """Return the cross-entropy of each window: shape (B,)."""
    logits = with_parameters(model, weights)(ids)
    right = take_along_axis(logits, targets[..., None], -1)[..., 0]
    return (logsumexp(logits, -1) - right).mean(-1)


def loss(weights):
    return losses(weights).mean()


print("\nper-example gradients: one forward pass, a backward pass for each window")
each = jacobian(losses)(weights)
mean = grad(loss)(weights)
assert all(np.allclose(each[name].mean(0), mean[name]) for name in weights)
flat = np.concatenate([each[name].reshape(len(ids), -1) for name in weights], axis=1)
norms = np.linalg.norm(flat, axis=1)
for window, norm in zip(ids, norms, strict=True):
    print(f"  |gradient| {norm:6.3f}  {tokenizer.decode(window)!r}")
total = np.linalg.norm(flat.mean(0))
print(f"  mean norm {norms.mean():.3f}, norm of the mean {total:.3f}: they partly disagree")

print("\nlargest eigenvalue of the Hessian, by power iteration")


def inner(a, b):
    return sum(float((a[name] * b[name]).sum()) for name in weights)


rng = np.random.default_rng(0)
v = {name: rng.standard_normal(w.shape) for name, w in weights.items()}
for step in range(1, 31):
    length = inner(v, v) ** 0.5
    v = {name: part / length for name, part in v.items()}
    product = hvp(loss, weights, v)
    eigenvalue, v = inner(v, product), product
    if step in (1, 2, 5, 10, 20, 30):
        print(f"  step {step:2}: {eigenvalue:8.4f}")

length = inner(v, v) ** 0.5
v = {name: part / length for name, part in v.items()}
ahead, behind = ({n: w + h * v[n] for n, w in weights.items()} for h in (1e-4, -1e-4))
curvature = (float(loss(ahead)) - 2 * float(loss(weights)) + float(loss(behind))) / 1e-8
print(f"  curvature along that direction, by differences of the loss: {curvature:.4f}")
print(f"so gradient descent is stable up to a learning rate of 2 / {eigenvalue:.3f} = "
      f"{2 / eigenvalue:.3f}")
