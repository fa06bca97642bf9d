"""SwiGLU's twin in blocks of their real size, and what it keeps."""

from __future__ import annotations

import numpy as np

from autograd import plain_ops, vjp
from tinygrad_llm.functional import swiglu
from tinygrad_llm.functional.cpu.swiglu import forward
from tinygrad_llm.host import threads


def test_several_blocks_of_a_transposed_array() -> None:
    x = np.linspace(-50, 50, 200_004).reshape(6, -1).T.reshape(-1, 3, 2)
    assert x.nbytes > 3 * threads.BLOCK_BYTES
    x.flags.writeable = False
    y, pull = vjp(swiglu, x)
    with plain_ops():
        expected, pull_plain = vjp(swiglu, x)
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-30)
    g = np.cos(y)
    np.testing.assert_allclose(pull(g)[0], pull_plain(g)[0], rtol=1e-12, atol=1e-15)


def test_the_factors_of_the_gradient_are_kept() -> None:
    x = np.linspace(-3, 3, 24).reshape(2, 3, 4)
    z, u = x.reshape(6, 4)[:, :2], x.reshape(6, 4)[:, 2:]
    s = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(forward(x)[1], [u * s * (1 + z * (1 - s)), z * s], rtol=1e-13)


def test_integers() -> None:
    np.testing.assert_array_equal(swiglu(np.array([1, -2, 3, 4])),
                                  swiglu(np.array([1.0, -2.0, 3.0, 4.0])))
