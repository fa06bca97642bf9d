"""GELU's twin in blocks of their real size, of arrays that may not be written into."""

from __future__ import annotations

import numpy as np
import pytest

from autograd import plain_ops, vjp
from tinygrad_llm.functional import gelu
from tinygrad_llm.host import threads


@pytest.mark.parametrize("approximate", ["tanh", "none"])
def test_several_blocks_of_a_transposed_array(approximate: str) -> None:
    x = np.linspace(-50, 50, 200_001).reshape(3, -1).T
    assert x.nbytes > 3 * threads.BLOCK_BYTES
    x.flags.writeable = False
    y, pull = vjp(lambda x: gelu(x, approximate=approximate), x)
    with plain_ops():
        expected, pull_plain = vjp(lambda x: gelu(x, approximate=approximate), x)
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-30)
    g = np.cos(x)
    np.testing.assert_allclose(pull(g)[0], pull_plain(g)[0], rtol=1e-12, atol=1e-15)
