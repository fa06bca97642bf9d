"""Property-test your own op, in ten lines: draw inputs, check every order, shrink what fails."""

from hypothesis import strategies as st

from autograd import namespace, primitive
from autograd.testing import GradientError, arrays, check_op

# The ten lines: an op, its rule, and its proof.


@primitive
def gaussian(x, w, /):
    r"""Return exp(-x**2 / w**2).

    $\bar x = -2 \bar y\,y\,x / w^2$ and $\bar w = 2 \bar y\,y\,x^2 / w^3$, for w other than 0.
    """
    return namespace(x).exp(-(x**2) / w**2)


gaussian.vjp(lambda g, x, w, y: -2 * g * y * x / w**2, lambda g, x, w, y: 2 * g * y * x**2 / w**3)
inputs = st.tuples(arrays((2, 3)), arrays((3,), low=0.5, high=2.0))
check_op(gaussian, inputs=inputs, order=3)
print("gaussian: proved to the third order, at inputs of many layouts")

# A mistake in it: the factor 2 is forgotten in the second rule. The report names the check, the
# element and both values, states the maths, and ends in a snippet that shows the failure again.

gaussian.vjp(lambda g, x, w, y: -2 * g * y * x / w**2, lambda g, x, w, y: g * y * x**2 / w**3)
try:
    check_op(gaussian, inputs=inputs)
except GradientError as error:
    print(f"\nthe planted mistake was found:\n\n{error}")
else:
    raise SystemExit("the mistake was not found")
