"""The chain rule on scalars: what one backward pass does, by hand and by machine.

    L = tanh(w x + b) ** 2

Forward, each line computes one number from earlier ones. Backward, in the reverse order, each line
turns the derivative of L by a result into its derivatives by that line's arguments.
"""

import math

from autograd import Tensor, grad, tanh

w, x, b = 0.7, -1.5, 0.3

# forward by hand
u = w * x + b
t = math.tanh(u)
loss = t**2

# backward by hand: dL_d? is read "the derivative of L by ?"
dL_dt = 2 * t
dL_du = dL_dt * (1 - t**2)
dL_dw = dL_du * x
dL_dx = dL_du * w
dL_db = dL_du
print(f"by hand:     L = {loss:.6f}   dL/dw = {dL_dw:.6f}   dL/dx = {dL_dx:.6f}   "
      f"dL/db = {dL_db:.6f}")

# by machine: the same lines on Tensors, which remember how they came to be
W, X, B = (Tensor(v, requires_grad=True) for v in (w, x, b))
L = tanh(W * X + B) ** 2
L.backward()
print(f"by machine:  L = {float(L):.6f}   dL/dw = {float(W.grad):.6f}   "
      f"dL/dx = {float(X.grad):.6f}   dL/db = {float(B.grad):.6f}")
assert math.isclose(float(W.grad), dL_dw, rel_tol=1e-12)
assert math.isclose(float(X.grad), dL_dx, rel_tol=1e-12)
assert math.isclose(float(B.grad), dL_db, rel_tol=1e-12)

# a value that is used twice receives the sum over its uses: d(a + a)/da = 2, then c = b + b = 4a
a = Tensor(1.0, requires_grad=True)
twice = a + a
(twice + twice).backward()
print(f"d(b + b)/da with b = a + a: {float(a.grad)}")
assert float(a.grad) == 4.0

# the backward pass is made of the same ops, so it can be differentiated again, and again
third = grad(grad(grad(tanh)))(0.5)
y = math.tanh(0.5)
print(f"tanh'''(0.5) = {float(third):.12f}   by hand: {-2 * (1 - y * y) * (1 - 3 * y * y):.12f}")
assert math.isclose(float(third), -2 * (1 - y * y) * (1 - 3 * y * y), rel_tol=1e-12)
