"""GeGLU's twin in blocks of their real size, of arrays that may not be written into."""

from __future__ import annotations

import numpy as np
import pytest

from autograd import plain_ops, vjp
from tinygrad_llm.functional import geglu
from tinygrad_llm.host import threads


@pytest.mark.parametrize("approximate", ["tanh", "none"])
def test_several_blocks_of_a_transposed_array(approximate: str) -> None:
    x = np.linspace(-50, 50, 200_004).reshape(6, -1).T.reshape(-1, 3, 2)
    assert x.nbytes > 3 * threads.BLOCK_BYTES
    x.flags.writeable = False
    y, pull = vjp(lambda x: geglu(x, approximate=approximate), x)
    with plain_ops():
        expected, pull_plain = vjp(lambda x: geglu(x, approximate=approximate), x)
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-30)
    g = np.cos(y)
    np.testing.assert_allclose(pull(g)[0], pull_plain(g)[0], rtol=1e-12, atol=1e-15)


def test_integers() -> None:
    np.testing.assert_array_equal(geglu(np.array([1, -2, 3, 4])),
                                  geglu(np.array([1.0, -2.0, 3.0, 4.0])))
