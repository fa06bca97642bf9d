"""Find a NaN: a small classifier goes wrong, and anomaly mode reports where and why.

    p = 1 / (1 + exp(-z)),   L = -mean(t log p + (1 - t) log(1 - p))

The formula is right, and the loss falls for a while. Then it is NaN, and every weight with it. The
warning that NumPy gives does not say for which layer, from which numbers, or what to do about it.
"""

import tempfile
from pathlib import Path

import numpy as np

from autograd import AnomalyError, Tensor, detect_anomaly, exp, log, matmul, softplus, where

rng = np.random.default_rng(0)
points = rng.normal(size=(64, 2))
inside = (points**2).sum(1) < 1.5
features = np.concatenate([points, points**2, np.ones((64, 1))], axis=1)


class CrossEntropy:
    """The loss as the formula above has it."""

    def __call__(self, z):
        p = 1 / (1 + exp(-z))
        return -where(inside, log(p), log(1 - p)).mean()


class Classifier:
    """A weight for each feature, and the loss as a part of it."""

    def __init__(self, loss):
        self.w = Tensor(np.zeros(5), requires_grad=True)
        self.loss = loss

    def __call__(self):
        return self.loss(matmul(features, self.w))


def train(model, steps=40, rate=70.0):
    """Follow the gradient; return the losses."""
    losses = []
    for _ in range(steps):
        value = model()
        value.backward()
        model.w.data = model.w.data - rate * model.w.grad
        model.w.grad = None
        losses.append(float(value))
    return losses


with np.errstate(all="ignore"):
    losses = train(Classifier(CrossEntropy()))
first = int(np.argmax(~np.isfinite(losses)))
print("".join(f"step {i:2}: loss {losses[i]:.3f}\n" for i in (0, first - 1, first, 39)))

folder = Path(tempfile.mkdtemp(prefix="anomaly-"))
try:
    with detect_anomaly(folder):
        train(Classifier(CrossEntropy()))
except AnomalyError as error:
    print(f"{error}\n")
    test = error.file

print(f"the file that it wrote:\n\n{test.read_text().partition('import annotations')[2].strip()}\n")


class StableCrossEntropy:
    """The same: -log p = softplus(-z) and -log(1 - p) = softplus(z), by log(1 + exp) made safe."""

    def __call__(self, z):
        return softplus(where(inside, -z, z)).mean()


with detect_anomaly(folder):
    losses = train(Classifier(StableCrossEntropy()))
print(f"the same loss by softplus: {losses[0]:.3f} ... {losses[-1]:.3f}, finite to the end")
assert np.isfinite(losses).all()
