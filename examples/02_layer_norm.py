"""An op of your own: layer normalisation, derived by hand, and how to prove that it is right.

    n = (x - mean(x)) r,   r = 1 / sqrt(var(x) + eps),   y = w n + b

The derivation stands in tinygrad_llm/functional/layer_norm.py. Here the result becomes an op in
three parts, is checked against central differences, and then a mistake is planted and found.
"""

import numpy as np

from autograd import check_grads, fused, mean, var


def reference(x, w, b, /):
    """The definition, in primitives: it can be differentiated without any derivation."""
    r = (var(x, -1, keepdims=True) + 1e-5) ** -0.5
    return w * ((x - mean(x, -1, keepdims=True)) * r) + b


@fused(reference)
def my_layer_norm(x, w, b, /):
    """The forward pass in plain NumPy; it also returns what the backward pass will need."""
    centred = x - x.mean(-1, keepdims=True)
    r = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    n = centred * r
    return w * n + b, (n, r, w)


@my_layer_norm.vjp
def backward(g, saved):
    """The backward pass: from the gradient of y to those of x, w and b."""
    n, r, w = saved
    h = g * w
    dx = r * (h - h.mean(-1, keepdims=True) - n * (h * n).mean(-1, keepdims=True))
    rows = tuple(range(g.ndim - 1))
    return dx, (g * n).sum(rows), g.sum(rows)


rng = np.random.default_rng(0)
x, w, b = rng.normal(size=(2, 3, 5)), rng.normal(size=5), rng.normal(size=5)

# The first order runs `backward`, the second differentiates `reference`: both are proved.
check_grads(my_layer_norm, x, w, b, order=2)
print("layer norm: all gradients agree with central differences, to the second order")


@my_layer_norm.vjp
def forgetful(g, saved):
    """A famous mistake: the term that comes from differentiating r is left out."""
    n, r, w = saved
    h = g * w
    rows = tuple(range(g.ndim - 1))
    return r * (h - h.mean(-1, keepdims=True)), (g * n).sum(rows), g.sum(rows)


try:
    check_grads(my_layer_norm, x, w, b)
except AssertionError as error:
    print(f"the planted mistake was found:\n  {error}")
else:
    raise SystemExit("the planted mistake was not found")
